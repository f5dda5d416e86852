//! One run of 300 TRs × 50,000 voxels, six confounds, band-pass, z-score: the kernel, and
//! the window in SQL over a table of one run and of two.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use criterion::{Criterion, criterion_group, criterion_main};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use voxql_udfs::kernels::signal::butterworth::Band;
use voxql_udfs::kernels::signal::clean::{Cleaner, Filter, Options};

const TRS: usize = 300;
const WIDTH: usize = 50_000;
const CONFOUNDS: usize = 6;

/// Numbers in 0 … 1 that look random.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..n).map(next).collect()
}

fn values() -> Vec<f32> {
    let noise = noise(TRS * WIDTH, 1);
    noise.into_iter().map(|x| 1000.0 + 10.0 * x).collect()
}

fn kernel(c: &mut Criterion) {
    let x = values();
    let rows: Vec<Option<&[f32]>> = x.chunks(WIDTH).map(Some).collect();
    let confounds: Vec<Vec<f64>> = noise(TRS * CONFOUNDS, 2)
        .chunks(TRS)
        .map(|column| column.iter().map(|x| f64::from(*x)).collect())
        .collect();
    let options = Options {
        tr: 2.0,
        filter: Filter::Butterworth(Band {
            high_pass: Some(0.01),
            low_pass: Some(0.1),
        }),
        ..Options::default()
    };
    let mut out = vec![0.0f32; x.len()];
    c.bench_function("clean kernel 300 x 50000", |b| {
        b.iter(|| {
            let cleaner = Cleaner::new(&options, &[true; TRS], &confounds).expect("steps");
            cleaner.clean(&rows, WIDTH, &mut out).expect("a result");
            black_box(&mut out);
        });
    });
}

fn vectors(values: Vec<f32>, width: usize) -> ArrayRef {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(
        item,
        width as i32,
        Arc::new(Float32Array::from(values)),
        None,
    ))
}

/// A table of `runs` runs, in batches of 8 MB.
fn table(runs: i64) -> MemTable {
    let batches: Vec<Vec<RecordBatch>> = (0..runs)
        .map(|run| {
            let columns: [(&str, ArrayRef); 4] = [
                ("run", Arc::new(Int64Array::from(vec![run; TRS]))),
                ("tr", Arc::new(Int64Array::from_iter_values(0..TRS as i64))),
                ("x", vectors(values(), WIDTH)),
                ("c", vectors(noise(TRS * CONFOUNDS, 2), CONFOUNDS)),
            ];
            let run = RecordBatch::try_from_iter(columns).expect("a batch");
            (0..TRS)
                .step_by(40)
                .map(|from| run.slice(from, 40.min(TRS - from)))
                .collect()
        })
        .collect();
    let schema = batches[0][0].schema();
    MemTable::try_new(schema, batches).expect("a table")
}

fn sql(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    for runs in [1, 2] {
        let config = SessionConfig::new()
            .with_target_partitions(2)
            .with_batch_size(40);
        let ctx = SessionContext::new_with_config(config);
        voxql_udfs::register_all(&ctx);
        ctx.register_table("t", Arc::new(table(runs)))
            .expect("a table");
        c.bench_function(&format!("clean SQL 300 x 50000, runs: {runs}"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let sql = "SELECT tr, clean(x, c, 2.0, true, 'zscore_sample', 'butterworth', 0.01, 0.1)
                               OVER (PARTITION BY run ORDER BY tr) FROM t";
                    let frame = ctx.sql(sql).await.expect("a plan");
                    black_box(frame.collect().await.expect("a result"))
                })
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kernel, sql
}
criterion_main!(benches);
