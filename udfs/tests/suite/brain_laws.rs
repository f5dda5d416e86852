//! Laws of the kernels on volumes.

use proptest::prelude::*;
use voxql_udfs::kernels::brain::components::largest;
use voxql_udfs::kernels::brain::morphology::{dilate, erode};
use voxql_udfs::kernels::brain::parcels::{Parcels, Strategy as Reduce};
use voxql_udfs::kernels::brain::resample::{Interpolation, Resampler};
use voxql_udfs::kernels::brain::smooth::Smoother;
use voxql_udfs::kernels::brain::{Affine, Shape};

const INTERPOLATIONS: [Interpolation; 3] = [
    Interpolation::Continuous,
    Interpolation::Linear,
    Interpolation::Nearest,
];

fn shape() -> impl Strategy<Value = Shape> {
    prop::array::uniform3(1usize..9)
}

fn voxels(shape: Shape) -> usize {
    shape.iter().product()
}

/// A shape and two volumes of it.
fn two_volumes() -> impl Strategy<Value = (Shape, Vec<f64>, Vec<f64>)> {
    shape().prop_flat_map(|shape| {
        let volume = || prop::collection::vec(-1000.0..1000.0f64, voxels(shape));
        (Just(shape), volume(), volume())
    })
}

fn mask() -> impl Strategy<Value = (Shape, Vec<bool>)> {
    shape().prop_flat_map(|shape| {
        let mask = prop::collection::vec(prop::bool::weighted(0.6), voxels(shape));
        (Just(shape), mask)
    })
}

/// Voxels that are turned, sheared a little and moved, but never flat.
fn affine() -> impl Strategy<Value = Affine> {
    (
        prop::array::uniform3(1.0..4.0f64),
        prop::array::uniform3(-0.3..0.3f64),
        prop::array::uniform3(-50.0..50.0f64),
    )
        .prop_map(|(size, shear, origin)| {
            [
                [-size[0], shear[0], shear[1], origin[0]],
                [shear[2], size[1], shear[0], origin[1]],
                [shear[1], shear[2], size[2], origin[2]],
            ]
        })
}

fn smooth(shape: Shape, affine: &Affine, fwhm: [Option<f64>; 3], volume: &[f64]) -> Vec<f64> {
    let mut volume = volume.to_vec();
    let mut smoother = Smoother::new(shape, affine, fwhm).unwrap();
    smoother.apply(&mut volume);
    volume
}

fn near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance
}

/// The mask with `by` voxels of background around it.
fn pad((shape, mask): &(Shape, Vec<bool>), by: usize) -> (Shape, Vec<bool>) {
    let wide = shape.map(|n| n + 2 * by);
    let mut padded = vec![false; voxels(wide)];
    for (i, inside) in mask.iter().enumerate() {
        let (x, y, z) = (
            i % shape[0] + by,
            i / shape[0] % shape[1] + by,
            i / (shape[0] * shape[1]) + by,
        );
        padded[x + wide[0] * (y + wide[1] * z)] = *inside;
    }
    (wide, padded)
}

fn is_within(small: &[bool], large: &[bool]) -> bool {
    small.iter().zip(large).all(|(small, large)| !small | large)
}

