//! The shared response models against BrainIAK (golden/srm).

use faer::{Mat, MatRef};
use serde_json::Value;
use voxql_udfs::kernels::srm::{
    Centring, Stop, deterministic, new_map, probabilistic, robust, transform,
};

use super::{map, maps, with_data};
use crate::common;

fn matrix(golden: &common::Cases, value: &Value) -> Mat<f64> {
    let (shape, values) = golden.array(value);
    MatRef::from_row_major_slice(&values, shape[0], shape[1]).to_owned()
}

fn matrices(golden: &common::Cases, value: &Value) -> Vec<Mat<f64>> {
    let list = value.as_array().unwrap();
    list.iter().map(|value| matrix(golden, value)).collect()
}

fn row_major(m: &Mat<f64>) -> Vec<f64> {
    (0..m.nrows())
        .flat_map(|i| (0..m.ncols()).map(move |j| m[(i, j)]))
        .collect()
}

fn assert_matrix(golden: &common::Cases, got: &Mat<f64>, want: &Value, case: &Value) {
    common::assert_close(&row_major(got), &golden.array(want).1, case);
}

/// The parameters of a case.
struct Given {
    features: usize,
    seed: u32,
    gamma: f64,
    stop: Stop,
}

fn given(case: &Value) -> Given {
    let number = |name: &str| case["params"][name].as_u64().unwrap() as usize;
    Given {
        features: number("features"),
        seed: number("rand_seed") as u32,
        gamma: case["params"]["gamma"].as_f64().unwrap_or(1.0),
        stop: Stop {
            iterations: number("n_iter"),
            tolerance: 0.0,
        },
    }
}

/// The maps, the transform of other data, and the map of another subject, whose `s` is given.
fn assert_maps(golden: &common::Cases, w: &[Mat<f64>], s: &Mat<f64>, case: &Value) {
    let want = &case["outputs"];
    let tests = matrices(golden, &case["inputs"]["x_test"]);
    for (i, (w, x)) in w.iter().zip(&tests).enumerate() {
        assert_matrix(golden, w, &want["w"][i], case);
        let got = transform(w.as_ref(), x.as_ref());
        assert_matrix(golden, &got, &want["transform_test"][i], case);
    }
    let x_new = [matrix(golden, &case["inputs"]["x_new"])];
    let (w_new, _) = with_data(&x_new, |data| {
        new_map(data, 0, s.as_ref(), Centring::None).unwrap()
    });
    assert_matrix(golden, &w_new, &want["w_new"], case);
}

#[test]
fn srm_equals_brainiak() {
    let Some(golden) = common::load_cases("srm") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("SRM") {
        let (given, want) = (given(case), &case["outputs"]);
        let x = matrices(&golden, &case["inputs"]["x"]);
        with_data(&x, |data| {
            let Given { features, seed, .. } = given;
            let centring = Centring::CountedAsNoise;
            let model = probabilistic::fit(data, features, centring, seed, given.stop).unwrap();
            assert_matrix(&golden, &model.s, &want["s"], case);
            assert_matrix(&golden, &model.sigma, &want["sigma_s"], case);
            common::assert_close(&model.rho2, &golden.array(&want["rho2"]).1, case);
            let likelihood = golden.array(&want["loglik"]).1;
            common::assert_close(&model.log_likelihood, &likelihood, case);
            for (i, mean) in model.mean.iter().enumerate() {
                common::assert_close(mean, &golden.array(&want["mu"][i]).1, case);
            }
            assert_maps(&golden, &maps(data, &model), &model.s, case);
        });
        compared += 1;
    }
    note!("{compared} models compared");
    assert!(compared >= 30);
}

#[test]
fn detsrm_equals_brainiak() {
    let Some(golden) = common::load_cases("srm") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("DetSRM") {
        let (given, want) = (given(case), &case["outputs"]);
        let x = matrices(&golden, &case["inputs"]["x"]);
        with_data(&x, |data| {
            let Given { features, seed, .. } = given;
            let model =
                deterministic::fit(data, features, Centring::None, seed, given.stop).unwrap();
            assert_matrix(&golden, &model.s, &want["s"], case);
            let objective = [want["objective"].as_f64().unwrap()];
            common::assert_close(
                &model.objective[given.stop.iterations - 1..],
                &objective,
                case,
            );
            let s = model.before.as_ref();
            let w: Vec<_> = (0..x.len())
                .map(|i| map(data, i, s, &model.polar[i], &model.mean[i]))
                .collect();
            assert_maps(&golden, &w, &model.s, case);
        });
        compared += 1;
    }
    note!("{compared} models compared");
    assert!(compared >= 30);
}

