//! Laws of `clean`, of the kernel and through SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Float64Type;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{SessionConfig, SessionContext};
use proptest::prelude::*;
use voxql_udfs::kernels::signal::butterworth::Band;
use voxql_udfs::kernels::signal::clean::{Cleaner, Filter, Options};
use voxql_udfs::kernels::signal::standardize::Standardize;

const TRS: usize = 60;

/// TRs × voxels.
type Rows = Vec<Vec<f64>>;

fn clean(options: &Options, x: &Rows, keep: &[bool], confounds: &[Vec<f64>]) -> Rows {
    let width = x[0].len();
    let rows: Vec<Option<&[f64]>> = x.iter().map(|row| Some(&row[..])).collect();
    let mut out = vec![0.0; x.len() * width];
    Cleaner::new(options, keep, confounds)
        .unwrap()
        .clean(&rows, width, &mut out)
        .unwrap();
    out.chunks(width).map(<[f64]>::to_vec).collect()
}

fn near(a: &Rows, b: &Rows) -> bool {
    let largest = b.iter().flatten().fold(1.0, |m: f64, v| m.max(v.abs()));
    a.iter()
        .flatten()
        .zip(b.iter().flatten())
        .all(|(a, b)| (a - b).abs() <= 1e-8 * largest)
}

fn rows(width: usize) -> impl Strategy<Value = Rows> {
    prop::collection::vec(prop::collection::vec(-10.0..10.0f64, width), TRS)
}

fn filters() -> impl Strategy<Value = Filter> {
    let band = |high_pass, low_pass| {
        Filter::Butterworth(Band {
            high_pass,
            low_pass,
        })
    };
    prop::sample::select(vec![
        Filter::None,
        band(Some(0.02), None),
        band(None, Some(0.1)),
        band(Some(0.02), Some(0.1)),
        Filter::Cosine { high_pass: 0.02 },
    ])
}

