//! `tr_index` over a million times, with a constant TR and with one a row.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;

const ROWS: usize = 1_000_000;

fn tr_index(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    let time: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..ROWS).map(|k| k as f64 / 25.0),
    ));
    let tr: ArrayRef = Arc::new(Float64Array::from(vec![1.49; ROWS]));
    let batch = RecordBatch::try_from_iter([("time", time), ("rate", tr)]).unwrap();
    ctx.register_batch("t", batch).unwrap();

    let mut group = c.benchmark_group("tr_index");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sample_size(20);
    for (name, tr) in [("constant", "1.49"), ("column", "rate")] {
        let sql = format!("SELECT sum(tr_index(time, tr => {tr})) FROM t");
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    black_box(ctx.sql(&sql).await.unwrap().collect().await.unwrap())
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, tr_index);
criterion_main!(benches);
