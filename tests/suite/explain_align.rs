//! `EXPLAIN ALIGN` tells the truth: on a linear path, the weights times the source rows'
//! values are the query's own number.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use futures::TryStreamExt;
use rstest::rstest;
use voxql::session::{Session, Settings};

async fn session() -> Session {
    let settings = Settings {
        threads: Some(2),
        ..Settings::default()
    };
    let session = Session::open(settings).await.unwrap();
    // Two runs of 40 TRs, samples at 5 per second with holes, and words.
    session
        .sql(
            "CREATE TABLE features AS
             SELECT subject, tr, tr * 1.49 AS time, sin(tr * 1.3 + run) AS x,
                    CASE WHEN tr % 7 <> 3 THEN cos(tr * 0.7) END AS gaps,
                    [sin(tr * 0.3), cos(tr * 2.1)] AS vector, 1.0 + tr % 3 AS w
             FROM generate_series(0, 39) AS g(tr),
                  (VALUES ('01', 1), ('02', 2)) AS s(subject, run);
             CREATE TABLE samples AS
             SELECT subject, i * 0.2 AS time, CASE WHEN i % 11 <> 4 THEN sin(i * 0.9) END AS level
             FROM generate_series(0, 299) AS g(i), (VALUES ('01'), ('02')) AS s(subject);
             CREATE TABLE words AS
             SELECT subject, i * 1.7 + 0.3 AS onset, CAST(i AS DOUBLE) * 1.5 AS surprise
             FROM generate_series(0, 30) AS g(i), (VALUES ('01'), ('02')) AS s(subject);
             CREATE VIEW binned AS
             SELECT subject, tr_index(time, tr => 1.49) AS tr, avg(level) AS level,
                    sum(level) AS total, max(level) AS highest,
                    first_value(level ORDER BY time DESC) AS newest
             FROM samples GROUP BY subject, tr",
        )
        .await
        .unwrap();
    session
}

