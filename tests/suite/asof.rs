//! ASOF JOIN through SQL: against pandas `merge_asof` (golden/textalign), and against the
//! definition, for inputs of every kind.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::prelude::col;
use futures::TryStreamExt;
use proptest::prelude::*;
use serde_json::Value;
use voxql::session::{Session, Settings};

async fn open(threads: usize, memory_limit: Option<usize>) -> Session {
    let settings = Settings {
        memory_limit,
        threads: Some(threads),
        ..Settings::default()
    };
    Session::open(settings).await.unwrap()
}

async fn query(session: &Session, sql: &str) -> RecordBatch {
    let answer = session
        .sql(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e}"));
    let schema = answer.stream.schema();
    let batches: Vec<_> = answer.stream.try_collect().await.unwrap();
    concat_batches(&schema, &batches).unwrap()
}

/// The plan as text.
async fn explain(session: &Session, sql: &str) -> String {
    let plan = query(session, &format!("EXPLAIN {sql}")).await;
    plan.column(1).as_string::<i32>().iter().flatten().collect()
}

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

/// A table that is sorted by run and time and says so: then rows at the same time keep the
/// order in which pandas sees them.
fn register(session: &Session, table: &str, run: Vec<i64>, time: Vec<f64>) {
    let mut rows: Vec<usize> = (0..time.len()).collect();
    rows.sort_by(|&a, &b| run[a].cmp(&run[b]).then(time[a].total_cmp(&time[b])));
    let batch = RecordBatch::try_from_iter([
        (
            "i",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|&i| i as i64))) as ArrayRef,
        ),
        (
            "run",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|&i| run[i]))),
        ),
        (
            "time",
            Arc::new(Float64Array::from_iter_values(
                rows.iter().map(|&i| time[i]),
            )),
        ),
    ])
    .unwrap();
    let order = ["run", "time"].map(|c| col(c).sort(true, false)).to_vec();
    let provider = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    let provider = Arc::new(provider.with_sort_order(vec![order]));
    session.context().register_table(table, provider).unwrap();
}

#[tokio::test]
async fn equals_pandas_merge_asof() {
    let cases = Path::new("../shared/golden/textalign/cases.json");
    let Ok(text) = std::fs::read_to_string(cases) else {
        note!("skipped: no golden data at {}", cases.display());
        return;
    };
    let golden: Value = serde_json::from_str(&text).unwrap();
    let cases = golden["cases"].as_array().unwrap().iter();
    let mut compared = 0;
    for case in cases.filter(|case| case["function"] == "merge_asof") {
        let params = &case["params"];
        let exact = params["allow_exact_matches"] != false;
        let tolerance = params["tolerance"].as_f64();
        let limit = |difference: &str| match tolerance {
            Some(seconds) => format!(" AND {difference} <= {seconds:?}"),
            None => String::new(),
        };
        let condition = match params["direction"].as_str().unwrap() {
            "backward" => {
                let op = if exact { ">=" } else { ">" };
                format!("a.time {op} b.time{}", limit("a.time - b.time"))
            }
            "forward" => {
                let op = if exact { "<=" } else { "<" };
                format!("a.time {op} b.time{}", limit("b.time - a.time"))
            }
            "nearest" => {
                let tolerance = tolerance.map(|t| format!(", tolerance => {t:?}"));
                let tolerance = tolerance.unwrap_or_default();
                format!("nearest(a.time, b.time{tolerance}, exact => {exact})")
            }
            other => panic!("{other}"),
        };
        let left = numbers(&case["inputs"]["left"]);
        let right = numbers(&case["inputs"]["right"]);
        let left_by = groups(&case["inputs"]["left_by"], left.len());
        let right_by = groups(&case["inputs"]["right_by"], right.len());
        for threads in [1, 3] {
            let session = open(threads, None).await;
            register(&session, "a", left_by.clone(), left.clone());
            register(&session, "b", right_by.clone(), right.clone());
            let sql = format!(
                "SELECT b.i FROM a ASOF JOIN b MATCH_CONDITION ({condition}) ON a.run = b.run ORDER BY a.i"
            );
            let found = query(&session, &sql).await;
            let found = found.column(0).as_primitive::<Int64Type>().iter();
            let found: Vec<f64> = found.map(|i| i.unwrap_or(-1) as f64).collect();
            assert_eq!(found, numbers(&case["outputs"]["index"]), "{}", case["id"]);
        }
        note!(
            "merge_asof {}: equal, {condition}",
            case["id"].as_str().unwrap()
        );
        compared += 1;
    }
    assert_eq!(compared, 26);
}

