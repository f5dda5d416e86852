//! What `clean` and the functions that are a part of it do to a run.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array};
use arrow::array::{BooleanBufferBuilder, ListArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};

use crate::kernels::signal::Sample;
use crate::kernels::signal::clean::{Cleaner, Options};
use crate::vectors::{element_type, vector_type, vector_width};
use crate::whole_run::{Missing, Run, RunFunction, Values, valid};

/// The field of a result that is like x: DOUBLE for numbers, a vector for vectors.
pub(crate) fn result_field(args: &WindowUDFFieldArgs) -> FieldRef {
    let x = args.get_input_field(0);
    let data_type = match x.as_ref().map(|x| x.data_type()) {
        Some(vector) if element_type(vector).is_some() => vector_type(vector_width(vector)),
        _ => DataType::Float64,
    };
    Arc::new(Field::new(args.name(), data_type, true))
}

/// The width of x, where its type says it.
pub(crate) fn fixed_width(args: &PartitionEvaluatorArgs) -> Option<usize> {
    let x = args.input_fields().first();
    x.and_then(|x| vector_width(x.data_type()))
}

/// Cleaning of one run, for all functions that are a part of it.
#[derive(Debug)]
pub(crate) struct CleanRun {
    pub function: &'static str,
    pub options: Options,
    /// The width of x, where its type says it.
    pub fixed_width: Option<usize>,
}

impl RunFunction for CleanRun {
    fn compute(&self, run: &Run) -> Result<ArrayRef> {
        let Some(column) = run.columns.first() else {
            return exec_err!("{}: the column x is missing from the plan", self.function);
        };
        let (x, missing) = Values::try_new(self.function, column)?;
        let mask = run.columns.get(2).and_then(|mask| mask.as_boolean_opt());
        let keep: Vec<bool> = (0..run.trs.len())
            .map(|row| {
                let wanted = mask.is_none_or(|mask| mask.is_valid(row) && mask.value(row));
                wanted && x.width(row).is_some()
            })
            .collect();
        let confounds = match run.columns.get(1) {
            Some(column) if !column.data_type().is_null() => {
                confounds(self.function, column, run, &keep)?
            }
            _ => Vec::new(),
        };
        let wrong = |message| exec_datafusion_err!("{}{message}", run.place());
        let cleaner = Cleaner::new(&self.options, &keep, &confounds).map_err(wrong)?;
        // nilearn reads some rows that are left out.
        let read: Vec<bool> = keep.iter().map(|k| *k || self.options.as_nilearn).collect();
        let width = x.common_width("x", run, &read)?.unwrap_or(0);
        match &x {
            Values::Numbers(numbers) => {
                let row = |row| numbers.is_valid(row).then(|| &numbers.values()[row..=row]);
                let rows: Vec<Option<&[f64]>> = (0..keep.len()).map(row).collect();
                let mut out = vec![0.0; keep.len()];
                cleaner.clean(&rows, 1, &mut out).map_err(wrong)?;
                Ok(Arc::new(Float64Array::new(out.into(), valid(&keep))))
            }
            Values::Singles(vectors) => {
                let rows: Vec<Option<&[f32]>> = (0..keep.len()).map(|i| vectors.row(i)).collect();
                let values = cleaned(&cleaner, &rows, width).map_err(wrong)?;
                self.column(values, width, &keep, whole(&missing, &read, width))
            }
            Values::Doubles(vectors) => {
                let rows: Vec<Option<&[f64]>> = (0..keep.len()).map(|i| vectors.row(i)).collect();
                let values = cleaned(&cleaner, &rows, width).map_err(wrong)?;
                self.column(values, width, &keep, whole(&missing, &read, width))
            }
        }
    }
}