proptest! {
    #[test]
    fn smoothing_is_linear(
        (shape, a, b) in two_volumes(),
        affine in affine(),
        width in 0.5..12.0f64,
        factor in -3.0..3.0f64,
    ) {
        let fwhm = [Some(width), None, Some(width / 2.0)];
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + factor * b).collect();
        let of_sum = smooth(shape, &affine, fwhm, &sum);
        let (a, b) = (smooth(shape, &affine, fwhm, &a), smooth(shape, &affine, fwhm, &b));
        for i in 0..of_sum.len() {
            prop_assert!(near(of_sum[i], a[i] + factor * b[i], 1e-9));
        }
    }

    #[test]
    fn smoothing_keeps_a_constant_and_the_range(
        (shape, volume, _) in two_volumes(),
        affine in affine(),
        width in 0.5..30.0f64,
    ) {
        for value in smooth(shape, &affine, [Some(width); 3], &vec![7.25; voxels(shape)]) {
            prop_assert!(near(value, 7.25, 1e-12));
        }
        let (low, high) = volume.iter().fold((0f64, 0f64), |(l, h), v| (l.min(*v), h.max(*v)));
        for value in smooth(shape, &affine, [Some(width); 3], &volume) {
            prop_assert!((low - 1e-9..=high + 1e-9).contains(&value));
        }
    }

    #[test]
    fn no_width_changes_nothing((shape, volume, _) in two_volumes(), affine in affine()) {
        for fwhm in [[None; 3], [Some(0.0); 3]] {
            prop_assert_eq!(&smooth(shape, &affine, fwhm, &volume), &volume);
        }
    }

    /// Eroding is dilating what is outside, where there is room for it.
    #[test]
    fn erosion_and_dilation_are_dual(mask in mask(), times in 0usize..4) {
        let (shape, mask) = pad(&mask, times + 1);
        let outside: Vec<bool> = mask.iter().map(|v| !v).collect();
        let eroded = erode(&mask, shape, times);
        // The volume's border counts as background both ways, so compare away from it.
        let grown = dilate(&outside, shape, times);
        for i in 0..mask.len() {
            prop_assert_eq!(eroded[i], !grown[i]);
        }
        let dilated = dilate(&mask, shape, times);
        prop_assert!(is_within(&eroded, &mask) && is_within(&mask, &dilated));
        // Opening loses voxels, closing gains them.
        prop_assert!(is_within(&dilate(&eroded, shape, times), &mask));
        prop_assert!(is_within(&mask, &erode(&dilated, shape, times)));
    }

    #[test]
    fn the_largest_component_is_one((shape, mask) in mask()) {
        match largest(&mask, shape) {
            None => prop_assert!(!mask.contains(&true)),
            Some(one) => {
                prop_assert!(one.contains(&true) && is_within(&one, &mask));
                prop_assert_eq!(&largest(&one, shape).unwrap(), &one);
                // What touches it from outside is background.
                let around = dilate(&one, shape, 1);
                for i in 0..mask.len() {
                    prop_assert!(one[i] || !around[i] || !mask[i]);
                }
            }
        }
    }

    #[test]
    fn the_own_grid_changes_nothing((shape, volume, _) in two_volumes(), affine in affine()) {
        for how in INTERPOLATIONS {
            let mut out = vec![0.0; volume.len()];
            Resampler::new(shape, &affine, shape, &affine, how)
                .unwrap()
                .apply(&volume, &mut out);
            prop_assert_eq!(&out, &volume);
        }
    }

    /// A grid of one slice more at one end has the same voxels, by the way that interpolates.
    #[test]
    fn a_longer_grid_has_the_same_voxels((shape, volume, _) in two_volumes(), affine in affine()) {
        let longer = [shape[0], shape[1], shape[2] + 1];
        for how in INTERPOLATIONS {
            let mut out = vec![f64::NAN; voxels(longer)];
            Resampler::new(shape, &affine, longer, &affine, how)
                .unwrap()
                .apply(&volume, &mut out);
            let (same, outside) = out.split_at(volume.len());
            for (got, want) in same.iter().zip(&volume) {
                prop_assert!(near(*got, *want, 1e-5), "{how:?}");
            }
            prop_assert!(outside.iter().all(|v| *v == 0.0));
        }
    }

    /// Any affines at all: an error or finite values.
    #[test]
    fn resampling_takes_any_grid(
        (shape, volume, _) in two_volumes(),
        target in shape(),
        numbers in prop::collection::vec(-3i32..3, 24),
    ) {
        let affine = |at: usize| -> Affine {
            std::array::from_fn(|r| std::array::from_fn(|c| f64::from(numbers[at + 4 * r + c])))
        };
        for how in INTERPOLATIONS {
            if let Ok(mut resampler) = Resampler::new(shape, &affine(0), target, &affine(12), how) {
                let mut out = vec![f64::NAN; voxels(target)];
                resampler.apply(&volume, &mut out);
                prop_assert!(out.iter().all(|v| v.is_finite()));
            }
        }
    }

    /// Voxels in another order, with their labels, give the same numbers.
    #[test]
    fn parcels_do_not_depend_on_the_order(
        voxels in prop::collection::vec((0u8..5, -1000.0..1000.0f64), 1..200),
        seed in any::<u64>(),
    ) {
        let mut shuffled = voxels.clone();
        shuffled.sort_by_key(|(label, value)| {
            (value.to_bits() ^ u64::from(*label)).wrapping_mul(seed | 1).rotate_left(17)
        });
        let reduce = |voxels: &[(u8, f64)], strategy: Reduce| {
            let labels: Vec<f64> = voxels.iter().map(|(label, _)| f64::from(*label)).collect();
            let row: Vec<f64> = voxels.iter().map(|(_, value)| *value).collect();
            let mut parcels = Parcels::new(&labels, 0).ok()?;
            let mut out = vec![];
            parcels.reduce(strategy, &row, &mut out);
            Some((parcels.labels, out))
        };
        for strategy in Reduce::ALL {
            let (one, other) = (reduce(&voxels, strategy), reduce(&shuffled, strategy));
            let (Some((labels, one)), Some((same_labels, other))) = (one, other) else {
                prop_assert!(voxels.iter().all(|(label, _)| *label == 0));
                continue;
            };
            prop_assert_eq!(labels, same_labels);
            for (a, b) in one.iter().zip(&other) {
                prop_assert!(near(*a, *b, 1e-6), "{strategy:?}: {a} {b}");
            }
        }
    }
}
