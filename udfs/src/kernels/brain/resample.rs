//! A volume on another grid, as nilearn's `resample_img` and `resample_to_img` compute it (by
//! `scipy.ndimage.affine_transform`).
//!
//! The value of a target voxel is the source's at `source⁻¹ · target · voxel`, by the nearest
//! voxel, linearly, or by a cubic spline; 0 outside the source's outermost voxel centres.
//! Where the grids' axes are parallel the three axes are interpolated in turn ([`separable`]),
//! which costs a fifth of the general way ([`general`]).

mod general;
mod missing;
mod separable;
mod spline;

use super::{Affine, Shape, count};
use crate::kernels::signal::Sample;
use general::General;
use separable::Separable;

/// How values between voxels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// By a cubic spline through the voxels: for images. It may overshoot at sharp edges.
    Continuous,
    /// Between the eight voxels around.
    Linear,
    /// The nearest voxel's value: for masks and labels.
    Nearest,
}

impl Interpolation {
    /// Errors for a name that is none of nilearn's three.
    pub fn from_name(name: &str) -> Result<Self, String> {
        match name {
            "continuous" => Ok(Self::Continuous),
            "linear" => Ok(Self::Linear),
            "nearest" => Ok(Self::Nearest),
            _ => Err(format!(
                "there is no interpolation '{name}'; there are continuous, linear and nearest"
            )),
        }
    }

    /// Voxels along an axis that make a value.
    fn taps(self) -> usize {
        match self {
            Self::Continuous => 4,
            Self::Linear => 2,
            Self::Nearest => 1,
        }
    }
}

/// Puts volumes of one grid onto another.
#[derive(Clone, Debug)]
pub struct Resampler {
    source: Shape,
    target: Shape,
    interpolation: Interpolation,
    clip: bool,
    path: Path,
    /// The source as float64, then as a spline's coefficients.
    volume: Vec<f64>,
}

#[derive(Clone, Debug)]
enum Path {
    /// The grids are the same.
    Copy,
    Separable(Separable),
    General(General),
}

impl Resampler {
    /// Affines take voxel indices to millimetres. Grids count as the same if shapes are equal and
    /// affines nearly are (1e-5 of each element and 1e-8): then volumes are copied as they are.
    ///
    /// Places in the source are rounded to 2⁻³⁰ of a voxel, so that those on the border or halfway
    /// between voxels lie there whatever the rounding of the affines (nilearn leaves that to chance).
    /// Of two voxels that are as near, `Nearest` takes the one with the greater index.
    ///
    /// A target that lies wholly outside the source is all 0 (nilearn raises an error for some of these).
    ///
    /// Errors for affines that are singular or not finite, and grids without voxels.
    pub fn new(
        source: Shape,
        source_affine: &Affine,
        target: Shape,
        target_affine: &Affine,
        interpolation: Interpolation,
    ) -> Result<Self, String> {
        for (name, shape) in [("source", source), ("target", target)] {
            if shape.contains(&0) {
                return Err(format!(
                    "the {name} image has no voxels: its shape is {shape:?}"
                ));
            }
        }
        let to_source = invert(source_affine).ok_or_else(|| singular("source", source_affine))?;
        invert(target_affine).ok_or_else(|| singular("target", target_affine))?;
        let transform = multiply(&to_source, source_affine, target_affine);
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-8 + 1e-5 * b.abs();
        let mut elements = target_affine
            .iter()
            .flatten()
            .zip(source_affine.iter().flatten());
        let path = if source == target && elements.all(|(a, b)| near(*a, *b)) {
            Path::Copy
        } else if (0..3).all(|r| (0..3).all(|c| r == c || transform[r][c] == 0.0)) {
            Path::Separable(Separable::new(source, target, &transform, interpolation))
        } else {
            Path::General(General::new(source, target, &transform, interpolation))
        };
        Ok(Self {
            source,
            target,
            interpolation,
            clip: false,
            path,
            volume: Vec::new(),
        })
    }

    /// Keeps values within those of the source and 0, as `resample_img` does by default and
    /// `resample_to_img` does not: a cubic spline overshoots at sharp edges.
    pub fn clipped(mut self, clip: bool) -> Self {
        self.clip = clip;
        self
    }

