//! SRM of 10 subjects × 300 TRs, 50 features, 10 iterations: fit and maps, of data in memory.
//! BrainIAK's `SRM.fit` of the same sizes is what `benches/srm.py` times.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use faer::{Mat, MatRef};
use voxql_udfs::kernels::mt19937::Mt19937;
use voxql_udfs::kernels::srm::{Centring, Data, Shape, Stop, fitted_map, probabilistic};

const SUBJECTS: usize = 10;
const TRS: usize = 300;
const FEATURES: usize = 50;
const THREADS: usize = 2;

/// Fits, and makes the maps on as many threads as the fit has.
fn fit_and_maps(data: &Data<'_>) {
    let stop = Stop {
        iterations: 10,
        tolerance: 0.0,
    };
    let Ok(model) = probabilistic::fit(data, FEATURES, Centring::Removed, 0, stop) else {
        panic!("random data have a model");
    };
    let s = model.s.as_ref();
    let next = AtomicUsize::new(0);
    let maps = || {
        let mut w = Mat::zeros(data.subjects[0].voxels, FEATURES);
        while let i = next.fetch_add(1, Ordering::Relaxed)
            && i < SUBJECTS
        {
            let map = fitted_map(data, i, s, &model.polar[i], &model.mean[i], w.as_mut());
            assert!(map.is_ok());
            black_box(&w);
        }
    };
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(maps)));
    });
}

fn fit(c: &mut Criterion) {
    let mut group = c.benchmark_group("srm");
    group.sample_size(10);
    for voxels in [5_000, 50_000] {
        let subjects: Vec<Mat<f64>> = (0..SUBJECTS)
            .map(|seed| {
                let mut random = Mt19937::new(seed as u32);
                Mat::from_fn(voxels, TRS, |_, _| random.next_f64() - 0.5)
            })
            .collect();
        let read = |i: usize, f: &mut dyn FnMut(MatRef<'_, f64>)| {
            f(subjects[i].as_ref());
            Ok(())
        };
        let shape = Shape {
            name: "",
            voxels,
            trs: TRS,
        };
        let data = Data {
            subjects: vec![shape; SUBJECTS],
            read: &read,
            threads: THREADS,
        };
        group.bench_function(format!("10 x {voxels} x 300"), |b| {
            b.iter(|| fit_and_maps(&data))
        });
    }
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
