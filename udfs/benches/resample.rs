//! Ten minutes of sound to other sample rates.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use voxql_udfs::kernels::resample::Resampler;

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample 10 minutes");
    group.sample_size(10);
    for (from, to) in [(44_100, 22_050), (48_000, 16_000), (16_000, 22_050)] {
        // A cheap deterministic noise.
        let mut state = 1u32;
        let samples: Vec<f32> = (0..600 * from)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as i32 as f32 / i32::MAX as f32
            })
            .collect();
        let mut out = Vec::new();
        group.bench_function(format!("{from} to {to} Hz"), |b| {
            b.iter(|| {
                out.clear();
                let mut resampler = Resampler::new(from, to).expect("rates are valid");
                for piece in black_box(&samples).chunks(4096) {
                    resampler.push(piece, &mut out).expect("sizes are right");
                }
                resampler.finish(&mut out).expect("sizes are right");
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
