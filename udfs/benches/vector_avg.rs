//! The vector aggregates over 100,000 vectors of 1,024 Float32 (410 MB) in 300 groups,
//! as SQL, plain and weighted; and the kernel alone.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::datatypes::{DataType, Field};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::vector_stats::{Statistic, VectorStats};

const ROWS: usize = 100_000;
const WIDTH: usize = 1024;
const BATCH: usize = 2_000;

/// Rows in order of time: 333 and a bit of them a group.
fn batch(first: usize) -> RecordBatch {
    let values = (0..BATCH * WIDTH).map(|i| ((i + first) % 251) as f32);
    let values = Float32Array::from_iter_values(values);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let v: ArrayRef = Arc::new(FixedSizeListArray::new(
        item,
        WIDTH as i32,
        Arc::new(values),
        None,
    ));
    let rows = (first..first + BATCH).map(|row| (row * 300 / ROWS) as i64);
    let g: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
    let weights = (first..first + BATCH).map(|row| (row % 7) as f64 + 0.5);
    let w: ArrayRef = Arc::new(Float64Array::from_iter_values(weights));
    RecordBatch::try_from_iter([("g", g), ("v", v), ("w", w)]).unwrap()
}

fn vector_avg(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ctx = SessionContext::new();
    voxql_udfs::register_all(&ctx);
    let batches: Vec<RecordBatch> = (0..ROWS).step_by(BATCH).map(batch).collect();
    let schema = batches[0].schema();
    let (front, back) = batches.split_at(batches.len() / 2);
    let table = MemTable::try_new(schema, vec![front.to_vec(), back.to_vec()]).unwrap();
    ctx.register_table("t", Arc::new(table)).unwrap();

    let mut group = c.benchmark_group("vector_avg");
    group.throughput(Throughput::Bytes((ROWS * WIDTH * 4) as u64));
    group.sample_size(10);
    for (name, call) in [
        ("vector_avg", "vector_avg(v)"),
        ("vector_std", "vector_std(v)"),
        ("vector_min", "vector_min(v)"),
        ("vector_count", "vector_count(v)"),
        ("vector_avg weighted", "vector_avg(v, weight => w)"),
        ("vector_std weighted", "vector_std(v, 0, w)"),
    ] {
        let sql = format!("SELECT g, {call} FROM t GROUP BY g");
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    black_box(ctx.sql(&sql).await.unwrap().collect().await.unwrap())
                })
            });
        });
    }
    let row: Vec<f32> = (0..WIDTH).map(|i| i as f32).collect();
    group.throughput(Throughput::Bytes((WIDTH * 4) as u64));
    for statistic in [Statistic::Avg, Statistic::Std { ddof: 0 }, Statistic::Min] {
        let mut stats = VectorStats::new(statistic);
        group.bench_function(format!("kernel {statistic:?}"), |b| {
            b.iter(|| stats.add(0, black_box(&row), None).unwrap());
        });
    }
    for statistic in [Statistic::Avg, Statistic::Std { ddof: 0 }] {
        let mut stats = VectorStats::weighted(statistic);
        group.bench_function(format!("kernel weighted {statistic:?}"), |b| {
            b.iter(|| stats.add_weighted(0, black_box(&row), 0.5, None).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, vector_avg);
criterion_main!(benches);
