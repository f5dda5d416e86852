//! Mel spectrograms with librosa's numbers, from a stream of samples.
//!
//! The reference is `librosa.feature.melspectrogram` 0.11: frames of the padded signal,
//! times a window, `|FFT|^power`, times triangular filters. Feeding the samples in pieces
//! gives the same frames as feeding them at once. [`Preset`] has what other systems do.

mod compression;
mod filters;
mod options;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::num_traits::Float;
use realfft::{FftNum, RealFftPlanner, RealToComplex};

pub use self::compression::{Compression, largest};
pub use self::options::{MelOptions, Norm, PadMode, Padding, Preset};

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
    /// `n_mels` values each. Where [`Compression::needs_largest`], they are to be finished
    /// with the largest of the whole signal.
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

    /// The magnitudes of the last frame's bins, to the power asked for, before the filters.
    pub fn magnitudes(&self) -> &[T] {
        &self.magnitude
    }

    /// Ends the signal, and appends the last frames.
    ///
    /// # Errors
    /// When the signal with its padding is shorter than one frame.
    pub fn finish(&mut self, frames: &mut Vec<T>) -> Result<(), String> {
        let result = self.end(frames);
        self.buffer.clear();
        self.next = 0;
        self.started = false;
        self.received = 0;
        result
    }

    fn end(&mut self, frames: &mut Vec<T>) -> Result<(), String> {
        let n_fft = self.options.n_fft;
        let pad = self.options.padding();
        if self.received == 0 {
            return Ok(());
        }
        if self.received + 2 * (pad as u64) < (n_fft as u64) {
            let padded = match pad {
                0 => String::new(),
                _ => format!(", with {pad} more at both ends"),
            };
            return Err(format!(
                "{} samples are fewer than one frame of n_fft = {n_fft}{padded}; give more sound, a \
                 smaller n_fft, or center => true",
                self.received
            ));
        }
        if self.started {
            let last = self.buffer.len() - 1;
            for i in 1..=pad {
                self.buffer.push(match self.options.pad_mode {
                    PadMode::Constant => T::zero(),
                    PadMode::Reflect => self.buffer[last - i],
                    PadMode::Symmetric => self.buffer[last + 1 - i],
                    PadMode::Edge => self.buffer[last],
                });
            }
        } else {
            // A signal too short to fill its mirror image: reflected again and again.
            let signal = std::mem::take(&mut self.buffer);
            let n = signal.len();
            let mirrored = match self.options.pad_mode {
                PadMode::Symmetric => mirror_with_ends,
                _ => mirror,
            };
            self.buffer
                .extend((0..n + 2 * pad).map(|i| signal[mirrored(i, pad, n)]));
        }
        self.emit(frames);
        if self.options.drop_last {
            // It reaches into the padding, so it is among those of just now.
            frames.truncate(frames.len().saturating_sub(self.options.n_mels));
        }
        Ok(())
    }

    /// Puts the padding before the signal as soon as enough of the signal is known.
    fn start(&mut self) {
        let pad = self.options.padding();
        if self.started || self.buffer.is_empty() {
            return;
        }
        let mode = self.options.pad_mode;
        let mirrors = matches!(mode, PadMode::Reflect | PadMode::Symmetric);
        if mirrors && self.buffer.len() <= pad {
            return;
        }
        let signal = &self.buffer;
        let mut padded = Vec::with_capacity(pad + signal.len());
        padded.extend((0..pad).map(|i| match mode {
            PadMode::Constant => T::zero(),
            PadMode::Reflect => signal[pad - i],
            PadMode::Symmetric => signal[pad - i - 1],
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
        let MelOptions { power, epsilon, .. } = self.options;
        let real = |x: f64| T::from_f64(x).unwrap_or_else(T::nan);
        let squares = self.magnitude.iter_mut().zip(&self.spectrum);
        let epsilon = real(epsilon);
        if power == 2.0 {
            squares.for_each(|(m, c)| *m = c.norm_sqr() + epsilon);
        } else if power == 1.0 {
            squares.for_each(|(m, c)| *m = (c.norm_sqr() + epsilon).sqrt());
        } else {
            let half = real(power / 2.0);
            squares.for_each(|(m, c)| *m = (c.norm_sqr() + epsilon).powf(half));
        }
        let start = frames.len();
        for (first, weights) in &self.filters {
            frames.push(dot(weights, &self.magnitude[*first..]));
        }
        self.options.compression.compress(&mut frames[start..]);
    }
}

/// Which of a signal's `n` samples stands at `i` when the signal begins at `pad` and is
/// mirrored at both of its end samples without end.
fn mirror(i: usize, pad: usize, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let phase = (i + period * (pad / period + 1) - pad) % period;
    if phase < n { phase } else { period - phase }
}

/// The same for a signal mirrored beyond its end samples.
fn mirror_with_ends(i: usize, pad: usize, n: usize) -> usize {
    let period = 2 * n;
    let phase = (i + period * (pad / period + 1) - pad) % period;
    if phase < n { phase } else { period - 1 - phase }
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
