//! Numbers as they are on disk, in either byte order, to float32 or float64.

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

/// What numbers become: float32, or float64 where labels and sums have to be exact.
pub trait Value: Sized {
    /// Rounded once, from what is on disk.
    fn of(number: impl Number) -> Self;
    /// From a value that was scaled in float64.
    fn scaled(value: f64) -> Self;
}

impl Value for f32 {
    fn of(number: impl Number) -> f32 {
        number.to_f32()
    }

    fn scaled(value: f64) -> f32 {
        value as f32
    }
}

impl Value for f64 {
    fn of(number: impl Number) -> f64 {
        number.to_f64()
    }

    fn scaled(value: f64) -> f64 {
        value
    }
}

/// A number on disk.
pub trait Number {
    fn to_f32(self) -> f32;
    fn to_f64(self) -> f64;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

numbers!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// Runs a function with the conversion that an encoding asks for, from bytes to a [`Value`]:
/// a loop of its own for each type, byte order and scaling.
macro_rules! with_conversion {
    ($encoding:expr, |$convert:ident| $run:expr) => {{
        macro_rules! from {
            ($type:ty) => {
                match ($encoding.big_endian, $encoding.scaling) {
                    (false, None) => {
                        let $convert = |bytes| Value::of(<$type>::from_le_bytes(bytes));
                        $run
                    }
                    (true, None) => {
                        let $convert = |bytes| Value::of(<$type>::from_be_bytes(bytes));
                        $run
                    }
                    (false, Some((slope, inter))) => {
                        let $convert = |bytes| {
                            Value::scaled(<$type>::from_le_bytes(bytes) as f64 * slope + inter)
                        };
                        $run
                    }
                    (true, Some((slope, inter))) => {
                        let $convert = |bytes| {
                            Value::scaled(<$type>::from_be_bytes(bytes) as f64 * slope + inter)
                        };
                        $run
                    }
                }
            };
        }
        match $encoding.data_type {
            NiftiType::Uint8 => from!(u8),
            NiftiType::Int8 => from!(i8),
            NiftiType::Uint16 => from!(u16),
            NiftiType::Int16 => from!(i16),
            NiftiType::Uint32 => from!(u32),
            NiftiType::Int32 => from!(i32),
            NiftiType::Uint64 => from!(u64),
            NiftiType::Int64 => from!(i64),
            NiftiType::Float64 => from!(f64),
            // Headers let only scalar types pass, so this is float32.
            _ => from!(f32),
        }
    }};
}

impl Encoding {
    /// Bytes of a number.
    pub fn width(&self) -> usize {
        self.data_type.size_of()
    }

    /// Appends all the numbers in `bytes`; what is left over of a last one is ignored.
    ///
    /// Scaled values are computed in float64 and then rounded.
    pub fn decode<V: Value>(&self, bytes: &[u8], values: &mut Vec<V>) {
        with_conversion!(self, |convert| extend(bytes, values, convert))
    }

    /// Appends the numbers at `positions`, which must be in `bytes`, whose first number is that
    /// at position `first`.
    pub fn gather<V: Value>(
        &self,
        bytes: &[u8],
        first: usize,
        positions: &[u32],
        values: &mut Vec<V>,
    ) {
        with_conversion!(self, |convert| gather(
            bytes, first, positions, values, convert
        ))
    }

