//! Cleaning of time series against nilearn 0.14.1 (golden/clean), every case.

use crate::common;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch,
};
use arrow::datatypes::{Float32Type, Float64Type};
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};
use voxql_udfs::kernels::design::cosine_drift;
use voxql_udfs::kernels::signal::butterworth::{Band, Butterworth};
use voxql_udfs::kernels::signal::clean::{Cleaner, Filter, Options};
use voxql_udfs::kernels::signal::high_variance::high_variance_confounds;
use voxql_udfs::kernels::signal::standardize::Standardize;
use voxql_udfs::kernels::signal::{LANES, Lanes};

/// A matrix of TRs × voxels, row-major.
struct Matrix {
    rows: usize,
    width: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn of(golden: &common::Cases, value: &Value) -> Self {
        let (shape, values) = golden.array(value);
        let width = shape.get(1).copied().unwrap_or(1);
        Self {
            rows: shape[0],
            width,
            values,
        }
    }

    fn row(&self, t: usize) -> &[f64] {
        &self.values[t * self.width..(t + 1) * self.width]
    }

    fn columns(&self) -> Vec<Vec<f64>> {
        (0..self.width)
            .map(|v| (0..self.rows).map(|t| self.row(t)[v]).collect())
            .collect()
    }

    fn without(&self, columns: &[usize]) -> Vec<f64> {
        let kept = |i: &usize| !columns.contains(&(i % self.width));
        let indices = (0..self.values.len()).filter(kept);
        indices.map(|i| self.values[i]).collect()
    }
}

/// The options of a case of `signal.clean`: what a case does not say is nilearn's default.
fn options(params: &Value) -> Options {
    let default = Options::default();
    let number = |name: &str| params[name].as_f64();
    let flag = |name: &str, default| params[name].as_bool().unwrap_or(default);
    let standardize = match params.get("standardize") {
        None => default.standardize,
        Some(name) => name.as_str().and_then(Standardize::from_name),
    };
    let band = Band {
        high_pass: number("high_pass"),
        low_pass: number("low_pass"),
    };
    let filter = match params.get("filter").unwrap_or(&json!("butterworth")) {
        name if name == "butterworth" => Filter::Butterworth(band),
        name if name == "cosine" => Filter::Cosine {
            high_pass: band.high_pass.unwrap(),
        },
        name => {
            assert_eq!(name, false);
            Filter::None
        }
    };
    Options {
        tr: number("t_r").unwrap_or(2.5),
        detrend: flag("detrend", default.detrend),
        standardize,
        standardize_confounds: flag("standardize_confounds", default.standardize_confounds),
        filter,
        extrapolate: flag("extrapolate", default.extrapolate),
        ensure_finite: flag("ensure_finite", default.ensure_finite),
        as_nilearn: false,
    }
}

/// Cleans `x` and gives the TRs that `keep` marks, as nilearn returns them.
fn cleaned(options: &Options, x: &Matrix, keep: &[bool], confounds: &[Vec<f64>]) -> Vec<f64> {
    let rows: Vec<Option<&[f64]>> = (0..x.rows).map(|t| Some(x.row(t))).collect();
    let mut out = vec![f64::NAN; x.values.len()];
    Cleaner::new(options, keep, confounds)
        .unwrap()
        .clean(&rows, x.width, &mut out)
        .unwrap();
    (0..x.rows)
        .filter(|t| keep[*t])
        .flat_map(|t| out[t * x.width..(t + 1) * x.width].to_vec())
        .collect()
}

fn keep(case: &Value, n: usize) -> Vec<bool> {
    match case["inputs"]["sample_mask"].as_array() {
        None => vec![true; n],
        Some(indices) => (0..n)
            .map(|t| indices.iter().any(|i| i.as_u64() == Some(t as u64)))
            .collect(),
    }
}

