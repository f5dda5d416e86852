//! One run of 600 TRs × 1,024 features, oversampling 50: the kernel, and windows in SQL.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use criterion::{Criterion, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::hrf::{Model, Sampling, hold_taps, response};
use voxql_udfs::kernels::weighted_sum::weighted_sum;

const TRS: usize = 600;
const WIDTH: usize = 1024;

fn values() -> Vec<f32> {
    (0..TRS * WIDTH).map(|i| (i % 97) as f32 / 97.0).collect()
}

fn kernel(c: &mut Criterion) {
    let x = values();
    c.bench_function("hrf_convolve kernel 600 x 1024", |b| {
        b.iter(|| {
            let kernel = response(Model::Glover, Sampling::new(1.49, 50)).unwrap_or_default();
            let taps = hold_taps(&kernel, 50);
            let mut y = vec![0.0; WIDTH];
            for t in 0..TRS {
                let earlier = (0..=t).rev().map(|t| &x[t * WIDTH..(t + 1) * WIDTH]);
                let terms: Vec<(f64, &[f32])> = taps.iter().copied().zip(earlier).collect();
                weighted_sum(&terms, &mut y);
                black_box(&y);
            }
        });
    });
}

fn sql(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let vectors = Float32Array::from(values());
    let vectors = FixedSizeListArray::new(item, WIDTH as i32, Arc::new(vectors), None);
    let tr = Int64Array::from_iter_values(0..TRS as i64);
    let batch =
        RecordBatch::try_from_iter([("tr", Arc::new(tr) as ArrayRef), ("x", Arc::new(vectors))]);
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    ctx.register_batch("t", batch.expect("a batch"))
        .expect("a table");
    let mut window = |name: &str, call: &str| {
        c.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let sql = format!("SELECT {call} OVER (ORDER BY tr) FROM t");
                    let frame = ctx.sql(&sql).await.expect("a plan");
                    black_box(frame.collect().await.expect("a result"))
                })
            });
        });
    };
    window("hrf_convolve SQL 600 x 1024", "hrf_convolve(x, tr => 1.49)");
    window(
        "hrf_convolve SQL 600 x 1024, three columns",
        "hrf_convolve(x, 1.49, 'glover + derivative + dispersion')",
    );
    window(
        "fir_delays SQL 600 x 1024, four delays",
        "fir_delays(x, delays => [1, 2, 3, 4])",
    );
}

criterion_group!(benches, kernel, sql);
criterion_main!(benches);
