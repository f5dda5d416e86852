//! Laws of `hrf_convolve` and `fir_delays` through SQL, and the checks that every window
//! over a run has.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

use crate::common::flat;

const WINDOW: &str = "OVER (PARTITION BY run ORDER BY tr)";

const CALL: &str = "hrf_convolve(x, tr => 1.49)";

/// With arguments by place: names with gaps need VoxQL's session.
const CALLS: [&str; 7] = [
    CALL,
    "hrf_convolve(x, 1.49, 'spm + derivative + dispersion')",
    "hrf_convolve(x, 0.72, 'glover', 50, NULL, true)",
    "hrf_convolve(x, 2, 'fir', NULL, [0, 2, 5])",
    "fir_delays(x, [1, 2, 3, 4])",
    "fir_delays(x, [-3, 0, 2])",
    "fir_delays([x, 2 * x], [4, -1])",
];

/// Rows of a table `t`: run, tr, x. They come in batches of `batch` rows.
fn context(rows: &[(String, i64, Option<f64>)], batch: usize) -> SessionContext {
    let config = SessionConfig::new()
        .with_batch_size(batch)
        .with_target_partitions(2);
    let ctx = SessionContext::new_with_config(config);
    voxql_udfs::register_all(&ctx);
    let batches: Vec<RecordBatch> = rows
        .chunks(batch)
        .map(|rows| {
            let run = StringArray::from_iter_values(rows.iter().map(|r| &r.0));
            let tr = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
            let x = Float64Array::from_iter(rows.iter().map(|r| r.2));
            RecordBatch::try_from_iter_with_nullable([
                ("run", Arc::new(run) as ArrayRef, false),
                ("tr", Arc::new(tr), false),
                ("x", Arc::new(x), true),
            ])
            .unwrap()
        })
        .collect();
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    ctx.register_table("t", Arc::new(table)).unwrap();
    ctx
}

fn rows(run: &str, x: &[Option<f64>]) -> Vec<(String, i64, Option<f64>)> {
    let named = |(tr, x): (usize, &Option<f64>)| (run.to_string(), tr as i64, *x);
    x.iter().enumerate().map(named).collect()
}

fn query(ctx: &SessionContext, sql: &str) -> Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let batches = ctx.sql(sql).await?.collect().await?;
        Ok(batches.iter().flat_map(|b| flat(b.column(0))).collect())
    })
}

fn run_of(rows: &[(String, i64, Option<f64>)], call: &str, batch: usize, run: &str) -> Vec<f64> {
    let sql = format!(
        "SELECT y FROM (SELECT run, tr, {call} {WINDOW} AS y FROM t) WHERE run = '{run}' ORDER BY tr"
    );
    query(&context(rows, batch), &sql).unwrap()
}

fn alone(call: &str, x: &[Option<f64>]) -> Vec<f64> {
    run_of(&rows("1", x), call, 8192, "1")
}

/// Vectors are stored as FLOAT.
fn assert_near(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 2e-5, "{a} {b}");
    }
}

fn series() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(prop::option::weighted(0.9, -10.0..10.0), 1..60)
}

fn call() -> impl Strategy<Value = &'static str> {
    prop::sample::select(CALLS.as_slice())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn linear(call in call(), x in series(), factor in -3.0..3.0) {
        let scaled: Vec<_> = x.iter().map(|v| v.map(|v| v * factor + 1.0)).collect();
        let ones: Vec<_> = x.iter().map(|v| v.map(|_| 1.0)).collect();
        // The second feature of the last call is twice the first: linear as well.
        let want: Vec<f64> = alone(call, &x)
            .iter()
            .zip(alone(call, &ones))
            .map(|(y, one)| y * factor + one)
            .collect();
        assert_near(&alone(call, &scaled), &want);
    }

    /// Zeros before a run shift its result, and zeros after it change nothing: there is
    /// no wrap-around.
    #[test]
    fn shifts_with_time(call in call(), x in series(), by in 0usize..20) {
        let mut late = vec![None; by];
        late.extend(&x);
        late.extend(vec![None; 5]);
        let got = alone(call, &late);
        let want = alone(call, &x);
        let width = want.len() / x.len();
        assert_near(&got[by * width..][..want.len()], &want);
    }

    /// A run's result depends neither on other runs, nor on the order of the table's
    /// rows, nor on how they come in batches.
    #[test]
    fn runs_are_apart(
        call in call(),
        (a, b) in (series(), series()),
        batch in prop::sample::select(vec![1usize, 3, 7, 64]),
        swap in any::<bool>(),
    ) {
        let (mut table, b_rows) = (rows("1", &a), rows("2", &b));
        table.extend(b_rows);
        if swap {
            table.reverse();
        }
        prop_assert_eq!(run_of(&table, call, batch, "1"), alone(call, &a));
        prop_assert_eq!(run_of(&table, call, batch, "2"), alone(call, &b));
    }

    /// What is missing counts as 0, and NaN reaches only what looks at it.
    #[test]
    fn null_is_zero_and_nan_stays(call in call(), x in series(), at in 0usize..60) {
        let zeros: Vec<_> = x.iter().map(|v| Some(v.unwrap_or(0.0))).collect();
        let clean = alone(call, &zeros);
        prop_assert_eq!(&alone(call, &x), &clean);

        let at = at % x.len();
        let mut nan = zeros.clone();
        nan[at] = Some(f64::NAN);
        let mut moved = zeros;
        moved[at] = Some(1e6);
        // Where another value makes no difference, NaN makes none either, except that a
        // convolution multiplies it by its first sample, which is 0.
        let here = at * clean.len() / x.len()..(at + 1) * clean.len() / x.len();
        let (nan, moved) = (alone(call, &nan), alone(call, &moved));
        for (i, (nan, (moved, clean))) in nan.iter().zip(moved.iter().zip(&clean)).enumerate() {
            if moved == clean && !here.contains(&i) {
                prop_assert_eq!(nan, clean);
            } else if moved != clean {
                prop_assert!(nan.is_nan());
            }
        }
    }
}

