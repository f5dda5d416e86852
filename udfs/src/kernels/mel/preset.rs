//! The conventions of systems that many use, by name.

use std::str::FromStr;

use super::{Log, MelOptions, Norm, PadMode};

/// A system whose mel spectrograms others are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `librosa.feature.melspectrogram` with its defaults: power, no logarithm.
    Librosa,
    /// The HiFi-GAN vocoder and those like it (22,050 Hz): natural logarithm of the magnitude.
    HifiGan,
    /// `torchaudio.transforms.MelSpectrogram` with its defaults: HTK scale, power, no logarithm.
    Torchaudio,
    /// OpenAI's Whisper (80 bands): base 10, no more than 8 below the sound's largest.
    Whisper,
}

impl Preset {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::Librosa,
        Self::HifiGan,
        Self::Torchaudio,
        Self::Whisper,
    ];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Librosa => "librosa",
            Self::HifiGan => "hifigan",
            Self::Torchaudio => "torchaudio",
            Self::Whisper => "whisper",
        }
    }

    /// What the system does.
    pub fn options(self) -> MelOptions {
        let librosa = MelOptions::default();
        match self {
            Self::Librosa => librosa,
            Self::HifiGan => MelOptions {
                n_fft: 1024,
                hop_length: 256,
                center: false,
                pad: Some(Self::hifigan_pad(1024, 256)),
                pad_mode: PadMode::Reflect,
                power: 1.0,
                epsilon: 1e-9,
                n_mels: 80,
                fmax: Some(8000.0),
                log: Log::Ln,
                log_floor: 1e-5,
                ..librosa
            },
            Self::Torchaudio => MelOptions {
                sample_rate: 16_000.0,
                n_fft: 400,
                hop_length: 200,
                pad_mode: PadMode::Reflect,
                htk: true,
                norm: Norm::None,
                ..librosa
            },
            Self::Whisper => MelOptions {
                sample_rate: 16_000.0,
                n_fft: 400,
                hop_length: 160,
                pad_mode: PadMode::Reflect,
                n_mels: 80,
                log: Log::Whisper,
                log_floor: 1e-10,
                drop_last: true,
                ..librosa
            },
        }
    }

    /// HiFi-GAN pads so that `n` samples have `n / hop_length` frames.
    pub fn hifigan_pad(n_fft: usize, hop_length: usize) -> usize {
        n_fft.saturating_sub(hop_length) / 2
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == name)
            .ok_or_else(|| {
                format!(
                    "preset '{text}' is not known; use 'librosa', 'hifigan', 'torchaudio' or 'whisper'"
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_its_own_convention() {
        for preset in Preset::ALL {
            let options = preset.options();
            assert_eq!(options.validate(), Ok(()));
            assert_eq!(preset.name().parse(), Ok(preset));
            let name = format!("{{\"preset\":\"{}\",", preset.name());
            assert!(options.describe().starts_with(&name));
        }
        assert!("kaldi".parse::<Preset>().unwrap_err().contains("'kaldi'"));
    }

    #[test]
    fn numbers_of_frames() {
        assert_eq!(Preset::HifiGan.options().frames(2560), 10);
        assert_eq!(Preset::HifiGan.options().frames(2559), 9);
        assert_eq!(Preset::Whisper.options().frames(1600), 10);
        assert_eq!(Preset::Torchaudio.options().frames(1600), 9);
    }
}
