//! What a mel spectrogram is made with: librosa's parameters, and other systems' presets.

use std::str::FromStr;

use super::compression::Compression;
use crate::kernels::window::Window;

/// What `librosa.feature.melspectrogram` takes, with its defaults, and what other systems
/// do that it does not.
#[derive(Debug, Clone, PartialEq)]
pub struct MelOptions {
    /// Samples per second. Default 22050.
    pub sample_rate: f64,
    /// Samples in a frame. Default 2048.
    pub n_fft: usize,
    /// Samples from one frame to the next. Default 512.
    pub hop_length: usize,
    /// Samples under the window, which stands in the middle of the frame. Default `n_fft`.
    pub win_length: Option<usize>,
    pub window: Window,
    pub padding: Padding,
    pub pad_mode: PadMode,
    /// Exponent of the magnitude: 1 for amplitude, 2 (default) for power.
    pub power: f64,
    /// Added to the squared magnitude of each bin. Default 0.
    pub epsilon: f64,
    /// Number of mel bands. Default 128.
    pub n_mels: usize,
    /// Lowest frequency in Hz. Default 0.
    pub fmin: f64,
    /// Highest frequency in Hz. Default half of `sample_rate`.
    pub fmax: Option<f64>,
    /// The HTK formula of the mel scale instead of Slaney's. Default false.
    pub htk: bool,
    pub norm: Norm,
    pub compression: Compression,
    /// Whether the last frame is left out. Default false.
    pub drop_last: bool,
}

impl Default for MelOptions {
    fn default() -> Self {
        Self {
            sample_rate: 22050.0,
            n_fft: 2048,
            hop_length: 512,
            win_length: None,
            window: Window::Hann,
            padding: Padding::Center,
            pad_mode: PadMode::Constant,
            power: 2.0,
            epsilon: 0.0,
            n_mels: 128,
            fmin: 0.0,
            fmax: None,
            htk: false,
            norm: Norm::Slaney,
            compression: Compression::None,
            drop_last: false,
        }
    }
}

/// A system whose mel spectrograms are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `librosa.feature.melspectrogram` (default).
    Librosa,
    /// HiFi-GAN's `mel_spectrogram` with the parameters of its LJ Speech models.
    HifiGan,
    /// `torchaudio.transforms.MelSpectrogram`.
    Torchaudio,
    /// `whisper.log_mel_spectrogram`.
    Whisper,
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "librosa" => Ok(Self::Librosa),
            "hifigan" => Ok(Self::HifiGan),
            "torchaudio" => Ok(Self::Torchaudio),
            "whisper" => Ok(Self::Whisper),
            _ => Err(format!(
                "preset '{text}' is not known; use librosa, hifigan, torchaudio or whisper"
            )),
        }
    }
}

impl Preset {
    /// The parameters that the system uses.
    ///
    /// `n_fft` and `win_length` are those given explicitly: torchaudio's hop follows its window.
    pub fn options(self, n_fft: Option<usize>, win_length: Option<usize>) -> MelOptions {
        let librosa = MelOptions::default();
        match self {
            Self::Librosa => librosa,
            Self::HifiGan => MelOptions {
                n_fft: 1024,
                hop_length: 256,
                padding: Padding::Hop,
                pad_mode: PadMode::Reflect,
                power: 1.0,
                epsilon: 1e-9,
                n_mels: 80,
                fmax: Some(8000.0),
                compression: Compression::Ln,
                ..librosa
            },
            Self::Torchaudio => {
                let win_length = win_length.or(n_fft).unwrap_or(400);
                MelOptions {
                    sample_rate: 16000.0,
                    n_fft: 400,
                    hop_length: (win_length / 2).max(1),
                    pad_mode: PadMode::Reflect,
                    htk: true,
                    norm: Norm::None,
                    ..librosa
                }
            }
            Self::Whisper => MelOptions {
                sample_rate: 16000.0,
                n_fft: 400,
                hop_length: 160,
                pad_mode: PadMode::Reflect,
                n_mels: 80,
                compression: Compression::Whisper,
                drop_last: true,
                ..librosa
            },
        }
    }
}

/// How much is put before the first sample and after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// `n_fft / 2`: frame `i` has sample `i * hop_length` in its middle (default).
    Center,
    /// Nothing: frame `i` begins with that sample.
    None,
    /// `(n_fft - hop_length) / 2`: frame `i` has the samples from `i * hop_length` to the next
    /// frame's in its middle, and there are as many frames as whole hops.
    Hop,
}

/// What stands before the first sample and after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadMode {
    /// Zeros (default).
    Constant,
    /// The signal mirrored at its end samples, which are not repeated.
    Reflect,
    /// The signal mirrored beyond its end samples, which are repeated.
    Symmetric,
    /// The end samples repeated.
    Edge,
}