/// The columns of a model are its kernels' convolutions of the held values.
#[test]
fn columns_are_those_of_the_kernels() {
    let x: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 11) - 4.0).collect();
    let some: Vec<_> = x.iter().copied().map(Some).collect();
    for model in ["glover", "spm"] {
        let call = format!("hrf_convolve(x, 1.49, '{model} + derivative + dispersion', 20)");
        let got = alone(&call, &some);
        for (c, kernel) in ["hrf", "time_derivative", "dispersion_derivative"]
            .into_iter()
            .enumerate()
        {
            let kernel = query(
                &context(&rows("1", &some), 64),
                &format!("SELECT {model}_{kernel}(1.49, 20)"),
            )
            .unwrap();
            for t in 0..x.len() {
                let want: f64 = (0..kernel.len().min(t * 20 + 1))
                    .map(|s| kernel[s] * x[(t * 20 - s) / 20])
                    .sum();
                assert!((got[3 * t + c] - want).abs() < 1e-4, "{model} {c} {t}");
            }
        }
        // With fewer columns the first ones are the same.
        let two = alone(
            &format!("hrf_convolve(x, 1.49, '{model}+derivative', 20)"),
            &some,
        );
        for (two, three) in two.chunks(2).zip(got.chunks(3)) {
            assert_eq!(two, &three[..2]);
        }
        // Vectors: all features of the response, then all of the derivative.
        let vectors = alone(
            &format!("hrf_convolve([x, -x], 1.49, '{model} + derivative', 20)"),
            &some,
        );
        for (vector, two) in vectors.chunks(4).zip(two.chunks(2)) {
            assert_eq!(vector, [two[0], -two[0], two[1], -two[1]]);
        }
    }
}

#[test]
fn delays_are_copies() {
    let x: Vec<_> = (1..=6).map(|i| Some(f64::from(i))).collect();
    assert_eq!(
        alone("fir_delays(x, [2, -1, 0])", &x),
        [
            0.0, 2.0, 1.0, 0.0, 3.0, 2.0, 1.0, 4.0, 3.0, 2.0, 5.0, 4.0, 3.0, 6.0, 5.0, 4.0, 0.0,
            6.0
        ]
    );
    assert_eq!(
        alone("hrf_convolve(x, 2, 'fir', NULL, [1, 3])", &x),
        alone("fir_delays(x, [1, 3])", &x)
    );
    // Delays longer than the run.
    assert_eq!(
        alone("fir_delays(x, [100, -100, 1e9, -1e9])", &x),
        [0.0; 24]
    );
}

#[test]
fn the_window_streams() {
    let ctx = context(&rows("1", &[Some(1.0)]), 8192);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let plan = runtime.block_on(async {
        let sql =
            format!("SELECT {CALL} {WINDOW}, fir_delays(x, [-2, 3]) {WINDOW}, interpolate(x, tr) {WINDOW} FROM t");
        let plan = ctx
            .sql(&sql)
            .await
            .unwrap()
            .create_physical_plan()
            .await
            .unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    });
    assert!(plan.contains("BoundedWindowAggExec"), "{plan}");
    assert!(!plan.contains(" WindowAggExec"), "{plan}");
}

