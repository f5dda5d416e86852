//! `design_matrix` in SQL against nilearn (golden/design), and in a file.

use std::fmt::Write;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Float64Type;
use futures::TryStreamExt;
use serde_json::Value;
use voxql::session::{Session, Settings};

const GOLDEN: &str = "../shared/golden/design";

async fn rows(session: &Session, sql: &str) -> RecordBatch {
    let answer = session
        .sql(sql)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{sql}"));
    let schema = answer.stream.schema();
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await.unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// A golden array, row-major.
async fn array(session: &Session, value: &Value) -> Vec<f64> {
    let key = value["array"].as_str().unwrap();
    let sql = format!("SELECT f64 FROM '{GOLDEN}/arrays.parquet' WHERE key = '{key}'");
    let column = rows(session, &sql).await;
    let list = column.column(0).as_list::<i32>().value(0);
    list.as_primitive::<Float64Type>().values().to_vec()
}

/// `SELECT … UNION ALL …` for the events of a case; they come in reverse order.
fn events(events: &Value) -> String {
    let rows = events["onset"].as_array().map_or(0, Vec::len);
    let mut selects = Vec::with_capacity(rows);
    for i in (0..rows).rev() {
        let mut select = String::from("SELECT ");
        for (name, values) in events.as_object().unwrap() {
            let value = values[i].to_string().replace('"', "'");
            let value = match values[i].is_number() {
                true => format!("CAST({value} AS DOUBLE)"),
                false => value,
            };
            write!(select, "{value} AS {name}, ").unwrap();
        }
        selects.push(select.trim_end_matches(", ").to_string());
    }
    selects.join(" UNION ALL ")
}

/// Added regressors as rows in no order.
async fn added(session: &Session, case: &Value, scans: usize) -> Option<String> {
    let values = array(session, case["inputs"].get("add_regs")?).await;
    let width = values.len() / scans;
    let mut selects: Vec<String> = values
        .chunks(width)
        .enumerate()
        .map(|(tr, row)| {
            let columns: Vec<String> = row
                .iter()
                .enumerate()
                .map(|(i, value)| format!("CAST({value:?} AS DOUBLE) AS reg{i}"))
                .collect();
            format!("SELECT {tr} AS tr, {}", columns.join(", "))
        })
        .collect();
    selects.reverse();
    Some(selects.join(" UNION ALL "))
}

#[tokio::test]
async fn every_golden_case() {
    if !Path::new(GOLDEN).is_dir() {
        note!("skipped: no golden data at {GOLDEN}");
        return;
    }
    let session = Session::open(Settings::default()).await.unwrap();
    let text = std::fs::read_to_string(format!("{GOLDEN}/cases.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    for case in json["cases"].as_array().unwrap() {
        let times = array(&session, &case["inputs"]["frame_times"]).await;
        let tr = times[1] - times[0];
        if times[0] > tr {
            note!(
                "SQL design_matrix {}: left out, it starts later than a run does",
                case["id"]
            );
            continue;
        }
        let mut sql = String::from("SELECT * EXCLUDE (tr, time) FROM design_matrix(");
        if let Some(given) = case["inputs"].get("events") {
            write!(sql, "({}), ", events(given)).unwrap();
        }
        write!(
            sql,
            "tr => {tr:?}, n_scans => {}, slice_time_ref => {:?}",
            times.len(),
            times[0] / tr
        )
        .unwrap();
        if let Some(added) = added(&session, case, times.len()).await {
            write!(sql, ", add_regs => ({added})").unwrap();
        }
        for (name, value) in case["params"].as_object().unwrap() {
            let value = match value {
                // nilearn's None is a model, not the default.
                Value::Null => "'none'".to_string(),
                value => value.to_string().replace('"', "'"),
            };
            write!(sql, ", {name} => {value}").unwrap();
        }
        sql.push_str(") ORDER BY tr");
        let got = rows(&session, &sql).await;
        let schema = got.schema();
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(
            serde_json::json!(names),
            case["outputs"]["columns"],
            "{}",
            case["id"]
        );

        let want = array(&session, &case["outputs"]["matrix"]).await;
        let tol = |name: &str| case["tol"][name].as_f64().unwrap_or(0.0);
        for (i, want) in want.iter().enumerate() {
            let (row, column) = (i / names.len(), i % names.len());
            let got = got.column(column).as_primitive::<Float64Type>();
            assert_eq!(got.null_count(), 0);
            let got = got.value(row);
            assert!(
                (got - want).abs() <= tol("atol") + tol("rtol") * want.abs(),
                "{}: {} at tr {row} is {got}, nilearn has {want}",
                case["id"],
                names[column]
            );
        }
        note!("SQL design_matrix {}: equal", case["id"]);
    }
}

/// COPY, and a table under a small memory limit.
#[tokio::test]
async fn into_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("design.parquet");
    let path = path.to_str().unwrap();
    let session = Session::open(Settings::default()).await.unwrap();
    let design = "design_matrix((SELECT 4.0 AS onset, 2.0 AS duration, 'Face' AS trial_type), tr => 2, n_scans => 50)";
    rows(
        &session,
        &format!("COPY (SELECT * FROM {design}) TO '{path}'"),
    )
    .await;
    let read = rows(
        &session,
        &format!("SELECT count(*), max(\"Face\") FROM '{path}'"),
    )
    .await;
    let largest = read.column(1).as_primitive::<Float64Type>().value(0);
    assert!((largest - 0.666).abs() < 1e-3, "{largest}");

    let small = Settings {
        memory_limit: Some(1 << 20),
        ..Settings::default()
    };
    let session = Session::open(small).await.unwrap();
    let large = design.replace("n_scans => 50", "n_scans => 1000000");
    let error = match session.sql(&format!("SELECT count(*) FROM {large}")).await {
        Ok(_) => panic!("it fits"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("design_matrix"), "{error}");

    // Added regressors ask before they are read, so that too many volumes come before missing rows.
    let added =
        "design_matrix(tr => 2, n_scans => 1000000, add_regs => (SELECT 0 AS tr, 0.5 AS x))";
    let error = match session.sql(&format!("SELECT count(*) FROM {added}")).await {
        Ok(_) => panic!("it fits"),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("design_matrix needs"), "{error}");
}
