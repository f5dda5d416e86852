//! Lists of frames: a spectrogram a row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListArray, NullBufferBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};

use crate::vectors::{element_type, vector_type};

/// The type of the frames, if `data_type` is a list of vectors.
pub fn frame_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            element_type(item.data_type()).map(|_| item.data_type())
        }
        _ => None,
    }
}

/// The type of a list of frames of that type.
pub fn list_of(frame: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(frame, true)))
}

/// A column of lists of frames as `List`, whatever list it was.
///
/// # Errors
/// When it is none.
pub fn as_lists(function: &str, column: &ArrayRef) -> Result<ListArray> {
    let Some(frame) = frame_type(column.data_type()) else {
        return exec_err!(
            "{function}: expected a list of vectors, got {}",
            column.data_type()
        );
    };
    let lists = cast(column, &list_of(frame.clone()))?;
    Ok(lists.as_list::<i32>().clone())
}

/// Writes a column of lists of frames, all of one width.
pub struct FramesBuilder {
    function: &'static str,
    width: usize,
    values: Vec<f32>,
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
}

impl FramesBuilder {
    /// A builder of frames of `width` values, one or more.
    pub fn new(function: &'static str, width: usize) -> Self {
        Self {
            function,
            width,
            values: Vec::new(),
            lengths: Vec::new(),
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// The type of the column.
    pub fn data_type(width: usize) -> DataType {
        DataType::List(Self::frame(width))
    }

    /// Appends a row: frames one after the other.
    pub fn append(&mut self, frames: impl Iterator<Item = f32>) {
        let before = self.values.len();
        self.values.extend(frames);
        self.lengths.push((self.values.len() - before) / self.width);
        self.nulls.append_non_null();
    }

    /// Appends a NULL row.
    pub fn append_null(&mut self) {
        self.lengths.push(0);
        self.nulls.append_null();
    }

    /// The column.
    ///
    /// # Errors
    /// When there are more frames than a `List` can count.
    pub fn finish(mut self) -> Result<ArrayRef> {
        if i32::try_from(self.values.len() / self.width).is_err() {
            return exec_err!(
                "{}: more frames than one batch can hold; lower datafusion.execution.batch_size",
                self.function
            );
        }
        let width = i32::try_from(self.width).unwrap_or(i32::MAX);
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let values = Arc::new(Float32Array::from(self.values));
        let values = FixedSizeListArray::try_new(item, width, values, None)?;
        Ok(Arc::new(ListArray::try_new(
            Self::frame(self.width),
            OffsetBuffer::from_lengths(self.lengths),
            Arc::new(values),
            self.nulls.finish(),
        )?))
    }

    fn frame(width: usize) -> FieldRef {
        Arc::new(Field::new_list_field(vector_type(Some(width)), true))
    }
}