/// Each run by itself.
fn clean_case(golden: &common::Cases, case: &Value, options: &Options) -> Vec<f64> {
    let x = Matrix::of(golden, &case["inputs"]["x"]);
    let confounds = match case["inputs"].get("confounds") {
        Some(value) => Matrix::of(golden, value).columns(),
        None => Vec::new(),
    };
    let Some(runs) = case["inputs"].get("runs") else {
        return cleaned(options, &x, &keep(case, x.rows), &confounds);
    };
    let (_, runs) = golden.array(runs);
    let mut labels = runs.clone();
    labels.sort_by(f64::total_cmp);
    labels.dedup();
    let of_run = |label: f64| {
        let trs: Vec<usize> = (0..x.rows).filter(|t| runs[*t] == label).collect();
        let run = Matrix {
            rows: trs.len(),
            width: x.width,
            values: trs.iter().flat_map(|t| x.row(*t).to_vec()).collect(),
        };
        let of_run = |c: &Vec<f64>| trs.iter().map(|t| c[*t]).collect();
        let confounds: Vec<Vec<f64>> = confounds.iter().map(of_run).collect();
        cleaned(options, &run, &vec![true; run.rows], &confounds)
    };
    labels.into_iter().flat_map(of_run).collect()
}

/// The cases in which nilearn does wrong with the TRs that were left out.
const QUIRKS: [&str; 2] = ["scrub_bp_mirror", "scrub_lead_trail"];

#[test]
fn every_case_of_clean() {
    let Some(golden) = common::load_cases("clean") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("signal.clean") {
        let id = case["id"].as_str().unwrap();
        let mut options = options(&case["params"]);
        let want = Matrix::of(&golden, &case["outputs"]["y"]);
        let ignored: Vec<usize> = case["ignore_columns"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|i| i.as_u64().unwrap() as usize)
            .collect();
        let compare = |values: Vec<f64>| {
            let got = Matrix {
                rows: want.rows,
                width: want.width,
                values,
            };
            common::assert_close(&got.without(&ignored), &want.without(&ignored), case);
        };
        options.as_nilearn = true;
        compare(clean_case(&golden, case, &options));
        if QUIRKS.contains(&id) {
            note!("clean {id}: equal with compat => 'nilearn'");
        } else {
            options.as_nilearn = false;
            compare(clean_case(&golden, case, &options));
            note!("clean {id}: equal, with and without compat => 'nilearn'");
        }
        compared += 1;
    }
    assert_eq!(compared, 41);
}

/// What is right where nilearn is not, said in its own terms.
#[test]
fn the_quirks_are_right_by_default() {
    let Some(golden) = common::load_cases("clean") else {
        return;
    };
    let case = |id: &str| golden.cases.iter().find(|c| c["id"] == id).unwrap();

    // TRs that were left out at both ends: the rest is cleaned as if it were all.
    let lead_trail = case("scrub_lead_trail");
    let options_ = options(&lead_trail["params"]);
    let x = Matrix::of(&golden, &lead_trail["inputs"]["x"]);
    let kept = keep(lead_trail, x.rows);
    let got = clean_case(&golden, lead_trail, &options_);
    let rest: Vec<f64> = (0..x.rows)
        .filter(|t| kept[*t])
        .flat_map(|t| x.row(t).to_vec())
        .collect();
    let rest = Matrix {
        rows: rest.len() / x.width,
        width: x.width,
        values: rest,
    };
    let want = cleaned(&options_, &rest, &vec![true; rest.rows], &[]);
    assert_eq!(got, want);

    // A TR that was left out together with its mirror image: its data do not matter.
    let mirror = case("scrub_bp_mirror");
    let options_ = options(&mirror["params"]);
    let mut x = Matrix::of(&golden, &mirror["inputs"]["x"]);
    let kept = keep(mirror, x.rows);
    let before = cleaned(&options_, &x, &kept, &[]);
    for t in (0..x.rows).filter(|t| !kept[*t]) {
        let width = x.width;
        x.values[t * width..(t + 1) * width].fill(1e9);
    }
    assert_eq!(cleaned(&options_, &x, &kept, &[]), before);
}

