//! Numbers of a column as the bytes of an image.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{self as types, DataType};
use datafusion::common::{Result, exec_err};
use nifti::NiftiType;

/// The type in which numbers of a column are stored: their own; `None` if NIfTI has none for them.
pub fn element(data_type: &DataType) -> Option<NiftiType> {
    Some(match data_type {
        DataType::Boolean | DataType::UInt8 => NiftiType::Uint8,
        DataType::UInt16 => NiftiType::Uint16,
        DataType::UInt32 => NiftiType::Uint32,
        DataType::UInt64 => NiftiType::Uint64,
        DataType::Int8 => NiftiType::Int8,
        DataType::Int16 => NiftiType::Int16,
        DataType::Int32 => NiftiType::Int32,
        DataType::Int64 => NiftiType::Int64,
        DataType::Float32 => NiftiType::Float32,
        DataType::Float64 => NiftiType::Float64,
        _ => return None,
    })
}

/// Whether the type can say that a number is missing, by NaN.
pub fn has_nan(element: NiftiType) -> bool {
    matches!(element, NiftiType::Float32 | NiftiType::Float64)
}

/// The row of the first NULL.
pub fn first_null(values: &dyn Array) -> Option<usize> {
    match values.null_count() {
        0 => None,
        _ => (0..values.len()).find(|&row| values.is_null(row)),
    }
}

/// The numbers, little-endian, in place of what `bytes` holds. NULL becomes NaN; where the type
/// [has none](has_nan), the caller has looked for NULL.
pub fn encode(values: &dyn Array, bytes: &mut Vec<u8>) -> Result<()> {
    bytes.clear();
    macro_rules! integers {
        ($type:ty) => {{
            let values = values.as_primitive::<$type>().values();
            bytes.reserve(size_of_val(&values[..]));
            values
                .iter()
                .for_each(|v| bytes.extend_from_slice(&v.to_le_bytes()));
        }};
    }
    macro_rules! floats {
        ($type:ty, $nan:expr) => {{
            let array = values.as_primitive::<$type>();
            match array.null_count() {
                0 => integers!($type),
                _ => array
                    .iter()
                    .for_each(|v| bytes.extend_from_slice(&v.unwrap_or($nan).to_le_bytes())),
            }
        }};
    }
    match values.data_type() {
        DataType::Boolean => bytes.extend(values.as_boolean().values().iter().map(u8::from)),
        DataType::UInt8 => {
            bytes.extend_from_slice(values.as_primitive::<types::UInt8Type>().values())
        }
        DataType::UInt16 => integers!(types::UInt16Type),
        DataType::UInt32 => integers!(types::UInt32Type),
        DataType::UInt64 => integers!(types::UInt64Type),
        DataType::Int8 => integers!(types::Int8Type),
        DataType::Int16 => integers!(types::Int16Type),
        DataType::Int32 => integers!(types::Int32Type),
        DataType::Int64 => integers!(types::Int64Type),
        DataType::Float32 => floats!(types::Float32Type, f32::NAN),
        DataType::Float64 => floats!(types::Float64Type, f64::NAN),
        other => return exec_err!("NIfTI has no type for {other}"),
    }
    Ok(())
}

/// So many numbers that are missing; `None` where the type has no NaN.
pub fn missing(element: NiftiType, count: usize, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.clear();
    match element {
        NiftiType::Float32 => {
            bytes.extend(std::iter::repeat_n(f32::NAN.to_le_bytes(), count).flatten())
        }
        NiftiType::Float64 => {
            bytes.extend(std::iter::repeat_n(f64::NAN.to_le_bytes(), count).flatten())
        }
        _ => return None,
    }
    Some(())
}

/// The vector in one row of a list column, `None` for NULL.
pub fn vector(column: &dyn Array, row: usize) -> Option<ArrayRef> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::FixedSizeList(_, _) => Some(column.as_fixed_size_list().value(row)),
        DataType::List(_) => Some(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(row)),
        _ => None,
    }
}

/// Puts elements of `width` bytes at their positions in `image`; positions are within it.
pub fn scatter(
    bytes: &[u8],
    width: usize,
    positions: impl Iterator<Item = usize>,
    image: &mut [u8],
) {
    match width {
        1 => scatter_of::<1>(bytes, positions, image),
        2 => scatter_of::<2>(bytes, positions, image),
        4 => scatter_of::<4>(bytes, positions, image),
        _ => scatter_of::<8>(bytes, positions, image),
    }
}

fn scatter_of<const WIDTH: usize>(
    bytes: &[u8],
    positions: impl Iterator<Item = usize>,
    image: &mut [u8],
) {
    let (elements, _) = bytes.as_chunks::<WIDTH>();
    let (places, _) = image.as_chunks_mut::<WIDTH>();
    for (element, position) in elements.iter().zip(positions) {
        places[position] = *element;
    }
}
