//! `knn`: scikit-learn's neighbours through SQL, and the same answer whatever the threads, batches and order.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use futures::TryStreamExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use voxql::session::{Session, Settings};

async fn session(threads: usize) -> Session {
    let settings = Settings {
        threads: Some(threads),
        ..Settings::default()
    };
    Session::open(settings).await.unwrap()
}

async fn rows(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let answer = session
        .sql(sql)
        .await
        .unwrap_or_else(|e| panic!("{e}\n{sql}"));
    let batches: Result<Vec<RecordBatch>, _> = answer.stream.try_collect().await;
    batches.unwrap_or_else(|e| panic!("{e}\n{sql}"))
}

async fn numbers(session: &Session, sql: &str) -> Vec<f64> {
    let mut numbers = Vec::new();
    for batch in rows(session, sql).await {
        let column = arrow::compute::cast(batch.column(0), &DataType::Float64).unwrap();
        let column = column.as_any().downcast_ref::<Float64Array>().unwrap();
        numbers.extend_from_slice(column.values());
    }
    numbers
}

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/golden/knn");

/// A table `name (id, v)` of the rows of a golden array.
async fn matrix(session: &Session, name: &str, key: &Value) {
    let key = key["array"].as_str().unwrap();
    let array = format!("FROM '{GOLDEN}/arrays.parquet' WHERE key = '{key}'");
    let dtype = rows(session, &format!("SELECT dtype {array}")).await;
    let is_f32 = pretty_format_batches(&dtype)
        .unwrap()
        .to_string()
        .contains("float32");
    let (values, element) = if is_f32 {
        ("f32", "Float32")
    } else {
        ("f64", "Float64")
    };
    let shape = numbers(session, &format!("SELECT unnest(shape) {array}")).await;
    let (n, width) = (shape[0] as usize, shape[1] as usize);
    let sql = format!(
        "CREATE OR REPLACE TABLE {name} AS
         SELECT id, arrow_cast(array_slice(a.{values}, id * {width} + 1, (id + 1) * {width}),
                               'FixedSizeList({width} x {element})') AS v
         FROM (SELECT {values} {array}) AS a, generate_series(0, {n} - 1) AS s(id)"
    );
    rows(session, &sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scikit_learns_neighbours() {
    let Ok(text) = std::fs::read_to_string(format!("{GOLDEN}/cases.json")) else {
        note!("skipped: no golden data at {GOLDEN}");
        return;
    };
    let cases: Value = serde_json::from_str(&text).unwrap();
    let session = session(2).await;
    let mut compared = 0;
    for case in cases["cases"].as_array().unwrap() {
        let params = &case["params"];
        matrix(&session, "x", &case["inputs"]["x"]).await;
        let metric = params["metric"].as_str().unwrap();
        let wanted = match (params["k"].as_u64(), params["radius"].as_f64()) {
            (Some(k), _) => format!("k => {k}"),
            (_, Some(radius)) => format!("radius => {radius}"),
            _ => panic!("{case}"),
        };
        let sides = if case["function"] == "kneighbors_self" {
            "(SELECT id, v FROM x)"
        } else {
            matrix(&session, "q", &case["inputs"]["q"]).await;
            "(SELECT id, v FROM q), (SELECT id, v FROM x)"
        };
        let found = format!(
            "FROM knn({sides}, {wanted}, metric => '{metric}') ORDER BY id, distance, rank"
        );
        let distances = numbers(&session, &format!("SELECT distance {found}")).await;
        let indices = numbers(&session, &format!("SELECT base_id {found}")).await;
        let (want_distances, want_indices) = golden(&session, &case["outputs"]).await;
        let tolerance = |name: &str| case["tol"][name].as_f64().unwrap();
        assert_eq!(distances.len(), want_distances.len(), "{}", case["id"]);
        for (got, want) in distances.iter().zip(&want_distances) {
            let allowed = tolerance("atol") + tolerance("rtol") * want.abs();
            assert!(
                (got - want).abs() <= allowed,
                "{}: {got}, not {want}",
                case["id"]
            );
        }
        let f32 = case["inputs"]["x"]["array"] == "X32";
        if case["ties"] != true && !f32 {
            assert_eq!(indices, want_indices, "{}", case["id"]);
        }
        compared += 1;
    }
    assert_eq!(compared, 26);
}

/// The distances and indices of a case, one after the other; within a radius scikit-learn does not sort.
async fn golden(session: &Session, outputs: &Value) -> (Vec<f64>, Vec<f64>) {
    let array = async |key: &Value| {
        let key = key["array"].as_str().unwrap();
        let sql = format!(
            "SELECT unnest(coalesce(f64, arrow_cast(f32, 'List(Float64)'), arrow_cast(i64, 'List(Float64)')))
             FROM '{GOLDEN}/arrays.parquet' WHERE key = '{key}'"
        );
        numbers(session, &sql).await
    };
    let Some(queries) = outputs["distances"].as_array() else {
        return (
            array(&outputs["distances"]).await,
            array(&outputs["indices"]).await,
        );
    };
    let mut found = (vec![], vec![]);
    for (query, distances) in queries.iter().enumerate() {
        let distances = array(distances).await.into_iter();
        let indices = array(&outputs["indices"][query]).await;
        let mut pairs: Vec<_> = distances.zip(indices).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.0.extend(pairs.iter().map(|pair| pair.0));
        found.1.extend(pairs.iter().map(|pair| pair.1));
    }
    found
}

/// Vectors of one width, some of them missing or with a missing element.
type Vectors = Vec<Option<Vec<Option<f32>>>>;

#[derive(Debug, Clone)]
struct Case {
    metric: &'static str,
    k: usize,
    queries: Vectors,
    base: Vectors,
    threads: usize,
    batch: usize,
}

fn vectors(most: usize) -> impl Strategy<Value = Vectors> {
    let element = prop_oneof![
        30 => (-2i8..3).prop_map(|x| Some(f32::from(x))),
        30 => (-1f32..1.0).prop_map(Some),
        1 => Just(None),
        1 => Just(Some(f32::NAN)),
    ];
    let zero = Just(Some(vec![Some(0.0); 3]));
    let vector = prop_oneof![8 => prop::collection::vec(element, 3).prop_map(Some), 1 => zero, 1 => Just(None)];
    prop::collection::vec(vector, 0..most)
}

fn case() -> impl Strategy<Value = Case> {
    let metrics = [
        "cosine",
        "l2",
        "sqeuclidean",
        "l1",
        "correlation",
        "inner_product",
    ];
    let shape = (
        prop::sample::select(metrics.to_vec()),
        1usize..8,
        1usize..6,
        1usize..12,
    );
    (shape, vectors(8), vectors(40)).prop_map(|((metric, k, threads, batch), queries, base)| Case {
        metric,
        k,
        queries,
        base,
        threads,
        batch,
    })
}

/// A table of batches of `size` rows: `id`, a `word` that several rows share, and the vectors.
fn table(vectors: &Vectors, size: usize, reversed: bool) -> Arc<MemTable> {
    let mut rows: Vec<usize> = (0..vectors.len()).collect();
    if reversed {
        rows.reverse();
    }
    let batch = |rows: &[usize]| {
        let values = rows.iter().flat_map(|row| match &vectors[*row] {
            Some(vector) => vector.clone(),
            None => vec![],
        });
        let values: Float32Array = values.collect();
        let lengths = rows
            .iter()
            .map(|row| vectors[*row].as_ref().map_or(0, Vec::len));
        let nulls: Vec<bool> = rows.iter().map(|row| vectors[*row].is_some()).collect();
        let list = ListArray::new(
            Arc::new(Field::new_list_field(DataType::Float32, true)),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(values),
            Some(NullBuffer::from(nulls)),
        );
        let column = |of: fn(i64) -> i64| -> ArrayRef {
            let values = rows.iter().map(|row| of(*row as i64));
            Arc::new(Int64Array::from_iter_values(values))
        };
        let columns: [(&str, ArrayRef); 3] = [
            ("word", column(|row| row % 3)),
            ("id", column(|row| row)),
            ("v", Arc::new(list)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap()
    };
    let schema = batch(&[]).schema();
    let batches: Vec<RecordBatch> = rows.chunks(size).map(batch).collect();
    Arc::new(MemTable::try_new(schema, vec![batches]).unwrap())
}

async fn answer(case: &Case, threads: usize, batch: usize, reversed: bool, sql: &str) -> String {
    let session = session(threads).await;
    let context = session.context();
    let set = format!("SET datafusion.execution.batch_size = {batch}");
    rows(&session, &set).await;
    let tables = [("q", &case.queries), ("b", &case.base)];
    for (name, vectors) in tables {
        let table = table(vectors, batch, reversed);
        context.register_table(name, table).unwrap();
    }
    pretty_format_batches(&rows(&session, sql).await)
        .unwrap()
        .to_string()
}

/// What `knn` must give: all pairs, sorted.
fn by_sorting(case: &Case) -> String {
    let function = match case.metric {
        "inner_product" => "-inner_product",
        "l2" => "l2_distance",
        "l1" => "l1_distance",
        "correlation" => "correlation_distance",
        "sqeuclidean" => "sqeuclidean_distance",
        _ => "cosine_distance",
    };
    format!(
        "SELECT id, base_id, rank, distance + 0.0 AS distance FROM (
           SELECT id, base_id, distance, row_number() OVER (PARTITION BY id ORDER BY distance, word, base_id) AS rank
           FROM (SELECT q.id, b.word, b.id AS base_id, {function}(b.v, q.v) + 0.0 AS distance
                 FROM q CROSS JOIN b) AS pairs
           WHERE distance IS NOT NULL AND NOT isnan(distance)) AS ranked
         WHERE rank <= {} ORDER BY id, rank",
        case.k
    )
}

fn by_knn(case: &Case) -> String {
    format!(
        "SELECT id, base_id, CAST(rank AS BIGINT UNSIGNED) AS rank, distance
         FROM knn((SELECT id, v FROM q), (SELECT word, id, v FROM b), k => {}, metric => '{}') ORDER BY id, rank",
        case.k, case.metric
    )
}

#[test]
fn the_nearest_are_the_first_of_all_sorted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner = TestRunner::new(Config::with_cases(40));
    let law = |case: Case| {
        runtime.block_on(async {
            let wanted = answer(&case, 1, 100, false, &by_sorting(&case)).await;
            let sql = by_knn(&case);
            let whole = answer(&case, 1, 100, false, &sql).await;
            let parts = answer(&case, case.threads, case.batch, true, &sql).await;
            let strip = |text: &str| text.lines().skip(3).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(strip(&whole), strip(&wanted));
            prop_assert_eq!(whole, parts);
            Ok(())
        })
    };
    runner.run(&case(), law).unwrap();
}

/// The logical and the physical plan, as text.
async fn plans(session: &Session, sql: &str) -> String {
    let rows = rows(session, &format!("EXPLAIN FORMAT INDENT {sql}")).await;
    pretty_format_batches(&rows).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_say_how_neighbours_are_found() {
    let session = session(2).await;
    let create = "CREATE TABLE words AS SELECT id AS word, [id, 1] AS v FROM generate_series(1, 20000) AS t(id)";
    rows(&session, create).await;
    // A second file, for a second partition.
    rows(&session, "INSERT INTO words SELECT word, v FROM words").await;
    let knn = "SELECT word FROM knn((SELECT [0, 1] AS v), (SELECT word, v FROM words), k => 10, radius => 0.5) AS n WHERE rank = 1";
    let plan = plans(&session, knn).await;
    for part in [
        "Knn: k=10, metric=cosine, radius=0.5",
        "KnnExec: k=10, metric=cosine, radius=0.5",
    ] {
        assert!(plan.contains(part), "{plan}");
    }
    // One pass that keeps the first three of each partition, and merges these.
    let plan = plans(
        &session,
        "SELECT word FROM words ORDER BY l2_distance(v, [0, 1]) LIMIT 3",
    )
    .await;
    for part in [
        "SortPreservingMergeExec",
        "SortExec: TopK(fetch=3)",
        "preserve_partitioning=[true]",
    ] {
        assert!(plan.contains(part), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_asked_for() {
    let settings = Settings {
        memory_limit: Some(30 << 20),
        threads: Some(2),
        ..Settings::default()
    };
    let session = Session::open(settings).await.unwrap();
    rows(&session, "SET datafusion.execution.batch_size = 100").await;
    let wide =
        "(SELECT id, array_repeat(id::float, 20000) AS v FROM generate_series(1, 1000) AS t(id))";
    let one = "(SELECT 1 AS id, array_repeat(1::float, 20000) AS v)";
    // Neither a sort with a limit holds its rows, nor `knn` its base; queries are held.
    let sorted = format!(
        "SELECT id FROM {wide} AS wide ORDER BY l2_distance(v, array_repeat(3::float, 20000)) LIMIT 1"
    );
    assert_eq!(numbers(&session, &sorted).await, [3.0]);
    let sql = format!("SELECT count(*) FROM knn({one}, {wide}, k => 3, metric => 'l2')");
    assert_eq!(numbers(&session, &sql).await, [3.0]);
    let sql = format!("SELECT count(*) FROM knn({wide}, {one}, k => 3, metric => 'l2')");
    let error = match session.sql(&sql).await {
        Ok(answer) => answer.stream.try_collect::<Vec<_>>().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("knn"), "{error}");
}
