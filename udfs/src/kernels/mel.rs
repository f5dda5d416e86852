//! Mel spectrograms with librosa's numbers, from a stream of samples.
//!
//! The reference is `librosa.feature.melspectrogram` 0.11: frames of the padded signal,
//! times a window, `|FFT|^power`, times triangular filters. Feeding the samples in pieces
//! gives the same frames as feeding them at once.

use std::str::FromStr;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::num_traits::Float;
use realfft::{FftNum, RealFftPlanner, RealToComplex};

use super::window::Window;

/// What `librosa.feature.melspectrogram` takes, with its defaults.
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
    pub pad_mode: PadMode,
    /// Exponent of the magnitude: 1 for amplitude, 2 (default) for power.
    pub power: f64,
    /// Number of mel bands. Default 128.
    pub n_mels: usize,
    /// Lowest frequency in Hz. Default 0.
    pub fmin: f64,
    /// Highest frequency in Hz. Default half of `sample_rate`.
    pub fmax: Option<f64>,
    /// The HTK formula of the mel scale instead of Slaney's. Default false.
    pub htk: bool,
    pub norm: Norm,
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
            pad_mode: PadMode::Constant,
            power: 2.0,
            n_mels: 128,
            fmin: 0.0,
            fmax: None,
            htk: false,
            norm: Norm::Slaney,
        }
    }
}

/// What stands before the first sample and after the last of a centred signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadMode {
    /// Zeros (default).
    Constant,
    /// The signal mirrored at its end samples, which are not repeated.
    Reflect,
    /// The end samples repeated.
    Edge,
}

