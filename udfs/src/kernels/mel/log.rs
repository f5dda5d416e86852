//! The logarithm that a mel spectrogram ends with, or none.

use std::str::FromStr;

use realfft::num_traits::Float;

/// What becomes of each value of the filter bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// Nothing (default): `power_to_db` can follow.
    None,
    /// The natural logarithm of the value, or of the floor where that is larger.
    Ln,
    /// The same to base 10.
    Log10,
    /// Base 10, then no more than 8 below the largest of the sound, then `(x + 4) / 4`.
    Whisper,
}

impl Log {
    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ln => "ln",
            Self::Log10 => "log10",
            Self::Whisper => "whisper",
        }
    }

    /// Whether a frame depends on the largest value of the whole sound.
    pub fn needs_peak(self) -> bool {
        self == Self::Whisper
    }

    /// Turns the filter bank's `values` into what the convention wants. `floor` is the smallest
    /// value that has a logarithm of its own, `peak` the largest value of the whole sound
    /// ([`Log::peak`]), which only [`Log::Whisper`] looks at. NaN stays NaN.
    pub fn apply<T: Float>(self, values: &mut [T], floor: f64, peak: T) {
        let number = |x: f64| T::from(x).unwrap_or_else(T::nan);
        let floor = number(floor);
        // Not `max`, which would make a number of NaN.
        let raised = |x: T| if x < floor { floor } else { x };
        match self {
            Self::None => (),
            Self::Ln => values.iter_mut().for_each(|x| *x = raised(*x).ln()),
            Self::Log10 => values.iter_mut().for_each(|x| *x = raised(*x).log10()),
            Self::Whisper => {
                let lowest = raised(peak).log10() - number(8.0);
                let four = number(4.0);
                for x in values {
                    let log = raised(*x).log10();
                    *x = (if log < lowest { lowest } else { log } + four) / four;
                }
            }
        }
    }

    /// The larger of `peak` and the largest of `values`; NaN does not count.
    pub fn peak<T: Float>(values: &[T], peak: T) -> T {
        values.iter().copied().fold(peak, T::max)
    }
}

impl FromStr for Log {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase();
        [Self::None, Self::Ln, Self::Log10, Self::Whisper]
            .into_iter()
            .find(|log| log.name() == name)
            .ok_or_else(|| {
                format!("log '{text}' is not known; use 'none', 'ln', 'log10' or 'whisper'")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors() {
        let apply = |log: Log, floor: f64| {
            let mut values = [f64::NAN, 0.0, 1.0, 1e6];
            let peak = Log::peak(&values, 0.0);
            assert_eq!(peak, 1e6);
            log.apply(&mut values, floor, peak);
            assert!(values[0].is_nan());
            [values[1], values[2], values[3]]
        };
        assert_eq!(apply(Log::None, 1e-5), [0.0, 1.0, 1e6]);
        assert_eq!(apply(Log::Ln, 1e-5), [1e-5f64.ln(), 0.0, 1e6f64.ln()]);
        assert_eq!(apply(Log::Log10, 1e-10), [-10.0, 0.0, 6.0]);
        // Eight below the 6 of the largest is -2.
        assert_eq!(apply(Log::Whisper, 1e-10), [0.5, 1.0, 2.5]);
    }
}
