//! Distances of 100,000 embeddings of 384 Float32 (154 MB) to one query, as SQL, beside
//! DataFusion's own `cosine_distance`; and the kernels alone.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::prelude::SessionContext;
use voxql_udfs::kernels::dot::{dot, euclidean};

const ROWS: usize = 100_000;
const WIDTH: usize = 384;

fn distance(c: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let values = (0..ROWS * WIDTH).map(|i| ((i * 31) % 251) as f32 - 125.0);
    let values = Arc::new(Float32Array::from_iter_values(values));
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let v: ArrayRef = Arc::new(FixedSizeListArray::new(item, WIDTH as i32, values, None));
    let batch = RecordBatch::try_from_iter([("v", v)]).unwrap();
    let query: Vec<String> = (0..WIDTH).map(|i| format!("{}.5", i % 7)).collect();
    let query = query.join(", ");

    let plain = SessionContext::new();
    let ours = SessionContext::new();
    voxql_udfs::register_all(&ours);
    for ctx in [&plain, &ours] {
        ctx.register_batch("t", batch.clone()).unwrap();
    }

    let mut group = c.benchmark_group("distance");
    group.throughput(Throughput::Bytes((ROWS * WIDTH * 4) as u64));
    group.sample_size(10);
    for (name, ctx, function) in [
        ("cosine_distance", &ours, "cosine_distance"),
        ("cosine_distance of DataFusion", &plain, "cosine_distance"),
        ("l2_distance", &ours, "l2_distance"),
        ("inner_product", &ours, "inner_product"),
    ] {
        let sql = format!("SELECT {function}(v, [{query}]) AS d FROM t ORDER BY d LIMIT 10");
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    black_box(ctx.sql(&sql).await.unwrap().collect().await.unwrap())
                })
            });
        });
    }
    let row: Vec<f32> = (0..WIDTH).map(|i| i as f32).collect();
    let query: Vec<f64> = row.iter().map(|x| f64::from(*x) + 0.5).collect();
    group.throughput(Throughput::Bytes((WIDTH * 4) as u64));
    group.bench_function("kernel dot", |b| {
        b.iter(|| dot(black_box(&row), black_box(&query)));
    });
    group.bench_function("kernel euclidean", |b| {
        b.iter(|| euclidean(black_box(&row), black_box(&query)));
    });
    group.finish();
}

criterion_group!(benches, distance);
criterion_main!(benches);
