//! `CREATE INDEX`: what queries through an index give, beside what they give without.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeListBuilder, Float32Builder, Int64Array, RecordBatch,
};
use arrow::datatypes::{Float64Type, Int64Type};
use futures::TryStreamExt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use voxql::session::{Session, Settings};

const DIMENSION: usize = 24;

/// Numbers from -1 to 1, more of them near 0; always the same ones.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        let mut uniform = || {
            self.0 = (self.0.wrapping_mul(6_364_136_223_846_793_005))
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        uniform() + uniform()
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| self.next()).collect()
    }
}

/// Overlapping clusters: members are as far from their centre as centres from each other.
fn clustered(n: usize, seed: u64) -> Vec<Option<Vec<f32>>> {
    let mut centres = Noise(1);
    let centres: Vec<_> = (0..40).map(|_| centres.vector()).collect();
    let mut noise = Noise(seed);
    let around = |i: usize| {
        let vector = noise.vector();
        centres[i * 7 % 40]
            .iter()
            .zip(vector)
            .map(|(c, x)| c + x)
            .collect()
    };
    (0..n).map(around).map(Some).collect()
}

fn column(vectors: &[Option<Vec<f32>>]) -> ArrayRef {
    let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), DIMENSION as i32);
    for vector in vectors {
        match vector {
            Some(vector) => builder.values().append_slice(vector),
            None => builder.values().append_nulls(DIMENSION),
        }
        builder.append(vector.is_some());
    }
    Arc::new(builder.finish())
}

async fn open(db: Option<&Path>, threads: usize) -> Session {
    let settings = Settings {
        db: db.map(Path::to_path_buf),
        threads: Some(threads),
        ..Settings::default()
    };
    Session::open(settings).await.unwrap()
}

/// `rows` as a table of the session only: id from `first`, `part` of ten, and the vector.
fn register(session: &Session, name: &str, vectors: &[Option<Vec<f32>>], first: i64) {
    let ids = || first..first + vectors.len() as i64;
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(ids()));
    let part: ArrayRef = Arc::new(Int64Array::from_iter_values(ids().map(|id| id * 7 % 10)));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("id", id, false),
        ("part", part, false),
        ("emb", column(vectors), true),
    ]);
    session
        .context()
        .register_batch(name, batch.unwrap())
        .unwrap();
}

async fn create_table(session: &Session, vectors: &[Option<Vec<f32>>]) {
    register(session, "rows", vectors, 0);
    run(
        session,
        "CREATE OR REPLACE TABLE t AS SELECT * FROM rows ORDER BY id",
    )
    .await;
}

