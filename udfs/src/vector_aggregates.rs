//! Aggregates of vectors, element by element: `vector_avg`, `vector_sum`, `vector_std`,
//! `vector_min`, `vector_max`.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, LargeListArray, PrimitiveArray,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, UInt64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, DocSection, Documentation, EmitTo,
    GroupsAccumulator, Signature, Volatility,
};

use crate::args::{Kind, Parameters};
use crate::kernels::vector_stats::{Partial, Statistic, UnequalWidths, VectorStats};
use crate::vectors::{
    MODEL_METADATA, VectorBuilder, Vectors, element_type, fits_f32, vector_type, vector_width,
};

/// The aggregate `vector_avg`.
pub fn vector_avg() -> AggregateUDF {
    VectorAggregate::udaf(&AVG)
}

/// The aggregate `vector_sum`.
pub fn vector_sum() -> AggregateUDF {
    VectorAggregate::udaf(&SUM)
}

/// The aggregate `vector_std`.
pub fn vector_std() -> AggregateUDF {
    VectorAggregate::udaf(&STD)
}

/// The aggregate `vector_min`.
pub fn vector_min() -> AggregateUDF {
    VectorAggregate::udaf(&MIN)
}

/// The aggregate `vector_max`.
pub fn vector_max() -> AggregateUDF {
    VectorAggregate::udaf(&MAX)
}

/// What tells the five apart.
#[derive(Debug)]
struct Function {
    parameters: Parameters,
    statistic: Statistic,
    documentation: LazyLock<Documentation>,
}

static AVG: Function = Function {
    parameters: one_vector("vector_avg"),
    statistic: Statistic::Avg,
    documentation: LazyLock::new(|| {
        document(
            "The mean vector of a group, element by element, for instance of the video frames within a volume. \
Sums are kept in double precision.",
            "vector_avg(vector)",
        )
    }),
};

static SUM: Function = Function {
    parameters: one_vector("vector_sum"),
    statistic: Statistic::Sum,
    documentation: LazyLock::new(|| {
        document(
            "The sum of the vectors of a group, element by element, kept in double precision.",
            "vector_sum(vector)",
        )
    }),
};

static STD: Function = Function {
    parameters: Parameters {
        function: "vector_std",
        required: 1,
        list: &[("vector", Kind::Vector), ("ddof", Kind::Integer)],
    },
    statistic: Statistic::Std { ddof: 0 },
    documentation: LazyLock::new(|| {
        document(
            "The standard deviation of the vectors of a group, element by element. As in NumPy the divisor is \
`n - ddof` with `ddof` 0; SQL's `stddev` and nilearn's z-scores are those of `ddof => 1`. An element \
of which the group has no more than `ddof` values is NULL.",
            "vector_std(vector [, ddof => 0])",
        )
    }),
};

static MIN: Function = Function {
    parameters: one_vector("vector_min"),
    statistic: Statistic::Min,
    documentation: LazyLock::new(|| {
        document(
            "The smallest values of the vectors of a group, element by element.",
            "vector_min(vector)",
        )
    }),
};

static MAX: Function = Function {
    parameters: one_vector("vector_max"),
    statistic: Statistic::Max,
    documentation: LazyLock::new(|| {
        document(
            "The largest values of the vectors of a group, element by element.",
            "vector_max(vector)",
        )
    }),
};

const fn one_vector(function: &'static str) -> Parameters {
    Parameters {
        function,
        required: 1,
        list: &[("vector", Kind::Vector)],
    }
}

fn document(what: &str, syntax: &str) -> Documentation {
    let rules = "NULL vectors are left out, missing (NULL) elements too; NaN is a value, and gives NaN. \
The vectors of one group must have one width. The result is a `FixedSizeList<Float32>` where the \
input is a FixedSizeList, else a `List<Float32>`; a group without vectors gives NULL.";
    let section = DocSection {
        include: true,
        label: "Vector Functions",
        description: None,
    };
    let builder = Documentation::builder(section, format!("{what} {rules}"), syntax)
        .with_argument("vector", "A list of numbers of any list type.");
    if syntax.contains("ddof") {
        return builder
            .with_argument("ddof", "What to subtract from n in the divisor. Default 0.")
            .build();
    }
    builder.build()
}