fn options() -> impl Strategy<Value = Options> {
    let standardize = prop::sample::select(vec![
        None,
        Some(Standardize::ZscoreSample),
        Some(Standardize::PercentSignalChange),
    ]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (filters(), standardize, flags).prop_map(
        |(filter, standardize, (detrend, standardize_confounds, extrapolate))| Options {
            tr: 2.0,
            filter,
            standardize,
            detrend,
            standardize_confounds,
            extrapolate,
            ..Options::default()
        },
    )
}

fn masks() -> impl Strategy<Value = Vec<bool>> {
    prop::collection::vec(prop::bool::weighted(0.9), TRS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn linear(
        options in options(), x in rows(2), y in rows(2), c in rows(2), keep in masks(), factor in -3.0..3.0,
    ) {
        let options = Options { standardize: None, ..options };
        let confounds: Vec<Vec<f64>> = (0..2).map(|i| c.iter().map(|row| row[i]).collect()).collect();
        let mix = |a: &Rows, b: &Rows| -> Rows {
            let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| factor * a + b).collect();
            a.iter().zip(b).map(row).collect()
        };
        let run = |x: &Rows| clean(&options, x, &keep, &confounds);
        prop_assert!(near(&run(&mix(&x, &y)), &mix(&run(&x), &run(&y))));
    }

    /// A voxel does not see the others, wherever it stands among them, and the confounds'
    /// order is nothing.
    #[test]
    fn one_voxel_alone(options in options(), x in rows(21), c in rows(3), keep in masks(), at in 0usize..21) {
        let confounds: Vec<Vec<f64>> = (0..3).map(|i| c.iter().map(|row| row[i]).collect()).collect();
        let backwards: Vec<Vec<f64>> = confounds.iter().rev().cloned().collect();
        let all = clean(&options, &x, &keep, &confounds);
        let only = |x: &Rows| -> Rows { x.iter().map(|row| vec![row[at]]).collect() };
        prop_assert_eq!(&clean(&options, &only(&x), &keep, &confounds), &only(&all));
        prop_assert!(near(&clean(&options, &x, &keep, &backwards), &all));
    }

    #[test]
    fn all_kept_is_no_mask(options in options(), x in rows(3)) {
        let all = vec![true; TRS];
        let plain = clean(&options, &x, &all, &[]);
        let as_nilearn = Options { as_nilearn: true, ..options.clone() };
        prop_assert!(near(&clean(&as_nilearn, &x, &all, &[]), &plain) || options.standardize == Some(Standardize::PercentSignalChange));
    }

    /// What stands at a TR that is left out does not matter.
    #[test]
    fn left_out_is_left_out(options in options(), x in rows(2), c in rows(1), keep in masks()) {
        let confounds = |bad: f64| -> Vec<Vec<f64>> {
            vec![c.iter().zip(&keep).map(|(row, keep)| if *keep { row[0] } else { bad }).collect()]
        };
        let bad: Rows = x
            .iter()
            .zip(&keep)
            .map(|(row, keep)| if *keep { row.clone() } else { vec![f64::NAN; 2] })
            .collect();
        prop_assert_eq!(
            clean(&options, &x, &keep, &confounds(1e6)),
            clean(&options, &bad, &keep, &confounds(f64::NAN))
        );
    }

    /// What was cleaned of its confounds has none left.
    #[test]
    fn nothing_of_the_confounds_is_left(filter in filters(), x in rows(1), c in rows(1)) {
        let options = Options { tr: 2.0, filter, ..Options::default() };
        let confound: Vec<f64> = c.iter().map(|row| row[0]).collect();
        let all = [true; TRS];
        let y = clean(&options, &x, &all, std::slice::from_ref(&confound));
        // The confound, through the same steps.
        let seen = clean(&options, &c, &all, &[]);
        let product: f64 = y.iter().zip(&seen).map(|(y, c)| y[0] * c[0]).sum();
        prop_assert!(product.abs() < 1e-6, "{product}");
    }
}

/// NaN stays in its own series.
#[test]
fn nan_stays_where_it_is() {
    let mut x: Rows = (0..TRS)
        .map(|t| (0..3).map(|v| ((t * (v + 3)) % 17) as f64).collect())
        .collect();
    let options = Options::default();
    let before = clean(&options, &x, &[true; TRS], &[]);
    x[7][1] = f64::NAN;
    let after = clean(&options, &x, &[true; TRS], &[]);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before[0], before[2]), (after[0], after[2]));
        assert!(after[1].is_nan());
    }
    let finite = Options {
        ensure_finite: true,
        ..options
    };
    let after = clean(&finite, &x, &[true; TRS], &[]);
    assert!(after.iter().flatten().all(|v| v.is_finite()));
}

#[test]
fn what_cannot_be_cleaned() {
    let options = |filter| Options {
        tr: 2.0,
        filter,
        ..Options::default()
    };
    let band = Filter::Butterworth(Band {
        high_pass: Some(0.01),
        low_pass: Some(0.1),
    });
    let error = |filter, keep: &[bool], confounds: &[Vec<f64>]| {
        Cleaner::new(&options(filter), keep, confounds).unwrap_err()
    };
    assert!(error(Filter::None, &[], &[]).contains("no TR is left"));
    assert!(error(Filter::None, &[false; 9], &[]).contains("no TR is left"));
    assert!(error(band, &[true; 33], &[]).contains("33 TRs are too few"));
    let mut one = [false; 50];
    one[20] = true;
    assert!(error(band, &one, &[]).contains("1 TR"));
    let nan = vec![f64::NAN; 9];
    assert!(error(Filter::None, &[true; 9], &[nan]).contains("confound 1 is not finite"));
    let short = vec![0.0; 8];
    assert!(error(Filter::None, &[true; 9], &[short]).contains("8 values for 9 TRs"));
    let many: Vec<Vec<f64>> = (0..9)
        .map(|i| (0..9).map(|t| f64::from(u8::from(t == i))).collect())
        .collect();
    assert!(error(Filter::None, &[true; 9], &many).contains("nothing would be left"));
    let saturated = Filter::Cosine { high_pass: 0.2499 };
    assert!(error(saturated, &[true; 9], &[]).contains("nothing would be left"));
}

