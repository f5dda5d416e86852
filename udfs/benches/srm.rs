//! SRM of 10 subjects × 5,000 voxels × 300 TRs, 50 features, 10 iterations: fit and maps.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use faer::{Mat, MatMut};
use voxql_udfs::kernels::mt19937::Mt19937;
use voxql_udfs::kernels::srm::{Centring, Data, Shape, Stop, fitted_map, probabilistic};

const VOXELS: usize = 5000;
const TRS: usize = 300;
const PANEL: usize = 1000;

fn fit(c: &mut Criterion) {
    let subjects: Vec<Mat<f64>> = (0..10)
        .map(|seed| {
            let mut random = Mt19937::new(seed);
            Mat::from_fn(VOXELS, TRS, |_, _| random.next_f64() - 0.5)
        })
        .collect();
    let read = |i: usize, f: &mut dyn FnMut(MatMut<'_, f64>)| {
        for at in (0..VOXELS).step_by(PANEL) {
            let mut panel = subjects[i].subrows(at, PANEL).to_owned();
            f(panel.as_mut());
        }
        Ok(())
    };
    let shape = Shape {
        name: "",
        voxels: VOXELS,
        trs: TRS,
    };
    let data = Data {
        subjects: vec![shape; 10],
        read: &read,
        threads: 2,
    };
    let stop = Stop {
        iterations: 10,
        tolerance: 0.0,
    };
    let mut group = c.benchmark_group("srm");
    group.sample_size(10);
    group.bench_function("10 x 5000 x 300, k 50, 10 iterations", |b| {
        b.iter(|| {
            let Ok(model) = probabilistic::fit(&data, 50, Centring::Removed, 0, stop) else {
                panic!("random data have a model");
            };
            for i in 0..10 {
                let s = model.s.as_ref();
                let w = fitted_map(&data, i, s, &model.polar[i], &model.mean[i]);
                black_box(w.is_ok());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
