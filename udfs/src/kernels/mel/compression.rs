//! What is made of the bands' powers at the end, frame by frame or over a whole sound.

use realfft::num_traits::Float;

/// How much the loudest and the softest band are brought together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compression {
    /// Not at all (librosa, torchaudio).
    None,
    /// `ln(max(x, 1e-5))`, HiFi-GAN's dynamic range compression.
    Ln,
    /// Whisper's: `log10(max(x, 1e-10))`, no more than 8 below the sound's largest, then
    /// `(x + 4) / 4`.
    Whisper,
}

/// HiFi-GAN's smallest band.
const SMALLEST_LN: f64 = 1e-5;
/// Whisper's smallest band.
const SMALLEST_WHISPER: f64 = 1e-10;

impl Compression {
    /// The formula, for people and for [`MelOptions::to_json`](super::MelOptions::to_json).
    pub fn formula(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ln => "ln(max(x, 1e-5))",
            Self::Whisper => "(max(log10(max(x, 1e-10)), max - 8) + 4) / 4",
        }
    }

    /// Whether a frame's values depend on the whole sound. Then [`Self::finish`] has to
    /// follow.
    pub fn needs_largest(self) -> bool {
        self == Self::Whisper
    }

    /// Turns a frame's powers into what can be told without the others.
    pub(super) fn compress<T: Float>(self, frame: &mut [T]) {
        let real = |x: f64| T::from(x).unwrap_or_else(T::nan);
        // Not Float::max, for which NaN is no number.
        let raised = |x: T, least: T| if x < least { least } else { x };
        match self {
            Self::None => {}
            Self::Ln => {
                let least = real(SMALLEST_LN);
                frame.iter_mut().for_each(|x| *x = raised(*x, least).ln());
            }
            Self::Whisper => {
                let least = real(SMALLEST_WHISPER);
                frame
                    .iter_mut()
                    .for_each(|x| *x = raised(*x, least).log10());
            }
        }
    }

    /// Finishes frames of a sound whose largest value so far is `largest`.
    pub fn finish<T: Float>(self, frames: &mut [T], largest: T) {
        if self != Self::Whisper {
            return;
        }
        let four = T::from(4.0).unwrap_or_else(T::nan);
        let floor = largest - four - four;
        for x in frames {
            let raised = if *x < floor { floor } else { *x };
            *x = (raised + four) / four;
        }
    }
}

/// The largest of these values that is a number.
pub fn largest<T: Float>(values: &[T], so_far: T) -> T {
    values.iter().copied().fold(so_far, T::max)
}
