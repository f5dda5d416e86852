//! Numbers as they are on disk, in either byte order, to float32.

use nifti::NiftiType;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// One of the ten scalar types.
    pub data_type: NiftiType,
    pub big_endian: bool,
    /// Slope and intercept, where the values are scaled.
    pub scaling: Option<(f64, f64)>,
}

impl Encoding {
    /// Bytes of a number.
    pub fn width(&self) -> usize {
        self.data_type.size_of()
    }

    /// Appends all the numbers in `bytes`; what is left over of a last one is ignored.
    ///
    /// Scaled values are computed in float64 and then rounded to float32.
    pub fn decode(&self, bytes: &[u8], values: &mut Vec<f32>) {
        macro_rules! decode_as {
            ($type:ty) => {
                match (self.big_endian, self.scaling) {
                    (false, None) => extend(bytes, values, |b| <$type>::from_le_bytes(b) as f32),
                    (true, None) => extend(bytes, values, |b| <$type>::from_be_bytes(b) as f32),
                    (false, Some((slope, inter))) => extend(bytes, values, |b| {
                        (<$type>::from_le_bytes(b) as f64 * slope + inter) as f32
                    }),
                    (true, Some((slope, inter))) => extend(bytes, values, |b| {
                        (<$type>::from_be_bytes(b) as f64 * slope + inter) as f32
                    }),
                }
            };
        }
        match self.data_type {
            NiftiType::Uint8 => decode_as!(u8),
            NiftiType::Int8 => decode_as!(i8),
            NiftiType::Uint16 => decode_as!(u16),
            NiftiType::Int16 => decode_as!(i16),
            NiftiType::Uint32 => decode_as!(u32),
            NiftiType::Int32 => decode_as!(i32),
            NiftiType::Uint64 => decode_as!(u64),
            NiftiType::Int64 => decode_as!(i64),
            NiftiType::Float64 => decode_as!(f64),
            // Headers let only scalar types pass, so this is float32.
            _ => decode_as!(f32),
        }
    }
}

fn extend<const WIDTH: usize>(
    bytes: &[u8],
    values: &mut Vec<f32>,
    value: impl Fn([u8; WIDTH]) -> f32,
) {
    let (elements, _) = bytes.as_chunks::<WIDTH>();
    values.extend(elements.iter().map(|&element| value(element)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_orders_and_scaling() {
        let decode = |data_type, big_endian, scaling, bytes: &[u8]| {
            let encoding = Encoding {
                data_type,
                big_endian,
                scaling,
            };
            let mut values = vec![];
            encoding.decode(bytes, &mut values);
            values
        };
        let value = -2.0f64;
        assert_eq!(decode(NiftiType::Int16, true, None, &[255, 254, 1]), [-2.0]);
        assert_eq!(
            decode(NiftiType::Int16, false, Some((0.5, 3.0)), &[254, 255]),
            [2.0]
        );
        assert_eq!(decode(NiftiType::Uint8, false, None, &[7, 8]), [7.0, 8.0]);
        assert_eq!(
            decode(NiftiType::Float64, true, None, &value.to_be_bytes()),
            [-2.0]
        );
        assert_eq!(
            decode(NiftiType::Float32, false, None, &1.5f32.to_le_bytes()),
            [1.5]
        );
    }
}
