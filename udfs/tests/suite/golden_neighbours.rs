//! `cosine_distance` and `l2_distance` against scikit-learn's nearest neighbours
//! (SPEC.md 10): sort by distance, take k.

use crate::common;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::datatypes::{Field, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use serde_json::Value;

/// A vector column of the array, Float32 where it was stored so.
fn column(cases: &common::Cases, value: &Value) -> ArrayRef {
    let (shape, values) = cases.array(value);
    let values: ArrayRef = if cases.is_f32(value) {
        Arc::new(Float32Array::from_iter_values(
            values.iter().map(|x| *x as f32),
        ))
    } else {
        Arc::new(Float64Array::from(values))
    };
    let item = Field::new_list_field(values.data_type().clone(), true);
    Arc::new(FixedSizeListArray::new(
        Arc::new(item),
        shape[1] as i32,
        values,
        None,
    ))
}

#[tokio::test]
async fn nearest_neighbours() {
    let Some(cases) = common::load_cases("knn") else {
        return;
    };
    let mut compared = 0;
    for case in &cases.cases {
        let function = match case["params"]["metric"].as_str() {
            Some("cosine") => "cosine_distance",
            Some("euclidean") => "l2_distance",
            _ => continue,
        };
        let Some(k) = case["params"]["k"].as_u64() else {
            continue;
        };
        let itself = case["function"] == "kneighbors_self";
        let x = column(&cases, &case["inputs"]["x"]);
        let queries = if itself {
            Arc::clone(&x)
        } else {
            column(&cases, &case["inputs"]["q"])
        };
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..x.len() as i64));
        let ctx = SessionContext::new();
        voxql_udfs::register_all(&ctx);
        ctx.register_batch(
            "x",
            RecordBatch::try_from_iter([("id", ids), ("v", x)]).unwrap(),
        )
        .unwrap();

        let mut distances = Vec::new();
        let mut indices = Vec::new();
        for query in 0..queries.len() {
            let own = if itself { query as i64 } else { -1 };
            let sql = format!(
                "SELECT id, {function}(v, $q) AS d FROM x WHERE id <> {own} ORDER BY d LIMIT {k}"
            );
            let query = ScalarValue::try_from_array(&queries, query).unwrap();
            let plan = ctx.sql(&sql).await.unwrap();
            let plan = plan.with_param_values(vec![("q", query)]).unwrap();
            for batch in plan.collect().await.unwrap() {
                let id = batch.column(0).as_primitive::<Int64Type>().values();
                indices.extend(id.iter().map(|id| *id as f64));
                let d = batch.column(1).as_primitive::<Float64Type>().values();
                distances.extend_from_slice(d);
            }
        }
        let (_, want) = cases.array(&case["outputs"]["distances"]);
        common::assert_close(&distances, &want, case);
        if case["ties"] == false && !cases.is_f32(&case["inputs"]["x"]) {
            let (_, want) = cases.array(&case["outputs"]["indices"]);
            assert_eq!(indices, want, "{}", case["id"]);
        }
        compared += 1;
    }
    assert!(compared >= 12, "only {compared} cases were compared");
}
