//! `tr_overlap` over a million words, unnested and weighted; the kernel alone; and a nested
//! loop over the same intervals, as a range join has it, for a thousandth of them.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::overlap::overlaps;

const WORDS: usize = 1_000_000;

/// Three words a second, 0.4 s long.
fn words(count: usize) -> RecordBatch {
    let onset = (0..count).map(|i| i as f64 / 3.0);
    let onset: ArrayRef = Arc::new(Float64Array::from_iter_values(onset));
    let duration: ArrayRef = Arc::new(Float64Array::from(vec![0.4; count]));
    RecordBatch::try_from_iter([("onset", onset), ("duration", duration)]).unwrap()
}

fn tr_overlap(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    ctx.register_batch("words", words(WORDS)).unwrap();
    ctx.register_batch("few", words(WORDS / 1000)).unwrap();

    let mut group = c.benchmark_group("tr_overlap");
    group.sample_size(10);
    let calls = [
        (
            "list",
            WORDS,
            "SELECT count(tr_overlap(onset, duration, tr => 1.49)) FROM words",
        ),
        (
            "seconds per volume",
            WORDS,
            "SELECT o['tr'], sum(o['overlap'])
             FROM (SELECT unnest(tr_overlap(onset, duration, tr => 1.49)) AS o FROM words) GROUP BY 1",
        ),
        (
            "seconds per volume, few",
            WORDS / 1000,
            "SELECT o['tr'], sum(o['overlap'])
             FROM (SELECT unnest(tr_overlap(onset, duration, tr => 1.49)) AS o FROM few) GROUP BY 1",
        ),
        (
            "range join, few",
            WORDS / 1000,
            "SELECT g.tr, sum(least(onset + duration, g.time + 1.49) - greatest(onset, g.time))
             FROM few JOIN (SELECT value AS tr, value * 1.49 AS time FROM generate_series(0, 230)) AS g
               ON onset < g.time + 1.49 AND onset + duration > g.time GROUP BY 1",
        ),
    ];
    for (name, count, sql) in calls {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    black_box(ctx.sql(sql).await.unwrap().collect().await.unwrap())
                })
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("kernel", |b| {
        b.iter(|| {
            let (onset, duration) = black_box((12_300_000_000, 3_000_000_000));
            overlaps(onset, duration, 1_490_000_000, 0)
                .map(|o| o.map(|o| o.nanoseconds).sum::<i64>())
        });
    });
    group.finish();
}

criterion_group!(benches, tr_overlap);
criterion_main!(benches);