#[derive(Debug)]
struct VectorAggregate {
    function: &'static Function,
    signature: Signature,
}

impl PartialEq for VectorAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for VectorAggregate {}

impl std::hash::Hash for VectorAggregate {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl VectorAggregate {
    fn udaf(function: &'static Function) -> AggregateUDF {
        AggregateUDF::from(Self {
            function,
            signature: function.parameters.signature(Volatility::Immutable),
        })
    }

    fn state_of(&self, args: &AccumulatorArgs) -> Result<State> {
        if args.is_distinct {
            return exec_err!("{} does not take DISTINCT", self.name());
        }
        let mut statistic = self.function.statistic;
        if let Statistic::Std { ddof } = &mut statistic {
            let given = self.function.parameters.of_expressions(args.exprs)?;
            *ddof = given.usize("ddof")?.unwrap_or(0);
        }
        Ok(State {
            function: self.function.parameters.function,
            statistic,
            width: vector_width(args.return_field.data_type()),
            stats: VectorStats::new(statistic),
        })
    }
}

impl AggregateUDFImpl for VectorAggregate {
    fn name(&self) -> &str {
        self.function.parameters.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.parameters.coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(vector_type(arg_types.first().and_then(vector_width)))
    }

    /// What the field remembers holds for the result as well, its shape for instance;
    /// but a standard deviation is no point in an embedding model's space.
    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let vector = arg_fields.first();
        let width = vector.and_then(|field| vector_width(field.data_type()));
        let mut metadata = vector.map(|f| f.metadata().clone()).unwrap_or_default();
        if matches!(self.function.statistic, Statistic::Std { .. }) {
            metadata.remove(MODEL_METADATA);
        }
        let field = Field::new(self.name(), vector_type(width), true).with_metadata(metadata);
        Ok(Arc::new(field))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name: &str, item: DataType| {
            let item = Arc::new(Field::new_list_field(item, false));
            let name = format_state_name(args.name, name);
            Arc::new(Field::new(name, DataType::LargeList(item), false))
        };
        let rows = format_state_name(args.name, "rows");
        let mut fields = vec![
            Arc::new(Field::new(rows, DataType::UInt64, false)),
            list("missing", DataType::UInt64),
            list("values", DataType::Float64),
        ];
        if matches!(self.function.statistic, Statistic::Std { .. }) {
            fields.push(list("squares", DataType::Float64));
        }
        Ok(fields)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(self.state_of(&args)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.state_of(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.function.documentation)
    }
}

/// The accumulator of many groups, and of one.
#[derive(Debug)]
struct State {
    function: &'static str,
    statistic: Statistic,
    /// The width of every vector, where the type says it.
    width: Option<usize>,
    stats: VectorStats,
}

impl State {
    /// Adds the rows of `column` to the groups that `group_of` gives, if any.
    fn add(&mut self, column: &ArrayRef, group_of: impl Fn(usize) -> Option<usize>) -> Result<()> {
        if element_type(column.data_type()).is_some_and(fits_f32) {
            self.add_as::<Float32Type>(column, group_of)
        } else {
            self.add_as::<Float64Type>(column, group_of)
        }
    }

