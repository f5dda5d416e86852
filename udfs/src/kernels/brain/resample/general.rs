//! Resampling between any two grids: each target voxel by itself.

use super::super::{Affine, Shape};
use super::spline::{mirror, weights};
use super::{Interpolation, nearest, place};
use crate::kernels::signal::Sample;

#[derive(Clone, Debug)]
pub struct General {
    source: Shape,
    target: Shape,
    /// From voxels of the target to voxels of the source.
    transform: Affine,
    interpolation: Interpolation,
}

impl General {
    pub fn new(
        source: Shape,
        target: Shape,
        transform: &Affine,
        interpolation: Interpolation,
    ) -> Self {
        Self {
            source,
            target,
            transform: *transform,
            interpolation,
        }
    }

    pub fn apply<T: Sample>(&self, volume: &[f64], target: &mut [T]) {
        target.fill(T::from_f64(0.0));
        self.places(|i, place| {
            target[i] = T::from_f64(match self.interpolation {
                Interpolation::Nearest => volume[self.position(place.map(nearest))],
                Interpolation::Linear => self.sum::<2>(volume, place, 0, |t| [1.0 - t, t]),
                Interpolation::Continuous => self.sum::<4>(volume, place, -1, weights),
            });
        });
    }

    /// Calls `each` with every target voxel inside the source and the source voxel nearest to it.
    pub fn nearest(&self, mut each: impl FnMut(usize, usize)) {
        self.places(|i, place| each(i, self.position(place.map(nearest))));
    }

    /// Calls `each` with every target voxel inside the source and its place there.
    fn places(&self, mut each: impl FnMut(usize, [f64; 3])) {
        let [tx, ty, tz] = self.target;
        let mut i = 0;
        for z in 0..tz {
            for y in 0..ty {
                for x in 0..tx {
                    let along = |axis: usize| {
                        let [a, b, c, shift] = self.transform[axis];
                        let coordinate = a * x as f64 + b * y as f64 + c * z as f64 + shift;
                        place(coordinate, self.source[axis])
                    };
                    if let (Some(x), Some(y), Some(z)) = (along(0), along(1), along(2)) {
                        each(i, [x, y, z]);
                    }
                    i += 1;
                }
            }
        }
    }

    fn position(&self, [x, y, z]: [usize; 3]) -> usize {
        x + self.source[0] * (y + self.source[1] * z)
    }

    /// The weighted sum of the N × N × N voxels around a place, of which the first lies `before`
    /// the voxel at or below it.
    fn sum<const N: usize>(
        &self,
        volume: &[f64],
        place: [f64; 3],
        before: isize,
        weights: impl Fn(f64) -> [f64; N],
    ) -> f64 {
        let axis = |axis: usize| {
            let floor = place[axis].floor();
            let first = floor as isize + before;
            let from: [usize; N] =
                std::array::from_fn(|tap| mirror(first + tap as isize, self.source[axis]));
            (from, weights(place[axis] - floor))
        };
        let ((xs, of_x), (ys, of_y), (zs, of_z)) = (axis(0), axis(1), axis(2));
        let mut sum = 0.0;
        for (z, of_z) in zs.into_iter().zip(of_z) {
            for (y, of_y) in ys.into_iter().zip(of_y) {
                let row = self.position([0, y, z]);
                let along = |tap: usize| of_x[tap] * volume[row + xs[tap]];
                sum += of_z * of_y * (0..N).map(along).sum::<f64>();
            }
        }
        sum
    }
}