    /// Fills `target` with the source's values at its voxels.
    ///
    /// Where the source's nearest voxel is NaN or infinite the result is NaN; next to such voxels
    /// it is interpolated from what is around them.
    ///
    /// # Panics
    ///
    /// If a volume is not of its grid's shape.
    pub fn apply<T: Sample>(&mut self, source: &[T], target: &mut [T]) {
        assert_eq!(source.len(), count(self.source), "the source's voxels");
        assert_eq!(target.len(), count(self.target), "the target's voxels");
        let path = match &mut self.path {
            Path::Copy => return target.copy_from_slice(source),
            path => path,
        };
        let volume = &mut self.volume;
        volume.clear();
        volume.extend(source.iter().map(|value| -> f64 { (*value).into() }));
        let range = range(volume);
        let missing: Vec<bool> = volume.iter().map(|value| !value.is_finite()).collect();
        let has_missing = missing.contains(&true);
        if has_missing {
            missing::fill(volume, &missing, self.source);
        }
        if self.interpolation == Interpolation::Continuous {
            spline::prefilter(volume, self.source);
        }
        match path {
            Path::Separable(path) => path.apply(volume, target),
            Path::General(path) => path.apply(volume, target),
            Path::Copy => {}
        }
        if has_missing {
            let nearest = |target: &mut [T], i: usize, from: usize| {
                if missing[from] {
                    target[i] = T::from_f64(f64::NAN);
                }
            };
            match path {
                Path::Separable(path) => path.nearest(|i, from| nearest(target, i, from)),
                Path::General(path) => path.nearest(|i, from| nearest(target, i, from)),
                Path::Copy => {}
            }
        }
        if self.clip {
            let (low, high) = range;
            for value in target {
                let number: f64 = (*value).into();
                if !number.is_nan() {
                    *value = T::from_f64(number.clamp(low, high));
                }
            }
        }
    }
}

/// The least and the greatest value that is not NaN, and 0.
fn range(volume: &[f64]) -> (f64, f64) {
    let bounds = |(low, high): (f64, f64), value: &f64| (low.min(*value), high.max(*value));
    volume.iter().fold((0.0, 0.0), bounds)
}

fn singular(name: &str, affine: &Affine) -> String {
    format!("the {name} image's affine cannot be inverted: {affine:?}")
}

