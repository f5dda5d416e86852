//! Mel spectrograms from a stream of samples.
//!
//! The reference is `librosa.feature.melspectrogram` 0.11: frames of the padded signal,
//! times a window, `|FFT|^power`, times triangular filters. Feeding the samples in pieces
//! gives the same frames as feeding them at once.

use realfft::FftNum;
use realfft::num_traits::Float;

use super::MelOptions;
use super::spectrum::Spectrum;

/// Turns samples into mel frames: [`push`](Self::push) them in pieces of any size, then
/// [`finish`](Self::finish). After that it is ready for the next signal.
///
/// Holds some frames' worth of samples, however long the signal. [`MelOptions::log`] is left to
/// the caller ([`Log::apply`](super::Log::apply)): it may need the whole sound.
pub struct MelSpectrogram<T: FftNum> {
    options: MelOptions,
    window: Vec<T>,
    filters: Vec<(usize, Vec<T>)>,
    spectrum: Spectrum<T>,
    /// Of the bins, and zeros behind them.
    magnitude: Vec<T>,
    /// The number of bins that the filters look at.
    bins: usize,
    epsilon: T,
    /// The padded signal, from somewhere before the next frame on.
    buffer: Vec<T>,
    /// Where in the buffer the next frame starts; beyond its end if frames lie far apart.
    next: usize,
    /// Whether the padding before the signal is in the buffer.
    started: bool,
    /// The number of samples pushed, those before the point of entry among them.
    received: u64,
    /// Frames still to come that are not given.
    left_out: u64,
}

impl<T: FftNum + Float> MelSpectrogram<T> {
    /// # Errors
    /// As [`MelOptions::validate`].
    pub fn new(options: &MelOptions) -> Result<Self, String> {
        options.validate()?;
        Self::with_filters(options, options.filters())
    }

    /// The spectrogram before the filters: each frame has `n_fft / 2 + 1` values.
    ///
    /// # Errors
    /// As [`MelOptions::validate`].
    pub fn without_filters(options: &MelOptions) -> Result<Self, String> {
        options.validate()?;
        let bins = 0..options.n_fft / 2 + 1;
        Self::with_filters(options, bins.map(|bin| (bin, vec![1.0])).collect())
    }

    fn with_filters(options: &MelOptions, filters: Vec<(usize, Vec<f32>)>) -> Result<Self, String> {
        let n_fft = options.n_fft;
        let real = |x: f64| T::from_f64(x).unwrap_or_else(T::nan);

        let win_length = options.win_length.unwrap_or(n_fft);
        let before = (n_fft - win_length) / 2;
        let mut window = vec![T::zero(); n_fft];
        let weights = options.window.weights(win_length);
        for (slot, weight) in window[before..].iter_mut().zip(weights) {
            *slot = real(weight);
        }
        // Filled up with zeros to whole lanes, over zeros behind the last bin.
        let filters: Vec<(usize, Vec<T>)> = filters
            .into_iter()
            .map(|(first, weights)| {
                let whole = weights.len().next_multiple_of(LANES);
                let mut lanes: Vec<T> = weights.into_iter().map(|w| real(f64::from(w))).collect();
                lanes.resize(whole, T::zero());
                (first, lanes)
            })
            .collect();
        let ends = filters.iter().map(|(first, weights)| first + weights.len());
        let bins = (n_fft / 2 + 1).min(ends.max().unwrap_or(0));
        Ok(Self {
            window,
            filters,
            bins,
            epsilon: real(options.epsilon),
            spectrum: Spectrum::new(n_fft),
            magnitude: vec![T::zero(); n_fft / 2 + 1 + LANES],
            buffer: Vec::new(),
            next: 0,
            started: false,
            received: 0,
            left_out: 0,
            options: options.clone(),
        })
    }

