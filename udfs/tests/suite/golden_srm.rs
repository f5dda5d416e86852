//! The shared response model against BrainIAK (golden/srm).

use crate::common;
use faer::{Mat, MatRef};
use serde_json::{Value, json};
use voxql_udfs::kernels::srm::{Srm, fit, fit_from, fit_subject, initial_maps, transform};

fn matrix(golden: &common::Cases, value: &Value) -> Mat<f64> {
    let (shape, values) = golden.array(value);
    MatRef::from_row_major_slice(&values, shape[0], shape[1]).to_owned()
}

fn matrices(golden: &common::Cases, value: &Value) -> Vec<Mat<f64>> {
    let list = value.as_array().unwrap();
    list.iter().map(|value| matrix(golden, value)).collect()
}

fn views(matrices: &[Mat<f64>]) -> Vec<MatRef<'_, f64>> {
    matrices.iter().map(Mat::as_ref).collect()
}

fn row_major(m: &Mat<f64>) -> Vec<f64> {
    (0..m.nrows())
        .flat_map(|i| (0..m.ncols()).map(move |j| m[(i, j)]))
        .collect()
}

fn assert_matrix(golden: &common::Cases, got: &Mat<f64>, want: &Value, case: &Value) {
    common::assert_close(&row_major(got), &golden.array(want).1, case);
}

fn assert_model(golden: &common::Cases, model: &Srm, case: &Value) {
    let want = &case["outputs"];
    assert_matrix(golden, &model.s, &want["s"], case);
    assert_matrix(golden, &model.sigma, &want["sigma_s"], case);
    common::assert_close(&model.rho2, &golden.array(&want["rho2"]).1, case);
    common::assert_close(
        &model.log_likelihood,
        &golden.array(&want["loglik"]).1,
        case,
    );
    for (i, w) in model.w.iter().enumerate() {
        assert_matrix(golden, w, &want["w"][i], case);
        common::assert_close(&model.mu[i], &golden.array(&want["mu"][i]).1, case);
    }
    let tests = matrices(golden, &case["inputs"]["x_test"]);
    for (i, (w, x)) in model.w.iter().zip(&tests).enumerate() {
        let got = transform(w.as_ref(), x.as_ref());
        assert_matrix(golden, &got, &want["transform_test"][i], case);
    }
    let x_new = matrix(golden, &case["inputs"]["x_new"]);
    let w_new = fit_subject(x_new.as_ref(), model.s.as_ref()).unwrap();
    assert_matrix(golden, &w_new, &want["w_new"], case);
}

#[test]
fn srm_equals_brainiak() {
    let Some(golden) = common::load_cases("srm") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("SRM") {
        let number = |name: &str| case["params"][name].as_u64().unwrap() as usize;
        let (features, iterations) = (number("features"), number("n_iter"));
        let seed = number("rand_seed") as u32;
        let x = matrices(&golden, &case["inputs"]["x"]);
        let w_init = matrices(&golden, &case["inputs"]["w_init"]);

        let voxels: Vec<usize> = x.iter().map(Mat::nrows).collect();
        let mut exact = case.clone();
        exact["tol"] = json!({"atol": 1e-10});
        for (i, w) in initial_maps(&voxels, features, seed).iter().enumerate() {
            assert_matrix(&golden, w, &case["inputs"]["w_init"][i], &exact);
        }

        let from_maps = fit_from(&views(&x), w_init, iterations).unwrap();
        assert_model(&golden, &from_maps, case);
        let from_seed = fit(&views(&x), features, iterations, seed).unwrap();
        assert_model(&golden, &from_seed, case);
        compared += 1;
    }
    note!("{compared} models compared");
    assert!(compared >= 30);
}

/// BrainIAK's errors (golden `error/*`) are errors here too, and say what to do.
#[test]
fn errors() {
    let data =
        |voxels: usize, trs: usize| Mat::from_fn(voxels, trs, |i, j| ((i * 7 + j * 3) % 11) as f64);
    let error = |x: &[Mat<f64>], features: usize| fit(&views(x), features, 2, 0).unwrap_err();

    let one = error(&[data(20, 15)], 3);
    assert!(one.contains("at least two subjects, there is 1"), "{one}");
    let few = error(&[data(20, 15), data(20, 15)], 16);
    assert!(
        few.contains("16 features are more than the 15 TRs"),
        "{few}"
    );
    let different = error(&[data(20, 15), data(20, 14)], 3);
    assert!(
        different.contains("subject 1 has 14 TRs, subject 0 has 15"),
        "{different}"
    );
    let voxels = error(&[data(20, 15), data(8, 15)], 10);
    assert!(
        voxels.contains("more than the 8 voxels of subject 1"),
        "{voxels}"
    );
    let mut hole = data(20, 15);
    hole[(3, 4)] = f64::NAN;
    let nan = error(&[data(20, 15), hole], 3);
    assert!(nan.contains("subject 1 hold NaN"), "{nan}");
    assert!(error(&[data(20, 15), data(20, 15)], 0).contains("at least one feature"));
    assert!(fit(&views(&[data(20, 15), data(20, 15)]), 3, 0, 0).is_err());
}
