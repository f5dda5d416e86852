//! Golden data: outputs of the Python references, as `../shared/golden/README.md` says.
//!
//! ```ignore
//! let Some(cases) = common::load_cases("hrf") else { return };
//! for case in cases.of("glover_hrf") {
//!     let (_, want) = cases.array(&case["outputs"]["kernel"]);
//!     common::assert_close(&got, &want, case);
//! }
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use datafusion::prelude::SessionContext;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The cases of one family with their arrays.
pub struct Cases {
    pub cases: Vec<Value>,
    /// Where files named by `{"file": …}` lie.
    pub folder: PathBuf,
    batches: Vec<RecordBatch>,
    rows: HashMap<String, (usize, usize)>,
}

/// The golden cases of `family`, or None (and a line that says so) where the golden
/// data is not on this machine.
pub fn load_cases(family: &str) -> Option<Cases> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/golden")
        .join(family);
    if !folder.is_dir() {
        note!("skipped: no golden data at {}", folder.display());
        return None;
    }
    let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(
        File::open(folder.join("arrays.parquet")).unwrap(),
    )
    .unwrap()
    .build()
    .unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    let mut rows = HashMap::new();
    for (b, batch) in batches.iter().enumerate() {
        for (i, key) in strings(batch.column_by_name("key").unwrap())
            .into_iter()
            .enumerate()
        {
            rows.insert(key, (b, i));
        }
    }
    Some(Cases {
        cases: json["cases"].as_array().unwrap().clone(),
        folder,
        batches,
        rows,
    })
}

impl Cases {
    /// The cases whose output is that of the Python function `function`.
    pub fn of<'a>(&'a self, function: &'a str) -> impl Iterator<Item = &'a Value> {
        self.cases.iter().filter(move |c| c["function"] == function)
    }

    /// Shape and row-major values of an input or output: a `{"array": KEY}`, or a
    /// list of numbers that stands inline.
    pub fn array(&self, value: &Value) -> (Vec<usize>, Vec<f64>) {
        if let Some(key) = value["array"].as_str() {
            return self.key(key);
        }
        let values: Vec<f64> = value
            .as_array()
            .unwrap_or_else(|| panic!("not an array: {value}"))
            .iter()
            .map(|v| v.as_f64().unwrap_or(f64::NAN))
            .collect();
        (vec![values.len()], values)
    }

    /// Shape and row-major values of the array stored under `key`.
    pub fn key(&self, key: &str) -> (Vec<usize>, Vec<f64>) {
        let &(b, i) = self
            .rows
            .get(key)
            .unwrap_or_else(|| panic!("no golden array {key}"));
        let batch = &self.batches[b];
        let list = |name: &str| {
            let column = batch.column_by_name(name).unwrap();
            (!column.is_null(i)).then(|| column.as_list::<i32>().value(i))
        };
        let shape = list("shape").unwrap();
        let shape = shape.as_primitive::<Int32Type>().values();
        let values = if let Some(values) = list("f64") {
            values.as_primitive::<Float64Type>().values().to_vec()
        } else if let Some(values) = list("f32") {
            let values = values.as_primitive::<Float32Type>().values();
            values.iter().map(|v| f64::from(*v)).collect()
        } else {
            let values = list("i64").unwrap();
            let values = values.as_primitive::<Int64Type>().values();
            values.iter().map(|v| *v as f64).collect()
        };
        (shape.iter().map(|n| *n as usize).collect(), values)
    }

    /// Whether the array of `{"array": KEY}` was stored as float32.
    pub fn is_f32(&self, value: &Value) -> bool {
        let key = value["array"].as_str().unwrap_or_default();
        self.rows.get(key).is_some_and(|&(b, i)| {
            strings(self.batches[b].column_by_name("dtype").unwrap())[i] == "float32"
        })
    }
}

/// Compares with the tolerance of `case` (`tol`), element by element. NaN must meet NaN.
pub fn assert_close(got: &[f64], want: &[f64], case: &Value) {
    let id = &case["id"];
    assert_eq!(got.len(), want.len(), "{id}: number of values");
    let tol = |name: &str| case["tol"][name].as_f64().unwrap_or(0.0);
    let largest = want
        .iter()
        .filter(|w| w.is_finite())
        .fold(0.0, |m: f64, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        if g == w || (g.is_nan() && w.is_nan()) {
            continue;
        }
        let allowed = tol("atol") + tol("rtol") * w.abs() + tol("atol_rel_max") * largest;
        assert!(
            (g - w).abs() <= allowed,
            "{id}: element {i} is {g}, the reference has {w} (allowed difference {allowed:e})"
        );
    }
}

/// The values of the expression `window` over `table`, row by row in the order of `tr`;
/// vectors one after the other.
pub async fn window(ctx: &SessionContext, window: &str, table: &str) -> Vec<f64> {
    let sql = format!("SELECT {window} AS y, tr FROM {table} ORDER BY tr");
    let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(|b| flat(b.column(0))).collect()
}

/// The numbers of a column, or the elements of its vectors.
pub fn flat(column: &ArrayRef) -> Vec<f64> {
    let values = match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().values(),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().values(),
        _ => column,
    };
    let values = arrow::compute::cast(values, &DataType::Float64).unwrap();
    values.as_primitive::<Float64Type>().values().to_vec()
}

fn strings(column: &ArrayRef) -> Vec<String> {
    let column = arrow::compute::cast(column, &DataType::Utf8).unwrap();
    let column = column.as_string::<i32>();
    column
        .iter()
        .map(|s| s.unwrap_or_default().to_string())
        .collect()
}
