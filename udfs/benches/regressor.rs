//! Events to regressors: the kernel, a design matrix, and the aggregate in SQL.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use criterion::{Criterion, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::design::{cosine_drift, design_matrix};
use voxql_udfs::kernels::regressor::{Event, MIN_ONSET, Model, Regressors, frame_times};

/// A run of 600 TRs of 1.49 s, and the words of a film: one every 0.3 s.
const TRS: usize = 600;
const WORDS: usize = 2_980;

fn words() -> Vec<Event> {
    (0..WORDS)
        .map(|i| Event {
            onset: i as f64 * 0.3,
            duration: 0.25,
            amplitude: (i % 7) as f64,
        })
        .collect()
}

fn regressors(model: &str, oversampling: usize) -> Regressors {
    frame_times(TRS, 1.49, 0.0)
        .and_then(|times| {
            let model = Model::from_name(model, &[0.0, 1.0, 2.0, 3.0])?;
            Regressors::new(&times, &model, oversampling, MIN_ONSET)
        })
        .expect("a model")
}

fn kernel(c: &mut Criterion) {
    let words = words();
    for (model, oversampling) in [
        ("glover", 50),
        ("glover", 500),
        ("glover + derivative + dispersion", 50),
        ("fir", 50),
    ] {
        let name = format!("regressor {WORDS} events, {TRS} TRs, {model}, {oversampling}");
        c.bench_function(&name, |b| {
            b.iter(|| black_box(regressors(model, oversampling).columns(&words)));
        });
    }
}

fn design(c: &mut Criterion) {
    let words = words();
    let conditions: Vec<&[Event]> = words.chunks(WORDS / 20).collect();
    let drifts = cosine_drift(TRS, 0.01, 1.49).expect("drifts");
    c.bench_function("design matrix of 20 conditions, 600 TRs", |b| {
        b.iter(|| {
            let regressors = regressors("glover", 50);
            black_box(design_matrix(&conditions, &regressors, &[], &drifts, TRS))
        });
    });
}

fn sql(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let words = words();
    let column = |of: fn(&Event) -> f64| {
        Arc::new(Float64Array::from_iter_values(words.iter().map(of))) as ArrayRef
    };
    let batch = RecordBatch::try_from_iter([
        ("onset", column(|event| event.onset)),
        ("duration", column(|event| event.duration)),
        ("modulation", column(|event| event.amplitude)),
    ]);
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    ctx.register_batch("events", batch.expect("a batch"))
        .expect("a table");
    c.bench_function("regressor SQL 2980 events, 600 TRs", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let sql = "SELECT regressor(onset, duration, modulation, 1.49, 600) FROM events";
                let frame = ctx.sql(sql).await.expect("a plan");
                black_box(frame.collect().await.expect("a result"))
            })
        });
    });
}

criterion_group!(benches, kernel, design, sql);
criterion_main!(benches);
