//! Every value of a volume as nibabel gives it: in float64 where it is scaled.

use nifti::NiftiType;

use crate::readers::nifti::header::Header;

/// Calls `each` with the position and the value of every voxel, in the order of the file (x
/// fastest). Float32 and integers of up to 53 bits are exact; `raw` is one volume as on disk.
pub fn for_each(raw: &[u8], header: &Header, each: impl FnMut(usize, f64)) {
    macro_rules! elements {
        ($type:ty) => {{
            let (elements, _) = raw.as_chunks();
            match header.big_endian {
                false => scaled(elements, |b| <$type>::from_le_bytes(b) as f64, header, each),
                true => scaled(elements, |b| <$type>::from_be_bytes(b) as f64, header, each),
            }
        }};
    }
    match header.data_type {
        NiftiType::Uint8 => elements!(u8),
        NiftiType::Int8 => elements!(i8),
        NiftiType::Uint16 => elements!(u16),
        NiftiType::Int16 => elements!(i16),
        NiftiType::Uint32 => elements!(u32),
        NiftiType::Int32 => elements!(i32),
        NiftiType::Uint64 => elements!(u64),
        NiftiType::Int64 => elements!(i64),
        NiftiType::Float64 => elements!(f64),
        // The header lets only scalar types pass, so this is float32.
        _ => elements!(f32),
    }
}

fn scaled<const WIDTH: usize>(
    elements: &[[u8; WIDTH]],
    value: impl Fn([u8; WIDTH]) -> f64,
    header: &Header,
    mut each: impl FnMut(usize, f64),
) {
    let values = elements.iter().map(|bytes| value(*bytes)).enumerate();
    match header.scaling {
        None => values.for_each(|(at, value)| each(at, value)),
        Some((slope, inter)) => values.for_each(|(at, value)| each(at, value * slope + inter)),
    }
}
