//! Ten minutes of sound at 22,050 Hz as 80 mel bands (n_fft 1024, hop 256), and librosa's
//! defaults.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use voxql_udfs::kernels::decibel::{Decibels, Reference};
use voxql_udfs::kernels::mel::{MelOptions, MelSpectrogram};

fn bench(c: &mut Criterion) {
    // A cheap deterministic noise.
    let mut state = 1u32;
    let samples: Vec<f32> = (0..600 * 22050)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as i32 as f32 / i32::MAX as f32
        })
        .collect();
    let vocoder = MelOptions {
        n_fft: 1024,
        hop_length: 256,
        n_mels: 80,
        fmax: Some(8000.0),
        ..Default::default()
    };
    let mut group = c.benchmark_group("mel_spectrogram of 10 minutes");
    group.sample_size(10);
    for (name, options) in [
        ("80 mels, 1024, 256", vocoder),
        ("defaults", MelOptions::default()),
    ] {
        let mut mel = MelSpectrogram::<f32>::new(&options).expect("options are valid");
        let mut frames = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                frames.clear();
                mel.push(black_box(&samples), &mut frames);
                mel.finish(&mut frames).expect("long enough");
                frames.len()
            });
        });
    }
    let decibels = Decibels {
        reference: Reference::Max,
        amin: 1e-10,
        top_db: Some(80.0),
    };
    let powers: Vec<f64> = samples[..51_680 * 80]
        .iter()
        .map(|x| f64::from(x * x))
        .collect();
    group.bench_function("power_to_db of 51,680 x 80", |b| {
        b.iter(|| {
            let mut values = powers.clone();
            decibels.convert(black_box(&mut values));
            values
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