/// Two keys and a time.
type Row = (Option<i64>, Option<i64>, Option<f64>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = || prop_oneof![8 => (0i64..3).prop_map(Some), 1 => Just(None)];
    // A step in binary fractions: every time is exact, and so is every difference.
    let time = prop_oneof![
        12 => (-6i64..7).prop_map(|k| Some(k as f64 * 0.5)),
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(-f64::NAN)),
        1 => Just(Some(-0.0)),
    ];
    prop::collection::vec((key(), key(), time), 0..40)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    None,
    Number,
    Text,
    Two,
}

#[derive(Debug, Clone)]
struct Case {
    left: Vec<Row>,
    right: Vec<Row>,
    keys: Keys,
    condition: usize,
    tolerance: Option<u8>,
    threads: usize,
    batch: usize,
    /// Declared to be sorted, so that DataFusion sorts nothing.
    sorted: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let keys = prop_oneof![
        Just(Keys::None),
        Just(Keys::Number),
        Just(Keys::Text),
        Just(Keys::Two)
    ];
    let tolerance = prop::option::of(0u8..5);
    let threads = prop_oneof![Just(1), Just(4)];
    let inputs = (rows(), rows(), keys, 0usize..6, tolerance);
    (inputs, threads, 1usize..12, any::<bool>()).prop_map(|(inputs, threads, batch, sorted)| {
        let (left, right, keys, condition, tolerance) = inputs;
        Case {
            left,
            right,
            keys,
            condition,
            tolerance,
            threads,
            batch,
            sorted,
        }
    })
}

const CONDITIONS: [(&str, &str); 6] = [
    ("a.time >= b.time", "a.time - b.time"),
    ("b.time < a.time", "a.time - b.time"),
    ("a.time <= b.time", "b.time - a.time"),
    ("b.time > a.time", "b.time - a.time"),
    ("nearest(a.time, b.time{}, exact => true)", ""),
    ("nearest(b.time, a.time{}, exact => false)", ""),
];

impl Case {
    fn sql(&self) -> String {
        let (condition, difference) = CONDITIONS[self.condition];
        let seconds = self.tolerance.map(|half| f64::from(half) * 0.5);
        let condition = match seconds {
            Some(seconds) if difference.is_empty() => {
                condition.replace("{}", &format!(", tolerance => {seconds:?}"))
            }
            Some(seconds) => format!("{condition} AND {difference} <= {seconds:?}"),
            None => condition.replace("{}", ""),
        };
        let on = match self.keys {
            Keys::None => "",
            Keys::Number => "ON a.k = b.k",
            Keys::Text => "ON a.text = b.text",
            Keys::Two => "ON b.k = a.k AND a.l = b.l",
        };
        format!(
            "SELECT a.i, a.time, b.i AS j, b.time AS at FROM a ASOF JOIN b MATCH_CONDITION ({condition}) {on}"
        )
    }

    /// The keys that must be equal; None where one is NULL.
    fn key(&self, row: &Row) -> Option<(i64, i64)> {
        match self.keys {
            Keys::None => Some((0, 0)),
            Keys::Number | Keys::Text => row.0.map(|k| (k, 0)),
            Keys::Two => row.0.zip(row.1),
        }
    }

