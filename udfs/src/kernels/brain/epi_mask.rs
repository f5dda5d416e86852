//! A brain mask from the mean image of a run, as nilearn's `compute_epi_mask`.
//!
//! Background is dark and the brain bright, so the histogram of a mean image has few voxels between
//! two heaps. The threshold is put into the widest gap between neighbouring values there; what is
//! left of noise and eyes is cut off by opening the mask and keeping its largest component.

use super::components::largest;
use super::morphology::{dilate, erode};
use super::smooth::Smoother;
use super::{Affine, Shape, count, ensure_finite};
use crate::kernels::signal::Sample;

/// The mean image is smoothed by this many voxels.
const SMOOTHING: f64 = 1.0;

/// With this affine, widths are in voxels.
const VOXELS: Affine = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0, 0.0],
];

/// How a mask is made; the defaults are nilearn's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpiMask {
    /// The share of the voxels, the darkest, among which the threshold is not looked for (0.2).
    pub lower_cutoff: f64,
    /// The share of the voxels up to which it is looked for (0.85).
    pub upper_cutoff: f64,
    /// The mask is eroded so many times, then dilated twice as many and eroded again (2).
    /// With 0 the mean image is not smoothed either, as in nilearn.
    pub opening: usize,
    /// Only the largest component is kept (true).
    pub connected: bool,
    /// Voxels that are exactly 0 do not count when the threshold is looked for (false): for images
    /// that were padded with zeros.
    pub exclude_zeros: bool,
    /// NaN and the infinities count as 0 (true).
    pub ensure_finite: bool,
}

impl Default for EpiMask {
    fn default() -> Self {
        Self {
            lower_cutoff: 0.2,
            upper_cutoff: 0.85,
            opening: 2,
            connected: true,
            exclude_zeros: false,
            ensure_finite: true,
        }
    }
}

impl EpiMask {
    /// Errors unless `0 <= lower_cutoff < upper_cutoff <= 1`.
    pub fn check(&self) -> Result<(), String> {
        let (lower, upper) = (self.lower_cutoff, self.upper_cutoff);
        if 0.0 <= lower && lower < upper && upper <= 1.0 {
            return Ok(());
        }
        Err(format!(
            "lower_cutoff is {lower} and upper_cutoff {upper}; they are shares of the voxels, \
             from 0 to 1, the lower one first"
        ))
    }

    /// The mask of a mean image. `mean` is used up: it is smoothed in place.
    ///
    /// Computes in the type of the image where nilearn does, so float32 and float64 may
    /// differ in a voxel.
    ///
    /// Errors for cutoffs that are out of order, for too few values to find a threshold among, and
    /// if the mask is empty; messages say what to try.
    ///
    /// # Panics
    ///
    /// If the mean image is not of this shape.
    pub fn of<T: Sample>(&self, mean: &mut [T], shape: Shape) -> Result<Vec<bool>, String> {
        assert_eq!(mean.len(), count(shape), "the mean image's voxels");
        self.check()?;
        if self.opening > 0 {
            smooth(mean, shape)?;
        }
        if self.ensure_finite {
            ensure_finite(mean);
        }
        let threshold = self.threshold(mean)?;
        let bright = |value: &T| (*value).into() >= threshold;
        let mask = self.open(mean.iter().map(bright).collect(), shape);
        if mask.contains(&true) {
            return Ok(mask);
        }
        let slice = if shape.contains(&1) && self.opening > 0 {
            "; opening takes away voxels with a neighbour outside, in a single slice all of them: \
             try opening => 0"
        } else {
            ""
        };
        Err(format!(
            "its brain mask is empty: are these raw EPI images, neither detrended nor \
             standardised? If so, try another lower_cutoff (it is {}) or a smaller opening (it is {}){slice}",
            self.lower_cutoff, self.opening
        ))
    }

