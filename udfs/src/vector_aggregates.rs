//! Aggregates of vectors, element by element: `vector_avg`, `vector_sum`, `vector_std`,
//! `vector_min`, `vector_max`, `vector_count`.

mod accumulator;

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, DocSection, Documentation, GroupsAccumulator,
    Signature, Volatility,
};

use self::accumulator::State;
use crate::args::{Kind, Parameters};
use crate::kernels::vector_stats::Statistic;
use crate::identity::forget;
use crate::vectors::{vector_type, vector_width};

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

/// The aggregate `vector_count`.
pub fn vector_count() -> AggregateUDF {
    VectorAggregate::udaf(&COUNT)
}

/// What tells the six apart.
#[derive(Debug)]
struct Function {
    parameters: Parameters,
    statistic: Statistic,
    documentation: LazyLock<Documentation>,
}

const VECTOR: (&str, Kind) = ("vector", Kind::Vector);
const WEIGHT: (&str, Kind) = ("weight", Kind::Number);
const DDOF: (&str, Kind) = ("ddof", Kind::Integer);

static AVG: Function = Function {
    parameters: parameters("vector_avg", &[VECTOR, WEIGHT]),
    statistic: Statistic::Avg,
    documentation: LazyLock::new(|| {
        document(
            "The mean vector of a group, element by element, for instance of the video frames within a volume. \
With `weight` it is `sum(weight * x) / sum(weight)`, for instance of the words that overlap a volume, weighted by \
the overlap that `tr_overlap` gives; an element without any weight is NULL. Sums are kept in double precision.",
            "vector_avg(vector [, weight])",
        )
    }),
};

static SUM: Function = Function {
    parameters: parameters("vector_sum", &[VECTOR, WEIGHT]),
    statistic: Statistic::Sum,
    documentation: LazyLock::new(|| {
        document(
            "The sum of the vectors of a group, element by element, kept in double precision; with `weight`, \
of `weight * x`.",
            "vector_sum(vector [, weight])",
        )
    }),
};

static STD: Function = Function {
    parameters: parameters("vector_std", &[VECTOR, DDOF, WEIGHT]),
    statistic: Statistic::Std { ddof: 0 },
    documentation: LazyLock::new(|| {
        document(
            "The standard deviation of the vectors of a group, element by element. As in NumPy the divisor is \
`n - ddof` with `ddof` 0; SQL's `stddev` and nilearn's z-scores are those of `ddof => 1`. An element \
of which the group has no more than `ddof` values is NULL. With `weight` it is the root of the weighted mean of the squared \
distances from the weighted mean, and `ddof` must be 0.",
            "vector_std(vector [, ddof => 0] [, weight])",
        )
    }),
};

static MIN: Function = Function {
    parameters: parameters("vector_min", &[VECTOR]),
    statistic: Statistic::Min,
    documentation: LazyLock::new(|| {
        document(
            "The smallest values of the vectors of a group, element by element.",
            "vector_min(vector)",
        )
    }),
};

static MAX: Function = Function {
    parameters: parameters("vector_max", &[VECTOR]),
    statistic: Statistic::Max,
    documentation: LazyLock::new(|| {
        document(
            "The largest values of the vectors of a group, element by element.",
            "vector_max(vector)",
        )
    }),
};

static COUNT: Function = Function {
    parameters: parameters("vector_count", &[VECTOR]),
    statistic: Statistic::Count,
    documentation: LazyLock::new(|| {
        let what = "How many values each element of a group's vectors had: the number of samples behind an element of \
`vector_avg` and its kin. NULL vectors are left out, missing (NULL) elements too; NaN is a value. \
(`count(vector)` counts the vectors that are not NULL, `count(*)` the rows.) The vectors of one group must have one width. \
The result is a list of Int64 of the same width; a group without vectors gives zeros where the input is a FixedSizeList, \
else NULL, since the width is not known.";
        Documentation::builder(section(), what, "vector_count(vector)")
            .with_argument("vector", "A list of numbers of any list type.")
            .build()
    }),
};

