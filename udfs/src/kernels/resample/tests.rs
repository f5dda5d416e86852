//! What a resampler promises, on made signals.

use std::f64::consts::TAU;

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn resampled(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    let mut resampler = Resampler::new(from, to).unwrap();
    let mut out = Vec::new();
    resampler.push(samples, &mut out);
    resampler.finish(&mut out);
    out
}

fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as i32 as f32 / i32::MAX as f32
    };
    (0..n).map(next).collect()
}

/// `n` samples of a signal of time in seconds.
fn sampled(n: usize, rate: u32, signal: impl Fn(f64) -> f64) -> Vec<f32> {
    let at = |i| signal(i as f64 / f64::from(rate)) as f32;
    (0..n).map(at).collect()
}

/// Signal to noise in decibels, the ends left out.
fn quality(got: &[f32], want: &[f32], edge: usize) -> f64 {
    assert_eq!(got.len(), want.len());
    let inner = edge..got.len() - edge;
    let (mut signal, mut noise) = (0.0, 0.0);
    for (&got, &want) in got[inner.clone()].iter().zip(&want[inner]) {
        signal += f64::from(want).powi(2);
        noise += (f64::from(got) - f64::from(want)).powi(2);
    }
    10.0 * (signal / noise).log10()
}

/// Any delay, even of a hundredth of a sample, would be an error of -40 dB.
#[rstest]
#[case(44_100, 22_050)]
#[case(16_000, 22_050)]
#[case(22_050, 16_000)]
#[case(48_000, 22_050)]
#[case(48_000, 16_000)]
#[case(44_100, 16_000)]
#[case(8_000, 22_050)]
#[case(11_025, 44_100)]
#[case(32_000, 44_100)]
#[case(44_100, 48_000)]
#[case(44_100, 44_101)]
#[case(192_000, 8_000)]
fn a_sweep_up_to_nine_tenths_of_the_lower_nyquist_frequency(#[case] from: u32, #[case] to: u32) {
    let top = 0.9 * f64::from(from.min(to)) / 2.0;
    let seconds = 2;
    let sweep = |t: f64| {
        let phase = 20.0 * t + (top - 20.0) * t * t / f64::from(2 * seconds);
        0.5 * (TAU * phase).sin()
    };
    let input = sampled((seconds * from) as usize, from, sweep);
    let want = sampled((seconds * to) as usize, to, sweep);
    let decibels = quality(&resampled(&input, from, to), &want, to as usize / 10);
    println!("{from} to {to}: {decibels:.1} dB");
    assert!(decibels > 130.0, "{from} to {to}: {decibels} dB");
}

#[rstest]
#[case(44_100, 22_050)]
#[case(48_000, 22_050)]
#[case(44_100, 16_000)]
#[case(22_050, 16_000)]
fn nothing_beyond_the_nyquist_frequency_comes_back(#[case] from: u32, #[case] to: u32) {
    for beyond in [1.002, 1.1, 1.3] {
        let frequency = beyond * f64::from(to) / 2.0;
        let tone = sampled(2 * from as usize, from, |t| (TAU * frequency * t).sin());
        let out = resampled(&tone, from, to);
        let inner = &out[1000..out.len() - 1000];
        let largest = inner.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(largest < 1e-6, "{from} to {to}, {frequency} Hz: {largest}");
    }
}

#[test]
fn a_constant_stays_what_it_is() {
    for (from, to) in [(44_100, 22_050), (16_000, 22_050), (22_050, 16_000)] {
        let out = resampled(&vec![0.25; 20_000], from, to);
        let inner = &out[500..out.len() - 500];
        assert!(inner.iter().all(|x| (x - 0.25).abs() < 1e-6));
    }
}

#[rstest]
#[case(44_100, 22_050, 0)]
#[case(44_100, 22_050, 1)]
#[case(44_100, 22_050, 3)]
#[case(16_000, 44_100, 5)]
#[case(44_100, 44_101, 1000)]
#[case(192_000, 100, 100_000)]
#[case(48_000, 47_999, 10)]
#[case(1, 3, 7)]
fn the_length_is_rounded_up(#[case] from: u32, #[case] to: u32, #[case] n: usize) {
    let want = (n * to as usize).div_ceil(from as usize);
    assert_eq!(resampled(&noise(n), from, to).len(), want);
    assert_eq!(resampled_length(n as u64, from, to), want as u64);
}

#[test]
fn a_rate_of_zero_is_an_error() {
    assert!(Resampler::new(0, 1).is_err());
    assert!(Resampler::new(1, 0).is_err());
    assert_eq!(resampled_length(u64::MAX, 1, u32::MAX), u64::MAX);
}

#[test]
fn beyond_the_end_there_is_nothing() {
    for sample in [10_000, u64::MAX] {
        let mut resampler = Resampler::new(44_100, 22_050).unwrap();
        let (first, _) = resampler.seek(sample);
        assert!(first > 100);
        let mut out = vec![1.0];
        resampler.finish(&mut out);
        assert_eq!(out, [1.0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn pieces_and_points_of_entry_do_not_matter(
        rates in prop::sample::select(vec![
            (44_100, 22_050), (16_000, 22_050), (22_050, 16_000), (8_000, 48_000), (48_000, 44_100),
        ]),
        n in 0usize..30_000,
        pieces in prop::collection::vec(0usize..5_000, 0..12),
        part in 0.0..1.0f64,
    ) {
        let (from, to) = rates;
        let samples = noise(n);
        let whole = resampled(&samples, from, to);

        let mut resampler = Resampler::new(from, to).unwrap();
        let mut out = Vec::new();
        let sample = (part * whole.len() as f64) as usize;
        let (first, skip) = resampler.seek(sample as u64);
        let mut rest = &samples[first as usize..];
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            resampler.push(now, &mut out);
            rest = later;
        }
        resampler.push(rest, &mut out);
        resampler.finish(&mut out);
        prop_assert!(out[skip as usize..] == whole[sample..]);
    }
}
