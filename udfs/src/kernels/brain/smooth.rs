//! Gaussian smoothing of volumes, as nilearn's `smooth_img` computes it (by
//! `scipy.ndimage.gaussian_filter1d`).
//!
//! The axes are filtered in turn, each time in float64 and rounded to the volume's type. A block of
//! the volume is first copied into a float64 buffer with its reflected ends, so that one inner loop
//! runs over neighbours in memory whatever the axis:
//!
//! ```text
//! axis     a block                      its buffer: rows with `radius` more at each end
//! x        one row of nx voxels         nx rows of 1
//! y        one slice z                  ny rows of nx
//! z        one slice y                  nz rows of nx
//! ```

use super::{Affine, Shape, count, ensure_finite};
use crate::kernels::signal::Sample;

/// Full width at half maximum of a Gaussian with standard deviation 1: `sqrt(8 ln 2)`.
const FWHM_OF_SIGMA: f64 = 2.354_820_045_030_949_3;
/// The kernel ends at this many standard deviations.
const TRUNCATE: f64 = 4.0;
/// Wider kernels than this are a mistake: no volume has so many voxels along an axis.
const MAX_RADIUS: f64 = 20_000.0;
/// Outputs computed side by side.
const LANES: usize = 32;

/// Smooths volumes of one grid by one width.
#[derive(Clone, Debug)]
pub struct Smoother {
    shape: Shape,
    /// For each axis the centre of the kernel and one side of it; empty: left alone.
    kernels: [Vec<f64>; 3],
    buffer: Vec<f64>,
}

impl Smoother {
    /// `fwhm` is the full width at half maximum along x, y and z in the unit of the affine
    /// (millimetres); `None` and 0 leave an axis alone. The voxels' size along an axis is the
    /// length of the affine's column.
    ///
    /// Errors for a width that is negative or not finite, for an axis along which voxels have no
    /// size, and for a width of tens of thousands of voxels.
    pub fn new(shape: Shape, affine: &Affine, fwhm: [Option<f64>; 3]) -> Result<Self, String> {
        let mut kernels = [const { Vec::new() }; 3];
        for axis in 0..3 {
            let width = fwhm[axis].unwrap_or(0.0);
            if !(width.is_finite() && width >= 0.0) {
                return Err(format!(
                    "the smoothing width is {width}; it must be 0 mm or more"
                ));
            }
            if width == 0.0 {
                continue;
            }
            let size = affine.iter().map(|row| row[axis] * row[axis]).sum::<f64>();
            let size = size.sqrt();
            let sigma = width / (FWHM_OF_SIGMA * size);
            if !(size.is_finite() && size > 0.0 && TRUNCATE * sigma < MAX_RADIUS) {
                return Err(format!(
                    "cannot smooth by {width} mm along {}, where voxels are {size} mm wide",
                    ["x", "y", "z"][axis]
                ));
            }
            kernels[axis] = kernel(sigma);
        }
        Ok(Self {
            shape,
            kernels,
            buffer: Vec::new(),
        })
    }

    /// Smooths a volume in place. Values that are not finite become 0 first, as nilearn has it.
    ///
    /// # Panics
    ///
    /// If the volume is not of the smoother's shape.
    pub fn apply<T: Sample>(&mut self, volume: &mut [T]) {
        assert_eq!(volume.len(), count(self.shape), "the volume's voxels");
        ensure_finite(volume);
        for (axis, kernel) in self.kernels.iter().enumerate() {
            if !kernel.is_empty() && !volume.is_empty() {
                filter(volume, self.shape, axis, kernel, &mut self.buffer);
            }
        }
    }
}

/// A Gaussian's samples divided by their sum: the centre, then one side.
fn kernel(sigma: f64) -> Vec<f64> {
    let radius = (TRUNCATE * sigma + 0.5) as i64;
    let scale = -0.5 / (sigma * sigma);
    let sample = |x: i64| (scale * (x * x) as f64).exp();
    let sum: f64 = (-radius..=radius).map(sample).sum();
    (0..=radius).map(|x| sample(x) / sum).collect()
}