impl CleanRun {
    /// The vectors of a run as a column; `whole` says which of their elements are there.
    fn column(
        &self,
        values: Vec<f32>,
        width: usize,
        keep: &[bool],
        whole: Option<BooleanBuffer>,
    ) -> Result<ArrayRef> {
        let elements = whole.map(|whole| {
            let mut elements = BooleanBufferBuilder::new(values.len());
            keep.iter().for_each(|_| elements.append_buffer(&whole));
            NullBuffer::new(elements.finish())
        });
        let values = Arc::new(Float32Array::new(values.into(), elements));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let Ok(length) = i32::try_from(width) else {
            return exec_err!(
                "{}: a vector of {width} elements is too wide",
                self.function
            );
        };
        if self.fixed_width.is_some() {
            let column = FixedSizeListArray::try_new_with_length(
                item,
                length,
                values,
                valid(keep),
                keep.len(),
            )?;
            return Ok(Arc::new(column));
        }
        if i32::try_from(values.len()).is_err() {
            return exec_err!(
                "{}: a run holds {} values, more than a List column can in one batch; give the \
                 vectors a fixed width: arrow_cast(x, 'FixedSizeList({width}, Float32)')",
                self.function,
                values.len()
            );
        }
        let offsets = OffsetBuffer::from_repeated_length(width, keep.len());
        Ok(Arc::new(ListArray::try_new(
            item,
            offsets,
            values,
            valid(keep),
        )?))
    }
}

fn cleaned<T: Sample>(
    cleaner: &Cleaner,
    rows: &[Option<&[T]>],
    width: usize,
) -> Result<Vec<f32>, String> {
    let mut out = vec![0.0; rows.len() * width];
    cleaner.clean(rows, width, &mut out)?;
    Ok(out)
}

/// Which elements are there in every row that is read; None where all are.
fn whole(missing: &Missing, read: &[bool], width: usize) -> Option<BooleanBuffer> {
    let rows = missing.iter().zip(read);
    let mut rows = rows.filter_map(|(row, read)| row.as_ref().filter(|_| *read));
    let first = rows.next()?.inner().clone();
    debug_assert_eq!(first.len(), width);
    Some(rows.fold(first, |whole, row| &whole & row.inner()))
}

/// The confounds of a run as columns, checked at the TRs that are kept.
fn confounds(function: &str, column: &ArrayRef, run: &Run, keep: &[bool]) -> Result<Vec<Vec<f64>>> {
    let column = cast(column, &doubles(column.data_type()))?;
    let (confounds, missing) = Values::try_new(function, &column)?;
    let width = confounds.common_width("confounds", run, keep)?.unwrap_or(0);
    let mut columns = vec![Vec::with_capacity(keep.len()); width];
    for (row, keep) in keep.iter().enumerate() {
        let values = match &confounds {
            Values::Numbers(numbers) => numbers.is_valid(row).then(|| &numbers.values()[row..=row]),
            Values::Doubles(vectors) => vectors.row(row),
            Values::Singles(_) => None,
        };
        let missing = missing.get(row).and_then(Option::as_ref);
        for (i, column) in columns.iter_mut().enumerate() {
            let value = values.and_then(|values| values.get(i)).copied();
            let value = value.filter(|_| missing.is_none_or(|missing| missing.is_valid(i)));
            if *keep && !value.is_some_and(f64::is_finite) {
                return exec_err!(
                    "{}confound {} of TR {} is {}; give it a value, as coalesce(c, 0) does, or leave \
                     the TR out by sample_mask",
                    run.place(),
                    i + 1,
                    run.trs[row],
                    value.map_or("NULL".into(), |value| value.to_string())
                );
            }
            // What is not kept does not matter.
            column.push(value.unwrap_or(f64::NAN));
        }
    }
    Ok(columns)
}

/// A vector type with elements in double precision; other types stay.
fn doubles(data_type: &DataType) -> DataType {
    let item = || Arc::new(Field::new_list_field(DataType::Float64, true));
    match data_type {
        DataType::List(_) => DataType::List(item()),
        DataType::LargeList(_) => DataType::LargeList(item()),
        DataType::FixedSizeList(_, width) => DataType::FixedSizeList(item(), *width),
        other => other.clone(),
    }
}
