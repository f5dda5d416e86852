//! What stands before and after the sound.

use std::str::FromStr;

/// What is put before the first sample and after the last, as `numpy.pad` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadMode {
    /// Zeros (default).
    Constant,
    /// The signal mirrored at its end samples, which are not repeated.
    Reflect,
    /// The signal mirrored, its end samples repeated.
    Symmetric,
    /// The end samples repeated.
    Edge,
}

impl PadMode {
    /// The name in SQL and in numpy.
    pub fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Reflect => "reflect",
            Self::Symmetric => "symmetric",
            Self::Edge => "edge",
        }
    }

    /// How many samples of the signal's end must be known for `pad` samples beyond it.
    pub(super) fn looks_at(self, pad: usize) -> usize {
        match self {
            Self::Constant | Self::Edge => 1,
            Self::Reflect => pad + 1,
            Self::Symmetric => pad.max(1),
        }
    }

    /// Which of a signal's `n` samples (at least one) stands `distance` samples beyond its end,
    /// counted from the end inwards; None is silence. A signal shorter than its padding is mirrored
    /// again and again.
    pub(super) fn beyond(self, distance: usize, n: usize) -> Option<usize> {
        let (at, period) = match self {
            Self::Constant => return None,
            Self::Edge => return Some(0),
            Self::Reflect if n == 1 => return Some(0),
            Self::Reflect => (distance, 2 * (n - 1)),
            Self::Symmetric => (distance - 1, 2 * n),
        };
        let at = at % period;
        let back = match self {
            Self::Reflect => period - at,
            _ => period - 1 - at,
        };
        Some(if at < n { at } else { back })
    }
}

impl FromStr for PadMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase();
        [Self::Constant, Self::Reflect, Self::Symmetric, Self::Edge]
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| {
                format!("pad_mode '{text}' is not known; use constant, reflect, symmetric or edge")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `numpy.pad([0, 1, 2], 7, mode)`, the part after the signal.
    #[test]
    fn short_signals_are_mirrored_again_and_again() {
        let after = |mode: PadMode, n: usize| -> Vec<_> {
            let inwards = (1..8).map(|d| mode.beyond(d, n));
            inwards.map(|i| i.map(|i| n - 1 - i)).collect()
        };
        let some = |indices: [usize; 7]| indices.map(Some).to_vec();
        assert_eq!(after(PadMode::Reflect, 3), some([1, 0, 1, 2, 1, 0, 1]));
        assert_eq!(after(PadMode::Symmetric, 3), some([2, 1, 0, 0, 1, 2, 2]));
        assert_eq!(after(PadMode::Edge, 3), some([2; 7]));
        assert_eq!(after(PadMode::Reflect, 1), some([0; 7]));
        assert_eq!(after(PadMode::Symmetric, 1), some([0; 7]));
        assert_eq!(after(PadMode::Constant, 3), [None; 7]);
    }

    #[test]
    fn names() {
        assert_eq!("Symmetric".parse(), Ok(PadMode::Symmetric));
        let error = "wrap".parse::<PadMode>().unwrap_err();
        assert!(
            error.contains("'wrap' is not known; use constant"),
            "{error}"
        );
    }
}