#[test]
fn every_case_of_butterworth() {
    let Some(golden) = common::load_cases("clean") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("signal.butterworth") {
        let params = &case["params"];
        let band = Band {
            high_pass: params["high_pass"].as_f64(),
            low_pass: params["low_pass"].as_f64(),
        };
        let order = params["order"].as_u64().unwrap() as usize;
        let tr = 1.0 / params["sampling_rate"].as_f64().unwrap();
        let filter = Butterworth::new(order, band, tr).unwrap().unwrap();
        let x = Matrix::of(&golden, &case["inputs"]["x"]);
        assert!(x.width <= LANES);
        let padding = filter.padding();
        let mut padded: Vec<Lanes> = vec![[0.0; LANES]; x.rows + 2 * padding];
        for t in 0..x.rows {
            padded[padding + t][..x.width].copy_from_slice(x.row(t));
        }
        filter.filter(&mut padded);
        let got: Vec<f64> = padded[padding..padding + x.rows]
            .iter()
            .flat_map(|row| row[..x.width].to_vec())
            .collect();
        common::assert_close(&got, &golden.array(&case["outputs"]["y"]).1, case);
        note!("butterworth {}: equal", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, 5);
}

#[test]
fn every_case_of_cosine_drift() {
    let Some(golden) = common::load_cases("clean") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("signal.create_cosine_drift") {
        let (_, times) = golden.array(&case["inputs"]["frame_times"]);
        let want = Matrix::of(&golden, &case["outputs"]["d"]);
        let n = times.len();
        let dt = (times[n - 1] - times[0]) / (n - 1) as f64;
        let high_pass = case["params"]["high_pass"].as_f64().unwrap();
        let mut drifts = cosine_drift(n, high_pass, dt).unwrap();
        // nilearn's last column is the constant.
        drifts.push(vec![1.0; n]);
        assert_eq!(drifts.len(), want.width, "{}", case["id"]);
        common::assert_close(&drifts.concat(), &want.columns().concat(), case);
        note!("create_cosine_drift {}: equal", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn high_variance() {
    let Some(golden) = common::load_cases("clean") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("signal.high_variance_confounds") {
        let params = &case["params"];
        let x = Matrix::of(&golden, &case["inputs"]["x"]);
        let rows: Vec<&[f64]> = (0..x.rows).map(|t| x.row(t)).collect();
        let got = high_variance_confounds(
            &rows,
            x.width,
            params["n_confounds"].as_u64().unwrap() as usize,
            params["percentile"].as_f64().unwrap(),
            params["detrend"].as_bool().unwrap(),
        )
        .unwrap();
        let want = Matrix::of(&golden, &case["outputs"]["u"]).columns();
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            let product: f64 = got.iter().zip(want).map(|(a, b)| a * b).sum();
            let got: Vec<f64> = got.iter().map(|v| v * product.signum()).collect();
            common::assert_close(&got, want, case);
        }
        note!("high_variance_confounds {}: equal up to sign", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, 1);
}

/// Every case of `clean` once more through SQL: vectors, and the first series alone as a
/// number.
#[tokio::test]
async fn every_case_of_clean_in_sql() {
    let Some(golden) = common::load_cases("clean") else {
        return;
    };
    for case in golden.of("signal.clean") {
        let ctx = SessionContext::new();
        voxql_udfs::register_all(&ctx);
        ctx.register_batch("t", table(&golden, case)).unwrap();
        let params = &case["params"];
        let argument = |name: &str| match params.get(name) {
            None => "NULL".to_string(),
            // None is nilearn's way not to standardize; here NULL is the default.
            Some(Value::Null) => "false".to_string(),
            Some(Value::String(text)) => format!("'{text}'"),
            Some(other) => other.to_string(),
        };
        let column = |input: &str, name: &str| {
            let given = case["inputs"].get(input).is_some();
            (if given { name } else { "NULL" }).to_string()
        };
        let quirk = QUIRKS.iter().any(|id| case["id"] == *id);
        let arguments = [
            column("confounds", "c"),
            argument("t_r"),
            argument("detrend"),
            argument("standardize"),
            argument("filter"),
            argument("high_pass"),
            argument("low_pass"),
            column("sample_mask", "keep"),
            argument("standardize_confounds"),
            argument("extrapolate"),
            argument("ensure_finite"),
            (if quirk { "'nilearn'" } else { "NULL" }).to_string(),
        ]
        .join(", ");
        let sql = format!(
            "SELECT run, tr, clean(x, {arguments}) OVER (PARTITION BY run ORDER BY tr) AS x,
                    clean(first, {arguments}) OVER (PARTITION BY run ORDER BY tr) AS first
             FROM t ORDER BY run, tr"
        );
        let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
        let (mut vectors, mut first) = (Vec::new(), Vec::new());
        for batch in &batches {
            let lists = batch.column(2).as_list::<i32>();
            let numbers = batch.column(3).as_primitive::<Float64Type>();
            for row in 0..batch.num_rows() {
                assert_eq!(lists.is_null(row), numbers.is_null(row));
                if lists.is_valid(row) {
                    let values = lists.value(row);
                    let values = values.as_primitive::<Float32Type>().values();
                    vectors.extend(values.iter().map(|v| f64::from(*v)));
                    first.push(numbers.value(row));
                }
            }
        }
        let want = Matrix::of(&golden, &case["outputs"]["y"]);
        assert_eq!(vectors.len(), want.values.len(), "{}", case["id"]);
        let of_first: Vec<f64> = want.columns()[0].clone();
        common::assert_close(&first, &of_first, case);
        let ignored: &[usize] = if case["ignore_columns"].is_array() {
            &[4]
        } else {
            &[]
        };
        let got = Matrix {
            values: vectors,
            ..want
        };
        let want = Matrix::of(&golden, &case["outputs"]["y"]);
        // Vectors are stored as FLOAT.
        let mut single = case.clone();
        let atol = case["tol"]["atol"].as_f64().unwrap_or(0.0);
        let rtol = case["tol"]["rtol"].as_f64().unwrap_or(0.0);
        single["tol"] = json!({"rtol": rtol + 1e-7, "atol": atol + 1e-7});
        common::assert_close(&got.without(ignored), &want.without(ignored), &single);
        note!("SQL clean {}: equal", case["id"]);
    }
}

/// `run`, `tr`, the vector `x` and its first element, the confounds `c`, and `keep`.
fn table(golden: &common::Cases, case: &Value) -> RecordBatch {
    let lists = |matrix: &Matrix| -> ArrayRef {
        let rows = (0..matrix.rows).map(|t| Some(matrix.row(t).iter().map(|v| Some(*v))));
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
    };
    let x = Matrix::of(golden, &case["inputs"]["x"]);
    let run = match case["inputs"].get("runs") {
        Some(runs) => golden.array(runs).1,
        None => vec![0.0; x.rows],
    };
    let tr = (0..x.rows).map(|t| run[..t].iter().filter(|r| **r == run[t]).count() as i64);
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("tr", Arc::new(Int64Array::from_iter_values(tr))),
        ("run", Arc::new(Float64Array::from(run.clone()))),
        ("x", lists(&x)),
        (
            "first",
            Arc::new(Float64Array::from(x.columns()[0].clone())),
        ),
        ("keep", Arc::new(BooleanArray::from(keep(case, x.rows)))),
    ];
    if let Some(confounds) = case["inputs"].get("confounds") {
        columns.push(("c", lists(&Matrix::of(golden, confounds))));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}
