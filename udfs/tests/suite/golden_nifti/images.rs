//! Images of the golden data as the kernels take them: x fastest, volume after volume.

use std::io::Read;
use std::path::Path;

use crate::common::Cases;
use flate2::read::GzDecoder;
use serde_json::Value;
use voxql_udfs::kernels::brain::{Affine, Shape};

/// Values in the type that nibabel gives them.
pub enum Series {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

impl Series {
    pub fn doubles(self) -> Vec<f64> {
        match self {
            Series::Single(values) => values.into_iter().map(f64::from).collect(),
            Series::Double(values) => values,
        }
    }
}

pub struct Image {
    pub shape: Shape,
    pub volumes: usize,
    pub affine: Affine,
    /// Whether the image is 4-D, so that there is a mean to take.
    has_time: bool,
    /// Whether it is float32; else integers, scaled or not, or float64.
    single: bool,
    values: Vec<f64>,
}

impl Image {
    /// A `{"file": …}`, or a `{"array": …}` without an affine.
    pub fn of(golden: &Cases, value: &Value) -> Self {
        match value["file"].as_str() {
            Some(file) => Self::read(&golden.folder.join(file)),
            None => Self::of_array(golden, value, [[0.0; 4]; 3]),
        }
    }

    /// `{"data": …, "affine": …}`.
    pub fn of_data(golden: &Cases, inputs: &Value) -> Self {
        let (_, affine) = golden.array(&inputs["affine"]);
        let affine = std::array::from_fn(|r| std::array::from_fn(|c| affine[4 * r + c]));
        Self::of_array(golden, &inputs["data"], affine)
    }

    fn of_array(golden: &Cases, value: &Value, affine: Affine) -> Self {
        let (shape, values) = golden.array(value);
        let volumes = shape.get(3).copied().unwrap_or(1);
        let space: Shape = [shape[0], shape[1], shape[2]];
        let volume = |t: usize| -> Vec<f64> {
            let voxels: Vec<f64> = values.iter().skip(t).step_by(volumes).copied().collect();
            x_fastest(space, &voxels)
        };
        Self {
            shape: space,
            volumes,
            affine,
            has_time: shape.len() == 4,
            single: golden.is_f32(value),
            values: (0..volumes).flat_map(volume).collect(),
        }
    }

    /// Little-endian NIfTI-1 with an sform, of the types that the golden files have.
    fn read(path: &Path) -> Self {
        let mut bytes = std::fs::read(path).unwrap();
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = vec![];
            GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap();
            bytes = plain;
        }
        let i16_at = |at: usize| i16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let f32_at = |at: usize| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let dim: [usize; 5] = std::array::from_fn(|i| i16_at(40 + 2 * i) as usize);
        let code = i16_at(70);
        let (slope, inter) = (f64::from(f32_at(112)), f64::from(f32_at(116)));
        let scaled = slope.is_finite() && slope != 0.0 && (slope, inter) != (1.0, 0.0);
        let scale = |raw: f64| if scaled { raw * slope + inter } else { raw };
        let data = &bytes[f32_at(108) as usize..];
        let values: Vec<f64> = match code {
            2 => data.iter().map(|v| f64::from(*v)).collect(),
            4 => data
                .chunks_exact(2)
                .map(|v| f64::from(i16::from_le_bytes([v[0], v[1]])))
                .collect(),
            16 => data
                .chunks_exact(4)
                .map(|v| f64::from(f32::from_le_bytes(v.try_into().unwrap())))
                .collect(),
            other => panic!("{}: type {other}", path.display()),
        };
        Self {
            shape: [dim[1], dim[2], dim[3]],
            volumes: if dim[0] > 3 { dim[4] } else { 1 },
            affine: std::array::from_fn(|r| {
                std::array::from_fn(|c| f64::from(f32_at(280 + 16 * r + 4 * c)))
            }),
            has_time: dim[0] > 3,
            single: code == 16 && !scaled,
            values: values.into_iter().map(scale).collect(),
        }
    }

    pub fn volume(&self, t: usize) -> Series {
        let n: usize = self.shape.iter().product();
        let values = &self.values[t * n..][..n];
        match self.single {
            true => Series::Single(values.iter().map(|v| *v as f32).collect()),
            false => Series::Double(values.to_vec()),
        }
    }

    /// Summed volume by volume in the image's type, as NumPy does where the last axis is the
    /// slowest in memory.
    pub fn mean(&self) -> Series {
        let mut sum = self.volume(0);
        for t in 1..self.volumes {
            match (&mut sum, self.volume(t)) {
                (Series::Single(sum), Series::Single(next)) => {
                    sum.iter_mut().zip(next).for_each(|(sum, v)| *sum += v);
                }
                (Series::Double(sum), Series::Double(next)) => {
                    sum.iter_mut().zip(next).for_each(|(sum, v)| *sum += v);
                }
                _ => unreachable!(),
            }
        }
        if self.has_time {
            match &mut sum {
                Series::Single(sum) => sum.iter_mut().for_each(|v| *v /= self.volumes as f32),
                Series::Double(sum) => sum.iter_mut().for_each(|v| *v /= self.volumes as f64),
            }
        }
        sum
    }
}

/// From NumPy's C order (z fastest) to that of files.
pub fn x_fastest<T: Copy>([nx, ny, nz]: Shape, values: &[T]) -> Vec<T> {
    reorder([nz, ny, nx], values)
}

/// From the order of files (x fastest) to NumPy's.
pub fn c_order<T: Copy>(shape: Shape, values: &[T]) -> Vec<T> {
    reorder(shape, values)
}

/// The first axis of `shape` is the fastest in `values`, and becomes the slowest.
fn reorder<T: Copy>([na, nb, nc]: Shape, values: &[T]) -> Vec<T> {
    let mut out = Vec::with_capacity(values.len());
    for a in 0..na {
        for b in 0..nb {
            out.extend((0..nc).map(|c| values[a + na * (b + nb * c)]));
        }
    }
    out
}
