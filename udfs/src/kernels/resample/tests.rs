use super::*;
use proptest::prelude::*;

fn resample(signal: &[f32], from: u32, to: u32) -> Vec<f32> {
    let mut out = Vec::new();
    let mut resampler = Resampler::new(from, to).unwrap();
    resampler.push(signal, &mut out).unwrap();
    resampler.finish(&mut out).unwrap();
    out
}

fn noise(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as i32 as f32 / i32::MAX as f32
        })
        .collect()
}

/// A sweep from 20 Hz to 0.9 of the lower Nyquist frequency. A delay of a hundredth of a sample
/// would be an error of -40 dB.
#[test]
fn a_sweep_stays_a_sweep() {
    for (from, to) in [
        (44_100, 22_050),
        (16_000, 22_050),
        (48_000, 16_000),
        (48_000, 22_050),
        (32_000, 44_100),
        (22_050, 16_000),
        (8_000, 22_050),
        (44_100, 48_000),
        (96_000, 44_100),
        (44_100, 44_101),
    ] {
        let seconds = 2.0;
        let top = 0.9 * f64::from(from.min(to)) / 2.0;
        let sweep = |rate: u32, i: usize| {
            let t = i as f64 / f64::from(rate);
            let phase = 20.0 * t + (top - 20.0) * t * t / (2.0 * seconds);
            0.5 * (std::f64::consts::TAU * phase).sin()
        };
        let n = (seconds * f64::from(from)) as usize;
        let input: Vec<f32> = (0..n).map(|i| sweep(from, i) as f32).collect();
        let output = resample(&input, from, to);
        assert_eq!(output.len(), (n * to as usize).div_ceil(from as usize));
        let edge = to as usize / 10;
        let (mut signal, mut wrong) = (0.0, 0.0);
        for i in edge..output.len() - edge {
            let want = sweep(to, i);
            signal += want * want;
            wrong += (f64::from(output[i]) - want).powi(2);
        }
        let decibels = 10.0 * (signal / wrong).log10();
        println!("{from} to {to} Hz: {decibels:.1} dB");
        assert!(decibels > 110.0, "{from} to {to}: {decibels} dB");
    }
}

/// What the lower rate cannot have is gone: no alias of it is left.
#[test]
fn nothing_is_aliased() {
    let (from, to) = (44_100, 22_050);
    for frequency in [11_100.0, 13_000.0, 20_000.0] {
        let tone = |i: usize| {
            (std::f64::consts::TAU * frequency * i as f64 / f64::from(from)).sin() as f32
        };
        let output = resample(&(0..50_000).map(tone).collect::<Vec<_>>(), from, to);
        let inner = &output[1000..output.len() - 1000];
        let largest = inner.iter().fold(0f32, |m, x| m.max(x.abs()));
        println!("{frequency} Hz: {:.1} dB", 20.0 * largest.log10());
        assert!(largest < 3e-6, "{frequency} Hz: {largest}");
    }
}

#[test]
fn sizes_of_blocks() {
    for (from, to) in [
        (44_100, 22_050),
        (44_100, 48_000),
        (44_100, 44_101),
        (100, 768_000),
        (767_999, 768_000),
        (768_000, 100),
    ] {
        let blocks = Blocks::new(from, to);
        let (step_in, step_out) = blocks.step();
        assert!(step_in >= blocks.input / 2, "{blocks:?}");
        let lower = blocks.input_margin.min(blocks.output_margin);
        assert!(lower as f64 >= design::HALF_LENGTH);
        let same = |a: usize, b: usize| a as u64 * u64::from(to) == b as u64 * u64::from(from);
        assert!(same(step_in, step_out) && same(blocks.input_margin, blocks.output_margin));
        println!("{from} to {to}: {blocks:?}");
        assert!(blocks.input.max(blocks.output) <= 1 << 23);
    }
}

#[test]
fn short_and_silent() {
    assert_eq!(resample(&[], 44_100, 22_050), [0.0f32; 0]);
    assert_eq!(resample(&[0.0; 3], 44_100, 22_050), [0.0, 0.0]);
    assert_eq!(resample(&[0.5], 16_000, 48_000).len(), 3);
    assert!(Resampler::new(0, 1).is_err() && Resampler::new(1, 0).is_err());
    assert_eq!(resampled_length(3, 44_100, 22_050), 2);
    assert_eq!(resampled_length(u64::MAX, 1, 768_000), u64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However the signal comes, and wherever reading begins, the samples are the same.
    #[test]
    fn pieces_and_parts_equal_the_whole(
        length in 0usize..60_000,
        cuts in proptest::collection::vec(0usize..20_000, 0..8),
        start in 0.0f64..1.2,
        rates in prop::sample::select(vec![
            (44_100u32, 22_050u32), (16_000, 22_050), (48_000, 16_000), (8_000, 44_100), (3, 2),
        ]),
    ) {
        let (from, to) = rates;
        let signal = noise(length);
        let whole = resample(&signal, from, to);
        prop_assert_eq!(whole.len(), (length * to as usize).div_ceil(from as usize));

        let mut resampler = Resampler::new(from, to).unwrap();
        let (mut out, mut rest) = (Vec::new(), &signal[..]);
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            resampler.push(piece, &mut out).unwrap();
            rest = after;
        }
        resampler.push(rest, &mut out).unwrap();
        resampler.finish(&mut out).unwrap();
        prop_assert_eq!(&out, &whole);

        let sample = (start * whole.len() as f64) as usize;
        let mut resampler = Resampler::new(from, to).unwrap();
        let first = resampler.seek(sample as u64) as usize;
        let mut out = Vec::new();
        resampler.push(signal.get(first..).unwrap_or_default(), &mut out).unwrap();
        if first <= length {
            resampler.finish(&mut out).unwrap();
            prop_assert_eq!(&out[..], whole.get(sample..).unwrap_or_default());
        }
    }
}
