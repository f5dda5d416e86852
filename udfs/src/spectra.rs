//! Spectrograms in columns: lists of frames, each a vector.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use crate::vectors::element_type;

/// The type of the frames, if `data_type` is a list of vectors.
pub fn frame_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            element_type(item.data_type()).map(|_| item.data_type())
        }
        _ => None,
    }
}

/// The type of a spectrogram: a list of frames.
pub fn list_of(frame: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(frame, true)))
}