async fn rows(session: &Session, sql: &str) -> RecordBatch {
    let answer = session.sql(sql).await;
    let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let schema = answer.stream.schema();
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await.unwrap();
    concat_batches(&schema, &batches).unwrap()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a dyn Array {
    let found = batch.column_by_name(name);
    found.unwrap_or_else(|| panic!("no column {name}")).as_ref()
}

/// Σ weight · value by column, None where a weight is missing.
fn weighted_sums(answer: &RecordBatch) -> BTreeMap<String, Option<f64>> {
    let names = column(answer, "column").as_string::<i32>().clone();
    let number = |name: &str| {
        let numbers = cast(column(answer, name), &DataType::Float64).unwrap();
        numbers.as_primitive::<Float64Type>().clone()
    };
    let (weights, values) = (number("weight"), number("value"));
    let mut sums: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for row in 0..answer.num_rows() {
        let sum = sums
            .entry(names.value(row).to_string())
            .or_insert(Some(0.0));
        *sum = match (weights.is_valid(row), values.is_valid(row)) {
            (true, true) => sum.map(|sum| sum + weights.value(row) * values.value(row)),
            _ => None,
        };
    }
    sums
}

#[rstest]
#[case::glover(
    "SELECT subject, tr, hrf_convolve(x, tr => 1.49) OVER (PARTITION BY subject ORDER BY tr) AS y FROM features"
)]
#[case::spm(
    "SELECT subject, tr, hrf_convolve(gaps, tr => 1.49, model => 'spm', oversampling => 16) OVER (PARTITION BY subject ORDER BY tr) AS y FROM features"
)]
#[case::scaled("SELECT subject, tr, -(2 * x + gaps / 4) - 1.5 AS y FROM features")]
#[case::cast("SELECT subject, tr, CAST(x AS FLOAT) + CAST(tr AS DOUBLE) AS y FROM features")]
#[case::element(
    "SELECT subject, tr, hrf_convolve(vector, tr => 1.49) OVER (PARTITION BY subject ORDER BY tr) AS y FROM (SELECT subject, tr, arrow_cast([x], 'FixedSizeList(1, Float32)') AS vector FROM features)"
)]
#[case::coalesced(
    "SELECT subject, tr, hrf_convolve(coalesce(gaps, 10.0), tr => 1.49) OVER (PARTITION BY subject ORDER BY tr) AS y FROM features"
)]
#[case::chosen(
    "SELECT subject, tr, CASE WHEN tr % 2 = 0 THEN x WHEN tr % 3 = 0 THEN gaps END AS y FROM features"
)]
#[case::lagged(
    "SELECT subject, tr, lag(x, 2) OVER w + lead(gaps) OVER w AS y FROM features WINDOW w AS (PARTITION BY subject ORDER BY tr)"
)]
#[case::moving(
    "SELECT subject, tr, avg(gaps) OVER (PARTITION BY subject ORDER BY tr ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS y FROM features"
)]
#[case::demeaned("SELECT subject, tr, x - avg(x) OVER (PARTITION BY subject) AS y FROM features")]
#[case::filled(
    "SELECT subject, tr, last_value(gaps) IGNORE NULLS OVER (PARTITION BY subject ORDER BY tr) AS y FROM features"
)]
#[case::bins("SELECT subject, tr, level, total, highest, newest FROM binned")]
#[case::bins_convolved(
    "SELECT subject, tr, hrf_convolve(level, tr => 1.49) OVER (PARTITION BY subject ORDER BY tr) AS y FROM binned"
)]
#[case::filtered(
    "SELECT subject, tr, avg(level) FILTER (WHERE level > 0) AS y FROM (SELECT subject, tr_index(time, tr => 1.49) AS tr, level FROM samples) GROUP BY subject, tr"
)]
#[case::joined(
    "SELECT f.subject, f.tr, f.x, b.level, hrf_convolve(b.level, tr => 1.49) OVER (PARTITION BY f.subject ORDER BY f.tr) AS y FROM features AS f LEFT JOIN binned AS b ON b.subject = f.subject AND b.tr = f.tr"
)]
#[case::using("SELECT subject, tr, x + level AS y FROM features JOIN binned USING (subject, tr)")]
#[case::cte(
    "WITH e AS (SELECT subject, tr, 2 * level AS z FROM binned WHERE level IS NOT NULL) SELECT e.subject, e.tr, e.z AS y FROM e ORDER BY e.tr LIMIT 1000"
)]
#[case::previous(
    "SELECT subject, tr, y FROM (SELECT subject, tr, interpolate(surprise, time, method => 'previous') OVER (PARTITION BY subject ORDER BY time) AS y FROM (SELECT subject, NULL AS tr, onset AS time, surprise FROM words UNION ALL SELECT subject, tr, time, NULL FROM features)) WHERE tr IS NOT NULL"
)]
#[case::nearest(
    "SELECT subject, tr, y FROM (SELECT subject, tr, interpolate(surprise, time, method => 'nearest', tolerance => 2) OVER (PARTITION BY subject ORDER BY time) AS y FROM (SELECT subject, NULL AS tr, onset AS time, surprise FROM words UNION ALL SELECT subject, tr, time, NULL FROM features)) WHERE tr IS NOT NULL"
)]
#[case::linear(
    "SELECT subject, tr, y FROM (SELECT subject, tr, interpolate(surprise, time, method => 'linear') OVER (PARTITION BY subject ORDER BY time) AS y FROM (SELECT subject, NULL AS tr, onset AS time, surprise FROM words UNION ALL SELECT subject, tr, time, NULL FROM features)) WHERE tr IS NOT NULL"
)]
#[case::distinct(
    "SELECT DISTINCT subject, tr, count(x) OVER (PARTITION BY subject, tr) * 1.0 AS y FROM features"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_times_values_are_the_querys_number(#[case] query: &str) {
    let session = session().await;
    let mut checked = 0;
    for tr in [0, 3, 17, 38] {
        let answer = rows(
            &session,
            &format!("EXPLAIN ALIGN (subject = '02', tr = {tr}) {query}"),
        )
        .await;
        let own = rows(
            &session,
            &format!("SELECT * FROM ({query}) WHERE subject = '02' AND tr = {tr}"),
        )
        .await;
        for (name, sum) in weighted_sums(&answer) {
            let value = column(&own, &name);
            let value = match value.data_type() {
                DataType::FixedSizeList(..) => value.as_fixed_size_list().value(0),
                DataType::List(_) => value.as_list::<i32>().value(0),
                _ => value.slice(0, 1),
            };
            let value = cast(&value, &DataType::Float64).unwrap();
            if value.is_null(0) {
                assert_eq!(sum, None, "{query}: {name} is NULL at TR {tr}");
                continue;
            }
            let value = value.as_primitive::<Float64Type>().value(0);
            let Some(sum) = sum else {
                // Nothing went in: only a response to nothing, which is 0, may say so.
                let went_in = column(&answer, "source").null_count() < answer.num_rows();
                assert!(
                    !went_in || query.contains("DISTINCT"),
                    "{query}: {name}, TR {tr}: no weights"
                );
                continue;
            };
            assert!(
                (sum - value).abs() <= 1e-6 * value.abs().max(1.0),
                "{query}: {name} at TR {tr} is {value}, its weights give {sum}"
            );
            checked += 1;
        }
    }
    println!("{checked} values: {query}");
    assert!(checked > 0 || query.contains("DISTINCT"));
}
