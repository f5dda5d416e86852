//! Convolution of TR-rate features against its definition in NumPy (golden/continuous).

use crate::common;
use crate::golden_regressor::row_major;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type};
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};
use voxql_udfs::kernels::hrf::{Model, Sampling, add_scaled, hold_taps, response};
use voxql_udfs::kernels::regressor::{self, Event, Regressors};

/// Row-major TRs × features, where an empty bin is NaN.
struct Binned {
    rows: usize,
    width: usize,
    values: Vec<f64>,
}

fn binned(golden: &common::Cases, case: &Value) -> Binned {
    let (shape, values) = golden.array(&case["inputs"]["binned"]);
    Binned {
        rows: shape[0],
        width: shape[1],
        values,
    }
}

fn cases<'a>(golden: &'a common::Cases, prefix: &'a str) -> impl Iterator<Item = &'a Value> {
    golden
        .cases
        .iter()
        .filter(move |c| c["function"].as_str().unwrap().starts_with(prefix))
}

fn kernel(case: &Value, oversampling: usize) -> Vec<f64> {
    let model = Model::from_name(case["params"]["hrf"].as_str().unwrap()).unwrap();
    let tr = case["params"]["tr"].as_f64().unwrap();
    response(model, Sampling::new(tr, oversampling)).unwrap()
}

/// `y[t] = Σ taps[k] · x[t − k]`, empty bins counting as 0.
fn convolve(x: &Binned, taps: &[f64]) -> Vec<f64> {
    let x_filled: Vec<f64> = x
        .values
        .iter()
        .map(|v| if v.is_nan() { 0.0 } else { *v })
        .collect();
    let row = |t: usize| t * x.width..(t + 1) * x.width;
    let mut y = vec![0.0; x.values.len()];
    for t in 0..x.rows {
        for (k, tap) in taps.iter().enumerate().take(t + 1) {
            add_scaled(&mut y[row(t)], *tap, &x_filled[row(t - k)]);
        }
    }
    y
}

#[test]
fn held_values_equal_the_convolution_at_the_fine_rate() {
    let Some(golden) = common::load_cases("continuous") else {
        return;
    };
    let mut compared = 0;
    for case in cases(&golden, "hrf_hold_os") {
        let oversampling = case["params"]["oversampling"].as_u64().unwrap() as usize;
        let taps = hold_taps(&kernel(case, oversampling), oversampling);
        let got = convolve(&binned(&golden, case), &taps);
        let (_, want) = golden.array(&case["outputs"]["y"]);
        common::assert_close(&got, &want, case);
        compared += 1;
    }
    assert_eq!(compared, 12);
}

/// The most common script: the kernel at oversampling 1, no holding.
#[test]
fn kernel_at_tr_rate() {
    let Some(golden) = common::load_cases("continuous") else {
        return;
    };
    for case in cases(&golden, "hrf_naive_os1") {
        let got = convolve(&binned(&golden, case), &kernel(case, 1));
        let (_, want) = golden.array(&case["outputs"]["y"]);
        common::assert_close(&got, &want, case);
    }
}

/// Every TR an event of one TR with the feature as its height, at the start of TRs and
/// in their middle.
#[test]
fn every_tr_an_event() {
    let Some(golden) = common::load_cases("continuous") else {
        return;
    };
    let mut compared = 0;
    for case in cases(&golden, "hrf_events") {
        let tr = case["params"]["tr"].as_f64().unwrap();
        let x = binned(&golden, case);
        let middle = case["function"].as_str().unwrap().ends_with("_mid");
        let shift = if middle { tr / 2.0 } else { 0.0 };
        let frame_times: Vec<f64> = (0..x.rows).map(|k| k as f64 * tr + shift).collect();
        let name = case["params"]["hrf"].as_str().unwrap_or("glover");
        let model = regressor::Model::from_name(name, &[0.0]).unwrap();
        let regressors = Regressors::new(&frame_times, &model, 50, regressor::MIN_ONSET).unwrap();
        let columns: Vec<Vec<f64>> = (0..x.width)
            .flat_map(|j| {
                let events: Vec<Event> = (0..x.rows)
                    .map(|k| Event {
                        onset: k as f64 * tr,
                        duration: tr,
                        amplitude: Some(x.values[k * x.width + j])
                            .filter(|value| !value.is_nan())
                            .unwrap_or(0.0),
                    })
                    .collect();
                regressors.columns(&events)
            })
            .collect();
        let (_, want) = golden.array(&case["outputs"]["y"]);
        common::assert_close(&row_major(&columns), &want, case);
        println!("{} ok", case["id"]);
        compared += 1;
    }
    assert!(compared > 0);
}

/// The same through SQL: every feature alone as a number, and all as vectors.
#[tokio::test]
async fn in_sql() {
    let Some(golden) = common::load_cases("continuous") else {
        return;
    };
    for case in cases(&golden, "hrf_hold_os") {
        let x = binned(&golden, case);
        let tr = &case["params"]["tr"];
        let oversampling = &case["params"]["oversampling"];
        let (_, want) = golden.array(&case["outputs"]["y"]);

        let ctx = SessionContext::new();
        voxql_udfs::register_all(&ctx);
        ctx.register_batch("binned", table(&x)).unwrap();
        let sql = format!(
            "SELECT hrf_convolve(x, tr => {tr}, model => 'glover', oversampling => {oversampling})
                    OVER (ORDER BY tr) AS x,
                    hrf_convolve(first, tr => {tr}, model => 'glover', oversampling => {oversampling})
                    OVER (ORDER BY tr) AS first
             FROM binned ORDER BY tr"
        );
        let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
        let (mut vectors, mut first) = (Vec::new(), Vec::new());
        for batch in &batches {
            let list = batch.column(0).as_list::<i32>();
            let values = list.values().as_primitive::<Float32Type>();
            vectors.extend(values.values().iter().map(|v| f64::from(*v)));
            first.extend(batch.column(1).as_primitive::<Float64Type>().values());
        }
        let of_first: Vec<f64> = want.iter().step_by(x.width).copied().collect();
        common::assert_close(&first, &of_first, case);
        // Vectors are stored as FLOAT.
        let mut single = case.clone();
        single["tol"] = json!({"rtol": 1e-6, "atol_rel_max": 1e-7});
        common::assert_close(&vectors, &want, &single);
    }
}

/// `tr`, the vector `x` and its first element; an empty bin is NULL.
fn table(x: &Binned) -> RecordBatch {
    let missing: Vec<Option<f64>> = x
        .values
        .iter()
        .map(|v| (!v.is_nan()).then_some(*v))
        .collect();
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let vectors = ListArray::new(
        item,
        OffsetBuffer::from_lengths(vec![x.width; x.rows]),
        Arc::new(Float64Array::from(missing.clone())),
        None,
    );
    let first: Float64Array = missing.into_iter().step_by(x.width).collect();
    let tr = Int64Array::from_iter_values(0..x.rows as i64);
    RecordBatch::try_from_iter([
        ("tr", Arc::new(tr) as ArrayRef),
        ("x", Arc::new(vectors)),
        ("first", Arc::new(first)),
    ])
    .unwrap()
}