/// Filters along one axis, in place.
fn filter<T: Sample>(
    volume: &mut [T],
    [nx, ny, nz]: Shape,
    axis: usize,
    kernel: &[f64],
    buffer: &mut Vec<f64>,
) {
    // Samples along the axis and the step between them, voxels that go side by side, and
    // the blocks with their step.
    let (n, step, width, blocks, block_step) = match axis {
        0 => (nx, 1, 1, ny * nz, nx),
        1 => (ny, nx, nx, nz, nx * ny),
        _ => (nz, nx * ny, nx, ny, nx),
    };
    let radius = kernel.len() - 1;
    buffer.resize((n + 2 * radius) * width, 0.0);
    // Rows that lie side by side are taken as one.
    let run = if step == width { n } else { 1 };
    for block in 0..blocks {
        let start = block * block_step;
        let mut copy = |to: usize, from: usize, rows: usize| {
            let to = &mut buffer[to * width..][..rows * width];
            let from = &volume[start + from * step..][..rows * width];
            for (to, from) in to.iter_mut().zip(from) {
                *to = (*from).into();
            }
        };
        for i in 0..radius {
            let before = radius as isize - i as isize;
            copy(i, reflect(-before, n), 1);
            copy(radius + n + i, reflect((n + i) as isize, n), 1);
        }
        for i in (0..n).step_by(run) {
            copy(radius + i, i, run);
        }
        for i in (0..n).step_by(run) {
            let out = &mut volume[start + i * step..][..run * width];
            convolve(&buffer[i * width..], width, kernel, out);
        }
    }
}

/// The sample that stands for sample `i`, which may lie outside: `d c b a | a b c d | d c b a`.
fn reflect(i: isize, n: usize) -> usize {
    let i = i.rem_euclid(2 * n as isize) as usize;
    i.min(2 * n - 1 - i)
}

/// `out[i]` becomes the weighted sum of `from[i]`, `from[i + step]`, … over the whole kernel.
/// Sums go from the outermost pair inwards, as SciPy's do.
fn convolve<T: Sample>(from: &[f64], step: usize, kernel: &[f64], out: &mut [T]) {
    let centre = (kernel.len() - 1) * step;
    for (chunk, out) in out.chunks_mut(LANES).enumerate() {
        let at = centre + chunk * LANES;
        let length = out.len();
        let mut sums = [0.0; LANES];
        for (sum, value) in sums.iter_mut().zip(&from[at..at + length]) {
            *sum = value * kernel[0];
        }
        for (distance, weight) in kernel.iter().enumerate().skip(1).rev() {
            let before = &from[at - distance * step..][..length];
            let after = &from[at + distance * step..][..length];
            for ((sum, a), b) in sums.iter_mut().zip(before).zip(after) {
                *sum += (a + b) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = T::from_f64(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MM: Affine = [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
    ];

    #[test]
    fn a_point_becomes_a_gaussian() {
        let mut volume = vec![0.0f64; 9 * 9 * 9];
        let centre = 4 + 9 * (4 + 9 * 4);
        volume[centre] = 1.0;
        let fwhm = [Some(2.0), Some(2.0), None];
        Smoother::new([9, 9, 9], &MM, fwhm)
            .unwrap()
            .apply(&mut volume);
        // Half of the maximum, half of the width away.
        assert!((volume[centre + 1] / volume[centre] - 0.5).abs() < 1e-12);
        assert!((volume[centre + 9] / volume[centre] - 0.5).abs() < 1e-12);
        assert_eq!(volume[centre + 81], 0.0);
        assert!((volume.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn edges_are_repeated() {
        // scipy.ndimage.gaussian_filter1d([1.0, 2.0, 3.0, 4.0, 5.0], 1), and with sigma 4.
        for (sigma, want) in [
            (1.0, [1.42704095, 2.06782203, 3.0, 3.93217797, 4.57295905]),
            (4.0, [2.91948343, 2.95023502, 3.0, 3.04976498, 3.08051657]),
        ] {
            let fwhm = [Some(sigma * FWHM_OF_SIGMA), None, None];
            for shape in [[5, 1, 1], [1, 5, 1], [1, 1, 5]] {
                let axis = shape.iter().position(|n| *n == 5).unwrap();
                let mut along = [None; 3];
                along[axis] = fwhm[0];
                let mut volume = [1.0f64, 2.0, 3.0, 4.0, 5.0];
                let mut smoother = Smoother::new(shape, &MM, along).unwrap();
                smoother.apply(&mut volume);
                for (got, want) in volume.iter().zip(want) {
                    assert!((got - want).abs() < 1e-8, "{shape:?}: {volume:?}");
                }
            }
        }
    }

    #[test]
    fn no_width_leaves_finite_values_alone() {
        let mut volume = [1.5f32, f32::NAN, -2.0, f32::INFINITY];
        let mut smoother = Smoother::new([4, 1, 1], &MM, [None, Some(0.0), None]).unwrap();
        smoother.apply(&mut volume);
        assert_eq!(volume, [1.5, 0.0, -2.0, 0.0]);
    }

    #[test]
    fn impossible_widths_are_refused() {
        for width in [-1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Smoother::new([2, 2, 2], &MM, [Some(width); 3]).is_err());
        }
        let flat = [[1.0, 0.0, 0.0, 0.0], [0.0; 4], [0.0, 0.0, 1.0, 0.0]];
        let message = Smoother::new([2, 2, 2], &flat, [Some(4.0); 3]).unwrap_err();
        assert!(message.contains("along y"), "{message}");
    }
}