impl FromStr for PadMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "constant" => Ok(Self::Constant),
            "reflect" => Ok(Self::Reflect),
            "edge" => Ok(Self::Edge),
            _ => Err(format!(
                "pad_mode '{text}' is not known; use constant, reflect or edge"
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
    fn padding(&self) -> usize {
        if self.center { self.n_fft / 2 } else { 0 }
    }

    /// The number of frames of `samples` samples. No samples have no frames.
    pub fn frames(&self, samples: u64) -> u64 {
        let padded = samples.saturating_add(2 * self.padding() as u64);
        match padded.checked_sub(self.n_fft as u64) {
            Some(rest) if samples > 0 => 1 + rest / self.hop_length as u64,
            _ => 0,
        }
    }

    /// Seconds from the first sample to the middle of frame `i`.
    pub fn frame_time(&self, i: u64) -> f64 {
        let first = i as f64 * self.hop_length as f64;
        let middle = if self.center {
            first
        } else {
            first + self.n_fft as f64 / 2.0
        };
        middle / self.sample_rate
    }

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

/// Turns samples into mel frames: [`push`](Self::push) them in pieces of any size, then
/// [`finish`](Self::finish). After that it is ready for the next signal.
///
/// Holds some frames' worth of samples, however long the signal.
pub struct MelSpectrogram<T: FftNum> {
    options: MelOptions,
    window: Vec<T>,
    filters: Vec<(usize, Vec<T>)>,
    fft: Arc<dyn RealToComplex<T>>,
    frame: Vec<T>,
    spectrum: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
    magnitude: Vec<T>,
    /// The padded signal, from somewhere before the next frame on.
    buffer: Vec<T>,
    /// Where in the buffer the next frame starts; beyond its end if frames lie far apart.
    next: usize,
    /// Whether the padding before the signal is in the buffer.
    started: bool,
    /// The number of samples pushed.
    received: u64,
}

impl<T: FftNum + Float> MelSpectrogram<T> {
    /// # Errors
    /// As [`MelOptions::validate`].
    pub fn new(options: &MelOptions) -> Result<Self, String> {
        options.validate()?;
        let n_fft = options.n_fft;
        let real = |x: f64| T::from_f64(x).unwrap_or_else(T::nan);

        let win_length = options.win_length.unwrap_or(n_fft);
        let before = (n_fft - win_length) / 2;
        let mut window = vec![T::zero(); n_fft];
        let weights = options.window.weights(win_length);
        for (slot, weight) in window[before..].iter_mut().zip(weights) {
            *slot = real(weight);
        }
        let filters = options.filters().into_iter().map(|(first, weights)| {
            let weights = weights.into_iter().map(|w| real(f64::from(w))).collect();
            (first, weights)
        });
        let fft = RealFftPlanner::new().plan_fft_forward(n_fft);
        Ok(Self {
            window,
            filters: filters.collect(),
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            magnitude: vec![T::zero(); n_fft / 2 + 1],
            fft,
            buffer: Vec::new(),
            next: 0,
            started: false,
            received: 0,
            options: options.clone(),
        })
    }

    /// Takes further samples, and appends the frames that they complete to `frames`,
    /// `n_mels` values each.
    ///
    /// A NaN among the samples makes the frames over it NaN.
    pub fn push(&mut self, samples: &[T], frames: &mut Vec<T>) {
        // In pieces, so that a whole file given at once is not copied at once.
        for piece in samples.chunks(1 << 16) {
            self.received += piece.len() as u64;
            self.buffer.extend_from_slice(piece);
            self.start();
            if self.started {
                self.emit(frames);
            }
        }
    }

    /// Ends the signal, and appends the last frames.
    ///
    /// # Errors
    /// When the signal is not centred and shorter than one frame.
    pub fn finish(&mut self, frames: &mut Vec<T>) -> Result<(), String> {
        let result = self.end(frames);
        self.buffer.clear();
        self.next = 0;
        self.started = false;
        self.received = 0;
        result
    }

    fn end(&mut self, frames: &mut Vec<T>) -> Result<(), String> {
        let MelOptions { n_fft, center, .. } = self.options;
        if self.received == 0 {
            return Ok(());
        }
        if !center {
            return if self.received < n_fft as u64 {
                Err(format!(
                    "{} samples are fewer than one frame of n_fft = {n_fft}; give more sound, a \
                     smaller n_fft, or center => true",
                    self.received
                ))
            } else {
                Ok(())
            };
        }
        let pad = self.options.padding();
        if self.started {
            let last = self.buffer.len() - 1;
            for i in 1..=pad {
                self.buffer.push(match self.options.pad_mode {
                    PadMode::Constant => T::zero(),
                    PadMode::Reflect => self.buffer[last - i],
                    PadMode::Edge => self.buffer[last],
                });
            }
        } else {
            // A signal too short to fill its mirror image: reflected again and again.
            let signal = std::mem::take(&mut self.buffer);
            let n = signal.len();
            self.buffer
                .extend((0..n + 2 * pad).map(|i| signal[reflect(i, pad, n)]));
        }
        self.emit(frames);
        Ok(())
    }

    /// Puts the padding before the signal as soon as enough of the signal is known.
    fn start(&mut self) {
        let pad = self.options.padding();
        if self.started || self.buffer.is_empty() {
            return;
        }
        let mode = self.options.pad_mode;
        if mode == PadMode::Reflect && self.buffer.len() <= pad {
            return;
        }
        let signal = &self.buffer;
        let mut padded = Vec::with_capacity(pad + signal.len());
        padded.extend((0..pad).map(|i| match mode {
            PadMode::Constant => T::zero(),
            PadMode::Reflect => signal[pad - i],
            PadMode::Edge => signal[0],
        }));
        padded.extend_from_slice(signal);
        self.buffer = padded;
        self.started = true;
    }

    /// Appends the frames that the buffer holds, and forgets what no later one needs.
    fn emit(&mut self, frames: &mut Vec<T>) {
        let n_fft = self.options.n_fft;
        while let Some(end) = self.next.checked_add(n_fft)
            && end <= self.buffer.len()
        {
            self.emit_frame(frames);
            self.next += self.options.hop_length;
        }
        // Reflection at the end looks back over the padding and one sample.
        let look_back = self.options.padding() + 1;
        let old = self.next.min(self.buffer.len().saturating_sub(look_back));
        if old > self.buffer.len() / 2 {
            self.buffer.drain(..old);
            self.next -= old;
        }
    }

    fn emit_frame(&mut self, frames: &mut Vec<T>) {
        let signal = &self.buffer[self.next..];
        for ((slot, &x), &w) in self.frame.iter_mut().zip(signal).zip(&self.window) {
            *slot = x * w;
        }
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by the plan");
        let squares = self.magnitude.iter_mut().zip(&self.spectrum);
        let power = self.options.power;
        if power == 2.0 {
            squares.for_each(|(m, c)| *m = c.norm_sqr());
        } else if power == 1.0 {
            squares.for_each(|(m, c)| *m = c.norm_sqr().sqrt());
        } else {
            let half = T::from_f64(power / 2.0).unwrap_or_else(T::nan);
            squares.for_each(|(m, c)| *m = c.norm_sqr().powf(half));
        }
        for (first, weights) in &self.filters {
            frames.push(dot(weights, &self.magnitude[*first..]));
        }
    }
}

/// Which of a signal's `n` samples stands at `i` when the signal begins at `pad` and is
/// mirrored at both of its ends without end.
fn reflect(i: usize, pad: usize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let phase = (i + period * (pad / period + 1) - pad) % period;
    if phase < n { phase } else { period - phase }
}

/// The dot product over the shorter length, in eight sums that the compiler can keep in
/// one register.
fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    let n = a.len().min(b.len());
    let (a, b) = (a[..n].chunks_exact(8), b[..n].chunks_exact(8));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest = rest.fold(T::zero(), |sum, (&x, &y)| sum + x * y);
    let mut sums = [T::zero(); 8];
    for (x, y) in a.zip(b) {
        for i in 0..8 {
            sums[i] = sums[i] + x[i] * y[i];
        }
    }
    sums.into_iter().fold(rest, |sum, s| sum + s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> MelOptions {
        MelOptions {
            n_fft: 16,
            hop_length: 5,
            n_mels: 4,
            ..Default::default()
        }
    }

    fn whole(options: &MelOptions, samples: &[f64]) -> Vec<f64> {
        let mut frames = Vec::new();
        let mut mel = MelSpectrogram::new(options).unwrap();
        mel.push(samples, &mut frames);
        mel.finish(&mut frames).unwrap();
        frames
    }

    #[test]
    fn reflection_of_short_signals() {
        let indices: Vec<_> = (0..11).map(|i| reflect(i, 4, 3)).collect();
        assert_eq!(indices, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(reflect(7, 3, 1), 0);
    }

    #[test]
    fn no_sound_no_frames() {
        for pad_mode in [PadMode::Constant, PadMode::Reflect, PadMode::Edge] {
            let options = MelOptions {
                pad_mode,
                ..small()
            };
            assert!(whole(&options, &[]).is_empty());
            assert_eq!(options.frames(0), 0);
            assert_eq!(whole(&options, &[1.0]).len(), 4);
        }
    }

    #[test]
    fn too_short_for_a_frame() {
        let options = MelOptions {
            center: false,
            ..small()
        };
        let mut mel = MelSpectrogram::<f32>::new(&options).unwrap();
        let mut frames = Vec::new();
        mel.push(&[0.0; 15], &mut frames);
        let error = mel.finish(&mut frames).unwrap_err();
        assert!(
            error.contains("15 samples are fewer than one frame of n_fft = 16"),
            "{error}"
        );
        // The error leaves it ready for the next signal.
        mel.push(&[0.0; 16], &mut frames);
        mel.finish(&mut frames).unwrap();
        assert_eq!(frames.len(), 4);
    }

    #[test]
    fn times_of_frames() {
        let centred = MelOptions::default();
        assert_eq!(centred.frame_time(3), 3.0 * 512.0 / 22050.0);
        let not = MelOptions {
            center: false,
            ..centred
        };
        assert_eq!(not.frame_time(3), (3.0 * 512.0 + 1024.0) / 22050.0);
    }

    #[test]
    fn options_that_make_no_sense() {
        let default = MelOptions::default;
        let cases = [
            (
                MelOptions {
                    sample_rate: 0.0,
                    ..default()
                },
                "sample_rate",
            ),
            (
                MelOptions {
                    sample_rate: f64::NAN,
                    ..default()
                },
                "sample_rate",
            ),
            (
                MelOptions {
                    n_fft: 0,
                    ..default()
                },
                "n_fft",
            ),
            (
                MelOptions {
                    n_fft: 1 << 40,
                    ..default()
                },
                "n_fft",
            ),
            (
                MelOptions {
                    hop_length: 0,
                    ..default()
                },
                "hop_length",
            ),
            (
                MelOptions {
                    win_length: Some(0),
                    ..default()
                },
                "win_length",
            ),
            (
                MelOptions {
                    win_length: Some(2049),
                    ..default()
                },
                "n_fft (2048)",
            ),
            (
                MelOptions {
                    power: 0.0,
                    ..default()
                },
                "power",
            ),
            (
                MelOptions {
                    n_mels: 0,
                    ..default()
                },
                "n_mels",
            ),
            (
                MelOptions {
                    fmin: -1.0,
                    ..default()
                },
                "fmin",
            ),
            (
                MelOptions {
                    fmin: 9000.0,
                    fmax: Some(8000.0),
                    ..default()
                },
                "fmax",
            ),
            (
                MelOptions {
                    fmax: Some(f64::INFINITY),
                    ..default()
                },
                "fmax",
            ),
        ];
        for (options, name) in cases {
            let error = MelSpectrogram::<f32>::new(&options).err().unwrap();
            assert!(error.contains(name), "{error}");
        }
    }

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

    proptest! {
        #[test]
        fn pieces_give_the_frames_of_the_whole(
            samples in proptest::collection::vec(-1.0f64..1.0, 0..200),
            cuts in proptest::collection::vec(0usize..40, 1..20),
            n_fft in 1usize..40,
            hop_length in 1usize..60,
            mode in 0usize..3,
            center: bool,
        ) {
            let options = MelOptions {
                n_fft,
                hop_length,
                center,
                pad_mode: [PadMode::Constant, PadMode::Reflect, PadMode::Edge][mode],
                n_mels: 3,
                ..Default::default()
            };
            let mut mel = MelSpectrogram::new(&options).unwrap();
            let (mut frames, mut rest) = (Vec::new(), &samples[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                mel.push(piece, &mut frames);
                rest = after;
            }
            mel.push(rest, &mut frames);
            let result = mel.finish(&mut frames);
            prop_assert_eq!(frames.len() as u64, 3 * options.frames(samples.len() as u64));
            prop_assert_eq!(result.is_err(), frames.is_empty() && !samples.is_empty() && !center);
            if result.is_ok() {
                prop_assert_eq!(&frames, &whole(&options, &samples));
            }
        }

        #[test]
        fn doubling_the_sound_makes_four_times_the_power(
            samples in proptest::collection::vec(-1.0f64..1.0, 16..100),
        ) {
            let one = whole(&small(), &samples);
            let doubled: Vec<f64> = samples.iter().map(|x| 2.0 * x).collect();
            for (a, b) in one.iter().zip(whole(&small(), &doubled)) {
                prop_assert!((4.0 * a - b).abs() <= 1e-9 * b.abs());
            }
        }
    }
}