    /// For a left row the right one by the definition. Rows of a group stand in their order.
    fn defined(&self, left: &Row) -> Option<usize> {
        let time = left.2.filter(|t| !t.is_nan())?;
        let key = self.key(left)?;
        let candidates = self.right.iter().enumerate().filter_map(|(i, row)| {
            let at = row.2.filter(|t| !t.is_nan())?;
            let near = |half: u8| (at - time).abs() <= f64::from(half) * 0.5;
            (self.key(row) == Some(key) && self.tolerance.is_none_or(near)).then_some((at, i))
        });
        let order =
            |a: &(f64, usize), b: &(f64, usize)| a.0.partial_cmp(&b.0).unwrap().then(a.1.cmp(&b.1));
        let strict = self.condition % 2 == 1;
        let back = candidates
            .clone()
            .filter(|c| c.0 < time || (!strict && c.0 == time));
        let back = back.max_by(order);
        let ahead = candidates.filter(|c| c.0 > time || (!strict && c.0 == time));
        let ahead = ahead.min_by(order);
        let found = match self.condition / 2 {
            0 => back,
            1 => ahead,
            _ => match (back, ahead) {
                (Some(b), Some(a)) if time - b.0 <= a.0 - time => Some(b),
                (back, None) => back,
                (_, ahead) => ahead,
            },
        };
        found.map(|(_, i)| i)
    }

    fn sort(&mut self) {
        let keys = self.keys;
        let last = |k: Option<i64>| (k.is_none(), k);
        let order = |a: &Row, b: &Row| {
            let of = |row: &Row| match keys {
                Keys::None => ((false, None), (false, None)),
                Keys::Number | Keys::Text => (last(row.0), (false, None)),
                Keys::Two => (last(row.0), last(row.1)),
            };
            let time = |row: &Row| (row.2.is_none(), row.2.unwrap_or(0.0));
            let (a_time, b_time) = (time(a), time(b));
            let times = a_time.0.cmp(&b_time.0).then(a_time.1.total_cmp(&b_time.1));
            of(a).cmp(&of(b)).then(times)
        };
        self.left.sort_by(order);
        self.right.sort_by(order);
    }

    fn table(&self, rows: &[Row]) -> MemTable {
        let batch = |(at, rows): (usize, &[Row])| {
            let first = (at * self.batch) as i64;
            let text = rows.iter().map(|r| r.0.map(|k| format!("run {k}")));
            RecordBatch::try_from_iter_with_nullable([
                (
                    "i",
                    Arc::new(Int64Array::from_iter_values(
                        first..first + rows.len() as i64,
                    )) as ArrayRef,
                    false,
                ),
                (
                    "k",
                    Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
                    true,
                ),
                (
                    "l",
                    Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
                    true,
                ),
                ("text", Arc::new(text.collect::<StringArray>()), true),
                (
                    "time",
                    Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
                    true,
                ),
            ])
            .unwrap()
        };
        let batches: Vec<_> = rows.chunks(self.batch).enumerate().map(batch).collect();
        let schema: SchemaRef = batch((0, &[])).schema();
        if !self.sorted {
            // In two parts, out of order.
            let (even, odd): (Vec<_>, Vec<_>) = batches
                .into_iter()
                .enumerate()
                .partition(|(i, _)| i % 2 == 0);
            let part = |part: Vec<(usize, RecordBatch)>| part.into_iter().map(|b| b.1).collect();
            return MemTable::try_new(schema, vec![part(odd), part(even)]).unwrap();
        }
        let columns: &[&str] = match self.keys {
            Keys::None => &["time"],
            Keys::Number => &["k", "time"],
            Keys::Text => &["text", "time"],
            Keys::Two => &["k", "l", "time"],
        };
        let order = columns.iter().map(|c| col(*c).sort(true, false)).collect();
        let table = MemTable::try_new(schema, vec![batches]).unwrap();
        table.with_sort_order(vec![order])
    }

