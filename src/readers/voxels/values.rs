//! A volume's numbers as float64, in which labels are exact.

use arrow::array::Float64Array;
use datafusion::common::Result;
use nifti::NiftiType;

use crate::readers::nifti::header::Header;
use crate::readers::nifti::volumes::Volumes;

/// One volume as it is on disk.
pub struct Values {
    header: Header,
    raw: Vec<u8>,
}

impl Values {
    /// Reads the first volume.
    pub fn read(mut image: Volumes) -> Result<Self> {
        let raw = image.read_raw()?.to_vec();
        Ok(Values {
            header: image.header,
            raw,
        })
    }

    /// The values at these positions in the file, scaled as the header says.
    pub fn of(&self, voxels: &[u32]) -> Float64Array {
        match self.header.data_type {
            NiftiType::Uint8 => self.decode(voxels, |b, big| number(b, big, u8::from_be_bytes)),
            NiftiType::Int8 => self.decode(voxels, |b, big| number(b, big, i8::from_be_bytes)),
            NiftiType::Uint16 => self.decode(voxels, |b, big| number(b, big, u16::from_be_bytes)),
            NiftiType::Int16 => self.decode(voxels, |b, big| number(b, big, i16::from_be_bytes)),
            NiftiType::Uint32 => self.decode(voxels, |b, big| number(b, big, u32::from_be_bytes)),
            NiftiType::Int32 => self.decode(voxels, |b, big| number(b, big, i32::from_be_bytes)),
            NiftiType::Float64 => self.decode(voxels, |b, big| number(b, big, f64::from_be_bytes)),
            NiftiType::Uint64 => {
                self.decode(voxels, |b, big| ordered(b, big, u64::from_be_bytes) as f64)
            }
            NiftiType::Int64 => {
                self.decode(voxels, |b, big| ordered(b, big, i64::from_be_bytes) as f64)
            }
            // The header lets only scalar types pass, so this is float32.
            _ => self.decode(voxels, |b, big| number(b, big, f32::from_be_bytes)),
        }
    }

    fn decode<const WIDTH: usize>(
        &self,
        voxels: &[u32],
        number: impl Fn([u8; WIDTH], bool) -> f64,
    ) -> Float64Array {
        let (elements, _) = self.raw.as_chunks::<WIDTH>();
        let (slope, inter) = self.header.scaling.unwrap_or((1.0, 0.0));
        let scaled = self.header.scaling.is_some();
        let value = |&at: &u32| {
            let value = number(elements[at as usize], self.header.big_endian);
            match scaled {
                true => value * slope + inter,
                false => value,
            }
        };
        Float64Array::from_iter_values(voxels.iter().map(value))
    }
}

fn number<const WIDTH: usize, T: Into<f64>>(
    bytes: [u8; WIDTH],
    big_endian: bool,
    from_be: impl Fn([u8; WIDTH]) -> T,
) -> f64 {
    ordered(bytes, big_endian, from_be).into()
}

fn ordered<const WIDTH: usize, T>(
    mut bytes: [u8; WIDTH],
    big_endian: bool,
    from_be: impl Fn([u8; WIDTH]) -> T,
) -> T {
    if !big_endian {
        bytes.reverse();
    }
    from_be(bytes)
}
