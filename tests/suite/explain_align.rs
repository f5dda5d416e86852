//! `EXPLAIN ALIGN` tells the truth: on a linear path, the weights times the source rows'
//! values are the query's own number.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, Float64Array, RecordBatch};
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
    // A column that would be empty is not there.
    let number = |name: &str| match answer.column_by_name(name) {
        Some(numbers) => cast(numbers, &DataType::Float64)
            .unwrap()
            .as_primitive::<Float64Type>()
            .clone(),
        None => Float64Array::new_null(answer.num_rows()),
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

/// The number of source rows of a column.
fn sources(answer: &RecordBatch, name: &str) -> usize {
    let names = column(answer, "column").as_string::<i32>();
    let source = column(answer, "source");
    let of_column = |row: &usize| names.value(*row) == name && source.is_valid(*row);
    (0..answer.num_rows()).filter(of_column).count()
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
                // Only a response to nothing, which is 0, may come from no rows.
                let nothing = value == 0.0 && sources(&answer, &name) == 0;
                assert!(
                    nothing || query.contains("DISTINCT"),
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

const FRAMES: &str = "read_video('examples/demo/clip.mp4', fps => 25, width => 32, height => 24)";

fn floats(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let numbers = cast(column(batch, name), &DataType::Float64).unwrap();
    numbers.as_primitive::<Float64Type>().values().to_vec()
}

/// The demonstration's film, words and brains at TR 60, 90 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_film_goes_into_a_volume_about_five_seconds_later() {
    let session = Session::open(Settings::default()).await.unwrap();
    let query = format!(
        "SELECT b.subject, b.tr, b.time, v.video, w.text, w.embedding, b.bold
         FROM read_bold('examples/demo/bids/sub-*/func/*_bold.nii.gz',
                        mask => 'examples/demo/bids/derivatives/masks/sub-{{subject}}/func/sub-{{subject}}_task-movie_desc-brain_mask.nii.gz') AS b
         JOIN (SELECT tr, hrf_convolve(frame, tr => 1.5) OVER (ORDER BY tr) AS video
               FROM (SELECT tr_index(time, tr => 1.5) AS tr, vector_avg(frame) AS frame FROM {FRAMES} GROUP BY tr)
              ) AS v ON v.tr = b.tr
         JOIN (SELECT tr, text, embed(text, model => 'hashing') AS embedding
               FROM (SELECT tr, interpolate(text, time) OVER (ORDER BY time) AS text
                     FROM (SELECT NULL AS tr, onset AS time, text FROM read_subtitles('examples/demo/clip.srt')
                           UNION ALL
                           SELECT tr, time + 0.75, NULL FROM tr_grid(n => 78, tr => 1.5)))
               WHERE tr IS NOT NULL
              ) AS w ON w.tr = b.tr"
    );
    let all = rows(
        &session,
        &format!("EXPLAIN ALIGN (subject = '01', tr = 60) {query}"),
    )
    .await;
    let names = column(&all, "column").as_string::<i32>();
    let of = |name: &str| {
        let picked: Vec<usize> = (0..all.num_rows())
            .filter(|&row| names.value(row) == name)
            .collect();
        let first = picked[0];
        assert_eq!(picked.len(), picked[picked.len() - 1] - first + 1, "{name}");
        all.slice(first, picked.len())
    };
    let text = |batch: &RecordBatch, name: &str| {
        column(batch, name).as_string::<i32>().value(0).to_string()
    };

    // The volume itself, and the sentence that was being said.
    let bold = of("bold");
    assert_eq!(bold.num_rows(), 1);
    assert_eq!(
        text(&bold, "source"),
        "read_bold sub-01_task-movie_bold.nii.gz"
    );
    assert_eq!(
        (floats(&bold, "lag"), floats(&bold, "weight")),
        (vec![0.0], vec![1.0])
    );
    let said = of("text");
    assert_eq!(text(&said, "source"), "read_subtitles clip.srt");
    assert_eq!(text(&said, "steps"), "text → interpolate");
    assert_eq!(floats(&said, "weight"), [1.0]);
    let embedding = of("embedding");
    assert_eq!(text(&embedding, "value"), text(&said, "value"));
    assert!(text(&embedding, "note").starts_with("weight of embed("));

    // The frames of earlier TRs, each TR's with the tap of its lag: the peak is 4 to 6 s back.
    let video = of("video");
    assert_eq!(text(&video, "source"), "read_video clip.mp4");
    assert_eq!(text(&video, "steps"), "frame → vector_avg → hrf_convolve");
    let (times, lags) = (floats(&video, "time"), floats(&video, "lag"));
    let weights = floats(&video, "weight");
    assert!(times.is_sorted() && lags.iter().all(|lag| (0.0..=34.0).contains(lag)));
    let heaviest = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b]));
    let lag = lags[heaviest.unwrap()];
    assert!(
        (3.5..6.0).contains(&lag),
        "the heaviest frame is {lag} s back"
    );
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);

    // The weights give the query's own vector, here its element 100.
    let frames = rows(
        &session,
        &format!("SELECT time, frame[100] AS x FROM {FRAMES}"),
    )
    .await;
    let pixel: BTreeMap<u64, f64> = floats(&frames, "time")
        .iter()
        .map(|time| time.to_bits())
        .zip(floats(&frames, "x"))
        .collect();
    let sum: f64 = times
        .iter()
        .zip(&weights)
        .map(|(t, w)| w * pixel[&t.to_bits()])
        .sum();
    let own = rows(
        &session,
        &format!("SELECT video[100] AS x FROM ({query}) WHERE subject = '01' AND tr = 60"),
    )
    .await;
    let own = floats(&own, "x")[0];
    println!("{} frames give {sum}, the query {own}", times.len());
    assert!((sum - own).abs() < 1e-3, "{sum} {own}");
}
