//! The low-pass filter of the resampler: a sinc under a Kaiser window.
//!
//! Its three numbers were fitted to what soxr's quality HQ, with which `librosa.load`
//! resamples, answers to an impulse. Where one rate is a whole multiple of the other, the
//! fit is good to 3e-8 of the impulse. Elsewhere soxr works in two stages, of which the
//! second lets the top of the passband fall by 0.1%; here it stays flat, and only the
//! slope is soxr's.

use std::f64::consts::PI;

use super::super::window::bessel_i0;

/// A linear-phase low-pass filter, in units of the lower of two sample rates: the time
/// between two of its samples, and its Nyquist frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// Where it lets half of the amplitude pass, as a part of the Nyquist frequency.
    cutoff: f64,
    /// Samples from its middle to its end.
    pub half_length: f64,
    /// The window's parameter.
    beta: f64,
}

/// Flat to 1e-6 up to 0.91 of the Nyquist frequency; -139 dB from there on.
const WHOLE_RATIO: Filter = Filter {
    cutoff: 0.956_872,
    half_length: 97.25,
    beta: 13.04,
};

/// Flat to 1e-6 up to 0.91 of the Nyquist frequency; -150 dB from there on.
const OTHER_RATIO: Filter = Filter {
    cutoff: 0.956_84,
    half_length: 109.8,
    beta: 15.87,
};

impl Filter {
    /// The filter between two rates without a common factor.
    pub fn between(from: usize, to: usize) -> Self {
        if from == 1 || to == 1 {
            WHOLE_RATIO
        } else {
            OTHER_RATIO
        }
    }

    /// Its value `time` samples from its middle.
    pub fn at(&self, time: f64) -> f64 {
        let inside = 1.0 - (time / self.half_length).powi(2);
        if inside < 0.0 {
            return 0.0;
        }
        let window = bessel_i0(self.beta * inside.sqrt()) / bessel_i0(self.beta);
        let x = PI * self.cutoff * time;
        let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
        self.cutoff * sinc * window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_even_ends_and_has_a_gain_of_one() {
        for filter in [WHOLE_RATIO, OTHER_RATIO] {
            assert_eq!(filter.at(0.0), filter.cutoff);
            assert_eq!(filter.at(filter.half_length + 1e-9), 0.0);
            assert_eq!(filter.at(3.7), filter.at(-3.7));
            let sum: f64 = (-120..=120).map(|n| filter.at(f64::from(n))).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn whole_ratios_have_a_filter_of_their_own() {
        assert_eq!(Filter::between(2, 1), WHOLE_RATIO);
        assert_eq!(Filter::between(1, 3), WHOLE_RATIO);
        assert_eq!(Filter::between(320, 441), OTHER_RATIO);
    }
}
