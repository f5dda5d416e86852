//! Window functions that need a run whole: what the first row gets depends on the last.
//!
//! A plain window would collect all runs of its input before it computes the first. As
//! an evaluator of bounded windows, [`WholePartition`] is asked row by row, but only when a
//! partition is complete: one run is held with its result, and then let go.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::PartitionEvaluator;

use crate::args::Parameters;
use crate::run_window::RunCheck;
use crate::vectors::{Vectors, element_type};

/// What a function makes of a partition.
pub trait PartitionFunction: Debug + Send + 'static {
    /// One result a row.
    ///
    /// # Errors
    /// What is wrong with the rows.
    fn compute(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef>;
}

/// One partition's evaluator: computes a [`PartitionFunction`] once, and hands out its rows.
#[derive(Debug)]
pub struct WholePartition<F> {
    function: F,
    /// The result for all rows, made when the first is asked for.
    result: Option<ArrayRef>,
    /// The row that is asked for next.
    next: usize,
}

impl<F: PartitionFunction> WholePartition<F> {
    pub fn new(function: F) -> Self {
        Self {
            function,
            result: None,
            next: 0,
        }
    }
}

impl<F: PartitionFunction> PartitionEvaluator for WholePartition<F> {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        self.function.compute(values, num_rows)
    }

    /// Streaming windows ask row by row, once the partition is complete.
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let result = match self.result.take() {
            Some(result) => result,
            None => self.evaluate_all(values, range.len())?,
        };
        let row = self.next;
        self.next += 1;
        // A slice of the result, which costs no copy.
        let scalar = match result.as_fixed_size_list_opt() {
            Some(vectors) => ScalarValue::FixedSizeList(Arc::new(vectors.slice(row, 1))),
            None => ScalarValue::try_from_array(&result, row)?,
        };
        if self.next < result.len() {
            self.result = Some(result);
        }
        Ok(scalar)
    }

    /// Every row may need every other.
    fn get_range(&self, _idx: usize, n_rows: usize) -> Result<Range<usize>> {
        Ok(0..n_rows)
    }

    /// One partition is held, not all that a plain window would collect.
    fn supports_bounded_execution(&self) -> bool {
        true
    }
}

/// What a function makes of a run.
pub trait RunFunction: Debug + Send + 'static {
    /// One result a row.
    ///
    /// # Errors
    /// What is wrong with the run, beginning with [`Run::place`].
    fn compute(&self, run: &Run) -> Result<ArrayRef>;
}

/// The rows of one run, checked to be one a TR, in order.
pub struct Run<'a> {
    /// The columns that the function asked for.
    pub columns: &'a [ArrayRef],
    /// The TR of each row.
    pub trs: Vec<i64>,
    keys: &'a [ArrayRef],
    check: &'a RunCheck,
}

impl Run<'_> {
    /// `clean: subject = 01, run = 1: `, the beginning of an error.
    pub fn place(&self) -> String {
        self.check.place(self.keys, 0)
    }
}

/// A [`RunFunction`] of a partition, whose rows are checked to be one a TR.
#[derive(Debug)]
pub struct WholeRun<F> {
    function: F,
    /// How many columns come before the keys.
    columns: usize,
    check: RunCheck,
}

impl<F: RunFunction> WholeRun<F> {
    /// An evaluator of `function`, which gets the first `columns` of the expressions.
    pub fn evaluator(function: F, columns: usize, check: RunCheck) -> Box<dyn PartitionEvaluator> {
        Box::new(WholePartition::new(Self {
            function,
            columns,
            check,
        }))
    }
}

impl<F: RunFunction> PartitionFunction for WholeRun<F> {
    fn compute(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let Some((columns, keys)) = values.split_at_checked(self.columns) else {
            return exec_err!("a column of {:?} is missing from the plan", self.function);
        };
        let trs = (0..num_rows)
            .map(|row| self.check.next(keys, row))
            .collect::<Result<_>>()?;
        self.function.compute(&Run {
            columns,
            trs,
            keys,
            check: &self.check,
        })
    }
}