    fn add_as<T>(
        &mut self,
        column: &ArrayRef,
        group_of: impl Fn(usize) -> Option<usize>,
    ) -> Result<()>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<f64>,
    {
        let vectors = Vectors::<T>::try_new(self.function, column)?;
        for i in 0..vectors.len() {
            if let (Some(group), Some(row)) = (group_of(i), vectors.row(i)) {
                let missing: Option<NullBuffer> = vectors.missing(i);
                let present = missing.as_ref().map(|m| |i: usize| m.is_valid(i));
                self.stats
                    .add(group, row, present.as_ref().map(|p| p as _))
                    .map_err(|widths| self.unequal(&widths))?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let rows = states[0].as_primitive::<UInt64Type>();
        for i in 0..rows.len() {
            let partial = Partial {
                rows: rows.value(i),
                missing: stretch::<UInt64Type>(&states[1], i),
                values: stretch::<Float64Type>(&states[2], i),
                squares: states
                    .get(3)
                    .map_or(&[], |squares| stretch::<Float64Type>(squares, i)),
            };
            self.stats
                .merge(group_of(i), partial)
                .map_err(|widths| self.unequal(&widths))?;
        }
        Ok(())
    }

    fn results(&self, stats: &VectorStats) -> Result<ArrayRef> {
        let mut column = VectorBuilder::new(self.function, self.width, stats.groups());
        for group in 0..stats.groups() {
            match stats.result(group) {
                None => column.append_null(),
                Some(elements) => column.append_options(elements.len(), elements)?,
            }
        }
        column.finish()
    }

    fn states(&self, stats: &VectorStats) -> Result<Vec<ArrayRef>> {
        let partials: Vec<Partial> = (0..stats.groups()).map(|g| stats.partial(g)).collect();
        let rows = UInt64Array::from_iter_values(partials.iter().map(|p| p.rows));
        let mut states: Vec<ArrayRef> = vec![
            Arc::new(rows),
            lists::<UInt64Type>(partials.iter().map(|p| p.missing))?,
            lists::<Float64Type>(partials.iter().map(|p| p.values))?,
        ];
        if matches!(self.statistic, Statistic::Std { .. }) {
            states.push(lists::<Float64Type>(partials.iter().map(|p| p.squares))?);
        }
        Ok(states)
    }

    fn unequal(&self, UnequalWidths(one, other): &UnequalWidths) -> DataFusionError {
        exec_datafusion_err!(
            "{}: a group holds vectors of {one} and of {other} elements; group by what tells them apart \
             (subject, file), or bring them to one width first",
            self.function
        )
    }
}

fn stretch<T: ArrowPrimitiveType>(lists: &ArrayRef, i: usize) -> &[T::Native] {
    let lists = lists.as_list::<i64>();
    let offsets = lists.value_offsets();
    let values = lists.values().as_primitive::<T>().values();
    &values[offsets[i] as usize..offsets[i + 1] as usize]
}

fn lists<'a, T: ArrowPrimitiveType>(
    rows: impl Iterator<Item = &'a [T::Native]> + Clone,
) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(rows.clone().map(<[_]>::len));
    let mut values = Vec::with_capacity(rows.clone().map(<[_]>::len).sum());
    rows.for_each(|row| values.extend_from_slice(row));
    Ok(Arc::new(LargeListArray::try_new(
        Arc::new(Field::new_list_field(T::DATA_TYPE, false)),
        offsets,
        Arc::new(PrimitiveArray::<T>::new(values.into(), None)),
        None,
    )?))
}

fn taken(stats: &mut VectorStats, emit_to: EmitTo) -> VectorStats {
    match emit_to {
        EmitTo::All => stats.split_first(stats.groups()),
        EmitTo::First(n) => stats.split_first(n),
    }
}

impl GroupsAccumulator for State {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.stats.resize(total_num_groups);
        self.add(&values[0], |i| {
            let keep = opt_filter.is_none_or(|filter| filter.is_valid(i) && filter.value(i));
            keep.then(|| group_indices[i])
        })
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.stats.resize(total_num_groups);
        self.merge(values, |i| group_indices[i])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let stats = taken(&mut self.stats, emit_to);
        self.results(&stats)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let stats = taken(&mut self.stats, emit_to);
        self.states(&stats)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut rows = Self {
            function: self.function,
            statistic: self.statistic,
            width: self.width,
            stats: VectorStats::new(self.statistic),
        };
        let groups: Vec<usize> = (0..values[0].len()).collect();
        GroupsAccumulator::update_batch(&mut rows, values, &groups, opt_filter, groups.len())?;
        rows.states(&rows.stats)
    }

    fn size(&self) -> usize {
        self.stats.size()
    }
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| Some(0))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.merge(states, |_| 0)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.stats.resize(1);
        ScalarValue::try_from_array(&self.results(&self.stats)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.stats.resize(1);
        self.states(&self.stats)?
            .iter()
            .map(|state| ScalarValue::try_from_array(state, 0))
            .collect()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.stats.size()
    }
}