#[test]
fn rsrm_equals_brainiak() {
    let Some(golden) = common::load_cases("srm") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("RSRM") {
        let (given, want) = (given(case), &case["outputs"]);
        let x = matrices(&golden, &case["inputs"]["x"]);
        let x_test = matrices(&golden, &case["inputs"]["x_test"]);
        let Given {
            features,
            seed,
            gamma,
            stop,
        } = given;
        let model = with_data(&x, |data| {
            robust::fit(data, features, gamma, Centring::None, seed, stop).unwrap()
        });
        assert_matrix(&golden, &model.r, &want["r"], case);
        let objective = [want["objective"].as_f64().unwrap()];
        common::assert_close(&model.objective[stop.iterations - 1..], &objective, case);
        for (i, w) in model.w.iter().enumerate() {
            assert_matrix(&golden, w, &want["w"][i], case);
            let e = robust::individual(x[i].as_ref(), w.as_ref(), model.before.as_ref(), gamma);
            if let Some(individual) = want["s"].get(i) {
                assert_matrix(&golden, &e, individual, case);
            }
            common::assert_close(&[e.norm_l1()], &[want["s_l1"][i].as_f64().unwrap()], case);
            let nonzero = row_major(&e).iter().filter(|v| **v != 0.0).count();
            assert_eq!(nonzero as u64, want["s_nonzero"][i].as_u64().unwrap());
            let got = robust::transform(w.as_ref(), x_test[i].as_ref(), gamma, stop.iterations);
            assert_matrix(&golden, &got, &want["transform_r"][i], case);
        }
        let x_new = [matrix(&golden, &case["inputs"]["x_new"])];
        let (w_new, _) = with_data(&x_new, |data| {
            let r = model.r.as_ref();
            robust::new_map(data, 0, r, gamma, stop.iterations, Centring::None).unwrap()
        });
        assert_matrix(&golden, &w_new, &want["w_new"], case);
        compared += 1;
    }
    note!("{compared} models compared");
    assert!(compared >= 25);
}

/// BrainIAK's errors (golden `error/*`) are errors here too, and say what to do. Values that are
/// not finite are refused where rows are gathered (tests/slt/srm.slt).
#[test]
fn errors() {
    let data =
        |voxels: usize, trs: usize| Mat::from_fn(voxels, trs, |i, j| ((i * 7 + j * 3) % 11) as f64);
    let stop = Stop {
        iterations: 2,
        tolerance: 0.0,
    };
    let error = |x: &[Mat<f64>], features: usize| {
        with_data(x, |data| {
            let errors = [
                probabilistic::fit(data, features, Centring::None, 0, stop).unwrap_err(),
                deterministic::fit(data, features, Centring::None, 0, stop).unwrap_err(),
                robust::fit(data, features, 1.0, Centring::None, 0, stop).unwrap_err(),
            ];
            assert_eq!(errors[0], errors[1]);
            assert_eq!(errors[0], errors[2]);
            errors[0].clone()
        })
    };
    let one = error(&[data(20, 15)], 3);
    assert!(one.contains("at least two subjects, there is 1"), "{one}");
    let few = error(&[data(20, 15), data(20, 15)], 16);
    assert!(
        few.contains("16 features are more than the 15 TRs"),
        "{few}"
    );
    let different = error(&[data(20, 15), data(20, 14)], 3);
    assert!(
        different.contains("subject s1 has 14 TRs, subject s0 has 15"),
        "{different}"
    );
    let voxels = error(&[data(20, 15), data(8, 15)], 10);
    assert!(
        voxels.contains("more than the 8 voxels of subject s1"),
        "{voxels}"
    );
    assert!(error(&[data(20, 15), data(20, 15)], 0).contains("at least one feature"));
    with_data(&[data(20, 15), data(20, 15)], |data| {
        let none = Stop {
            iterations: 0,
            tolerance: 0.0,
        };
        assert!(probabilistic::fit(data, 3, Centring::None, 0, none).is_err());
        for gamma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let gamma = robust::fit(data, 3, gamma, Centring::None, 0, stop).unwrap_err();
            assert!(gamma.contains("gamma must be above 0"), "{gamma}");
        }
    });
}