    /// Lets the first frame be frame `frame` of the signal, which it equals exactly; gives the
    /// sample of the signal to push first. To be called before the first [`push`](Self::push).
    pub fn enter(&mut self, frame: u64) -> u64 {
        let (pad, hop_length) = (self.options.padding(), self.options.hop_length);
        // So many samples are there before the frame, where it is one at all, that those which
        // the padding at the end mirrors are among them.
        let before = (2 * pad + self.options.pad_mode.looks_at(pad)) as u64;
        let begin = frame.saturating_mul(hop_length as u64);
        match begin.checked_sub(before).filter(|&first| first > 0) {
            Some(first) => {
                self.started = true;
                self.next = before as usize - pad;
                self.received = first;
                first
            }
            // The padding is within reach: from the begin, leaving frames out.
            None => {
                self.left_out = frame;
                0
            }
        }
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
    /// When the signal with its padding is shorter than one frame, which a centred one never is.
    pub fn finish(&mut self, frames: &mut Vec<T>) -> Result<(), String> {
        let result = self.end(frames);
        self.buffer.clear();
        self.next = 0;
        self.started = false;
        self.received = 0;
        self.left_out = 0;
        result
    }

    fn end(&mut self, frames: &mut Vec<T>) -> Result<(), String> {
        if self.received == 0 {
            return Ok(());
        }
        let (n_fft, pad) = (self.options.n_fft, self.options.padding());
        if self.received + 2 * (pad as u64) < n_fft as u64 {
            return Err(format!(
                "{} samples are fewer than one frame of n_fft = {n_fft}; give more sound, a smaller \
                 n_fft, or center => true",
                self.received
            ));
        }
        if !self.started {
            // A signal too short to fill its mirror image.
            self.pad_start();
        }
        if self.buffer.is_empty() {
            return Ok(()); // it was entered behind its end
        }
        // From here on the mirrored part is in the buffer, or the whole signal behind its padding.
        let signal = match usize::try_from(self.received) {
            Ok(received) => received.min(self.buffer.len()),
            Err(_) => self.buffer.len(),
        };
        let last = self.buffer.len() - 1;
        for distance in 1..=pad {
            let from_end = self.options.pad_mode.beyond(distance, signal);
            let value = from_end.map_or(T::zero(), |i| self.buffer[last - i]);
            self.buffer.push(value);
        }
        self.emit(frames);
        Ok(())
    }

    /// Puts the padding before the signal as soon as enough of the signal is known.
    fn start(&mut self) {
        let known = self.options.pad_mode.looks_at(self.options.padding());
        if !self.started && self.buffer.len() >= known {
            self.pad_start();
        }
    }

    fn pad_start(&mut self) {
        let pad = self.options.padding();
        let signal = &self.buffer;
        let mut padded = Vec::with_capacity(pad + signal.len());
        padded.extend((1..=pad).rev().map(|distance| {
            let inwards = self.options.pad_mode.beyond(distance, signal.len());
            inwards.map_or(T::zero(), |i| signal[i])
        }));
        padded.extend_from_slice(signal);
        self.buffer = padded;
        self.started = true;
    }

    /// Appends the frames that the buffer holds, and forgets what no later one needs.
    fn emit(&mut self, frames: &mut Vec<T>) {
        let MelOptions {
            n_fft, hop_length, ..
        } = self.options;
        // The last frame is known as the last only when no other can follow it.
        let ahead = if self.options.drop_last {
            hop_length
        } else {
            0
        };
        while let Some(end) = self.next.checked_add(n_fft + ahead)
            && end <= self.buffer.len()
        {
            match self.left_out {
                0 => self.emit_frame(frames),
                _ => self.left_out -= 1,
            }
            self.next += hop_length;
        }
        // The padding at the end mirrors the last samples.
        let look_back = self.options.pad_mode.looks_at(self.options.padding());
        let old = self.next.min(self.buffer.len().saturating_sub(look_back));
        if old > self.buffer.len() / 2 {
            self.buffer.drain(..old);
            self.next -= old;
        }
    }

    fn emit_frame(&mut self, frames: &mut Vec<T>) {
        let signal = &self.buffer[self.next..self.next + self.window.len()];
        let values = &mut self.magnitude[..self.bins];
        self.spectrum.squares(signal, &self.window, values);
        let (power, epsilon) = (self.options.power, self.epsilon);
        if power == 1.0 {
            values.iter_mut().for_each(|x| *x = (*x + epsilon).sqrt());
        } else if power != 2.0 {
            let half = T::from_f64(power / 2.0).unwrap_or_else(T::nan);
            values
                .iter_mut()
                .for_each(|x| *x = (*x + epsilon).powf(half));
        } else if epsilon != T::zero() {
            values.iter_mut().for_each(|x| *x = *x + epsilon);
        }
        let magnitude = &self.magnitude;
        frames.extend(
            self.filters
                .iter()
                .map(|(first, weights)| dot(weights, &magnitude[*first..])),
        );
    }
}

/// Sums that the compiler can keep in one register.
const LANES: usize = 4;

/// The dot product with `a`, whose length is a multiple of [`LANES`].
fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::zero(); LANES];
    for (x, y) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for i in 0..LANES {
            sums[i] = sums[i] + x[i] * y[i];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[cfg(test)]
mod tests {
    use super::super::PadMode;
    use super::*;
    use proptest::prelude::*;

    const MODES: [PadMode; 4] = [
        PadMode::Constant,
        PadMode::Reflect,
        PadMode::Symmetric,
        PadMode::Edge,
    ];

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
    fn no_sound_no_frames() {
        for pad_mode in MODES {
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

    proptest! {
        #[test]
        fn pieces_give_the_frames_of_the_whole(
            samples in proptest::collection::vec(-1.0f64..1.0, 0..200),
            cuts in proptest::collection::vec(0usize..40, 1..20),
            n_fft in 1usize..40,
            hop_length in 1usize..60,
            mode in 0usize..4,
            center: bool,
            pad in 0usize..50,
            drop_last: bool,
        ) {
            let options = MelOptions {
                n_fft,
                hop_length,
                center,
                pad: (!center).then_some(pad),
                pad_mode: MODES[mode],
                drop_last,
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
            let padded = samples.len() + 2 * options.padding();
            prop_assert_eq!(result.is_err(), !samples.is_empty() && padded < n_fft);
            if result.is_ok() {
                prop_assert_eq!(&frames, &whole(&options, &samples));
            }
        }

        #[test]
        fn entered_anywhere_the_frames_are_the_same(
            samples in proptest::collection::vec(-1.0f64..1.0, 1..300),
            frame in 0u64..40,
            n_fft in 1usize..40,
            hop_length in 1usize..30,
            mode in 0usize..4,
            center: bool,
            pad in 0usize..50,
            drop_last: bool,
        ) {
            let options = MelOptions {
                n_fft,
                hop_length,
                center,
                pad: (!center).then_some(pad),
                pad_mode: MODES[mode],
                drop_last,
                n_mels: 3,
                ..Default::default()
            };
            prop_assume!(samples.len() + 2 * options.padding() >= n_fft);
            let all = whole(&options, &samples);
            let mut mel = MelSpectrogram::new(&options).unwrap();
            let first = usize::try_from(mel.enter(frame)).unwrap().min(samples.len());
            let mut frames = Vec::new();
            for piece in samples[first..].chunks(7) {
                mel.push(piece, &mut frames);
            }
            mel.finish(&mut frames).unwrap();
            prop_assert_eq!(&frames[..], &all[all.len().min(3 * frame as usize)..]);
            // The next signal is entered at its begin.
            frames.clear();
            mel.push(&samples, &mut frames);
            mel.finish(&mut frames).unwrap();
            prop_assert_eq!(frames, all);
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
