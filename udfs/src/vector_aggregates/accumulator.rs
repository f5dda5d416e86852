//! The accumulator behind all vector aggregates, of many groups and of one.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, FixedSizeListArray, Float64Array,
    Int64Array, LargeListArray, ListArray, PrimitiveArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, UInt64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::kernels::vector_stats::{Partial, Statistic, UnequalWidths, VectorStats};
use crate::vectors::{VectorBuilder, Vectors, element_type, fits_f32};

/// The type of `vector_count`'s result.
pub(super) fn counts_type(width: Option<usize>) -> DataType {
    let item = Arc::new(Field::new_list_field(DataType::Int64, true));
    match width.and_then(|n| i32::try_from(n).ok()) {
        Some(n) => DataType::FixedSizeList(item, n),
        None => DataType::List(item),
    }
}

/// The accumulator of many groups, and of one.
#[derive(Debug)]
pub(super) struct State {
    function: &'static str,
    statistic: Statistic,
    /// The width of every vector, where the type says it.
    width: Option<usize>,
    /// Which argument holds the weights, where rows have some.
    weight: Option<usize>,
    stats: VectorStats,
}

impl State {
    pub(super) fn new(
        function: &'static str,
        statistic: Statistic,
        width: Option<usize>,
        weight: Option<usize>,
    ) -> Self {
        Self {
            function,
            statistic,
            width,
            weight,
            stats: match weight {
                Some(_) => VectorStats::weighted(statistic),
                None => VectorStats::new(statistic),
            },
        }
    }

    /// Adds the rows of the arguments to the groups that `group_of` gives, if any.
    fn add(&mut self, args: &[ArrayRef], group_of: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let column = &args[0];
        let weights = match self.weight {
            None => None,
            Some(at) => Some(Weights::try_new(self.function, &args[at])?),
        };
        if element_type(column.data_type()).is_some_and(fits_f32) {
            self.add_as::<Float32Type>(column, weights.as_ref(), group_of)
        } else {
            self.add_as::<Float64Type>(column, weights.as_ref(), group_of)
        }
    }

    fn add_as<T>(
        &mut self,
        column: &ArrayRef,
        weights: Option<&Weights>,
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
                let present = present.as_ref().map(|p| p as _);
                let added = match weights {
                    None => self.stats.add(group, row, present),
                    Some(weights) => match weights.of(i)? {
                        None => continue,
                        Some(weight) => self.stats.add_weighted(group, row, weight, present),
                    },
                };
                added.map_err(|widths| self.unequal(&widths))?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) -> Result<()> {
        let rows = states[0].as_primitive::<UInt64Type>();
        let mut more = states[3..].iter();
        let squares = self.has_squares().then(|| more.next()).flatten();
        let weights = self.weight.and_then(|_| more.next());
        for i in 0..rows.len() {
            let partial = Partial {
                rows: rows.value(i),
                missing: stretch::<UInt64Type>(&states[1], i),
                values: stretch::<Float64Type>(&states[2], i),
                squares: squares.map_or(&[], |list| stretch::<Float64Type>(list, i)),
                weights: weights.map_or(&[], |list| stretch::<Float64Type>(list, i)),
            };
            self.stats
                .merge(group_of(i), partial)
                .map_err(|widths| self.unequal(&widths))?;
        }
        Ok(())
    }

    fn has_squares(&self) -> bool {
        matches!(self.statistic, Statistic::Std { .. })
    }

    fn results(&self, stats: &VectorStats) -> Result<ArrayRef> {
        if self.statistic == Statistic::Count {
            return self.counts(stats);
        }
        let mut column = VectorBuilder::new(self.function, self.width, stats.groups());
        for group in 0..stats.groups() {
            match stats.result(group) {
                None => column.append_null(),
                Some(elements) => column.append_options(elements.len(), elements)?,
            }
        }
        column.finish()
    }

    /// Counts per element; a group without vectors has zeros, if it is known how many.
    fn counts(&self, stats: &VectorStats) -> Result<ArrayRef> {
        let mut values: Vec<i64> = Vec::new();
        let mut lengths = Vec::with_capacity(stats.groups());
        let mut valid = Vec::with_capacity(stats.groups());
        for group in 0..stats.groups() {
            let before = values.len();
            let counts = stats.counts(group);
            valid.push(counts.is_some() || self.width.is_some());
            match counts {
                Some(counts) => values.extend(counts.map(|n| n as i64)),
                None => values.resize(before + self.width.unwrap_or(0), 0),
            }
            lengths.push(values.len() - before);
        }
        let values = Arc::new(Int64Array::from(values));
        let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
        Ok(match counts_type(self.width) {
            DataType::FixedSizeList(item, width) => Arc::new(
                FixedSizeListArray::try_new_with_length(item, width, values, nulls, lengths.len())?,
            ),
            _ => {
                if i32::try_from(values.len()).is_err() {
                    return exec_err!(
                        "{}: {} groups have {} elements, more than a List column can in one batch; \
                         give the vectors a fixed width",
                        self.function,
                        lengths.len(),
                        values.len()
                    );
                }
                let item = Arc::new(Field::new_list_field(DataType::Int64, true));
                let offsets = OffsetBuffer::from_lengths(lengths);
                Arc::new(ListArray::try_new(item, offsets, values, nulls)?)
            }
        })
    }

    fn states(&self, stats: &VectorStats) -> Result<Vec<ArrayRef>> {
        let partials: Vec<Partial> = (0..stats.groups()).map(|g| stats.partial(g)).collect();
        let rows = UInt64Array::from_iter_values(partials.iter().map(|p| p.rows));
        let mut states: Vec<ArrayRef> = vec![
            Arc::new(rows),
            lists::<UInt64Type>(partials.iter().map(|p| p.missing))?,
            lists::<Float64Type>(partials.iter().map(|p| p.values))?,
        ];
        if self.has_squares() {
            states.push(lists::<Float64Type>(partials.iter().map(|p| p.squares))?);
        }
        if self.weight.is_some() {
            states.push(lists::<Float64Type>(partials.iter().map(|p| p.weights))?);
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

/// The weight of each row.
struct Weights {
    function: &'static str,
    values: Float64Array,
}

impl Weights {
    fn try_new(function: &'static str, column: &ArrayRef) -> Result<Self> {
        match column.as_primitive_opt::<Float64Type>() {
            Some(values) => Ok(Self {
                function,
                values: values.clone(),
            }),
            None => exec_err!("{function}: weight is {}, not DOUBLE", column.data_type()),
        }
    }

    /// None where it is NULL.
    fn of(&self, row: usize) -> Result<Option<f64>> {
        if self.values.is_null(row) {
            return Ok(None);
        }
        let weight = self.values.value(row);
        if !(weight >= 0.0 && weight.is_finite()) {
            return exec_err!(
                "{}: weight must be a number from 0, got {weight}; make it NULL to leave a row out",
                self.function
            );
        }
        Ok(Some(weight))
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
        self.add(values, |i| {
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
        let mut rows = Self::new(self.function, self.statistic, self.width, self.weight);
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
        self.add(values, |_| Some(0))
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
