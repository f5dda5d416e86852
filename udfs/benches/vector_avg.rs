//! The vector aggregates over 100,000 vectors of 1,024 Float32 (410 MB) in 300 groups,
//! as SQL; and the kernel alone.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
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
    RecordBatch::try_from_iter([("g", g), ("v", v)]).unwrap()
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
    for function in ["vector_avg", "vector_std", "vector_min"] {
        let sql = format!("SELECT g, {function}(v) FROM t GROUP BY g");
        group.bench_function(function, |b| {
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
    group.finish();
}

criterion_group!(benches, vector_avg);
criterion_main!(benches);