const fn parameters(function: &'static str, list: &'static [(&'static str, Kind)]) -> Parameters {
    Parameters {
        function,
        required: 1,
        list,
    }
}

fn section() -> DocSection {
    DocSection {
        include: true,
        label: "Vector Functions",
        description: None,
    }
}

fn document(what: &str, syntax: &str) -> Documentation {
    let rules = "NULL vectors are left out, missing (NULL) elements too; NaN is a value, and gives NaN. \
The vectors of one group must have one width. The result is a `FixedSizeList<Float32>` where the \
input is a FixedSizeList, else a `List<Float32>`; a group without vectors gives NULL. How many vectors \
a group had is `count(vector)`, and how many values an element had `vector_count(vector)`.";
    let mut builder = Documentation::builder(section(), format!("{what} {rules}"), syntax)
        .with_argument("vector", "A list of numbers of any list type.");
    if syntax.contains("ddof") {
        builder =
            builder.with_argument("ddof", "What to subtract from n in the divisor. Default 0.");
    }
    if syntax.contains("weight") {
        builder = builder.with_argument(
            "weight",
            "How much the row counts: a number from 0; a negative, infinite or NaN one is an error. Where it is NULL the row \
is left out; where it is 0 the row adds nothing, not even NaN. Default: all rows count the same.",
        );
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

    /// Where the weights stand among arguments of these types, if they were given.
    fn weight<'a>(&self, types: impl IntoIterator<Item = &'a DataType>) -> Option<usize> {
        let list = self.function.parameters.list;
        let at = list.iter().position(|parameter| *parameter == WEIGHT)?;
        let given = types.into_iter().nth(at)?;
        (!given.is_null()).then_some(at)
    }

    fn state_of(&self, args: &AccumulatorArgs) -> Result<State> {
        if args.is_distinct {
            return exec_err!("{} does not take DISTINCT", self.name());
        }
        let weight = self.weight(args.expr_fields.iter().map(|field| field.data_type()));
        let mut statistic = self.function.statistic;
        if let Statistic::Std { ddof } = &mut statistic {
            let given = self.function.parameters.of_expressions(args.exprs)?;
            *ddof = given.usize(DDOF.0)?.unwrap_or(0);
            if *ddof > 0 && weight.is_some() {
                return plan_err!(
                    "vector_std: with weight, ddof must be 0, not {ddof}: weights do not say how many \
                     values there are"
                );
            }
        }
        let width = vector_width(args.return_field.data_type());
        Ok(State::new(
            self.name_of_function(),
            statistic,
            width,
            weight,
        ))
    }

    fn name_of_function(&self) -> &'static str {
        self.function.parameters.function
    }
}

impl AggregateUDFImpl for VectorAggregate {
    fn name(&self) -> &str {
        self.name_of_function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = self.function.parameters.coerce(arg_types)?;
        if let Some(weight) = self.weight(&types) {
            types[weight] = DataType::Float64;
        }
        Ok(types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let width = arg_types.first().and_then(vector_width);
        Ok(match self.function.statistic {
            Statistic::Count => accumulator::counts_type(width),
            _ => vector_type(width),
        })
    }

    /// What the field remembers holds for the result as well, its shape for instance;
    /// but a standard deviation or a count is no point in an embedding model's space.
    fn return_field(&self, arg_fields: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let vector = arg_fields.first();
        let mut metadata = vector.map(|f| f.metadata().clone()).unwrap_or_default();
        match self.function.statistic {
            Statistic::Std { .. } => forget(&mut metadata),
            // An extension type says of what its elements are.
            Statistic::Count => metadata.clear(),
            _ => {}
        }
        let field = Field::new(self.name(), self.return_type(&types)?, true);
        Ok(Arc::new(field.with_metadata(metadata)))
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
        let types = args.input_fields.iter().map(|field| field.data_type());
        if self.weight(types).is_some() {
            fields.push(list("weights", DataType::Float64));
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
