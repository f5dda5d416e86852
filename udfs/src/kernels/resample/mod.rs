//! Another sample rate, for a signal that comes in pieces.
//!
//! The signal is cut into blocks whose spectra are filtered and then cut short or
//! lengthened with zeros, so that the inverse transform has the other rate: overlap-save
//! with two lengths. Both lengths are whole numbers of *periods*, in which both rates have
//! a sample at the same time, so no block leaves a fraction of a sample of delay.
//!
//! ```text
//!   input  |-half-|------- step -------|-half-|      periods, `from` samples each
//!   output        |------- step -------|             periods, `to` samples each
//!                 |-half-|------- step -------|-half-|
//! ```
//!
//! Block `b` always begins at period `b * step` of the signal: however the pieces fall, and
//! wherever the signal is entered, the numbers are the same.

mod filter;

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use filter::Filter;

/// Changes the sample rate of a signal.
///
/// The result has `ceil(n * to / from)` samples, as librosa's has; sample `k` of them is
/// the sound at `k / to` seconds of the input's clock. Before and after the signal there
/// is silence. The filter is linear in phase, passes everything up to 0.91 of the lower
/// Nyquist frequency (to 1e-5), and nothing beyond it (under -120 dB).
pub struct Resampler {
    /// The rates without their common factor: samples in a period.
    from: usize,
    to: usize,
    /// Periods by which blocks follow each other, and which overlap at either end.
    step: usize,
    half: usize,
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
    /// The filter's amplitude at each frequency that both rates have.
    response: Vec<f64>,
    buffers: Buffers,
    /// Input from `half` periods before the next block on.
    waiting: Vec<f32>,
    /// The next output sample's number.
    position: u64,
    /// Input samples so far, those before the point of entry among them.
    received: u64,
}

/// What a block needs, kept from one to the next.
struct Buffers {
    input: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    resampled: Vec<Complex<f64>>,
    output: Vec<f64>,
    scratch: Vec<Complex<f64>>,
}

/// A block has at least this many times the filter's half length: of the longer ones less
/// is overlap, but they fit the processor's caches less well.
const BLOCK: f64 = 16.0;

/// Samples of a block, at most: rates without a common factor have very long periods.
const MAX_BLOCK: usize = 1 << 21;

/// How many samples `n` samples become.
pub fn resampled_length(n: u64, from: u32, to: u32) -> u64 {
    let n = u128::from(n) * u128::from(to);
    u64::try_from(n.div_ceil(u128::from(from.max(1)))).unwrap_or(u64::MAX)
}

impl Resampler {
    /// # Errors
    /// When a rate is 0.
    pub fn new(from: u32, to: u32) -> Result<Self, String> {
        if from == 0 || to == 0 {
            return Err(format!("cannot resample from {from} to {to} Hz"));
        }
        let divisor = gcd(from as usize, to as usize);
        let (from, to) = (from as usize / divisor, to as usize / divisor);
        let (low, high) = (from.min(to), from.max(to));
        let filter = Filter::between(from, to);

        let half = (filter.half_length / low as f64).ceil() as usize;
        let wanted = (BLOCK * filter.half_length / low as f64).ceil() as usize;
        let most = (MAX_BLOCK / high).next_power_of_two();
        // A power of two times the period transforms fast, and its half is whole.
        let periods = wanted
            .next_power_of_two()
            .min(most)
            .max((2 * half + 1).next_power_of_two());

        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(periods * from);
        let inverse = planner.plan_fft_inverse(periods * to);
        let response = response(&filter, periods, from, to, &mut planner);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Ok(Self {
            from,
            to,
            step: periods - 2 * half,
            half,
            response,
            buffers: Buffers {
                input: forward.make_input_vec(),
                spectrum: forward.make_output_vec(),
                resampled: inverse.make_input_vec(),
                output: inverse.make_output_vec(),
                scratch: vec![Complex::default(); scratch],
            },
            forward,
            inverse,
            waiting: vec![0.0; half * from],
            position: 0,
            received: 0,
        })
    }