    async fn check(mut self) {
        if self.sorted {
            self.sort();
        }
        let session = open(self.threads, None).await;
        let context = session.context();
        context
            .register_table("a", Arc::new(self.table(&self.left)))
            .unwrap();
        context
            .register_table("b", Arc::new(self.table(&self.right)))
            .unwrap();
        let size = format!("SET datafusion.execution.batch_size = {}", self.batch);
        session.sql(&size).await.unwrap();
        let sql = self.sql();
        let plan = explain(&session, &sql).await;
        assert!(plan.contains("AsofJoinExec"), "{plan}");
        // DataFusion splits tables in memory, and sorts again, where there are more threads.
        let in_order = !plan.contains("SortExec");
        assert!(in_order || !self.sorted || self.threads > 1, "{plan}");
        let found = query(&session, &sql).await;
        let ids = found.column(0).as_primitive::<Int64Type>();
        let rights = found.column(2).as_primitive::<Int64Type>();
        let mut seen = vec![false; self.left.len()];
        for (id, right) in ids.iter().zip(rights) {
            let id = id.unwrap() as usize;
            assert!(!seen[id], "left row {id} came twice");
            seen[id] = true;
            let right = right.map(|j| j as usize);
            let defined = self.defined(&self.left[id]);
            if in_order {
                assert_eq!(right, defined, "{sql}: left row {id} in {self:?}");
            }
            // Which one of several at the same time, no order says.
            let time = |j: usize| self.right[j].2.map(|t| t + 0.0);
            let (got, want) = (right.map(time), defined.map(time));
            assert_eq!(got, want, "{sql}: left row {id} in {self:?}");
            let key = |j: usize| self.key(&self.right[j]);
            assert!(right.is_none_or(|j| key(j) == self.key(&self.left[id])));
        }
        assert!(
            seen.iter().all(|s| *s),
            "a left row is missing: {sql} in {self:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn equals_the_definition(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(case.check());
    }
}

/// With little memory the sorts spill and the answer is the same, or the error says that
/// memory was short.
#[tokio::test]
async fn little_memory() {
    let sql = "WITH a AS (SELECT value * 7919 % 300007 / 100.0 AS time, value % 5 AS run, value AS i \
                          FROM generate_series(1, 300000)),
                    b AS (SELECT value * 104729 % 300007 / 100.0 AS time, value % 5 AS run, value AS j \
                          FROM generate_series(1, 300000))
               SELECT count(*), count(j), sum(i * (j % 1000))
               FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time AND a.time - b.time <= 0.05) ON a.run = b.run";
    let whole = query(&open(2, None).await, sql).await;
    assert_eq!(
        whole.column(0).as_primitive::<Int64Type>().value(0),
        300_000
    );
    for (mebibytes, must_work) in [(1, false), (4, false), (16, false), (48, true)] {
        let session = open(2, Some(mebibytes << 20)).await;
        let answer = session.sql(sql).await.unwrap();
        let schema = answer.stream.schema();
        match answer.stream.try_collect::<Vec<_>>().await {
            Ok(batches) => assert_eq!(concat_batches(&schema, &batches).unwrap(), whole),
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains("Resources exhausted"), "{error}");
                assert!(!must_work, "{mebibytes} MiB: {error}");
            }
        }
    }
}

/// WHERE on the left side and on keys goes below the join, on the right side it stays above.
#[tokio::test]
async fn filters_and_columns_are_pushed_down() {
    let session = open(2, None).await;
    register(&session, "a", vec![1, 1, 2], vec![1.0, 2.0, 1.0]);
    register(&session, "b", vec![1, 2, 2], vec![0.5, 0.0, 0.9]);
    let sql = "SELECT a.i FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.run = b.run \
               WHERE a.run = 2 AND b.time < 0.5";
    let plan = explain(&session, sql).await;
    let (above, below) = plan.split_once("AsofJoin:").unwrap();
    assert!(above.contains("b.time < Float64(0.5)"), "{plan}");
    assert!(
        below.contains("a.run = Int64(2)") && below.contains("b.run = Int64(2)"),
        "{plan}"
    );
    assert!(!below.contains("b.time < "), "{plan}");
    assert!(
        below.contains("TableScan: b projection=[run, time]"),
        "{plan}"
    );
    // The last b of run 2 is at 0.9: an earlier one must not take its place.
    assert_eq!(query(&session, sql).await.num_rows(), 0);
}
