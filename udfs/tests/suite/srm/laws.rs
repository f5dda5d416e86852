//! Laws of the shared response models.

use faer::Mat;
use proptest::prelude::*;
use voxql_udfs::kernels::mt19937::Mt19937;
use voxql_udfs::kernels::srm::{
    BLOCK, Centring, Polar, Stop, deterministic, new_map, probabilistic, robust,
};

use super::{direct, in_panels, largest_difference, map, maps, views, with_data};

fn iterations(iterations: usize) -> Stop {
    Stop {
        iterations,
        tolerance: 0.0,
    }
}

/// Subjects of 8, 9, … voxels that share a signal, with noise and means.
fn subjects() -> impl Strategy<Value = Vec<Mat<f64>>> {
    (2usize..5, 6usize..20).prop_flat_map(|(n, trs)| {
        let noise = prop::collection::vec(-1.0..1.0, n * 12 * trs);
        noise.prop_map(move |noise| {
            let mut noise = noise.into_iter();
            let mut subject = |i: usize| {
                Mat::from_fn(8 + i, trs, |v, t| {
                    let shared = ((t * (v % 3 + 1)) as f64).sin();
                    v as f64 + shared * 2.0 + noise.next().unwrap_or(0.0)
                })
            };
            (0..n).map(&mut subject).collect()
        })
    })
}

/// A panel may be larger than what is multiplied at once.
#[test]
fn panels_change_nothing() {
    let trs = 20;
    let voxels = BLOCK / 8 / trs + 100;
    let mut random = Mt19937::new(5);
    let mut subject = || Mat::from_fn(voxels, trs, |_, t| (t as f64).sin() + random.next_f64());
    let x = [subject(), subject()];
    let fit = |voxels: usize| {
        in_panels(voxels, &x, |data| {
            let model = probabilistic::fit(data, 3, Centring::Removed, 0, iterations(5)).unwrap();
            maps(data, &model)
        })
    };
    for (whole, parts) in fit(voxels).iter().zip(&fit(1000)) {
        assert!(largest_difference(whole, parts) < 1e-9);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What follows from second moments is what the definition gives.
    #[test]
    fn moments_equal_the_definition(x in subjects(), k in 1usize..6, seed in 0u32..100) {
        let direct = direct::fit(&views(&x), k, 6, seed).unwrap();
        with_data(&x, |data| {
            let model =
                probabilistic::fit(data, k, Centring::CountedAsNoise, seed, iterations(6)).unwrap();
            prop_assert!(largest_difference(&model.s, &direct.s) < 1e-6);
            prop_assert!(largest_difference(&model.sigma, &direct.sigma) < 1e-6);
            for (ours, theirs) in model.log_likelihood.iter().zip(&direct.log_likelihood) {
                prop_assert!((ours - theirs).abs() < 1e-6 * theirs.abs().max(1.0));
            }
            for (ours, theirs) in maps(data, &model).iter().zip(&direct.w) {
                prop_assert!(largest_difference(ours, theirs) < 1e-6);
            }
            Ok(())
        })?;
    }

    #[test]
    fn maps_are_orthonormal_and_the_fit_improves(x in subjects(), k in 1usize..5) {
        with_data(&x, |data| {
            let model = probabilistic::fit(data, k, Centring::Removed, 3, iterations(8)).unwrap();
            for w in maps(data, &model) {
                let gram = w.transpose() * &w;
                prop_assert!(largest_difference(&gram, &Mat::identity(k, k)) < 1e-10);
            }
            let likelihood = &model.log_likelihood;
            prop_assert!(likelihood[likelihood.len() - 1] >= likelihood[0]);
            prop_assert!(model.rho2.iter().all(|rho2| *rho2 > 0.0));

            let model = deterministic::fit(data, k, Centring::Removed, 3, iterations(8)).unwrap();
            for pair in model.objective.windows(2) {
                prop_assert!(pair[1] <= pair[0] * (1.0 + 1e-6));
            }
            let model = robust::fit(data, k, 0.5, Centring::Removed, 3, iterations(8)).unwrap();
            for pair in model.objective.windows(2) {
                prop_assert!(pair[1] <= pair[0] * (1.0 + 1e-9));
            }
            Ok(())
        })?;
    }

    /// What is removed from the voxels, however large, changes nothing but the means themselves.
    #[test]
    fn means_change_nothing(x in subjects(), k in 1usize..5, mean in -1e4f64..1e4) {
        let moved: Vec<Mat<f64>> = x
            .iter()
            .map(|x| Mat::from_fn(x.nrows(), x.ncols(), |v, t| x[(v, t)] + mean * v as f64))
            .collect();
        let fit = |x: &[Mat<f64>]| {
            with_data(x, |data| {
                let model = probabilistic::fit(data, k, Centring::Removed, 1, iterations(4)).unwrap();
                let s = model.s.as_ref();
                let new = new_map(data, 1, s, Centring::Removed).unwrap().0;
                (maps(data, &model), new)
            })
        };
        let ((ours, new), (theirs, moved)) = (fit(&x), fit(&moved));
        prop_assert!(largest_difference(&new, &moved) < 1e-6);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            prop_assert!(largest_difference(ours, theirs) < 1e-6);
        }
    }

    /// Once the objective hardly changes the fit ends, and it is the fit of so many iterations.
    #[test]
    fn tolerance_ends_the_fit_early(x in subjects()) {
        with_data(&x, |data| {
            let stop = Stop { iterations: 200, tolerance: 1e-3 };
            let early = deterministic::fit(data, 2, Centring::Removed, 0, stop).unwrap();
            let n = early.objective.len();
            prop_assert!(n < 200);
            let fixed = deterministic::fit(data, 2, Centring::Removed, 0, iterations(n)).unwrap();
            prop_assert!(largest_difference(&early.s, &fixed.s) == 0.0);

            let early = robust::fit(data, 2, 0.5, Centring::Removed, 0, stop).unwrap();
            let n = early.objective.len();
            prop_assert!(n < 200);
            let fixed = robust::fit(data, 2, 0.5, Centring::Removed, 0, iterations(n)).unwrap();
            prop_assert!(largest_difference(&early.r, &fixed.r) == 0.0);
            for (early, fixed) in early.w.iter().zip(&fixed.w) {
                prop_assert!(largest_difference(early, fixed) == 0.0);
            }
            Ok(())
        })?;
    }

    /// Where the subjects' own responses are so dear that there are none, the robust
    /// model is the deterministic one, but for the perturbation.
    #[test]
    fn robust_without_individual_responses_is_deterministic(x in subjects()) {
        with_data(&x, |data| {
            let robust = robust::fit(data, 2, 1e9, Centring::Removed, 0, iterations(3)).unwrap();
            let gram = robust.w[0].transpose() * &robust.w[0];
            prop_assert!(largest_difference(&gram, &Mat::identity(2, 2)) < 1e-10);
            let error = robust.objective[2] / data.subjects[0].trs as f64;
            let plain = deterministic::fit(data, 2, Centring::Removed, 0, iterations(300)).unwrap();
            prop_assert!(error >= plain.objective[299] * 0.5);
            Ok(())
        })?;
    }

    #[test]
    fn a_new_subject_gets_an_orthonormal_map(x in subjects()) {
        with_data(&x, |data| {
            let model = probabilistic::fit(data, 2, Centring::Removed, 0, iterations(4)).unwrap();
            let (w, _) = new_map(data, 0, model.s.as_ref(), Centring::Removed).unwrap();
            let gram = w.transpose() * &w;
            prop_assert!(largest_difference(&gram, &Mat::identity(2, 2)) < 1e-10);
            Ok(())
        })?;
    }
}

