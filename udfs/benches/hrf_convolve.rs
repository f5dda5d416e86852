//! One run of 600 TRs × 1,024 features, oversampling 50: the kernel, and the window in SQL.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use criterion::{Criterion, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::hrf::{Model, Sampling, add_scaled, hold_taps, response};

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
                y.fill(0.0);
                for (k, tap) in taps.iter().enumerate().take(t + 1) {
                    add_scaled(&mut y, *tap, &x[(t - k) * WIDTH..(t - k + 1) * WIDTH]);
                }
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
    c.bench_function("hrf_convolve SQL 600 x 1024", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let sql = "SELECT hrf_convolve(x, tr => 1.49) OVER (ORDER BY tr) FROM t";
                let frame = ctx.sql(sql).await.expect("a plan");
                black_box(frame.collect().await.expect("a result"))
            })
        });
    });
}

criterion_group!(benches, kernel, sql);
criterion_main!(benches);
