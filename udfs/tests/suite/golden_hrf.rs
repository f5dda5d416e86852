//! Response kernels against nilearn (golden/hrf).

use crate::common;
use voxql_udfs::kernels::hrf::{
    Model, Sampling, dispersion_derivative, fir, response, time_derivative,
};

#[test]
fn kernels_equal_nilearn() {
    let Some(golden) = common::load_cases("hrf") else {
        return;
    };
    let mut compared = 0;
    for case in &golden.cases {
        let number = |name: &str| case["params"][name].as_f64().unwrap();
        let oversampling = number("oversampling") as usize;
        let function = case["function"].as_str().unwrap();
        let kernel = if function == "fir_kernel" {
            fir(number("fir_delay") as usize, oversampling)
        } else {
            let (model, kind) = function.split_once('_').unwrap();
            let model = Model::from_name(model).unwrap();
            let sampling = Sampling {
                tr: number("t_r"),
                oversampling,
                time_length: number("time_length"),
                onset: number("onset"),
            };
            match kind {
                "hrf" => response(model, sampling),
                "time_derivative" => time_derivative(model, sampling),
                "dispersion_derivative" => dispersion_derivative(model, sampling),
                other => panic!("unknown kernel {other}"),
            }
            .unwrap()
        };
        let (_, want) = golden.array(&case["outputs"]["kernel"]);
        common::assert_close(&kernel, &want, case);
        compared += 1;
    }
    println!("{compared} kernels compared");
    assert_eq!(compared, golden.cases.len());
}