impl PadMode {
    fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Reflect => "reflect",
            Self::Symmetric => "symmetric",
            Self::Edge => "edge",
        }
    }
}

impl FromStr for PadMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "constant" => Ok(Self::Constant),
            "reflect" => Ok(Self::Reflect),
            "symmetric" => Ok(Self::Symmetric),
            "edge" => Ok(Self::Edge),
            _ => Err(format!(
                "pad_mode '{text}' is not known; use constant, reflect, symmetric or edge"
            )),
        }
    }
}

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
    fn name(self) -> &'static str {
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

/// Limits that keep a mistyped option from asking for all of the memory.
const MAX_FFT: usize = 1 << 20;
const MAX_MELS: usize = 1 << 16;

impl MelOptions {
    /// Checks that the options make sense together.
    ///
    /// # Errors
    /// A sentence that names the option, its value and what it may be.
    pub fn validate(&self) -> Result<(), String> {
        let positive = |name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                Ok(())
            } else {
                Err(format!("{name} must be a positive number, not {value}"))
            }
        };
        let within = |name: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(format!("{name} must be from 1 to {max}, not {value}"))
            }
        };
        positive("sample_rate", self.sample_rate)?;
        within("n_fft", self.n_fft, MAX_FFT)?;
        within("hop_length", self.hop_length, usize::MAX / 4)?;
        if let Some(win_length) = self.win_length
            && !(1..=self.n_fft).contains(&win_length)
        {
            return Err(format!(
                "win_length must be from 1 to n_fft ({}), not {win_length}",
                self.n_fft
            ));
        }
        if self.drop_last && self.hop_length > self.n_fft / 2 {
            return Err(format!(
                "with this preset, hop_length must be at most half of n_fft ({}), not {}",
                self.n_fft, self.hop_length
            ));
        }
        positive("power", self.power)?;
        within("n_mels", self.n_mels, MAX_MELS)?;
        let (fmin, fmax) = (self.fmin, self.fmax());
        if !(fmin.is_finite() && fmin >= 0.0) {
            return Err(format!("fmin must be 0 or more, not {fmin}"));
        }
        if !(fmax.is_finite() && fmax > fmin) {
            return Err(format!("fmax must lie above fmin ({fmin}), not at {fmax}"));
        }
        Ok(())
    }

    /// The highest frequency in Hz.
    pub fn fmax(&self) -> f64 {
        self.fmax.unwrap_or(self.sample_rate / 2.0)
    }

    /// The number of samples put before and after the signal.
    pub(super) fn padding(&self) -> usize {
        match self.padding {
            Padding::Center => self.n_fft / 2,
            Padding::None => 0,
            Padding::Hop => self.n_fft.saturating_sub(self.hop_length) / 2,
        }
    }

    /// The number of frames of `samples` samples. No samples have no frames.
    pub fn frames(&self, samples: u64) -> u64 {
        let padded = samples.saturating_add(2 * self.padding() as u64);
        match padded.checked_sub(self.n_fft as u64) {
            Some(rest) if samples > 0 => {
                let frames = 1 + rest / self.hop_length as u64;
                frames - u64::from(self.drop_last)
            }
            _ => 0,
        }
    }

    /// Seconds from the first sample to the middle of frame `i`.
    pub fn frame_time(&self, i: u64) -> f64 {
        let first = i as f64 * self.hop_length as f64;
        let middle = match self.padding {
            Padding::Center => first,
            Padding::None | Padding::Hop => first + self.n_fft as f64 / 2.0 - self.padding() as f64,
        };
        middle / self.sample_rate
    }

    /// Everything that the numbers depend on, as one JSON object. Options are the same where
    /// this text is.
    pub fn to_json(&self) -> String {
        let (scale, norm) = (if self.htk { "htk" } else { "slaney" }, self.norm.name());
        format!(
            "{{\"sample_rate\": {}, \"n_fft\": {}, \"hop_length\": {}, \"win_length\": {}, \
             \"window\": \"{}\", \"padding\": {}, \"pad_mode\": \"{}\", \"power\": {}, \
             \"epsilon\": {:?}, \"n_mels\": {}, \"fmin\": {}, \"fmax\": {}, \
             \"mel_scale\": \"{scale}\", \"norm\": \"{norm}\", \"compression\": \"{}\"}}",
            self.sample_rate,
            self.n_fft,
            self.hop_length,
            self.win_length.unwrap_or(self.n_fft),
            self.window,
            self.padding(),
            self.pad_mode.name(),
            self.power,
            self.epsilon,
            self.n_mels,
            self.fmin,
            self.fmax(),
            self.compression.formula(),
        )
    }
}
