//! `interpolate` against pandas `merge_asof` (golden/textalign).

use crate::common;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use serde_json::Value;

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().unwrap();
    values.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn groups(values: &Value, len: usize) -> Vec<i64> {
    match values.as_array() {
        Some(values) => values.iter().map(|v| v.as_i64().unwrap()).collect(),
        None => vec![0; len],
    }
}

#[tokio::test]
async fn equals_merge_asof() {
    let Some(golden) = common::load_cases("textalign") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("merge_asof") {
        let params = &case["params"];
        let method = match params["direction"].as_str().unwrap() {
            "backward" => "previous",
            "nearest" => "nearest",
            _ => continue,
        };
        if params["allow_exact_matches"] == false {
            continue;
        }
        let left = numbers(&case["inputs"]["left"]);
        let right = numbers(&case["inputs"]["right"]);
        let left_by = groups(&case["inputs"]["left_by"], left.len());
        let right_by = groups(&case["inputs"]["right_by"], right.len());
        let tolerance = match params["tolerance"].as_f64() {
            Some(seconds) => format!(", tolerance => {seconds:?}"),
            None => String::new(),
        };

        let ctx = SessionContext::new();
        voxql_udfs::register_all(&ctx);
        register(&ctx, "grid", "i", left_by, left);
        register(&ctx, "events", "i", right_by, right);
        let sql = format!(
            "SELECT i, x, word FROM (
                 SELECT i,
                        interpolate(x, time, method => '{method}'{tolerance}) OVER w AS x,
                        interpolate(word, time, method => '{method}'{tolerance}) OVER w AS word
                 FROM (SELECT i, run, time, NULL AS x, NULL AS word FROM grid
                       UNION ALL
                       SELECT NULL AS i, run, time, i AS x, 'w' || i AS word FROM events)
                 WINDOW w AS (PARTITION BY run ORDER BY time, x)
             ) WHERE i IS NOT NULL ORDER BY i"
        );
        let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
        let mut got = Vec::new();
        for batch in &batches {
            let words = arrow::compute::cast(batch.column(2), &arrow::datatypes::DataType::Utf8);
            let words = words.unwrap();
            let words = words.as_string::<i32>();
            for (x, word) in batch
                .column(1)
                .as_primitive::<Int64Type>()
                .iter()
                .zip(words)
            {
                assert_eq!(
                    x.map(|x| format!("w{x}")).as_deref(),
                    word,
                    "{}",
                    case["id"]
                );
                got.push(x.unwrap_or(-1) as f64);
            }
        }
        common::assert_close(&got, &numbers(&case["outputs"]["index"]), case);
        compared += 1;
    }
    assert_eq!(compared, 12);
}

fn register(ctx: &SessionContext, table: &str, index: &str, run: Vec<i64>, time: Vec<f64>) {
    let rows = time.len() as i64;
    let batch = RecordBatch::try_from_iter([
        (
            index,
            Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef,
        ),
        ("run", Arc::new(Int64Array::from(run))),
        ("time", Arc::new(Float64Array::from(time))),
    ]);
    ctx.register_batch(table, batch.unwrap()).unwrap();
}
