//! The kernels on volumes: smoothing and masking a run of 64×64×40, an atlas of 400 labels over
//! it, and an image of MNI space (91×109×91, 2 mm) on a grid of 3 mm.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use voxql_udfs::kernels::brain::epi_mask::EpiMask;
use voxql_udfs::kernels::brain::parcels::{Parcels, Strategy};
use voxql_udfs::kernels::brain::resample::{Interpolation, Resampler};
use voxql_udfs::kernels::brain::smooth::Smoother;
use voxql_udfs::kernels::brain::{Affine, Shape};

const RUN: Shape = [64, 64, 40];
const MNI: Shape = [91, 109, 91];

fn scaled(zoom: f64, origin: [f64; 3]) -> Affine {
    std::array::from_fn(|r| {
        std::array::from_fn(|c| match c {
            3 => origin[r],
            c if c == r => zoom,
            _ => 0.0,
        })
    })
}

/// A bright ball with noise, on a dark ground.
fn head([nx, ny, nz]: Shape) -> Vec<f32> {
    let mut state = 1u32;
    (0..nx * ny * nz)
        .map(|i| {
            let place = [i % nx, i / nx % ny, i / (nx * ny)];
            let square = |axis: usize, n: usize| (place[axis] as f32 / n as f32 - 0.5).powi(2);
            let inside = square(0, nx) + square(1, ny) + square(2, nz) < 0.12;
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state % 64) as f32 + if inside { 600.0 } else { 0.0 }
        })
        .collect()
}

fn brain(c: &mut Criterion) {
    let mut group = c.benchmark_group("brain");
    group.sample_size(20);
    let run = head(RUN);
    let affine = scaled(3.0, [0.0; 3]);

    let mut smoother = Smoother::new(RUN, &affine, [Some(6.0); 3]).unwrap();
    let mut volume = run.clone();
    group.bench_function("smooth 64x64x40, 6 mm", |b| {
        b.iter(|| {
            volume.copy_from_slice(&run);
            smoother.apply(black_box(&mut volume));
        });
    });
    let options = EpiMask::default();
    group.bench_function("epi_mask 64x64x40", |b| {
        b.iter(|| {
            volume.copy_from_slice(&run);
            black_box(options.of(&mut volume, RUN).unwrap())
        });
    });

    // Blocks of 8 × 8 × 6 voxels, some 450 of them.
    let labels: Vec<f32> = (0..run.len())
        .map(|i| {
            let (x, y, z) = (i % 64 / 8, i / 64 % 64 / 8, i / 4096 / 6);
            (x + 8 * (y + 8 * z)) as f32
        })
        .collect();
    let mut parcels = Parcels::new(&labels, 0).unwrap();
    for strategy in [
        Strategy::Mean,
        Strategy::Median,
        Strategy::StandardDeviation,
    ] {
        let mut out = Vec::with_capacity(parcels.labels.len());
        group.bench_function(format!("parcels 64x64x40, {}", strategy.name()), |b| {
            b.iter(|| {
                out.clear();
                parcels.reduce(strategy, black_box(&run), &mut out);
            });
        });
    }

    let mni = head(MNI);
    let coarse: Shape = [61, 73, 61];
    let (s, k) = (0.1f64.sin(), 0.1f64.cos());
    let turned = [
        [3.0 * k, -3.0 * s, 0.0, -80.0],
        [3.0 * s, 3.0 * k, 0.0, -120.0],
        [0.0, 0.0, 3.0, -70.0],
    ];
    let source = scaled(2.0, [-90.0, -126.0, -72.0]);
    let straight = scaled(3.0, [-90.0, -126.0, -72.0]);
    let mut target = vec![0f32; coarse.iter().product()];
    for (name, affine) in [("parallel", straight), ("turned", turned)] {
        for how in [
            Interpolation::Continuous,
            Interpolation::Linear,
            Interpolation::Nearest,
        ] {
            let mut resampler = Resampler::new(MNI, &source, coarse, &affine, how).unwrap();
            group.bench_function(format!("resample 2 mm to 3 mm, {name}, {how:?}"), |b| {
                b.iter(|| resampler.apply(black_box(&mni), &mut target));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, brain);
criterion_main!(benches);
