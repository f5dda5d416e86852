//! Rows of numbers as a column of vectors.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;

/// `rows` vectors of `length` numbers each, one after the other, as the field's type; `None` where that
/// is neither a list nor one of this length.
pub fn vectors(
    field: &Field,
    values: Vec<f32>,
    length: usize,
    rows: usize,
) -> Result<Option<ArrayRef>> {
    let values = Arc::new(Float32Array::from(values));
    Ok(match field.data_type() {
        DataType::FixedSizeList(item, n) if *n as usize == length => Some(Arc::new(
            FixedSizeListArray::try_new(Arc::clone(item), *n, values, None)?,
        )),
        DataType::List(item) => {
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, rows));
            let list = ListArray::try_new(Arc::clone(item), offsets, values, None)?;
            Some(Arc::new(list))
        }
        _ => None,
    })
}
