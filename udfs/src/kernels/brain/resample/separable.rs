//! Resampling between grids with parallel axes: one axis after the other.

use super::super::{Affine, Shape, count};
use super::spline::{mirror, weights};
use super::{Interpolation, nearest, place};
use crate::kernels::signal::Sample;

/// What makes the values of one target index along an axis.
#[derive(Clone, Copy, Debug)]
struct Taps {
    from: [usize; 4],
    weights: [f64; 4],
    nearest: usize,
}

#[derive(Clone, Debug)]
pub struct Separable {
    source: Shape,
    target: Shape,
    taps: usize,
    /// For each axis and target index; `None` outside the source.
    axes: [Vec<Option<Taps>>; 3],
    /// The volume after x, and after x and y.
    buffers: [Vec<f64>; 2],
}

impl Separable {
    /// The transform's 3 × 3 part must be diagonal.
    pub fn new(
        source: Shape,
        target: Shape,
        transform: &Affine,
        interpolation: Interpolation,
    ) -> Self {
        let axes = std::array::from_fn(|axis| {
            let [scale, shift] = [transform[axis][axis], transform[axis][3]];
            let taps = |i| Taps::at(scale * i as f64 + shift, source[axis], interpolation);
            (0..target[axis]).map(taps).collect()
        });
        Self {
            source,
            target,
            taps: interpolation.taps(),
            axes,
            buffers: [Vec::new(), Vec::new()],
        }
    }

    pub fn apply<T: Sample>(&mut self, volume: &[f64], target: &mut [T]) {
        let ([sx, sy, sz], [tx, ty, _]) = (self.source, self.target);
        let [x, y, z] = &self.axes;
        let [rows, slices] = &mut self.buffers;
        rows.resize(tx * sy * sz, 0.0);
        for (row, out) in volume.chunks_exact(sx).zip(rows.chunks_exact_mut(tx)) {
            for (out, taps) in out.iter_mut().zip(x) {
                *out = match taps {
                    None => 0.0,
                    Some(taps) => (0..self.taps)
                        .map(|tap| taps.weights[tap] * row[taps.from[tap]])
                        .sum(),
                };
            }
        }
        slices.resize(tx * ty * sz, 0.0);
        let blocks = rows.chunks_exact(tx * sy);
        for (from, out) in blocks.zip(slices.chunks_exact_mut(tx * ty)) {
            for (out, taps) in out.chunks_exact_mut(tx).zip(y) {
                blend(from, tx, taps.as_ref(), self.taps, out);
            }
        }
        // The last sum is rounded once, as it goes into the target.
        let slice = tx * ty;
        let mut sums = vec![0.0; slice];
        for (out, taps) in target.chunks_exact_mut(slice).zip(z) {
            blend(slices, slice, taps.as_ref(), self.taps, &mut sums);
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = T::from_f64(*sum);
            }
        }
    }

    /// Calls `each` with every target voxel inside the source and the source voxel nearest to it.
    pub fn nearest(&self, mut each: impl FnMut(usize, usize)) {
        let ([sx, sy, _], [tx, ty, _]) = (self.source, self.target);
        let [x, y, z] = &self.axes;
        for i in 0..count(self.target) {
            let voxel = (x[i % tx], y[i / tx % ty], z[i / (tx * ty)]);
            if let (Some(x), Some(y), Some(z)) = voxel {
                each(i, x.nearest + sx * (y.nearest + sy * z.nearest));
            }
        }
    }
}

impl Taps {
    fn at(coordinate: f64, n: usize, interpolation: Interpolation) -> Option<Self> {
        let place = place(coordinate, n)?;
        let (floor, nearest) = (place.floor(), nearest(place));
        let first = floor as isize;
        let t = place - floor;
        let (first, weights) = match interpolation {
            Interpolation::Nearest => (nearest as isize, [1.0, 0.0, 0.0, 0.0]),
            Interpolation::Linear => (first, [1.0 - t, t, 0.0, 0.0]),
            Interpolation::Continuous => (first - 1, weights(t)),
        };
        Some(Self {
            from: std::array::from_fn(|tap| mirror(first + tap as isize, n)),
            weights,
            nearest,
        })
    }
}

/// The weighted sum of rows of `width` values.
fn blend(from: &[f64], width: usize, taps: Option<&Taps>, count: usize, out: &mut [f64]) {
    out.fill(0.0);
    let Some(taps) = taps else { return };
    for (row, weight) in taps.from.iter().zip(taps.weights).take(count) {
        for (out, value) in out.iter_mut().zip(&from[row * width..][..width]) {
            *out += weight * value;
        }
    }
}
