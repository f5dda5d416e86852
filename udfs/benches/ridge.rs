//! Ridge regression of 5,000 targets on 1,000 features, 10 alphas, 5 folds, 2 threads.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use faer::Mat;
use voxql_udfs::kernels::mt19937::Mt19937;
use voxql_udfs::kernels::ridge::{Form, Regression, Score, Search, candidates, contiguous};

const FEATURES: usize = 1000;
const TARGETS: usize = 5000;

fn fit(c: &mut Criterion) {
    let alphas: Vec<f64> = (0..10)
        .map(|i| 10f64.powf(f64::from(i) * 4.0 / 9.0))
        .collect();
    let mut group = c.benchmark_group("ridge");
    group.sample_size(10);
    for (name, samples, bands, iterations) in [
        ("600 samples", 600, vec![FEATURES], 1),
        ("1000 samples", 1000, vec![FEATURES], 1),
        ("1000 samples, 2 bands, 4 gammas", 1000, vec![400, 600], 4),
    ] {
        let mut random = Mt19937::new(0);
        let mut matrix =
            |rows, columns| Mat::from_fn(rows, columns, |_, _| random.next_f64() - 0.5);
        let (x, y) = (matrix(samples, FEATURES), matrix(samples, TARGETS));
        let y = y.as_ref();
        let gammas = candidates(iterations, bands.len(), 0);
        let folds = contiguous(samples, 5).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                let regression =
                    Regression::new(x.as_ref(), &bands, &y, true, Form::Auto, 2).unwrap();
                let search = Search {
                    alphas: &alphas,
                    gammas: &gammas,
                    folds: &folds,
                    score: Score::NegativeError,
                    per_target: true,
                };
                let selection = regression.search(&search, |_, _| ()).unwrap();
                regression
                    .weights(&selection, &gammas, |weights| {
                        black_box(weights.coefficients.norm_max());
                        Ok(())
                    })
                    .unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
