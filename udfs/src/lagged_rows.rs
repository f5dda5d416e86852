//! The evaluator of windows in which each row is a weighted sum of rows around it.
//!
//! A convolution and a delayed copy are both `y[t] = Σ weight · x[t − lag]`, for every
//! feature of `x`. One evaluator runs them, over numbers and vectors, any number of such
//! columns side by side; rows stream, each with as many rows around it as the lags
//! reach.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, ListArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::PartitionEvaluator;

use crate::kernels::weighted_sum::weighted_sum;
use crate::run_window::RunCheck;
use crate::vectors::{Vectors, element_type, vector_type, vector_width};

/// One column of the result: `y[t] = Σ weights[k] · x[t − first − k]`. What lies
/// outside the run counts as 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The lag of the first weight, in rows; negative ones look ahead.
    pub first: i64,
    /// The weight of each lag from `first` on.
    pub weights: Vec<f64>,
}

impl Column {
    fn last(&self) -> i64 {
        let more = self.weights.len().saturating_sub(1);
        self.first
            .saturating_add(i64::try_from(more).unwrap_or(i64::MAX))
    }
}

/// How many columns there are, as far as the types of a call say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// One: a number stays a number, and a vector keeps its width.
    One,
    /// A vector for each row, all features of the first column, then of the second, …;
    /// their number, where planning knows it.
    Several(Option<usize>),
}

/// The type of the argument `x` of `function`: vectors stay, numbers become Float64.
///
/// # Errors
/// When it is neither.
pub fn coerce_x(function: &str, x: &DataType) -> Result<DataType> {
    if element_type(x).is_some() {
        Ok(x.clone())
    } else if x.is_numeric() || x.is_null() {
        Ok(DataType::Float64)
    } else {
        plan_err!("{function}: x must be a number or a vector, got {x}")
    }
}

/// The type of the result for that type of `x`.
pub fn result_type(x: &DataType, count: Count) -> DataType {
    let width = match element_type(x) {
        Some(_) => vector_width(x),
        None => Some(1),
    };
    match count {
        Count::One if element_type(x).is_none() => DataType::Float64,
        Count::One => vector_type(width),
        Count::Several(n) => vector_type(width.zip(n).and_then(|(w, n)| w.checked_mul(n))),
    }
}

/// One partition's rows.
#[derive(Debug)]
pub struct LaggedRows {
    function: &'static str,
    columns: Vec<Column>,
    /// How many rows before and after a row its sum may need.
    before: usize,
    after: usize,
    check: RunCheck,
    result: DataType,
    /// The features of `x`, as its type or the first vector says.
    width: Option<usize>,
    /// How many rows of the partition have been computed, and checked.
    computed: usize,
    checked: usize,
    /// The column of the last row, and the same column ready to read.
    input: Option<(ArrayRef, Input)>,
}

impl LaggedRows {
    /// An evaluator for `x` of that type, which [`coerce_x`] gave.
    ///
    /// # Errors
    /// When `columns` are not as many as `count`, which made the type of the result.
    pub fn try_new(
        function: &'static str,
        x: &DataType,
        columns: Vec<Column>,
        count: Count,
        check: RunCheck,
    ) -> Result<Self> {
        let agree = match count {
            Count::One => columns.len() == 1,
            Count::Several(n) => n.is_none_or(|n| n == columns.len()),
        };
        if !agree {
            return plan_err!(
                "{function}: this call gives {} columns for each feature, which must be known when \
                 the query is planned: write its model and delays out as constants",
                columns.len()
            );
        }
        let rows = |lag: Option<i64>| usize::try_from(lag.unwrap_or(0)).unwrap_or(0);
        Ok(Self {
            function,
            before: rows(columns.iter().map(Column::last).max()),
            after: rows(columns.iter().map(|c| c.first.saturating_neg()).max()),
            columns,
            check,
            result: result_type(x, count),
            width: match element_type(x) {
                Some(_) => vector_width(x),
                None => Some(1),
            },
            computed: 0,
            checked: 0,
            input: None,
        })
    }

    /// Checks the rows up to `end` that were not checked yet; row `start` of the
    /// columns is row `first` of the partition.
    fn check_rows(
        &mut self,
        keys: &[ArrayRef],
        start: usize,
        first: usize,
        end: usize,
    ) -> Result<()> {
        let Some((_, input)) = &self.input else {
            return exec_err!("{}: its column is missing", self.function);
        };
        for row in start + (self.checked - first)..end {
            let tr = self.check.next(keys, row)?;
            self.checked += 1;
            if let Some(width) = input.width(row)
                && *self.width.get_or_insert(width) != width
            {
                return exec_err!(
                    "{}the vector of TR {tr} has {width} elements, those before it {}",
                    self.check.place(keys, row),
                    self.width.unwrap_or_default()
                );
            }
        }
        Ok(())
    }
}

