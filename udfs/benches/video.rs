//! Numbers of a picture, and the motion energy of one picture by pymoten's default pyramid.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use voxql_udfs::kernels::frame::{luminance, rms_contrast};
use voxql_udfs::kernels::motion_energy::{MotionEnergy, Pyramid};

fn picture(height: usize, width: usize, channels: usize, seed: usize) -> Vec<f32> {
    (0..height * width * channels)
        .map(|i| ((i * 31 + seed * 17) % 251) as f32 / 251.0)
        .collect()
}

fn benches(c: &mut Criterion) {
    let rgb = picture(360, 640, 3, 0);
    c.bench_function("luminance 640 x 360", |b| {
        b.iter(|| luminance(black_box(&rgb), 3));
    });
    c.bench_function("rms_contrast 640 x 360", |b| {
        b.iter(|| rms_contrast(black_box(&rgb), 3));
    });

    let pyramid = Pyramid {
        height: 96,
        width: 96,
        fps: 15.0,
        temporal_frequencies: vec![0.0, 2.0, 4.0],
        spatial_frequencies: vec![0.0, 2.0, 4.0, 8.0, 16.0],
        directions: (0..8).map(|k| 45.0 * f64::from(k)).collect(),
        is_reversed: false,
    };
    let film: Vec<Vec<f32>> = (0..20).map(|seed| picture(96, 96, 1, seed)).collect();
    let mut energy = MotionEnergy::new(&pyramid, true);
    let mut out = vec![0.0; energy.filters()];
    let mut at = 0;
    c.bench_function("motion_energy 96 x 96", |b| {
        b.iter(|| {
            energy.push(black_box(&film[at % film.len()]));
            energy.energies(at, &mut out);
            at += 1;
        });
    });
}

criterion_group!(video, benches);
criterion_main!(video);
