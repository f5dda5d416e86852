//! The low-pass filter of the resampler: a sinc under a Kaiser window.
//!
//! soxr's `HQ`, through which librosa resamples, was measured (its answers to impulses at 44.1
//! to 22.05 kHz): a linear-phase low-pass that is flat to 0.913 of the lower Nyquist frequency
//! and has nothing from there on, as a Kaiser-windowed sinc has it. The three numbers below are
//! the ones that come nearest to librosa's results (within 5e-5 of full scale).

use std::f64::consts::PI;

use crate::kernels::window::bessel_i0;

/// Where the response is a half, in units of the lower Nyquist frequency.
const CUTOFF: f64 = 0.956_868;

/// The window's shape: side lobes are at -122 dB.
const BETA: f64 = 12.563_832;

/// Half of the window, in samples of the lower rate.
pub const HALF_LENGTH: f64 = 95.508_606;

/// Below this response is 1, above 1 it is 0, to within the side lobes.
const FLAT: f64 = 0.89;

/// The filter's impulse response, half a sample of the lower rate apart, from the middle on.
pub struct Filter(Vec<f64>);

impl Filter {
    pub fn new() -> Self {
        let taps = (2.0 * HALF_LENGTH) as usize;
        let middle = bessel_i0(BETA);
        let mut half: Vec<f64> = (0..=taps)
            .map(|i| {
                let t = i as f64 / 2.0;
                let x = t / HALF_LENGTH;
                let window = bessel_i0(BETA * (1.0 - x * x).max(0.0).sqrt()) / middle;
                window * sinc(CUTOFF * t)
            })
            .collect();
        // The middle counts once, all others twice; together they are 1.
        half[1..].iter_mut().for_each(|h| *h *= 2.0);
        let sum: f64 = half.iter().sum();
        half.iter_mut().for_each(|h| *h /= sum);
        Self(half)
    }

    /// The response at a frequency, in units of the lower Nyquist frequency.
    pub fn response(&self, frequency: f64) -> f64 {
        if frequency < FLAT {
            return 1.0;
        }
        if frequency > 1.0 {
            return 0.0;
        }
        let taps = self.0.iter().enumerate();
        taps.map(|(i, h)| h * (PI * frequency * i as f64 / 2.0).cos())
            .sum()
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_then_nothing() {
        let filter = Filter::new();
        let response = |f: f64| {
            let taps = filter.0.iter().enumerate();
            let sum = taps.map(|(i, h)| h * (PI * f * i as f64 / 2.0).cos());
            sum.sum::<f64>()
        };
        for i in 0..=90 {
            assert!((response(f64::from(i) / 100.0) - 1.0).abs() < 1e-6);
        }
        assert!((filter.response(CUTOFF) - 0.5).abs() < 1e-3);
        for i in 100..=200 {
            assert!(response(f64::from(i) / 100.0).abs() < 1e-6);
        }
    }
}