/// The inverse of an affine's 3 × 3 part, `None` if it has none.
fn invert(affine: &Affine) -> Option<[[f64; 3]; 3]> {
    let at = |row: usize, column: usize| affine[row % 3][column % 3];
    // Cofactors come with their signs if indices go round.
    let cofactor = |r: usize, c: usize| {
        at(r + 1, c + 1) * at(r + 2, c + 2) - at(r + 1, c + 2) * at(r + 2, c + 1)
    };
    let determinant: f64 = (0..3).map(|c| at(0, c) * cofactor(0, c)).sum();
    let length = |column: usize| {
        (0..3)
            .map(|row| at(row, column).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let volume = length(0) * length(1) * length(2);
    let all_finite = affine.iter().flatten().all(|v| v.is_finite());
    // The share of the box that its edges would span at right angles.
    if !all_finite || volume <= 0.0 || determinant.abs() <= 1e-12 * volume {
        return None;
    }
    Some(std::array::from_fn(|r| {
        std::array::from_fn(|c| cofactor(c, r) / determinant)
    }))
}

/// From voxels of the target to voxels of the source.
fn multiply(to_source: &[[f64; 3]; 3], source: &Affine, target: &Affine) -> Affine {
    let column = |c: usize, row: usize| match c {
        3 => target[row][3] - source[row][3],
        _ => target[row][c],
    };
    to_source.map(|inverse| {
        std::array::from_fn(|c| (0..3).map(|row| inverse[row] * column(c, row)).sum())
    })
}

/// Where along an axis of `n` voxels a value is taken: the place between 0 and n - 1, `None` outside.
fn place(coordinate: f64, n: usize) -> Option<f64> {
    const STEPS: f64 = (1u64 << 30) as f64;
    let rounded = (coordinate * STEPS).round() / STEPS;
    (rounded >= 0.0 && rounded <= (n - 1) as f64).then_some(rounded)
}

/// The voxel nearest to a place.
fn nearest(place: f64) -> usize {
    (place + 0.5).floor() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(zoom: f64, origin: f64) -> Affine {
        std::array::from_fn(|r| {
            std::array::from_fn(|c| match c {
                3 => origin,
                c if c == r => zoom,
                _ => 0.0,
            })
        })
    }

    fn line(values: &[f64], zoom: f64, origin: f64, n: usize, how: Interpolation) -> Vec<f64> {
        let target = [
            [zoom, 0.0, 0.0, origin],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ];
        let from = [values.len(), 1, 1];
        let mut out = vec![f64::NAN; n];
        Resampler::new(from, &grid(1.0, 0.0), [n, 1, 1], &target, how)
            .unwrap()
            .apply(values, &mut out);
        out
    }

    #[test]
    fn between_voxels_and_outside() {
        let values = [1.0, 2.0, 4.0];
        let linear = line(&values, 0.5, -0.5, 7, Interpolation::Linear);
        assert_eq!(linear, [0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 0.0]);
        let nearest = line(&values, 0.5, -0.5, 7, Interpolation::Nearest);
        assert_eq!(nearest, [0.0, 1.0, 2.0, 2.0, 4.0, 4.0, 0.0]);
    }

    #[test]
    fn the_spline_goes_through_the_voxels() {
        let values = [1.0, -2.0, 4.0, 4.5, 0.0];
        let out = line(&values, 0.5, 0.0, 9, Interpolation::Continuous);
        for (i, value) in values.iter().enumerate() {
            assert!((out[2 * i] - value).abs() < 1e-12, "{out:?}");
        }
        // scipy.ndimage.affine_transform(values, [0.5], output_shape=(9,))[1::2]
        for (got, want) in
            out.iter()
                .skip(1)
                .step_by(2)
                .zip([-0.60044643, 0.37723214, 5.52901786, 1.69419643])
        {
            assert!((got - want).abs() < 1e-8, "{out:?}");
        }
    }

    #[test]
    fn missing_values_stay_missing() {
        let values = [1.0, 2.0, f64::NAN, 4.0, 5.0];
        let out = line(&values, 0.5, 0.0, 9, Interpolation::Linear);
        assert_eq!(out[..3], [1.0, 1.5, 2.0]);
        assert!(out[3].is_nan() && out[4].is_nan());
        // Filled by the mean of its neighbours, 3.
        assert_eq!(out[5..], [3.5, 4.0, 4.5, 5.0]);
    }

    #[test]
    fn clipping_keeps_the_range() {
        let values = [0.0, 0.0, 10.0, 10.0];
        let shape = [4, 1, 1];
        let target = [
            [0.5, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ];
        let how = Interpolation::Continuous;
        let resampler = Resampler::new(shape, &grid(1.0, 0.0), [7, 1, 1], &target, how).unwrap();
        let mut out = [0.0; 7];
        resampler.clone().apply(&values, &mut out);
        assert!(out[1] < -0.1 && out[5] > 10.1, "{out:?}");
        resampler.clipped(true).apply(&values, &mut out);
        assert!(out.iter().all(|v| (0.0..=10.0).contains(v)), "{out:?}");
    }

    #[test]
    fn singular_affines_are_refused() {
        let good = grid(2.0, 0.0);
        for bad in [grid(0.0, 1.0), [[1.0; 4]; 3], grid(f64::NAN, 0.0)] {
            for (source, target, name) in [(bad, good, "source"), (good, bad, "target")] {
                let how = Interpolation::Linear;
                let message =
                    Resampler::new([2, 2, 2], &source, [2, 2, 2], &target, how).unwrap_err();
                assert!(message.contains(name), "{message}");
            }
        }
        let how = Interpolation::Linear;
        assert!(Resampler::new([0, 2, 2], &good, [2, 2, 2], &good, how).is_err());
        assert!(Interpolation::from_name("cubic").is_err());
    }

    #[test]
    fn the_general_way_agrees_with_the_separable_one() {
        let (source, target) = ([5, 6, 7], [6, 7, 5]);
        let values: Vec<f64> = (0..210).map(|i| f64::from(i * i % 101)).collect();
        let affine = grid(0.8, -0.4);
        for how in [
            Interpolation::Continuous,
            Interpolation::Linear,
            Interpolation::Nearest,
        ] {
            let mut volume = values.clone();
            if how == Interpolation::Continuous {
                spline::prefilter(&mut volume, source);
            }
            let (mut one, mut other) = (vec![1.0f64; 210], vec![2.0f64; 210]);
            Separable::new(source, target, &affine, how).apply(&volume, &mut one);
            General::new(source, target, &affine, how).apply(&volume, &mut other);
            for (a, b) in one.iter().zip(&other) {
                assert!((a - b).abs() < 1e-11, "{how:?}: {a} {b}");
            }
            assert!(one.contains(&0.0) && one.iter().any(|v| *v > 50.0));
        }
    }
}