async fn run(session: &Session, sql: &str) -> Vec<RecordBatch> {
    try_run(session, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn try_run(session: &Session, sql: &str) -> datafusion::error::Result<Vec<RecordBatch>> {
    session.sql(sql).await?.stream.try_collect().await
}

/// The ids and distances of a query of these two columns.
async fn found(session: &Session, sql: &str) -> Vec<(i64, Option<f64>)> {
    let mut rows = Vec::new();
    for batch in run(session, sql).await {
        let ids = batch
            .column(0)
            .as_primitive::<Int64Type>()
            .values()
            .to_vec();
        rows.extend(
            ids.into_iter()
                .zip(batch.column(1).as_primitive::<Float64Type>()),
        );
    }
    rows
}

async fn text(session: &Session, sql: &str) -> String {
    let batches = run(session, sql).await;
    arrow::util::pretty::pretty_format_batches(&batches)
        .unwrap()
        .to_string()
}

fn literal(vector: &[f32]) -> String {
    let numbers: Vec<_> = vector.iter().map(|x| format!("{x:?}")).collect();
    format!("[{}]", numbers.join(", "))
}

fn nearest(query: &[f32], k: usize) -> String {
    let query = literal(query);
    format!("SELECT id, cosine_distance(emb, {query}) AS d FROM t ORDER BY d LIMIT {k}")
}

async fn uses_index(session: &Session, sql: &str) -> bool {
    text(session, &format!("EXPLAIN {sql}"))
        .await
        .contains("HnswExec")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recall_and_the_same_distances() {
    let session = open(None, 2).await;
    create_table(&session, &clustered(5_000, 2)).await;
    for (metric, distance, order) in [
        ("cosine", "cosine_distance", "ASC"),
        ("l2", "l2_distance", "ASC"),
        ("inner_product", "inner_product", "DESC"),
    ] {
        run(
            &session,
            &format!("CREATE INDEX i ON t USING hnsw (emb) WITH (metric = '{metric}')"),
        )
        .await;
        let mut hits = 0;
        for (i, query) in clustered(40, 3).into_iter().flatten().enumerate() {
            let query = literal(&query);
            // Either order of the arguments.
            let call = match i % 2 {
                0 => format!("{distance}(emb, {query})"),
                _ => format!("{distance}({query}, emb)"),
            };
            let sql = format!("SELECT id, {call} AS d FROM t ORDER BY d {order} LIMIT 10");
            assert!(i > 1 || uses_index(&session, &sql).await, "{sql}");
            let got = found(&session, &sql).await;
            run(&session, "SET voxql.use_index = false").await;
            assert!(!uses_index(&session, &sql).await);
            let all = format!("SELECT id, {call} AS d FROM t ORDER BY d {order}");
            let exact = found(&session, &all).await;
            run(&session, "SET voxql.use_index = true").await;
            assert_eq!(got.len(), 10);
            let distances: HashMap<i64, Option<f64>> = exact.iter().copied().collect();
            assert!(got.iter().all(|(id, d)| distances[id] == *d), "{metric}");
            hits += got.iter().filter(|row| exact[..10].contains(row)).count();
        }
        assert!(hits >= 388, "{metric}: {hits} of 400");
        run(&session, "DROP INDEX i").await;
    }
}

/// Of few rows an index looks at all: the answers are equal to the last row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_nan_zero_and_equal_vectors() {
    let session = open(None, 2).await;
    let mut vectors = clustered(300, 4);
    for i in 0..20 {
        vectors[i * 3] = None;
        vectors[i * 5 + 1] = vectors[100].clone();
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 0.0][i % 5];
        vectors[i * 7 + 2] = match special {
            0.0 => Some(vec![0.0; DIMENSION]),
            special => vectors[i].clone().map(|mut vector| {
                vector[i] = special;
                vector
            }),
        };
    }
    create_table(&session, &vectors).await;
    let query = literal(vectors[100].as_ref().unwrap());
    let zero = literal(&[0.0; DIMENSION]);
    let nan = format!("make_array({})", vec!["'NaN'::REAL"; DIMENSION].join(", "));
    let null = "NULL::REAL[]".to_string();
    for (metric, distance, directions) in [
        (
            "cosine",
            "cosine_distance",
            ["ASC NULLS LAST", "ASC NULLS FIRST"],
        ),
        ("l2", "l2_distance", ["ASC NULLS LAST", "ASC NULLS FIRST"]),
        (
            "inner_product",
            "inner_product",
            ["DESC NULLS LAST", "DESC NULLS FIRST"],
        ),
    ] {
        run(
            &session,
            &format!("CREATE INDEX i ON t USING hnsw (emb) WITH (metric = '{metric}')"),
        )
        .await;
        for query in [&query, &zero, &nan, &null] {
            for direction in directions {
                for (filter, limit) in [
                    ("", "LIMIT 7"),
                    ("", "LIMIT 25 OFFSET 3"),
                    ("", "LIMIT 290"),
                    ("", "LIMIT 1000"),
                    ("WHERE part < 3", "LIMIT 30"),
                    ("WHERE part < 3 AND id > 250", "LIMIT 30"),
                    ("WHERE part > 10", "LIMIT 5"),
                ] {
                    let sql = format!(
                        "SELECT id, {distance}(emb, {query}) AS d FROM t {filter} ORDER BY d {direction}, id {limit}"
                    );
                    assert!(
                        uses_index(&session, &sql).await || query == &null,
                        "{metric} {direction} {filter}"
                    );
                    let show = |rows: Vec<(i64, Option<f64>)>| format!("{rows:?}");
                    let got = show(found(&session, &sql).await);
                    run(&session, "SET voxql.use_index = false").await;
                    let exact = show(found(&session, &sql).await);
                    run(&session, "SET voxql.use_index = true").await;
                    assert_eq!(got, exact, "{metric} {direction} {filter} {limit}");
                }
            }
        }
        run(&session, "DROP INDEX i").await;
    }
}

/// Never fewer rows than without an index, all of them pass, and they are in order.
#[test]
fn filters_never_lose_rows() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let session = runtime.block_on(async {
        let session = open(None, 2).await;
        create_table(&session, &clustered(4_000, 5)).await;
        run(
            &session,
            "CREATE INDEX i ON t USING hnsw (emb) WITH (m = 8, ef_construction = 40)",
        )
        .await;
        register(&session, "more", &clustered(100, 6), 4_000);
        run(&session, "INSERT INTO t SELECT * FROM more").await;
        session
    });
    let mut runner = TestRunner::new(ProptestConfig::with_cases(60));
    let cases = (
        0i64..11,
        0i64..4_200,
        1usize..200,
        0usize..20,
        1usize..150,
        any::<u64>(),
    );
    let result = runner.run(&cases, |(part, id, k, offset, ef, seed)| {
        let query = literal(clustered(1, seed)[0].as_ref().unwrap());
        let filter = format!("part < {part} AND id >= {id}");
        let sql = format!(
            "SELECT id, cosine_distance(emb, {query}) AS d FROM t WHERE {filter} ORDER BY d LIMIT {k} OFFSET {offset}"
        );
        runtime.block_on(async {
            run(&session, &format!("SET voxql.ef_search = {ef}")).await;
            assert!(uses_index(&session, &sql).await);
            let got = found(&session, &sql).await;
            let passing: Vec<i64> = (id..4_100).filter(|id| id * 7 % 10 < part).collect();
            assert_eq!(got.len(), passing.len().saturating_sub(offset).min(k), "{filter}");
            assert!(got.iter().all(|(id, _)| passing.contains(id)));
            assert!(got.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        });
        Ok(())
    });
    result.unwrap();
}

/// `knn` of a base with an index: the same rows where the index looks at all, nearly the same where it does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn knn_uses_the_index_of_its_base() {
    for (rows, least) in [(700, 200), (3_000, 190)] {
        let session = open(None, 2).await;
        let mut vectors = clustered(rows, 13);
        vectors[5] = None;
        vectors[6] = Some(vec![f32::NAN; DIMENSION]);
        create_table(&session, &vectors).await;
        register(&session, "queries", &clustered(20, 14), 0);
        run(&session, "CREATE INDEX i ON t USING hnsw (emb)").await;
        for filter in ["", "WHERE part < 7 AND id > 20"] {
            let sql = format!(
                "SELECT id * 10000 + base_id AS pair, distance
                 FROM knn((SELECT id, emb FROM queries), (SELECT emb, id FROM t {filter}), k => 10) ORDER BY 1"
            );
            assert!(uses_index(&session, &sql).await, "{sql}");
            let got = found(&session, &sql).await;
            run(&session, "SET voxql.use_index = false").await;
            assert!(!uses_index(&session, &sql).await);
            let exact = found(&session, &sql).await;
            run(&session, "SET voxql.use_index = true").await;
            assert_eq!((got.len(), exact.len()), (200, 200));
            let hits = got.iter().filter(|row| exact.contains(row)).count();
            assert!(hits >= least, "{rows} rows {filter}: {hits} of 200");
        }
        let others = "SELECT id, distance FROM knn((SELECT id, emb FROM queries), (SELECT id AS b, emb FROM t), k => 3, metric => 'l1')";
        assert!(!uses_index(&session, others).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_what_is_asked_and_when_it_is_not() {
    let session = open(None, 2).await;
    create_table(&session, &clustered(50, 15)).await;
    run(
        &session,
        "CREATE INDEX near ON t USING hnsw (emb vector_l2_ops)",
    )
    .await;
    run(
        &session,
        "CREATE VIEW v AS SELECT id, part, emb AS vector FROM t WHERE part < 8",
    )
    .await;
    let query = literal(&clustered(1, 16)[0].clone().unwrap());
    for (sql, asked) in [
        (
            format!("SELECT id FROM t ORDER BY l2_distance(emb, {query}) LIMIT 3"),
            "k=3, ef_search=100, rows=50\n",
        ),
        (
            format!(
                "SELECT id FROM t ORDER BY l2_distance({query}, emb), id DESC LIMIT 3 OFFSET 4"
            ),
            "k=7, ",
        ),
        (
            format!("SELECT id FROM t ORDER BY 1 - l2_distance(emb, {query}) DESC LIMIT 3"),
            "k=3, ",
        ),
        (
            format!("SELECT id, emb <-> {query} AS d FROM t ORDER BY 2 LIMIT 3"),
            "k=3, ",
        ),
        (
            format!(
                "SELECT d FROM (SELECT l2_distance(vector, {query}) AS d, id FROM v) AS s WHERE id > 3 ORDER BY d LIMIT 3"
            ),
            "filter=",
        ),
    ] {
        let plan = text(&session, &format!("EXPLAIN {sql}")).await;
        let plan: String = plan
            .lines()
            .map(|line| format!("{}\n", line.trim_end_matches(['|', ' '])))
            .collect();
        let begin = "HnswExec: index=near, table=t, column=emb, metric=l2, ";
        let (_, shown) = plan
            .split_once(begin)
            .unwrap_or_else(|| panic!("{sql}\n{plan}"));
        assert!(
            shown
                .lines()
                .next()
                .unwrap_or_default()
                .contains(asked.trim_end()),
            "{sql}\n{plan}"
        );
    }
    for sql in [
        format!("SELECT id FROM t ORDER BY 1 - l2_distance(emb, {query}) LIMIT 3"),
        format!("SELECT id FROM t ORDER BY l2_distance(emb, {query}) DESC LIMIT 3"),
        format!("SELECT id FROM t ORDER BY l2_distance(emb, {query})"),
        format!("SELECT id FROM t ORDER BY cosine_distance(emb, {query}) LIMIT 3"),
        format!("SELECT id FROM t ORDER BY id, l2_distance(emb, {query}) LIMIT 3"),
        "SELECT id FROM t ORDER BY l2_distance(emb, emb) LIMIT 3".to_string(),
        format!("SELECT id FROM t WHERE random() < 0.5 ORDER BY l2_distance(emb, {query}) LIMIT 3"),
        format!("SELECT part FROM t GROUP BY part ORDER BY min(l2_distance(emb, {query})) LIMIT 3"),
        format!("SELECT id FROM rows ORDER BY l2_distance(emb, {query}) LIMIT 3"),
    ] {
        assert!(!uses_index(&session, &sql).await, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inserts_restarts_and_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let vectors = clustered(1_000, 7);
    let query = nearest(vectors[3].as_ref().unwrap(), 3);
    let session = open(Some(&db), 2).await;
    create_table(&session, &vectors).await;
    run(&session, "CREATE INDEX i ON t USING hnsw (emb)").await;
    assert_eq!(found(&session, &query).await[0].0, 3);

    // A nearer row that the index does not have.
    register(&session, "more", &vectors[3..5], 5_000);
    run(&session, "INSERT INTO t SELECT * FROM more").await;
    let got = found(&session, &query).await;
    assert!(got[..2].iter().any(|row| row.0 == 5_000), "{got:?}");
    let shown = text(&session, "SHOW INDEXES").await;
    let cells: Vec<&str> = shown
        .lines()
        .nth(3)
        .unwrap()
        .split('|')
        .map(str::trim)
        .collect();
    assert_eq!(
        cells[1..9],
        ["i", "t", "emb", "cosine", "16", "200", "1000", "2"],
        "{shown}"
    );

    drop(session);
    let session = open(Some(&db), 2).await;
    assert!(uses_index(&session, &query).await);
    assert_eq!(found(&session, &query).await, got);

    // The same number of rows, other vectors.
    create_table(&session, &clustered(1_000, 8)).await;
    assert!(!uses_index(&session, &query).await);
    assert!(
        text(&session, "SHOW INDEXES")
            .await
            .contains("the table has other data")
    );
    run(
        &session,
        "DROP INDEX i; CREATE INDEX i ON t USING hnsw (emb)",
    )
    .await;
    assert!(uses_index(&session, &query).await);

    run(&session, "DROP TABLE t").await;
    assert_eq!(
        run(&session, "SHOW INDEXES")
            .await
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thread_makes_the_same_index_again() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let session = open(Some(&db), 1).await;
    create_table(&session, &clustered(1_000, 9)).await;
    for name in ["a", "b"] {
        run(
            &session,
            &format!("CREATE INDEX {name} ON t USING hnsw (emb)"),
        )
        .await;
    }
    for file in ["graph.bin", "vectors.f32"] {
        let bytes = |name: &str| std::fs::read(db.join("indexes").join(name).join(file)).unwrap();
        assert!(bytes("a") == bytes("b"), "{file}");
    }
}

/// A changed, cut off, or missing file: exact search answers, and the index can be made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let vectors = clustered(2_000, 10);
    let sql = nearest(vectors[11].as_ref().unwrap(), 10);
    let session = open(Some(&db), 2).await;
    create_table(&session, &vectors).await;
    let exact = found(&session, &sql).await;
    run(&session, "CREATE INDEX i ON t USING hnsw (emb)").await;
    let index = db.join("indexes/i");
    for name in ["index.json", "graph.bin", "vectors.f32"] {
        let file = index.join(name);
        let whole = std::fs::read(&file).unwrap();
        let mut damages: Vec<Option<Vec<u8>>> =
            vec![None, Some(vec![]), Some(whole[..whole.len() / 2].to_vec())];
        for i in 0..24 {
            let mut bytes = whole.clone();
            bytes[(whole.len() - 1) * i / 23] ^= 1 << (i % 8);
            damages.push(Some(bytes));
        }
        for damage in damages {
            match &damage {
                Some(bytes) => std::fs::write(&file, bytes).unwrap(),
                None => std::fs::remove_file(&file).unwrap(),
            }
            // A session that has not read it yet.
            let session = open(Some(&db), 2).await;
            assert_eq!(found(&session, &sql).await, exact, "{name}");
        }
        std::fs::write(&file, &whole).unwrap();
    }
    std::fs::write(index.join("index.json"), "{").unwrap();
    assert!(text(&session, "SHOW INDEXES").await.contains("damaged"));
    run(
        &session,
        "DROP INDEX i; CREATE INDEX i ON t USING hnsw (emb)",
    )
    .await;
    assert!(uses_index(&session, &sql).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let session = open(Some(&db), 2).await;
    create_table(&session, &clustered(5_000, 11)).await;
    drop(session);
    let settings = Settings {
        db: Some(db.clone()),
        threads: Some(2),
        memory_limit: Some(200_000),
        ..Settings::default()
    };
    let session = Session::open(settings).await.unwrap();
    let error = try_run(&session, "CREATE INDEX i ON t USING hnsw (emb)")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("CREATE INDEX i"), "{error}");
    assert_eq!(std::fs::read_dir(db.join("indexes")).unwrap().count(), 0);
    drop(session);
    // Made elsewhere, it is not used where there is no memory for it.
    run(
        &open(Some(&db), 2).await,
        "CREATE INDEX i ON t USING hnsw (emb)",
    )
    .await;
    let sql = nearest(clustered(1, 12)[0].as_ref().unwrap(), 5);
    let exact = found(&open(Some(&db), 2).await, &sql).await;
    assert_eq!(exact.len(), 5);
}
