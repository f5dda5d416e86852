//! Masks through SQL against nilearn 0.14.1 (golden/nifti): every case whose inputs are files.

use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use serde_json::Value;
use voxql::session::{Session, Settings};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/golden/nifti");

async fn rows(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let answer = session
        .sql(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    let batches = answer.stream.try_collect().await;
    batches.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

async fn numbers(session: &Session, sql: &str) -> Vec<i64> {
    let batches = rows(session, sql).await;
    let columns = batches
        .iter()
        .map(|b| b.column(0).as_primitive::<Int64Type>());
    columns.flat_map(|c| c.values().to_vec()).collect()
}

/// `'file'`, or an array of them.
fn paths(inputs: &Value) -> Option<String> {
    let quoted = |file: &Value| Some(format!("'{GOLDEN}/{}'", file["file"].as_str()?));
    match inputs.get("imgs") {
        Some(files) => {
            let files: Option<Vec<_>> = files.as_array()?.iter().map(quoted).collect();
            Some(format!("[{}]", files?.join(", ")))
        }
        None => quoted(&inputs["img"]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_golden_mask_of_files() {
    let cases = Path::new(GOLDEN).join("cases.json");
    let Ok(text) = std::fs::read_to_string(&cases) else {
        note!("skipped: no golden data at {}", cases.display());
        return;
    };
    let cases: Value = serde_json::from_str(&text).unwrap();
    let session = Session::open(Settings::default()).await.unwrap();
    let mut compared = 0;
    for case in cases["cases"].as_array().unwrap() {
        let function = match case["function"].as_str().unwrap() {
            "compute_epi_mask" => "epi_mask",
            "compute_multi_epi_mask" => "multi_epi_mask",
            _ => continue,
        };
        let Some(paths) = paths(&case["inputs"]) else {
            continue;
        };
        let params = case["params"].as_object().unwrap();
        let params: String = params
            .iter()
            .map(|(k, v)| format!(", {k} => {v}"))
            .collect();
        // A mask's rows stand in C order: their places in the golden array ascend.
        let sql = format!("SELECT (i * 28 + j) * 20 + k FROM {function}({paths}{params})");
        let got = numbers(&session, &sql).await;
        let key = case["outputs"]["mask"]["array"].as_str().unwrap();
        let sql = format!(
            "SELECT CAST(unnest(array_positions(i64, 1)) AS BIGINT) - 1
             FROM '{GOLDEN}/arrays.parquet' WHERE key = '{key}'"
        );
        assert_eq!(got, numbers(&session, &sql).await, "{}", case["id"]);
        assert_eq!(
            got.len() as u64,
            case["outputs"]["n_voxels"].as_u64().unwrap()
        );
        note!("{function} {}: equal", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, 19);
}