/// Rows of a table `t`: run, tr, x. They come in batches of `batch` rows.
fn context(runs: &[(&str, &[f64])], batch: usize, swap: bool) -> SessionContext {
    let config = SessionConfig::new()
        .with_batch_size(batch)
        .with_target_partitions(2);
    let ctx = SessionContext::new_with_config(config);
    voxql_udfs::register_all(&ctx);
    let mut rows: Vec<(&str, i64, f64)> = runs
        .iter()
        .flat_map(|(run, x)| (0..).zip(*x).map(|(tr, x)| (*run, tr, *x)))
        .collect();
    if swap {
        rows.reverse();
    }
    let batches: Vec<RecordBatch> = rows
        .chunks(batch)
        .map(|rows| {
            let run = StringArray::from_iter_values(rows.iter().map(|r| r.0));
            let tr = Int64Array::from_iter_values(rows.iter().map(|r| r.1));
            let x = Float64Array::from_iter_values(rows.iter().map(|r| r.2));
            RecordBatch::try_from_iter([
                ("run", Arc::new(run) as ArrayRef),
                ("tr", Arc::new(tr)),
                ("x", Arc::new(x)),
            ])
            .unwrap()
        })
        .collect();
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).unwrap();
    ctx.register_table("t", Arc::new(table)).unwrap();
    ctx
}

const CALL: &str = "clean(x, NULL, 2.0, true, 'zscore_sample', 'butterworth', 0.02) \
                    OVER (PARTITION BY run ORDER BY tr)";

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

fn of_run(ctx: &SessionContext, run: &str) -> Vec<f64> {
    let sql = format!(
        "SELECT y FROM (SELECT run, tr, {CALL} AS y FROM t) WHERE run = '{run}' ORDER BY tr"
    );
    query(ctx, &sql).unwrap()
}

fn series() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-10.0..10.0f64, 20..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A run's result depends neither on other runs, nor on the order of the table's
    /// rows, nor on how they come in batches.
    #[test]
    fn runs_are_apart(
        (a, b, other) in (series(), series(), series()),
        batch in prop::sample::select(vec![1usize, 7, 64]),
        swap in any::<bool>(),
    ) {
        let alone = of_run(&context(&[("1", &a)], 8192, false), "1");
        prop_assert_eq!(alone.len(), a.len());
        for second in [&b, &other] {
            let ctx = context(&[("1", &a), ("2", second)], batch, swap);
            prop_assert_eq!(&of_run(&ctx, "1"), &alone);
            prop_assert_eq!(of_run(&ctx, "2").len(), second.len());
        }
    }
}

#[test]
fn the_window_holds_one_run() {
    let ctx = context(&[("1", &[1.0])], 8192, false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let plan = runtime.block_on(async {
        let frame = ctx.sql(&format!("SELECT {CALL} FROM t")).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    });
    assert!(plan.contains("BoundedWindowAggExec"), "{plan}");
}

/// Beside a function that needs the whole input at once, the results are the same.
#[test]
fn not_streamed_is_the_same() {
    let x: Vec<f64> = (0..50).map(|i| f64::from(i * i % 7)).collect();
    let ctx = context(&[("1", &x), ("2", &x[3..])], 16, false);
    let sql = format!(
        "SELECT y FROM (SELECT run, tr, {CALL} AS y,
                               ntile(2) OVER (PARTITION BY run ORDER BY tr) AS n FROM t)
         WHERE n > 0 AND run = '1' ORDER BY tr"
    );
    assert_eq!(query(&ctx, &sql).unwrap(), of_run(&ctx, "1"));
}
