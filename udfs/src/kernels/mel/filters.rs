//! The bank of triangular filters.

use std::str::FromStr;

use super::MelOptions;

/// How each triangular filter is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// To equal area: by 2 over its width in Hz (default).
    Slaney,
    /// Not at all: peaks of 1.
    None,
    /// To a sum of 1.
    L1,
}

impl Norm {
    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slaney => "slaney",
            Self::None => "none",
            Self::L1 => "1",
        }
    }
}

impl FromStr for Norm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "slaney" => Ok(Self::Slaney),
            "none" => Ok(Self::None),
            "1" => Ok(Self::L1),
            _ => Err(format!(
                "norm '{text}' is not known; use 'slaney', 'none' or '1'"
            )),
        }
    }
}

impl MelOptions {
    /// The filter bank: for each band its first FFT bin and its weights from there on.
    /// A band between two bins has no weights.
    ///
    /// The weights are rounded to f32, as librosa rounds them even for double audio.
    pub fn filters(&self) -> Vec<(usize, Vec<f32>)> {
        let (low, high) = (self.to_mel(self.fmin), self.to_mel(self.fmax()));
        let step = (high - low) / (self.n_mels + 1) as f64;
        let edges: Vec<f64> = (0..self.n_mels + 2)
            .map(|i| {
                // As numpy's linspace: the last point is exact.
                let mel = if i > self.n_mels {
                    high
                } else {
                    low + step * i as f64
                };
                self.to_hz(mel)
            })
            .collect();
        let bin_width = self.sample_rate / self.n_fft as f64;
        let bins = self.n_fft / 2 + 1;
        edges
            .windows(3)
            .map(|edge| {
                let weight = |bin: usize| {
                    let f = bin as f64 * bin_width;
                    let rise = (f - edge[0]) / (edge[1] - edge[0]);
                    let fall = (edge[2] - f) / (edge[2] - edge[1]);
                    rise.min(fall).max(0.0) as f32
                };
                // One bin more on either side than the division says, for its rounding;
                // zeros at the ends are cut off again.
                let first = ((edge[0] / bin_width) as usize).saturating_sub(1).min(bins);
                let end = ((edge[2] / bin_width) as usize).saturating_add(2).min(bins);
                let inside = |bin: &usize| weight(*bin) > 0.0;
                let Some(first) = (first..end).find(inside) else {
                    return (0, Vec::new());
                };
                let mut weights: Vec<f32> = (first..end).map(weight).collect();
                while weights.last() == Some(&0.0) {
                    weights.pop();
                }
                let scale = match self.norm {
                    Norm::Slaney => 2.0 / (edge[2] - edge[0]),
                    Norm::None => 1.0,
                    Norm::L1 => 1.0 / weights.iter().map(|&w| f64::from(w)).sum::<f64>(),
                };
                for w in &mut weights {
                    *w = (f64::from(*w) * scale) as f32;
                }
                (first, weights)
            })
            .collect()
    }

    /// What is odd about the options though they can be carried out: bands that hold no
    /// FFT bin, and so are always 0. librosa warns of them too.
    pub fn warning(&self) -> Option<String> {
        let filters = self.filters();
        let empty = filters.iter().filter(|(_, w)| w.is_empty()).count();
        (empty > 0).then(|| {
            format!(
                "{empty} of {} mel bands lie between two FFT bins or above {} Hz, and are always \
                 0; use fewer n_mels, a larger n_fft or a lower fmax",
                self.n_mels,
                self.sample_rate / 2.0
            )
        })
    }

    fn to_mel(&self, hz: f64) -> f64 {
        if self.htk {
            2595.0 * (1.0 + hz / 700.0).log10()
        } else if hz < 1000.0 {
            hz / (200.0 / 3.0)
        } else {
            15.0 + (hz / 1000.0).ln() / slaney_step()
        }
    }

    fn to_hz(&self, mel: f64) -> f64 {
        if self.htk {
            700.0 * (10f64.powf(mel / 2595.0) - 1.0)
        } else if mel < 15.0 {
            mel * (200.0 / 3.0)
        } else {
            1000.0 * (slaney_step() * (mel - 15.0)).exp()
        }
    }
}

/// Above 1,000 Hz Slaney's scale is logarithmic: 27 mels to a factor of 6.4.
fn slaney_step() -> f64 {
    6.4f64.ln() / 27.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_without_a_bin() {
        assert_eq!(MelOptions::default().warning(), None);
        let beyond = MelOptions {
            fmax: Some(1e300),
            ..MelOptions::default()
        };
        assert!(beyond.warning().unwrap().contains("above 11025 Hz"));
        let narrow = MelOptions {
            n_fft: 256,
            ..MelOptions::default()
        };
        assert!(narrow.warning().unwrap().contains("of 128 mel bands"));
    }
}