    /// The middle of the widest gap between neighbours of the sorted values, the first of equal ones.
    fn threshold<T: Sample>(&self, mean: &[T]) -> Result<f64, String> {
        let mut sorted: Vec<f64> = mean.iter().map(|value| (*value).into()).collect();
        if self.exclude_zeros {
            sorted.retain(|value| *value != 0.0);
        }
        // NaN last, as NumPy sorts: `total_cmp` puts those with a sign first.
        let unsigned = |value: &f64| if value.is_nan() { f64::NAN } else { *value };
        sorted.iter_mut().for_each(|value| *value = unsigned(value));
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        let lower = (self.lower_cutoff * n as f64).floor() as usize;
        let upper = (self.upper_cutoff * n as f64).floor() as usize;
        let upper = upper.min(n.saturating_sub(1));
        let mut widest = None;
        for pair in sorted.get(lower..=upper).unwrap_or_default().windows(2) {
            let gap = T::from_f64(pair[1] - pair[0]).into();
            match widest {
                Some((width, _)) if gap <= width => {}
                _ => widest = Some((gap, T::from_f64(pair[0] + pair[1]).into() * 0.5)),
            }
            if gap.is_nan() {
                return Err(
                    "its mean image holds values that are not finite, so there is no threshold; \
                     leave ensure_finite at true"
                        .to_owned(),
                );
            }
        }
        match widest {
            Some((_, threshold)) => Ok(threshold),
            None => Err(format!(
                "no threshold can be found among {n} voxels{}, from {} to {} of them; \
                 widen lower_cutoff and upper_cutoff",
                if self.exclude_zeros {
                    " that are not 0"
                } else {
                    ""
                },
                self.lower_cutoff,
                self.upper_cutoff
            )),
        }
    }

    /// Cuts thin bridges and specks, keeps the largest piece, and gives it its size again.
    fn open(&self, mask: Vec<bool>, shape: Shape) -> Vec<bool> {
        let times = self.opening;
        let mut mask = erode(&mask, shape, times);
        if self.connected {
            mask = largest(&mask, shape).unwrap_or(mask);
        }
        let grown = dilate(&mask, shape, times.saturating_mul(2));
        erode(&grown, shape, times)
    }
}

/// NaN count as 0 for their neighbours and stay NaN themselves; infinities become 0.
fn smooth<T: Sample>(mean: &mut [T], shape: Shape) -> Result<(), String> {
    let is_nan = |value: &T| -> bool { (*value).into().is_nan() };
    let missing: Vec<usize> = (0..mean.len()).filter(|i| is_nan(&mean[*i])).collect();
    Smoother::new(shape, &VOXELS, [Some(SMOOTHING); 3])?.apply(mean);
    for i in missing {
        mean[i] = T::from_f64(f64::NAN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = [12, 12, 12];

    /// A bright cube, 6 voxels wide, on a dark ground with some texture.
    fn head() -> Vec<f32> {
        let inside = |i: usize| (3..9).contains(&i);
        (0..12 * 12 * 12)
            .map(|i| match [i % 12, i / 12 % 12, i / 144].map(inside) {
                [true, true, true] => 900.0 + (i % 7) as f32,
                _ => (i % 13) as f32,
            })
            .collect()
    }

    fn size(options: EpiMask) -> Result<usize, String> {
        let mask = options.of(&mut head(), SHAPE)?;
        Ok(mask.into_iter().filter(|v| *v).count())
    }

    #[test]
    fn the_bright_cube_is_found() {
        let plain = EpiMask {
            opening: 0,
            upper_cutoff: 0.99,
            ..EpiMask::default()
        };
        assert_eq!(size(plain), Ok(216));
    }

    #[test]
    fn messages_say_what_to_try() {
        let fails = |options: EpiMask, part: &str| {
            let message = size(options).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        let default = EpiMask::default();
        for (lower_cutoff, upper_cutoff) in [(0.9, 0.2), (-0.1, 0.5), (0.2, 1.1), (f64::NAN, 0.5)] {
            let options = EpiMask {
                lower_cutoff,
                upper_cutoff,
                ..default
            };
            fails(options, "lower_cutoff");
        }
        let all_opened = EpiMask {
            opening: 9,
            ..default
        };
        fails(all_opened, "smaller opening (it is 9)");

        let mut slice = vec![0.0f64; 64];
        slice[20..40].fill(5.0);
        let message = default.of(&mut slice, [8, 8, 1]).unwrap_err();
        assert!(message.contains("try opening => 0"), "{message}");
        let excluded = EpiMask {
            exclude_zeros: true,
            opening: 0,
            ..default
        };
        let message = excluded.of(&mut vec![0.0f64; 64], [8, 8, 1]).unwrap_err();
        assert!(message.contains("0 voxels that are not 0"), "{message}");
        let message = excluded.of::<f32>(&mut [], [0, 8, 1]).unwrap_err();
        assert!(message.contains("0 voxels"), "{message}");
    }

    #[test]
    fn values_that_are_not_finite_need_ensure_finite() {
        let mut mean = head();
        mean[7] = f32::NAN;
        let options = EpiMask {
            opening: 0,
            upper_cutoff: 1.0,
            ..EpiMask::default()
        };
        assert!(options.of(&mut mean.clone(), SHAPE).is_ok());
        let options = EpiMask {
            ensure_finite: false,
            ..options
        };
        let message = options.of(&mut mean, SHAPE).unwrap_err();
        assert!(message.contains("ensure_finite"), "{message}");
    }
}