/// Data of two dimensions and a model of four: what is squared has lost its digits, and the
/// factor of the data is used instead.
#[test]
fn badly_conditioned_subjects_are_factored() {
    let mut random = Mt19937::new(3);
    let mut next = || random.next_f64() - 0.5;
    let shared = Mat::from_fn(2, 30, |_, _| 50.0 * next());
    let x: Vec<Mat<f64>> = [40, 25, 60]
        .map(|voxels| Mat::from_fn(voxels, 2, |_, _| next()) * &shared)
        .into();
    let direct = direct::fit(&views(&x), 4, 3, 1).unwrap();
    with_data(&x, |data| {
        let stop = iterations(3);
        let model = probabilistic::fit(data, 4, Centring::CountedAsNoise, 1, stop).unwrap();
        assert!(model.polar.iter().all(|polar| matches!(polar, Polar::Svd)));
        for (i, x) in x.iter().enumerate() {
            let (s, mean) = (model.s.as_ref(), &model.mean[i]);
            let w = map(data, i, s, &model.polar[i], mean);
            assert!(largest_difference(&(w.transpose() * &w), &Mat::identity(4, 4)) < 1e-10);
            // Of the maps only what the data determine is compared: W Wᵀ x.
            let theirs = &direct.w[i];
            let ours = &w * (w.transpose() * x);
            let difference = largest_difference(&ours, &(theirs * (theirs.transpose() * x)));
            assert!(
                difference < 1e-6 * x.norm_max(),
                "subject {i}: {difference}"
            );
        }
        assert!((model.rho2[0] - direct.rho2[0]).abs() < 1e-6 * direct.rho2[0]);
    });
}
