//! Laws of `hrf_convolve` through SQL, and the checks that every window over a run has.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;

const CALL: &str = "hrf_convolve(x, tr => 1.49) OVER (PARTITION BY run ORDER BY tr)";

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
        let column = |b: &RecordBatch| b.column(0).as_primitive::<Float64Type>().values().to_vec();
        Ok(batches.iter().flat_map(column).collect())
    })
}

fn convolve(rows: &[(String, i64, Option<f64>)], batch: usize, run: &str) -> Vec<f64> {
    let sql = format!(
        "SELECT y FROM (SELECT run, tr, {CALL} AS y FROM t) WHERE run = '{run}' ORDER BY tr"
    );
    query(&context(rows, batch), &sql).unwrap()
}

fn alone(x: &[Option<f64>]) -> Vec<f64> {
    convolve(&rows("1", x), 8192, "1")
}

fn assert_near(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

fn series() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(prop::option::weighted(0.9, -10.0..10.0), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn linear(x in series(), factor in -3.0..3.0) {
        let scaled: Vec<_> = x.iter().map(|v| v.map(|v| v * factor + 1.0)).collect();
        let ones: Vec<_> = x.iter().map(|v| v.map(|_| 1.0)).collect();
        let want: Vec<f64> = alone(&x).iter().zip(alone(&ones)).map(|(y, one)| y * factor + one).collect();
        assert_near(&alone(&scaled), &want);
    }

    #[test]
    fn shifts_with_time(x in series(), by in 0usize..20) {
        let mut late = vec![None; by];
        late.extend(&x);
        let mut want = vec![0.0; by];
        want.extend(alone(&x));
        assert_near(&alone(&late), &want);
    }

    /// A run's result depends neither on other runs, nor on the order of the table's
    /// rows, nor on how they come in batches.
    #[test]
    fn runs_are_apart(
        (a, b) in (series(), series()),
        batch in prop::sample::select(vec![1usize, 3, 7, 64]),
        swap in any::<bool>(),
    ) {
        let (mut table, b_rows) = (rows("1", &a), rows("2", &b));
        table.extend(b_rows);
        if swap {
            table.reverse();
        }
        assert_near(&convolve(&table, batch, "1"), &alone(&a));
        assert_near(&convolve(&table, batch, "2"), &alone(&b));
    }
}

#[test]
fn the_window_streams() {
    let ctx = context(&rows("1", &[Some(1.0)]), 8192);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let plan = runtime.block_on(async {
        let sql =
            format!("SELECT {CALL}, interpolate(x, tr) OVER (PARTITION BY run ORDER BY tr) FROM t");
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
    let sql = format!(
        "SELECT y FROM (SELECT tr, {CALL} AS y, ntile(2) OVER (PARTITION BY run ORDER BY tr) AS n FROM t)
         WHERE n > 0 ORDER BY tr"
    );
    let got = query(&context(&rows("1", &x), 16), &sql).unwrap();
    assert_near(&got, &alone(&x));
}

fn error(rows: &[(String, i64, Option<f64>)], sql: &str) -> String {
    query(&context(rows, 4), sql).unwrap_err().to_string()
}

#[test]
fn a_run_must_be_whole() {
    let call = format!("SELECT {CALL} FROM t");
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
