//! Laws of the shared response model.

use faer::{Mat, MatRef};
use proptest::prelude::*;
use voxql_udfs::kernels::srm::{fit, fit_from, fit_subject, initial_maps};

fn views(matrices: &[Mat<f64>]) -> Vec<MatRef<'_, f64>> {
    matrices.iter().map(Mat::as_ref).collect()
}

/// Subjects of 8, 9, … voxels that share a signal, with noise.
fn subjects() -> impl Strategy<Value = Vec<Mat<f64>>> {
    (2usize..5, 6usize..20).prop_flat_map(|(n, trs)| {
        let sizes = 0..n;
        let noise = prop::collection::vec(-1.0..1.0, n * 12 * trs);
        noise.prop_map(move |noise| {
            let mut noise = noise.into_iter();
            let mut subject = |i: usize| {
                Mat::from_fn(8 + i, trs, |v, t| {
                    let shared = ((t * (v % 3 + 1)) as f64).sin();
                    shared * 2.0 + noise.next().unwrap_or(0.0)
                })
            };
            sizes.clone().map(&mut subject).collect()
        })
    })
}

fn largest_difference(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a - b).norm_max()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn maps_are_orthonormal_and_the_fit_improves(x in subjects(), k in 1usize..5) {
        let model = fit(&views(&x), k, 8, 3).unwrap();
        for w in &model.w {
            let gram = w.transpose() * w;
            prop_assert!(largest_difference(&gram, &Mat::identity(k, k)) < 1e-10);
        }
        let likelihood = &model.log_likelihood;
        prop_assert!(likelihood[likelihood.len() - 1] >= likelihood[0]);
        prop_assert!(model.rho2.iter().all(|rho2| *rho2 > 0.0));
    }

    /// Subjects in another order give the same model in that order.
    #[test]
    fn order_of_subjects_does_not_matter(x in subjects(), k in 1usize..4) {
        let voxels: Vec<usize> = x.iter().map(Mat::nrows).collect();
        let w = initial_maps(&voxels, k, 0);
        let forward = fit_from(&views(&x), w.clone(), 3).unwrap();
        let reversed_x: Vec<_> = x.iter().rev().cloned().collect();
        let reversed_w = w.into_iter().rev().collect();
        let backward = fit_from(&views(&reversed_x), reversed_w, 3).unwrap();
        prop_assert!(largest_difference(&forward.s, &backward.s) < 1e-6);
        for (a, b) in forward.w.iter().zip(backward.w.iter().rev()) {
            prop_assert!(largest_difference(a, b) < 1e-6);
        }
    }

    #[test]
    fn a_new_subject_gets_an_orthonormal_map(x in subjects()) {
        let model = fit(&views(&x), 2, 4, 0).unwrap();
        let w = fit_subject(x[0].as_ref(), model.s.as_ref()).unwrap();
        let gram = w.transpose() * &w;
        prop_assert!(largest_difference(&gram, &Mat::identity(2, 2)) < 1e-10);
    }
}
