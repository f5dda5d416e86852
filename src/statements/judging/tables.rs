//! Tables of vectors in Float64.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err};

/// Bytes of a batch.
const BATCH: usize = 8 << 20;

/// `FixedSizeList<Float64, width>`
pub fn vector_field(function: &str, name: &str, width: usize) -> Result<FieldRef> {
    let vector = DataType::FixedSizeList(item(), i32_width(function, width)?);
    Ok(Arc::new(Field::new(name, vector, false)))
}

/// A column of such vectors, one after another in `values`.
pub fn vectors(function: &str, values: Vec<f64>, width: usize, rows: usize) -> Result<ArrayRef> {
    Ok(Arc::new(FixedSizeListArray::try_new_with_length(
        item(),
        i32_width(function, width)?,
        Arc::new(Float64Array::from(values)),
        None,
        rows,
    )?))
}

/// How many vectors a batch holds.
pub fn rows_of_batch(width: usize) -> usize {
    (BATCH / (width.max(1) * size_of::<f64>())).max(1)
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

fn i32_width(function: &str, width: usize) -> Result<i32> {
    i32::try_from(width)
        .map_err(|_| exec_datafusion_err!("{function}: a vector of {width} elements is too wide"))
}