/// Beside a function that needs the whole partition at once, the results are the same.
#[test]
fn not_streamed_is_the_same() {
    let x: Vec<_> = (0..50).map(|i| Some(f64::from(i % 7))).collect();
    for call in CALLS {
        let sql = format!(
        "SELECT y FROM (SELECT tr, {call} {WINDOW} AS y, ntile(2) OVER (PARTITION BY run ORDER BY tr) AS n FROM t)
         WHERE n > 0 ORDER BY tr"
    );
        let got = query(&context(&rows("1", &x), 16), &sql).unwrap();
        assert_eq!(got, alone(call, &x));
    }
}

fn error(rows: &[(String, i64, Option<f64>)], sql: &str) -> String {
    query(&context(rows, 4), sql).unwrap_err().to_string()
}

#[test]
fn a_run_must_be_whole() {
    let call = format!("SELECT {CALL} {WINDOW} FROM t");
    let with = |trs: &[i64]| -> Vec<_> {
        trs.iter()
            .map(|tr| ("01".to_string(), *tr, Some(1.0)))
            .collect()
    };
    for (trs, message) in [
        (
            &[0, 1, 3][..],
            "hrf_convolve: run = 01: TR 2 is missing (1 is followed by 3)",
        ),
        (
            &[5, 6, 20],
            "run = 01: TRs 7 to 19 are missing (6 is followed by 20)",
        ),
        (&[0, 1, 2, 3, 4, 5, 5], "run = 01: TR 5 occurs twice"),
    ] {
        let error = error(&with(trs), &call);
        assert!(error.contains(message), "{error}");
    }
    // The first TR need not be 0.
    assert_eq!(
        query(&context(&with(&[7, 8, 9]), 4), &call).unwrap().len(),
        3
    );

    // Looking ahead finds the hole as well, and looks over no end of a run.
    for delays in ["[2, -2]", "[-5]", "[5]"] {
        let ahead = format!("SELECT fir_delays(x, {delays}) {WINDOW} FROM t");
        let error = error(&with(&[0, 1, 2, 3, 5, 6, 7, 8]), &ahead);
        assert!(
            error.contains("fir_delays: run = 01: TR 4 is missing"),
            "{error}"
        );
    }

    // What tells the runs apart may have other names than those that are known.
    let mixed = "SELECT hrf_convolve(x, tr => 1.49) OVER (ORDER BY part, tr)
                 FROM (SELECT run AS part, tr, x FROM t)";
    let mut two = with(&[0, 1]);
    two.extend(rows("02", &[Some(1.0), Some(1.0)]));
    let error = error(&two, mixed);
    assert!(
        error.contains("hrf_convolve: TR 1 is followed by 0; several runs are mixed"),
        "{error}"
    );
}

/// Time in seconds is put into TRs exactly: 25 · 0.72 s is TR 25.
#[test]
fn order_by_time() {
    let run = rows("1", &[Some(1.0); 60]);
    let sql = |time: &str| {
        format!(
            "SELECT hrf_convolve(x, tr => 0.72) OVER (PARTITION BY run ORDER BY time)
             FROM (SELECT run, x, {time} AS time FROM t)"
        )
    };
    for time in [
        "tr * 0.72e0",
        "arrow_cast(tr * 0.72e0, 'Float32')",
        "(tr + 0.5) * 0.72e0",
    ] {
        assert_eq!(
            query(&context(&run, 16), &sql(time)).unwrap().len(),
            60,
            "{time}"
        );
    }
    let error = error(&run, &sql("tr * 1.0e0"));
    assert!(
        error.contains("run = 1: TR 3 is missing (2 is followed by 4)"),
        "{error}"
    );
    let text = self::error(&run, &sql("run"));
    assert!(
        text.contains("ORDER BY time is Utf8; it must be the number of the TR"),
        "{text}"
    );
}

/// A plan that was optimised once may be optimised again, and names stay.
#[tokio::test]
async fn optimising_twice() {
    let ctx = context(&rows("1", &[Some(1.0); 3]), 8);
    let sql = "SELECT hrf_convolve(x, tr => 2) OVER (PARTITION BY run ORDER BY tr) FROM t";
    let frame = ctx.sql(sql).await.unwrap();
    let name = frame.schema().field(0).name().clone();
    let plan = frame.into_optimized_plan().unwrap();
    let batches = ctx
        .execute_logical_plan(plan)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(batches[0].schema().field(0).name(), &name);
    assert!(!name.contains("Utf8("), "{name}");
}