    /// Which input sample to push first so that the output has sample `sample`, and how many
    /// output samples then come before it. To be called before the first
    /// [`push`](Self::push).
    pub fn seek(&mut self, sample: u64) -> (u64, u64) {
        let block = (self.step * self.to) as u64;
        let period = sample / block * self.step as u64;
        self.position = period.saturating_mul(self.to as u64);
        let first = period.saturating_sub(self.half as u64);
        let silence = self.half - (period - first) as usize;
        self.waiting.clear();
        self.waiting.resize(silence * self.from, 0.0);
        self.received = first.saturating_mul(self.from as u64);
        (self.received, sample - self.position)
    }

    /// Takes further samples, and appends what they become to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.received += samples.len() as u64;
        self.waiting.extend_from_slice(samples);
        self.run(out);
    }

    /// Ends the signal, and appends the last samples.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let length = u128::from(self.received) * self.to as u128;
        let length = u64::try_from(length.div_ceil(self.from as u128)).unwrap_or(u64::MAX);
        let before = out.len();
        let block = self.block();
        while self.position < length {
            // Each run leaves less than a block.
            self.waiting.resize(block, 0.0);
            self.run(out);
        }
        let surplus = usize::try_from(self.position - length).unwrap_or(usize::MAX);
        out.truncate(out.len().saturating_sub(surplus).max(before));
        self.position = length;
    }

    /// Samples of input in a block.
    fn block(&self) -> usize {
        (self.step + 2 * self.half) * self.from
    }

    /// Every block for which there is input.
    fn run(&mut self, out: &mut Vec<f32>) {
        let (block, step) = (self.block(), self.step * self.from);
        let mut begin = 0;
        while self.waiting.len() - begin >= block {
            self.resample(begin, out);
            begin += step;
            self.position += (self.step * self.to) as u64;
        }
        self.waiting.drain(..begin);
    }

    /// The block that begins so far into what is waiting.
    fn resample(&mut self, begin: usize, out: &mut Vec<f32>) {
        let Buffers {
            input,
            spectrum,
            resampled,
            output,
            scratch,
        } = &mut self.buffers;
        let samples = &self.waiting[begin..];
        for (x, &sample) in input.iter_mut().zip(samples) {
            *x = f64::from(sample);
        }
        // The lengths are the plans' own, which is all that could be wrong.
        let _ = self.forward.process_with_scratch(
            input,
            spectrum,
            &mut scratch[..self.forward.get_scratch_len()],
        );
        let common = self.response.len();
        for ((y, x), gain) in resampled.iter_mut().zip(&*spectrum).zip(&self.response) {
            *y = x * gain;
        }
        resampled[common..].fill(Complex::default());
        let _ = self.inverse.process_with_scratch(
            resampled,
            output,
            &mut scratch[..self.inverse.get_scratch_len()],
        );
        let kept = self.half * self.to..(self.half + self.step) * self.to;
        out.extend(output[kept].iter().map(|&y| y as f32));
    }
}

/// The filter's amplitude at the frequencies of a block, below the lower rate's Nyquist
/// frequency, with the scale of the inverse transform in it.
fn response(
    filter: &Filter,
    periods: usize,
    from: usize,
    to: usize,
    planner: &mut RealFftPlanner<f64>,
) -> Vec<f64> {
    let (low, high) = (from.min(to), from.max(to));
    let length = periods * high;
    let step = low as f64 / high as f64;
    // An even function: its second half is the first one's mirror image.
    let mut values: Vec<f64> = (0..length)
        .map(|i| step * filter.at(step * i.min(length - i) as f64))
        .collect();
    let transform = planner.plan_fft_forward(length);
    let mut spectrum = transform.make_output_vec();
    let _ = transform.process(&mut values, &mut spectrum);
    let scale = 1.0 / (spectrum[0].re * (periods * from) as f64);
    let common = spectrum.iter().take(periods * low / 2);
    common.map(|value| value.re * scale).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
