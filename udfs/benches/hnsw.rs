//! An index of 20,000 embeddings of 384 elements in overlapping clusters: its build, and queries.
//! `benches/index.py` measures larger ones beside hnswlib.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use voxql_udfs::kernels::hnsw::{Codes, Hnsw, Nearness, Progress, Scratch, Settings};

const VECTORS: usize = 20_000;
const DIMENSION: usize = 384;
const CLUSTERS: usize = 200;

fn vectors() -> Vec<Vec<f32>> {
    let mut state = 1u64;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let mut vector = || -> Vec<f32> { (0..DIMENSION).map(|_| uniform()).collect() };
    let centres: Vec<_> = (0..CLUSTERS).map(|_| vector()).collect();
    let around = |i: usize| -> Vec<f32> {
        let noise = vector();
        centres[i % CLUSTERS]
            .iter()
            .zip(noise)
            .map(|(c, x)| c + 2.0 * x)
            .collect()
    };
    (0..VECTORS).map(around).collect()
}

fn hnsw(c: &mut Criterion) {
    let vectors = vectors();
    let build = || {
        let mut codes = Codes::new(Nearness::Euclidean, vec![0.0; DIMENSION], VECTORS);
        vectors.iter().for_each(|vector| codes.push(vector));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = Settings {
            m: 16,
            ef_construction: 200,
            threads,
        };
        Hnsw::build(codes, settings, &Progress::default())
    };
    let mut group = c.benchmark_group("hnsw");
    group.sample_size(10);
    group.throughput(Throughput::Elements(VECTORS as u64));
    group.bench_function("build", |b| b.iter(build));
    let Some(index) = build() else { return };
    let mut scratch = Scratch::default();
    group.throughput(Throughput::Elements(100));
    group.bench_function("100 queries, ef 100", |b| {
        b.iter(|| {
            for query in vectors.iter().step_by(VECTORS / 100) {
                black_box(index.search(query, 100, None, &mut scratch));
            }
        })
    });
    group.finish();
}

criterion_group!(benches, hnsw);
criterion_main!(benches);
