//! Another sample rate, for a stream of samples.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

/// Changes the sample rate of a signal that comes in pieces.
///
/// The result has `ceil(n * to / from)` samples, as librosa's has, sample `k` of them at
/// `k / to` seconds of the input's clock: the filter's delay is taken off, and it is a
/// whole number of samples. Before and after the signal it hears silence.
pub struct Resampler {
    fft: Fft<f64>,
    from: u32,
    to: u32,
    waiting: Vec<f64>,
    block: Vec<f64>,
    received: u64,
    /// Samples to drop before the first: the filter's delay.
    delay: usize,
    produced: u64,
}

/// The length of the filter in samples of the lower rate, at least: the longer, the
/// steeper it falls between 0.9 of the lower Nyquist frequency and 1.
const FILTER: usize = 4096;

/// The filter's length in samples of the higher rate, at most.
const MAX_BLOCK: usize = 1 << 21;

/// How many samples `n` samples become.
pub fn resampled_length(n: u64, from: u32, to: u32) -> u64 {
    let n = u128::from(n) * u128::from(to);
    u64::try_from(n.div_ceil(u128::from(from))).unwrap_or(u64::MAX)
}

impl Resampler {
    /// # Errors
    /// When a rate is 0.
    pub fn new(from: u32, to: u32) -> Result<Self, String> {
        let (input, output) = (from as usize, to as usize);
        let gcd = gcd(input, output).max(1);
        let (low, high) = (input.min(output) / gcd, input.max(output) / gcd);
        // The filter's middle is a sample of both rates only if both of its halves are
        // whole: an odd block would leave half a sample of delay.
        let blocks = FILTER.div_ceil(low.max(1)).next_multiple_of(2);
        let blocks = blocks.min((MAX_BLOCK / high.max(1)).max(2) & !1);
        let fft = Fft::new_custom(
            input,
            output,
            blocks * (input / gcd),
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|e| format!("cannot resample from {from} to {to} Hz: {e}"))?;
        Ok(Self {
            block: vec![0.0; fft.output_frames_max()],
            delay: fft.output_delay(),
            fft,
            from,
            to,
            waiting: Vec::new(),
            received: 0,
            produced: 0,
        })
    }

    /// Which sample of the input to begin with so that the output has sample `sample`, and how
    /// many to drop before it.
    pub fn seek(&mut self, sample: u64) -> (u64, u64) {
        (0, sample)
    }

    /// Takes further samples, and appends what they become to `out`.
    ///
    /// # Errors
    /// None that the caller could cause; rubato reports wrong buffer sizes.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), String> {
        self.received += samples.len() as u64;
        self.waiting.extend(samples.iter().map(|&x| f64::from(x)));
        self.run(out)
    }

    /// Ends the signal, and appends the last samples.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        let length = resampled_length(self.received, self.from, self.to);
        while self.produced < length {
            let block = self.fft.input_frames_next();
            let missing = block - self.waiting.len() % block;
            self.waiting.resize(self.waiting.len() + missing, 0.0);
            self.run(out)?;
        }
        let surplus = (self.produced - length) as usize;
        out.truncate(out.len() - surplus);
        Ok(())
    }

    fn run(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        let size = self.fft.input_frames_next();
        let whole = self.waiting.len() / size * size;
        for input in self.waiting[..whole].chunks_exact(size) {
            let frames = self.block.len();
            let input = InterleavedSlice::new(input, 1, size).map_err(|e| e.to_string())?;
            let mut output =
                InterleavedSlice::new_mut(&mut self.block, 1, frames).map_err(|e| e.to_string())?;
            let (_, written) = self
                .fft
                .process_into_buffer(&input, &mut output, None)
                .map_err(|e| e.to_string())?;
            let skip = self.delay.min(written);
            self.delay -= skip;
            self.produced += (written - skip) as u64;
            out.extend(self.block[skip..written].iter().map(|&x| x as f32));
        }
        self.waiting.drain(..whole);
        Ok(())
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
