//! Words onto the TR grid (golden/textalign, `word_bin_mean`): by their onset, by their
//! middle, and weighted by how long they overlap a volume. Pandas' rules are written in SQL.

use crate::common;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, RecordBatch,
    StringArray,
};
use arrow::datatypes::{DataType, Field, Float32Type, Int64Type};
use datafusion::prelude::SessionContext;
use serde_json::Value;

fn numbers(values: &Value) -> Vec<f64> {
    let values = values.as_array().unwrap();
    values.iter().map(|v| v.as_f64().unwrap()).collect()
}

/// A table `words` with word, onset, offset, embedding.
fn context(golden: &common::Cases, case: &Value) -> (SessionContext, usize) {
    let inputs = &case["inputs"];
    let words = inputs["words"].as_array().unwrap();
    let words = StringArray::from_iter_values(words.iter().map(|w| w.as_str().unwrap()));
    let (shape, embedding) = golden.array(&inputs["embedding"]);
    let values: ArrayRef = match golden.is_f32(&inputs["embedding"]) {
        true => Arc::new(Float32Array::from_iter_values(
            embedding.iter().map(|x| *x as f32),
        )),
        false => Arc::new(Float64Array::from(embedding)),
    };
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let embedding = FixedSizeListArray::new(item, shape[1] as i32, values, None);
    let batch = RecordBatch::try_from_iter([
        ("word", Arc::new(words) as ArrayRef),
        (
            "onset",
            Arc::new(Float64Array::from(numbers(&inputs["onset"]))),
        ),
        (
            "offset",
            Arc::new(Float64Array::from(numbers(&inputs["offset"]))),
        ),
        ("embedding", Arc::new(embedding)),
    ]);
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    ctx.register_batch("words", batch.unwrap()).unwrap();
    (ctx, shape[1])
}

#[tokio::test]
async fn words_in_volumes() {
    let Some(golden) = common::load_cases("textalign") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("word_bin_mean") {
        let (ctx, width) = context(&golden, case);
        let tr = case["inputs"]["tr"].as_f64().unwrap();
        let n_tr = case["inputs"]["n_tr"].as_i64().unwrap();
        let by = case["params"]["by"].as_str().unwrap_or("onset");
        let binned = match by {
            "overlap" => format!(
                "SELECT o['tr'] AS tr, vector_avg(embedding, weight => o['overlap']) AS x,
                        string_agg(word, ' ' ORDER BY onset) AS text
                 FROM (SELECT *, unnest(tr_overlap(onset, \"offset\" - onset, tr => {tr})) AS o FROM words)
                 GROUP BY 1"
            ),
            by => {
                let time = match by {
                    "midpoint" => "(onset + \"offset\") / 2",
                    _ => "onset",
                };
                format!(
                    "SELECT tr_index({time}, tr => {tr}) AS tr, vector_avg(embedding) AS x,
                            string_agg(word, ' ' ORDER BY onset) AS text
                     FROM words GROUP BY 1"
                )
            }
        };
        // Empty volumes are NULL until the query says what they should be.
        let x = match case["params"]["empty"].as_str().unwrap() {
            "ffill" => "interpolate(b.x, g.time) OVER (ORDER BY g.time)",
            _ => "b.x",
        };
        let sql = format!(
            "SELECT g.tr, {x} AS x, b.text FROM tr_grid(n => {n_tr}, tr => {tr}) AS g
             LEFT JOIN ({binned}) AS b ON b.tr = g.tr ORDER BY g.tr"
        );
        let batches = ctx.sql(&sql).await.unwrap().collect().await.unwrap();
        let empty = match case["params"]["empty"].as_str().unwrap() {
            "zero" => 0.0,
            _ => f64::NAN,
        };
        let (mut y, mut text) = (Vec::new(), Vec::new());
        let mut trs: Vec<i64> = Vec::new();
        for batch in &batches {
            trs.extend(batch.column(0).as_primitive::<Int64Type>().values());
            let x = batch.column(1).as_fixed_size_list();
            let words = arrow::compute::cast(batch.column(2), &DataType::Utf8).unwrap();
            for row in 0..batch.num_rows() {
                if x.is_null(row) {
                    y.extend(vec![empty; width]);
                } else {
                    let x = x.value(row);
                    y.extend(
                        x.as_primitive::<Float32Type>()
                            .values()
                            .iter()
                            .map(|x| f64::from(*x)),
                    );
                }
                let words = words.as_string::<i32>();
                text.push(
                    if words.is_null(row) {
                        ""
                    } else {
                        words.value(row)
                    }
                    .to_string(),
                );
            }
        }
        assert_eq!(trs, (0..n_tr).collect::<Vec<_>>());
        let (_, want) = golden.array(&case["outputs"]["y"]);
        common::assert_close(&y, &want, case);
        if let Some(want) = case["outputs"]["text"].as_array() {
            let want: Vec<&str> = want.iter().map(|t| t.as_str().unwrap()).collect();
            assert_eq!(text, want);
        }
        note!("word_bin_mean {}: {} volumes equal", case["id"], trs.len());
        compared += 1;
    }
    assert_eq!(compared, 4);
}
