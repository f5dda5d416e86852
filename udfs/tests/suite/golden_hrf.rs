//! Response kernels against nilearn (golden/hrf).

use crate::common;
use voxql_udfs::kernels::hrf::{Model, Sampling, dispersion_derivative, response, time_derivative};

#[test]
fn kernels_equal_nilearn() {
    let Some(golden) = common::load_cases("hrf") else {
        return;
    };
    let mut compared = 0;
    for case in &golden.cases {
        let function = case["function"].as_str().unwrap();
        let Some((model, kind)) = function.split_once('_') else {
            continue;
        };
        let Some(model) = Model::from_name(model) else {
            // fir_kernel
            continue;
        };
        let number = |name: &str| case["params"][name].as_f64().unwrap();
        let sampling = Sampling {
            tr: number("t_r"),
            oversampling: number("oversampling") as usize,
            time_length: number("time_length"),
            onset: number("onset"),
        };
        let kernel = match kind {
            "hrf" => response(model, sampling),
            "time_derivative" => time_derivative(model, sampling),
            "dispersion_derivative" => dispersion_derivative(model, sampling),
            other => panic!("unknown kernel {other}"),
        };
        let (_, want) = golden.array(&case["outputs"]["kernel"]);
        common::assert_close(&kernel.unwrap(), &want, case);
        compared += 1;
    }
    println!("{compared} kernels compared");
    assert!(compared > 90);
}
