//! What may be chosen of a mel spectrogram.

use std::fmt::Write;

use super::{Log, Norm, PadMode, Preset, Window};

/// What `librosa.feature.melspectrogram` takes, with its defaults, and what other systems
/// do besides.
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
    /// Whether frame `i` has sample `i * hop_length` in its middle (the signal is then
    /// padded by `n_fft / 2` at both ends) or as its first. Default true.
    pub center: bool,
    /// Samples put before and after a signal that is not centred. Default 0.
    pub pad: Option<usize>,
    pub pad_mode: PadMode,
    /// Exponent of the magnitude: 1 for amplitude, 2 (default) for power.
    pub power: f64,
    /// Added to the square of the magnitude before it is raised to `power / 2`. Default 0.
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
    /// What follows the filter bank. Default nothing.
    pub log: Log,
    /// The smallest value that has a logarithm of its own. Default 1e-10.
    pub log_floor: f64,
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
            center: true,
            pad: None,
            pad_mode: PadMode::Constant,
            power: 2.0,
            epsilon: 0.0,
            n_mels: 128,
            fmin: 0.0,
            fmax: None,
            htk: false,
            norm: Norm::Slaney,
            log: Log::None,
            log_floor: 1e-10,
            drop_last: false,
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
        match self.pad {
            Some(pad) if self.center => {
                return Err(format!(
                    "pad => {pad} goes with center => false: a centred sound is padded by n_fft / 2"
                ));
            }
            Some(pad) if pad > MAX_FFT => {
                return Err(format!("pad must be from 0 to {MAX_FFT}, not {pad}"));
            }
            _ => (),
        }
        positive("power", self.power)?;
        if !(self.epsilon.is_finite() && self.epsilon >= 0.0) {
            return Err(format!("epsilon must be 0 or more, not {}", self.epsilon));
        }
        within("n_mels", self.n_mels, MAX_MELS)?;
        let (fmin, fmax) = (self.fmin, self.fmax());
        if !(fmin.is_finite() && fmin >= 0.0) {
            return Err(format!("fmin must be 0 or more, not {fmin}"));
        }
        if !(fmax.is_finite() && fmax > fmin) {
            return Err(format!("fmax must lie above fmin ({fmin}), not at {fmax}"));
        }
        positive("log_floor", self.log_floor)
    }

    /// The highest frequency in Hz.
    pub fn fmax(&self) -> f64 {
        self.fmax.unwrap_or(self.sample_rate / 2.0)
    }

    /// The number of samples put before and after the signal.
    pub fn padding(&self) -> usize {
        match self.center {
            true => self.n_fft / 2,
            false => self.pad.unwrap_or(0),
        }
    }

    /// The number of frames of `samples` samples. No samples have no frames.
    pub fn frames(&self, samples: u64) -> u64 {
        let padded = samples.saturating_add(2 * self.padding() as u64);
        match padded.checked_sub(self.n_fft as u64) {
            Some(rest) if samples > 0 => rest / self.hop_length as u64 + u64::from(!self.drop_last),
            _ => 0,
        }
    }

    /// Seconds from the first sample to the middle of frame `i`.
    pub fn frame_time(&self, i: u64) -> f64 {
        let first = i as f64 * self.hop_length as f64;
        let middle = if self.center {
            first
        } else {
            first + self.n_fft as f64 / 2.0 - self.padding() as f64
        };
        middle / self.sample_rate
    }

    /// Everything that decides the numbers, as JSON: equal options have equal texts. `preset`
    /// is the system whose convention this is, whether or not it was asked for by that name.
    ///
    /// A mel column carries it in its field metadata, so that a vocoder can tell whether it is
    /// given what it was trained on.
    pub fn describe(&self) -> String {
        let preset = Preset::ALL
            .into_iter()
            .find(|preset| preset.options().resolved() == self.resolved());
        let name = preset.map_or("null".to_string(), |p| format!("\"{}\"", p.name()));
        let o = self.resolved();
        let mut text = format!("{{\"preset\":{name}");
        // Numbers print as JSON has them: finite ones without an exponent.
        let mut add = |key: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = write!(text, ",\"{key}\":{value}");
        };
        let quoted = |value: &str| format!("\"{value}\"");
        add("sample_rate", o.sample_rate.to_string());
        add("n_fft", o.n_fft.to_string());
        add("hop_length", o.hop_length.to_string());
        add("win_length", o.win_length.unwrap_or(o.n_fft).to_string());
        add("window", quoted(&o.window.to_string()));
        add("center", o.center.to_string());
        add("pad", o.padding().to_string());
        add("pad_mode", quoted(o.pad_mode.name()));
        add("power", o.power.to_string());
        add("epsilon", o.epsilon.to_string());
        add("n_mels", o.n_mels.to_string());
        add("fmin", o.fmin.to_string());
        add("fmax", o.fmax().to_string());
        add("htk", o.htk.to_string());
        add("norm", quoted(o.norm.name()));
        add("log", quoted(o.log.name()));
        add("log_floor", o.log_floor.to_string());
        add("drop_last", o.drop_last.to_string());
        text.push('}');
        text
    }

    /// The same options with every default as a value, and what has no effect left out.
    fn resolved(&self) -> Self {
        Self {
            win_length: Some(self.win_length.unwrap_or(self.n_fft)),
            pad: (!self.center).then(|| self.padding()),
            pad_mode: match self.padding() {
                0 => PadMode::Constant,
                _ => self.pad_mode,
            },
            fmax: Some(self.fmax()),
            log_floor: match self.log {
                Log::None => MelOptions::default().log_floor,
                _ => self.log_floor,
            },
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_frames() {
        let centred = MelOptions::default();
        assert_eq!(centred.frame_time(3), 3.0 * 512.0 / 22050.0);
        let not = MelOptions {
            center: false,
            ..centred
        };
        assert_eq!(not.frame_time(3), (3.0 * 512.0 + 1024.0) / 22050.0);
        let padded = MelOptions {
            pad: Some(1000),
            ..not
        };
        assert_eq!(padded.frame_time(3), (3.0 * 512.0 + 24.0) / 22050.0);
    }

    #[test]
    fn options_that_make_no_sense() {
        type Change = fn(&mut MelOptions);
        let cases: [(Change, &str); 17] = [
            (|o| o.sample_rate = 0.0, "sample_rate"),
            (|o| o.sample_rate = f64::NAN, "sample_rate"),
            (|o| o.n_fft = 0, "n_fft"),
            (|o| o.n_fft = 1 << 40, "n_fft"),
            (|o| o.hop_length = 0, "hop_length"),
            (|o| o.win_length = Some(0), "win_length"),
            (|o| o.win_length = Some(2049), "n_fft (2048)"),
            (|o| o.pad = Some(3), "pad => 3 goes with center => false"),
            (
                |o| (o.center, o.pad) = (false, Some(1 << 30)),
                "pad must be from 0",
            ),
            (|o| o.power = 0.0, "power"),
            (|o| o.epsilon = -1.0, "epsilon"),
            (|o| o.n_mels = 0, "n_mels"),
            (|o| o.fmin = -1.0, "fmin"),
            (|o| (o.fmin, o.fmax) = (9000.0, Some(8000.0)), "fmax"),
            (|o| o.fmax = Some(f64::INFINITY), "fmax"),
            (|o| o.log_floor = 0.0, "log_floor"),
            (|o| o.log_floor = f64::NAN, "log_floor"),
        ];
        for (change, name) in cases {
            let mut options = MelOptions::default();
            change(&mut options);
            let error = options.validate().unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn descriptions_are_equal_where_the_numbers_are() {
        let default = MelOptions::default();
        let spelt_out = MelOptions {
            win_length: Some(2048),
            fmax: Some(11025.0),
            log_floor: 1.0,
            ..default.clone()
        };
        assert_eq!(spelt_out.describe(), default.describe());
        assert!(default.describe().starts_with(
            "{\"preset\":\"librosa\",\"sample_rate\":22050,\"n_fft\":2048,\"hop_length\":512,"
        ));
        let other = MelOptions {
            window: Window::Kaiser(8.5),
            ..default
        };
        let text = other.describe();
        assert!(
            text.contains("\"preset\":null") && text.contains("\"window\":\"kaiser(8.5)\""),
            "{text}"
        );
    }
}
