//! Windows over TR-rate features against their definitions in NumPy (golden/continuous).

use crate::common;
use crate::golden_regressor::row_major;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};
use voxql_udfs::kernels::regressor::{self, Event, Regressors};

/// Row-major TRs × features, where an empty bin is NaN.
struct Binned {
    rows: usize,
    width: usize,
    values: Vec<f64>,
}

impl Binned {
    /// `tr`, the vector `x` and its elements `x0`, `x1`, …; an empty bin is NULL.
    fn table(&self) -> RecordBatch {
        let present = |v: &f64| (!v.is_nan()).then_some(*v);
        let elements: Float64Array = self.values.iter().map(present).collect();
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let offsets = OffsetBuffer::from_lengths(vec![self.width; self.rows]);
        let vectors = ListArray::new(item, offsets, Arc::new(elements), None);
        let tr = Int64Array::from_iter_values(0..self.rows as i64);
        let mut columns = vec![
            ("tr".to_string(), Arc::new(tr) as ArrayRef),
            ("x".to_string(), Arc::new(vectors)),
        ];
        for feature in 0..self.width {
            let of_feature = self.values.iter().skip(feature).step_by(self.width);
            let column: Float64Array = of_feature.map(present).collect();
            columns.push((format!("x{feature}"), Arc::new(column)));
        }
        RecordBatch::try_from_iter(columns).unwrap()
    }
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

/// The case as a window function of `x`.
fn call(case: &Value, x: &str) -> String {
    let params = &case["params"];
    let (tr, model) = (&params["tr"], params["hrf"].as_str().unwrap_or_default());
    match case["function"].as_str().unwrap() {
        // The most common script: the kernel at oversampling 1, no holding.
        "hrf_naive_os1" => format!("hrf_convolve({x}, {tr}, '{model}', 1)"),
        "hrf_hold_os16" => format!("hrf_convolve({x}, {tr}, '{model}', 16)"),
        "hrf_hold_os50" => format!("hrf_convolve({x}, {tr}, '{model}')"),
        "fir_delays" => format!("fir_delays({x}, {})", params["delays"]),
        other => panic!("no window function for {other}"),
    }
}

/// Every feature alone as a number, and all as vectors. Gives the number of cases.
async fn compare(golden: &common::Cases, prefix: &str, columns: usize) -> usize {
    let mut compared = 0;
    for case in cases(golden, prefix) {
        let x = binned(golden, case);
        let ctx = SessionContext::new();
        voxql_udfs::register_all(&ctx);
        ctx.register_batch("binned", x.table()).unwrap();
        let (_, want) = golden.array(&case["outputs"]["y"]);
        // Vectors are stored as FLOAT.
        let mut single = case.clone();
        single["tol"] = json!({"rtol": 1e-6, "atol_rel_max": 1e-7});
        for feature in 0..x.width {
            let call = format!("{} OVER (ORDER BY tr)", call(case, &format!("x{feature}")));
            let got = common::window(&ctx, &call, "binned").await;
            let of_feature: Vec<f64> = want
                .iter()
                .skip(feature)
                .step_by(x.width)
                .copied()
                .collect();
            let tolerance = if columns > 1 { &single } else { case };
            common::assert_close(&got, &of_feature, tolerance);
        }
        let call = format!("{} OVER (ORDER BY tr)", call(case, "x"));
        common::assert_close(&common::window(&ctx, &call, "binned").await, &want, &single);
        note!(
            "continuous {}: equal, {} × {}, {call}",
            case["id"],
            x.rows,
            x.width * columns
        );
        compared += 1;
    }
    compared
}

#[tokio::test]
async fn windows_equal_their_definitions() {
    let Some(golden) = common::load_cases("continuous") else {
        return;
    };
    assert_eq!(compare(&golden, "hrf_hold_os", 1).await, 12);
    assert_eq!(compare(&golden, "hrf_naive_os1", 1).await, 12);
    assert_eq!(compare(&golden, "fir_delays", 4).await, 6);
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
        note!("continuous {}: equal", case["id"]);
        compared += 1;
    }
    assert!(compared > 0);
}