/// A column of numbers or vectors; missing elements are NaN.
pub enum Values {
    /// One number a row.
    Numbers(Float64Array),
    /// Vectors whose elements fit Float32.
    Singles(Vectors<Float32Type>),
    /// Other vectors.
    Doubles(Vectors<Float64Type>),
}

impl Values {
    /// The type to which a window function casts its argument `name`: vectors stay as
    /// they are, numbers become Float64, NULL stays.
    ///
    /// # Errors
    /// When it is neither.
    pub fn coerce(parameters: Parameters, name: &str, given: &DataType) -> Result<DataType> {
        if element_type(given).is_some() || given.is_null() {
            Ok(given.clone())
        } else if given.is_numeric() {
            Ok(DataType::Float64)
        } else {
            plan_err!(
                "{}: {name} must be a number or a vector, got {given}",
                parameters.function
            )
        }
    }

    /// Reads `column` for the function that will be named in errors, and says which of
    /// its rows lack elements.
    ///
    /// # Errors
    /// When it holds neither numbers nor vectors.
    pub fn try_new(function: &str, column: &ArrayRef) -> Result<(Self, Missing)> {
        match element_type(column.data_type()) {
            None if column.data_type().is_null() => {
                let nulls = Float64Array::new_null(column.len());
                Ok((Self::Numbers(nulls), Vec::new()))
            }
            None => match column.as_primitive_opt::<Float64Type>() {
                Some(numbers) => Ok((Self::Numbers(numbers.clone()), Vec::new())),
                None => exec_err!("{function}: expected numbers, got {}", column.data_type()),
            },
            Some(element) if crate::vectors::fits_f32(element) => {
                let vectors = Vectors::try_new(function, column)?;
                let missing = missing(&vectors);
                Ok((Self::Singles(vectors.fill_missing(f32::NAN)), missing))
            }
            Some(_) => {
                let vectors = Vectors::try_new(function, column)?;
                let missing = missing(&vectors);
                Ok((Self::Doubles(vectors.fill_missing(f64::NAN)), missing))
            }
        }
    }

    /// The number of elements of a row, 1 for a number; None where it is NULL.
    pub fn width(&self, row: usize) -> Option<usize> {
        match self {
            Self::Numbers(numbers) => numbers.is_valid(row).then_some(1),
            Self::Singles(vectors) => Some(vectors.row(row)?.len()),
            Self::Doubles(vectors) => Some(vectors.row(row)?.len()),
        }
    }

    /// The width that all rows have, NULL ones and those not `wanted` apart.
    ///
    /// # Errors
    /// When two rows differ: names the run and the TR.
    pub fn common_width(&self, name: &str, run: &Run, wanted: &[bool]) -> Result<Option<usize>> {
        let mut common = None;
        for row in (0..run.trs.len()).filter(|row| wanted[*row]) {
            let Some(width) = self.width(row) else {
                continue;
            };
            let first = *common.get_or_insert(width);
            if width != first {
                return exec_err!(
                    "{}{name} of TR {} has {width} elements, that of the TRs before it {first}",
                    run.place(),
                    run.trs[row]
                );
            }
        }
        Ok(common)
    }
}

/// Per row the elements that are there, None where all are; empty where all rows are whole.
pub type Missing = Vec<Option<NullBuffer>>;

fn missing<T: arrow::array::ArrowPrimitiveType>(vectors: &Vectors<T>) -> Missing {
    let rows: Missing = (0..vectors.len())
        .map(|row| {
            let missing = vectors.missing(row);
            missing.filter(|_| !vectors.is_null(row))
        })
        .collect();
    if rows.iter().any(Option::is_some) {
        rows
    } else {
        Vec::new()
    }
}

/// A null buffer from the rows that have a result.
pub fn valid(keep: &[bool]) -> Option<NullBuffer> {
    let mut nulls = NullBufferBuilder::new(keep.len());
    keep.iter().for_each(|keep| nulls.append(*keep));
    nulls.finish()
}