    /// Calls `each` with the position and the value of every number.
    pub fn for_each<V: Value>(&self, bytes: &[u8], each: impl FnMut(usize, V)) {
        with_conversion!(self, |convert| for_each(bytes, convert, each))
    }
}

fn extend<const WIDTH: usize, V>(
    bytes: &[u8],
    values: &mut Vec<V>,
    convert: impl Fn([u8; WIDTH]) -> V,
) {
    let (elements, _) = bytes.as_chunks::<WIDTH>();
    values.extend(elements.iter().map(|&element| convert(element)));
}

fn gather<const WIDTH: usize, V>(
    bytes: &[u8],
    first: usize,
    positions: &[u32],
    values: &mut Vec<V>,
    convert: impl Fn([u8; WIDTH]) -> V,
) {
    let (elements, _) = bytes.as_chunks::<WIDTH>();
    values.extend(
        positions
            .iter()
            .map(|&at| convert(elements[at as usize - first])),
    );
}

fn for_each<const WIDTH: usize, V>(
    bytes: &[u8],
    convert: impl Fn([u8; WIDTH]) -> V,
    mut each: impl FnMut(usize, V),
) {
    let (elements, _) = bytes.as_chunks::<WIDTH>();
    for (at, &element) in elements.iter().enumerate() {
        each(at, convert(element));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// 8 bytes of each type that are -2 or 2, in little-endian order.
    #[rstest]
    #[case(NiftiType::Uint8, 2u8.to_le_bytes().to_vec(), 2.0)]
    #[case(NiftiType::Int8, (-2i8).to_le_bytes().to_vec(), -2.0)]
    #[case(NiftiType::Uint16, 2u16.to_le_bytes().to_vec(), 2.0)]
    #[case(NiftiType::Int16, (-2i16).to_le_bytes().to_vec(), -2.0)]
    #[case(NiftiType::Uint32, 2u32.to_le_bytes().to_vec(), 2.0)]
    #[case(NiftiType::Int32, (-2i32).to_le_bytes().to_vec(), -2.0)]
    #[case(NiftiType::Uint64, 2u64.to_le_bytes().to_vec(), 2.0)]
    #[case(NiftiType::Int64, (-2i64).to_le_bytes().to_vec(), -2.0)]
    #[case(NiftiType::Float32, (-2f32).to_le_bytes().to_vec(), -2.0)]
    #[case(NiftiType::Float64, (-2f64).to_le_bytes().to_vec(), -2.0)]
    fn types_orders_and_scaling(
        #[case] data_type: NiftiType,
        #[case] little: Vec<u8>,
        #[case] value: f64,
    ) {
        for big_endian in [false, true] {
            for scaling in [None, Some((0.5, 3.0))] {
                let mut number = little.clone();
                if big_endian {
                    number.reverse();
                }
                // A zero, the number, and half of a third.
                let mut bytes = vec![0; number.len()];
                bytes.extend(&number);
                bytes.extend(&number[..number.len() / 2]);
                let encoding = Encoding {
                    data_type,
                    big_endian,
                    scaling,
                };
                let (slope, inter) = scaling.unwrap_or((1.0, 0.0));
                let want = [inter, value * slope + inter];

                let (mut doubles, mut singles) = (vec![], vec![]);
                encoding.decode::<f64>(&bytes, &mut doubles);
                encoding.decode::<f32>(&bytes, &mut singles);
                assert_eq!(doubles, want);
                assert_eq!(singles, want.map(|v| v as f32));
                encoding.gather(&bytes, 4, &[5, 4, 5], &mut singles);
                assert_eq!(singles[2..], [want[1], want[0], want[1]].map(|v| v as f32));
                let mut seen = vec![];
                encoding.for_each(&bytes, |at, value: f64| seen.push((at, value)));
                assert_eq!(seen, [(0, want[0]), (1, want[1])]);
            }
        }
    }

    #[test]
    fn whole_numbers_are_rounded_once() {
        // Between two float32, nearer to the upper one; by way of float64 it would be a tie.
        let number = (1i64 << 60) + (1 << 36) + 1;
        let encoding = Encoding {
            data_type: NiftiType::Int64,
            big_endian: false,
            scaling: None,
        };
        let mut values = vec![];
        encoding.decode::<f32>(&number.to_le_bytes(), &mut values);
        assert_eq!(values, [number as f32]);
        assert_ne!(values, [number as f64 as f32]);
    }
}
