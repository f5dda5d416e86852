//! Response kernels against nilearn (golden/hrf), through SQL and bare.

use crate::common;
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::prelude::SessionContext;
use serde_json::Value;
use voxql_udfs::kernels::hrf::{Component, Model, Sampling, fir};

#[test]
fn kernels_equal_nilearn() {
    let Some(golden) = common::load_cases("hrf") else {
        return;
    };
    for case in &golden.cases {
        let number = |name: &str| case["params"][name].as_f64().unwrap();
        let oversampling = number("oversampling") as usize;
        let function = case["function"].as_str().unwrap();
        let kernel = if function == "fir_kernel" {
            fir(number("fir_delay") as usize, oversampling)
        } else {
            let (model, kind) = function.split_once('_').unwrap();
            let component = match kind {
                "hrf" => Component::Response,
                "time_derivative" => Component::TimeDerivative,
                "dispersion_derivative" => Component::DispersionDerivative,
                other => panic!("unknown kernel {other}"),
            };
            let sampling = Sampling {
                time_length: number("time_length"),
                onset: number("onset"),
                ..Sampling::new(number("t_r"), oversampling)
            };
            component
                .kernel(Model::from_name(model).unwrap(), sampling)
                .unwrap()
        };
        let (_, want) = golden.array(&case["outputs"]["kernel"]);
        common::assert_close(&kernel, &want, case);
    }
}

#[tokio::test]
async fn kernels_in_sql_equal_nilearn() {
    let Some(golden) = common::load_cases("hrf") else {
        return;
    };
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    for case in &golden.cases {
        let sql = format!("SELECT {}", call(case));
        let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
        let list = batches[0].column(0).as_list::<i32>();
        assert_eq!(list.value_type(), DataType::Float64);
        let kernel = list.value(0);
        let (_, want) = golden.array(&case["outputs"]["kernel"]);
        common::assert_close(kernel.as_primitive::<Float64Type>().values(), &want, case);
        note!("hrf {}: equal, {} samples", case["id"], want.len());
    }
    assert_eq!(golden.cases.len(), 102);
}

/// The case as a call of the SQL function that has the name of nilearn's.
fn call(case: &Value) -> String {
    let function = case["function"].as_str().unwrap();
    let params = &case["params"];
    let oversampling = &params["oversampling"];
    if function == "fir_kernel" {
        let delay = &params["fir_delay"];
        return format!("fir_kernel(delay => {delay}, oversampling => {oversampling})");
    }
    let (tr, length, onset) = (&params["t_r"], &params["time_length"], &params["onset"]);
    format!(
        "{function}(tr => {tr}, oversampling => {oversampling}, time_length => {length}, onset => {onset})"
    )
}
