//! Ten minutes of sound to another sample rate, in pieces as a decoder gives them.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use voxql_udfs::kernels::resample::Resampler;

/// Samples in an MP3 packet.
const PIECE: usize = 1152;

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("resample 10 minutes");
    group.sample_size(10);
    for (from, to) in [
        (44_100, 22_050),
        (48_000, 22_050),
        (44_100, 16_000),
        (16_000, 22_050),
    ] {
        // A cheap deterministic noise.
        let mut state = 1u32;
        let samples: Vec<f32> = (0..600 * from as usize)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state as i32 as f32 / i32::MAX as f32
            })
            .collect();
        let mut out = Vec::new();
        group.bench_function(format!("{from} to {to}"), |b| {
            b.iter(|| {
                out.clear();
                let mut resampler = Resampler::new(from, to).expect("rates are not 0");
                for piece in black_box(&samples).chunks(PIECE) {
                    resampler.push(piece, &mut out);
                }
                resampler.finish(&mut out);
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
