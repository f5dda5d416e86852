//! SRM of 10 subjects × 5,000 voxels × 300 TRs, 50 features, 10 iterations.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use faer::{Mat, MatRef};
use voxql_udfs::kernels::mt19937::Mt19937;
use voxql_udfs::kernels::srm;

fn fit(c: &mut Criterion) {
    let subjects: Vec<Mat<f64>> = (0..10)
        .map(|seed| {
            let mut random = Mt19937::new(seed);
            Mat::from_fn(5000, 300, |_, _| random.next_f64() - 0.5)
        })
        .collect();
    let views: Vec<MatRef<'_, f64>> = subjects.iter().map(Mat::as_ref).collect();
    let mut group = c.benchmark_group("srm");
    group.sample_size(10);
    group.bench_function("10 x 5000 x 300, k 50, 10 iterations", |b| {
        b.iter(|| black_box(srm::fit(&views, 50, 10, 0)));
    });
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
