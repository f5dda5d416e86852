//! The 10 nearest of 20,000 Float32 vectors of 768 to each of 500, one thread: the kernel of `knn`, in blocks of 4,096 rows.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use voxql_udfs::kernels::knn::{Base, Neighbours, Queries};
use voxql_udfs::kernels::metric::Metric;

const QUERIES: usize = 500;
const ROWS: usize = 20_000;
const WIDTH: usize = 768;
const BLOCK: usize = 4096;

/// Numbers from -1 to 1 that repeat late (xorshift).
fn vectors(rows: usize, mut state: u64) -> Vec<f32> {
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..rows * WIDTH).map(|_| next()).collect()
}

fn nearest(metric: Metric, queries: &[f32], base: &[f32]) -> f64 {
    let mut held = Queries::<f32, f32>::new(metric, WIDTH);
    queries.chunks(WIDTH).for_each(|query| held.push(query));
    let mut found = vec![Neighbours::new(Some(10), None); QUERIES];
    let mut limits = vec![f64::INFINITY; QUERIES];
    let mut products = Vec::new();
    for (block, values) in base.chunks(BLOCK * WIDTH).enumerate() {
        let rows = Base::new(metric, values, (values.len() / WIDTH, WIDTH), |_| true);
        for queries in held.blocks() {
            held.search(
                queries,
                &rows,
                &mut limits,
                &mut products,
                |query, row, distance| {
                    found[query].offer(distance, &(block * BLOCK + row));
                    found[query].limit()
                },
            );
        }
    }
    limits.iter().sum()
}

fn knn(c: &mut Criterion) {
    let (queries, base) = (vectors(QUERIES, 1), vectors(ROWS, 2));
    let mut group = c.benchmark_group("knn");
    group.throughput(Throughput::Elements((QUERIES * ROWS) as u64));
    group.sample_size(10);
    for metric in [Metric::Cosine, Metric::L2, Metric::Correlation] {
        group.bench_function(metric.name(), |b| {
            b.iter(|| nearest(metric, black_box(&queries), black_box(&base)));
        });
    }
    group.finish();
}

criterion_group!(benches, knn);
criterion_main!(benches);