impl PartitionEvaluator for LaggedRows {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let Some((column, keys)) = values.split_first() else {
            return exec_err!("{}: it was called without columns", self.function);
        };
        if !matches!(&self.input, Some((last, _)) if Arc::ptr_eq(last, column)) {
            let input = Input::try_new(self.function, column)?;
            self.input = Some((Arc::clone(column), input));
        }
        // The columns begin anywhere in the partition, but the range `before` rows
        // before its row, or with the partition.
        let lead = self.computed.min(self.before);
        let row = range.start + lead;
        self.check_rows(keys, range.start, self.computed - lead, range.end)?;
        self.computed += 1;

        let Some((_, input)) = &self.input else {
            return exec_err!("{}: its column is missing", self.function);
        };
        // A list column says its width only with its first vector.
        let Some(width) = self.width else {
            return ScalarValue::try_from(&self.result);
        };
        if self.result == DataType::Float64 {
            // There is one column then.
            let column = self.columns.first();
            let y = column.map(|column| input.number(column, row, range));
            return Ok(ScalarValue::Float64(y));
        }
        let mut sums = vec![0.0; width * self.columns.len()];
        for (c, column) in self.columns.iter().enumerate() {
            input.sum(column, row, range, &mut sums[c * width..(c + 1) * width]);
        }
        vector(self.function, sums, &self.result)
    }

    fn get_range(&self, idx: usize, n_rows: usize) -> Result<Range<usize>> {
        let end = idx.saturating_add(self.after).saturating_add(1);
        Ok(idx.saturating_sub(self.before)..end.min(n_rows))
    }

    /// The window streams: it holds as many TRs as the lags reach.
    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn is_causal(&self) -> bool {
        self.after == 0
    }
}

/// The column `x`; what is missing counts as 0.
enum Input {
    Numbers(Float64Array),
    Singles(Vectors<Float32Type>),
    Doubles(Vectors<Float64Type>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl Input {
    fn try_new(function: &str, column: &ArrayRef) -> Result<Self> {
        Ok(match element_type(column.data_type()) {
            None => Self::Numbers(column.as_primitive::<Float64Type>().clone()),
            Some(DataType::Float32) => {
                Self::Singles(Vectors::try_new(function, column)?.fill_missing(0.0))
            }
            Some(_) => Self::Doubles(Vectors::try_new(function, column)?.fill_missing(0.0)),
        })
    }

    fn width(&self, row: usize) -> Option<usize> {
        match self {
            Self::Numbers(_) => Some(1),
            Self::Singles(vectors) => Some(vectors.row(row)?.len()),
            Self::Doubles(vectors) => Some(vectors.row(row)?.len()),
        }
    }

    /// The sum of `column` at `row` for a number.
    fn number(&self, column: &Column, row: usize, range: &Range<usize>) -> f64 {
        match self {
            Self::Numbers(numbers) => terms(column, row, range)
                .filter(|(_, at)| numbers.is_valid(*at))
                // From 0, as the sum of nothing is -0.
                .fold(0.0, |sum, (weight, at)| sum + weight * numbers.value(at)),
            Self::Singles(_) | Self::Doubles(_) => f64::NAN,
        }
    }

    /// The sums of `column` at `row` for all features.
    fn sum(&self, column: &Column, row: usize, range: &Range<usize>, out: &mut [f32]) {
        let terms = terms(column, row, range);
        match self {
            Self::Numbers(_) => out.fill(self.number(column, row, range) as f32),
            Self::Singles(vectors) => {
                let terms = terms.filter_map(|(weight, at)| Some((weight, vectors.row(at)?)));
                weighted_sum(&terms.collect::<Vec<_>>(), out);
            }
            Self::Doubles(vectors) => {
                let terms = terms.filter_map(|(weight, at)| Some((weight, vectors.row(at)?)));
                weighted_sum(&terms.collect::<Vec<_>>(), out);
            }
        }
    }
}

/// The rows that `column` needs at `row`, those within `range`, with their weights.
fn terms(column: &Column, row: usize, range: &Range<usize>) -> impl Iterator<Item = (f64, usize)> {
    let latest = i64::try_from(row)
        .ok()
        .and_then(|row| row.checked_sub(column.first));
    column
        .weights
        .iter()
        .zip(0i64..)
        .filter_map(move |(weight, k)| {
            let at = usize::try_from(latest?.checked_sub(k)?).ok()?;
            range.contains(&at).then_some((*weight, at))
        })
}

/// One row of a vector column.
fn vector(function: &str, values: Vec<f32>, data_type: &DataType) -> Result<ScalarValue> {
    let width = values.len();
    let values = Arc::new(Float32Array::from(values));
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    if vector_width(data_type).is_some() {
        let width = i32::try_from(width).map_err(|_| {
            exec_datafusion_err!("{function}: a vector of {width} elements is too wide")
        })?;
        // Without the length, rows of no elements would be no rows.
        let row = FixedSizeListArray::try_new_with_length(item, width, values, None, 1)?;
        Ok(ScalarValue::FixedSizeList(Arc::new(row)))
    } else {
        let offsets = OffsetBuffer::from_lengths([width]);
        let row = ListArray::try_new(item, offsets, values, None)?;
        Ok(ScalarValue::List(Arc::new(row)))
    }
}
