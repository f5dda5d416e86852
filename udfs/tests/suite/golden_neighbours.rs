//! Distances and neighbours against scikit-learn's (SPEC.md 10): by the scalar functions, sorting and
//! taking k, and by the kernel of `knn`.

use crate::common;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::datatypes::{Field, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use serde_json::Value;
use voxql_udfs::kernels::knn::{Base, Element, Neighbours, Queries};
use voxql_udfs::kernels::metric::Metric;

/// Distances and indices of the neighbours of all queries, one after the other.
type Found = (Vec<f64>, Vec<f64>);

/// What a case asks for.
struct Asked {
    metric: Metric,
    k: Option<usize>,
    radius: Option<f64>,
    /// Each row of `x` is a query, and not its own neighbour.
    itself: bool,
}

impl Asked {
    fn of(case: &Value) -> Self {
        Self {
            metric: Metric::parse(case["params"]["metric"].as_str().unwrap()).unwrap(),
            k: case["params"]["k"].as_u64().map(|k| k as usize),
            radius: case["params"]["radius"].as_f64(),
            itself: case["function"] == "kneighbors_self",
        }
    }
}

fn compare(cases: &common::Cases, case: &Value, (distances, indices): &Found) {
    let (want_distances, want_indices) = wanted(cases, &case["outputs"]);
    common::assert_close(distances, &want_distances, case);
    // The order of ties, and of what Float32 cannot tell apart, is not scikit-learn's.
    if case["ties"] != true && !cases.is_f32(&case["inputs"]["x"]) {
        assert_eq!(indices, &want_indices, "{}", case["id"]);
    }
}

/// What scikit-learn found. Within a radius it does not sort.
fn wanted(cases: &common::Cases, outputs: &Value) -> Found {
    let (distances, indices) = (&outputs["distances"], &outputs["indices"]);
    let Some(queries) = distances.as_array() else {
        return (cases.array(distances).1, cases.array(indices).1);
    };
    let mut found = (Vec::new(), Vec::new());
    for (query, distances) in queries.iter().enumerate() {
        let distances = cases.array(distances).1.into_iter();
        let mut pairs: Vec<_> = distances.zip(cases.array(&indices[query]).1).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.0.extend(pairs.iter().map(|pair| pair.0));
        found.1.extend(pairs.iter().map(|pair| pair.1));
    }
    found
}

#[tokio::test]
async fn scalar_functions() {
    let Some(cases) = common::load_cases("knn") else {
        return;
    };
    for case in &cases.cases {
        compare(&cases, case, &by_functions(&cases, case).await);
    }
    assert_eq!(cases.cases.len(), 26);
}

#[test]
fn kernel() {
    let Some(cases) = common::load_cases("knn") else {
        return;
    };
    for case in &cases.cases {
        let found = match cases.is_f32(&case["inputs"]["x"]) {
            true => by_kernel::<f32>(&cases, case),
            false => by_kernel::<f64>(&cases, case),
        };
        compare(&cases, case, &found);
    }
}

fn by_kernel<T: Element>(cases: &common::Cases, case: &Value) -> Found {
    let asked = Asked::of(case);
    let matrix = |value: &Value| {
        let (shape, values) = cases.array(value);
        let values: Vec<T> = values.into_iter().map(T::rounded).collect();
        (shape[0], shape[1], values)
    };
    let (rows, width, x) = matrix(&case["inputs"]["x"]);
    let (_, _, q) = match asked.itself {
        true => (rows, width, x.clone()),
        false => matrix(&case["inputs"]["q"]),
    };
    let mut queries = Queries::<T, T>::new(asked.metric, width);
    q.chunks(width).for_each(|query| queries.push(query));
    let mut found = vec![Neighbours::new(asked.k, asked.radius); queries.len()];
    let mut limits: Vec<f64> = found.iter().map(Neighbours::limit).collect();
    let base = Base::new(asked.metric, &x, (rows, width), |_| true);
    for block in queries.blocks() {
        let products = &mut Vec::new();
        queries.search(
            block,
            &base,
            &mut limits,
            products,
            |query, row, distance| {
                if !(asked.itself && query == row) {
                    found[query].offer(distance, &row);
                }
                found[query].limit()
            },
        );
    }
    let found: Vec<_> = found.into_iter().flat_map(Neighbours::sorted).collect();
    (
        found.iter().map(|n| n.distance).collect(),
        found.iter().map(|n| n.key as f64).collect(),
    )
}

async fn by_functions(cases: &common::Cases, case: &Value) -> Found {
    let asked = Asked::of(case);
    let function = match asked.metric {
        Metric::L2 => "l2_distance".to_owned(),
        Metric::L1 => "l1_distance".to_owned(),
        metric => format!("{metric}_distance"),
    };
    let x = column(cases, &case["inputs"]["x"]);
    let queries = match asked.itself {
        true => Arc::clone(&x),
        false => column(cases, &case["inputs"]["q"]),
    };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..x.len() as i64));
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    let batch = RecordBatch::try_from_iter([("id", ids), ("v", x)]).unwrap();
    ctx.register_batch("x", batch).unwrap();

    let (mut distances, mut indices) = (Vec::new(), Vec::new());
    for query in 0..queries.len() {
        let own = if asked.itself { query as i64 } else { -1 };
        let limit = asked.k.map_or(String::new(), |k| format!("LIMIT {k}"));
        let radius = asked.radius.unwrap_or(f64::MAX);
        let sql = format!(
            "SELECT * FROM (SELECT id, {function}(v, $q) AS d FROM x WHERE id <> {own}) AS x
             WHERE d <= {radius:e} ORDER BY d {limit}"
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
    (distances, indices)
}

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
