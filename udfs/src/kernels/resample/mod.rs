//! Another sample rate, for a stream of samples.
//!
//! The filter is in [`design`]; here it is applied, by FFT. A block of samples with what lies
//! around it is transformed, multiplied by the filter's response, cut or filled up with zeros
//! to the other rate's spectrum, and transformed back; what the filter's length spoils at both
//! ends is dropped. Blocks lie where they lie in the whole signal, so the result does not depend
//! on how the signal comes, nor on where reading begins.

mod design;

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use design::Filter;

/// Changes the sample rate of a signal that comes in pieces.
///
/// The result has `ceil(n * to / from)` samples, as librosa's has, sample `k` of them at
/// `k / to` seconds of the input's clock: the filter has linear phase, and its delay is taken
/// off. Before and after the signal it hears silence. Memory is a few blocks, of some ten
/// thousand samples for the usual rates.
///
/// The response is flat up to 0.9 of the lower Nyquist frequency (errors below -120 dB), half
/// at 0.957, and below -120 dB from the lower Nyquist frequency on, much like that of soxr's
/// `HQ`, which librosa uses.
pub struct Resampler {
    from: u32,
    to: u32,
    blocks: Blocks,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// The filter at each bin that both spectra have, scaled for the transforms.
    response: Vec<f32>,
    input: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    other: Vec<Complex<f32>>,
    output: Vec<f32>,
    scratch: Vec<Complex<f32>>,
    /// Samples from `margin` before the next block on.
    waiting: Vec<f32>,
    /// The position in the signal after the last sample taken.
    received: u64,
    /// The position in the result after the last sample given, or dropped.
    produced: u64,
    /// Samples of the result to drop.
    skip: u64,
}

/// The sizes of blocks, in samples of either rate. All are whole multiples of the shortest
/// stretch of time that is a whole number of samples of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blocks {
    /// What is transformed.
    input: usize,
    output: usize,
    /// What is dropped at each end.
    input_margin: usize,
    output_margin: usize,
}

/// Samples of the lower rate that are transformed at once, about.
const TRANSFORM: usize = 8192;

/// Samples of the higher rate that are transformed at once, at most, if the rates allow it.
const MAX_TRANSFORM: usize = 1 << 20;

impl Blocks {
    fn new(from: u32, to: u32) -> Self {
        let (from, to) = (from as usize, to as usize);
        let gcd = gcd(from, to);
        let (input, output) = (from / gcd, to / gcd);
        let margin = (design::HALF_LENGTH.ceil() as usize).div_ceil(input.min(output));
        let wanted = TRANSFORM / input.min(output);
        let largest = MAX_TRANSFORM / input.max(output);
        // Powers of two are fast, and at least half of a transform is of use.
        let count = wanted.min(largest).max(4 * margin).next_power_of_two();
        Self {
            input: count * input,
            output: count * output,
            input_margin: margin * input,
            output_margin: margin * output,
        }
    }

    /// What a block takes from the signal, and gives.
    fn step(&self) -> (usize, usize) {
        (
            self.input - 2 * self.input_margin,
            self.output - 2 * self.output_margin,
        )
    }
}

/// How many samples `n` samples become.
pub fn resampled_length(n: u64, from: u32, to: u32) -> u64 {
    let n = u128::from(n) * u128::from(to);
    u64::try_from(n.div_ceil(u128::from(from.max(1)))).unwrap_or(u64::MAX)
}

impl Resampler {
    /// From `from` to `to` samples per second.
    ///
    /// # Errors
    /// When a rate is 0.
    pub fn new(from: u32, to: u32) -> Result<Self, String> {
        if from == 0 || to == 0 {
            return Err(format!("cannot resample from {from} to {to} Hz"));
        }
        let blocks = Blocks::new(from, to);
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(blocks.input);
        let inverse = planner.plan_fft_inverse(blocks.output);
        let lower = blocks.input.min(blocks.output);
        let filter = Filter::new();
        let scale = 1.0 / blocks.input as f64;
        let bins = 0..=lower / 2;
        let response =
            bins.map(|k| (scale * filter.response(2.0 * k as f64 / lower as f64)) as f32);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        Ok(Self {
            from,
            to,
            response: response.collect(),
            input: forward.make_input_vec(),
            spectrum: forward.make_output_vec(),
            other: inverse.make_input_vec(),
            output: inverse.make_output_vec(),
            scratch: vec![Complex::default(); scratch],
            forward,
            inverse,
            waiting: vec![0.0; blocks.input_margin],
            blocks,
            received: 0,
            produced: 0,
            skip: 0,
        })
    }

    /// Lets the result begin with sample `sample` of that of the whole signal; gives the
    /// sample of the signal with which the pushed ones then have to begin. To be called before
    /// the first [`push`](Self::push).
    pub fn seek(&mut self, sample: u64) -> u64 {
        let (step_in, step_out) = self.blocks.step();
        let block = sample / step_out as u64;
        let (start, margin) = (block * step_in as u64, self.blocks.input_margin as u64);
        self.received = start.saturating_sub(margin);
        self.waiting.clear();
        self.waiting
            .resize(margin.saturating_sub(start) as usize, 0.0);
        self.produced = block * step_out as u64;
        self.skip = sample - self.produced;
        self.received
    }

    /// Takes further samples, and appends what they become to `out`.
    ///
    /// # Errors
    /// None that the caller could cause: wrong sizes of buffers.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), String> {
        self.received += samples.len() as u64;
        self.waiting.extend_from_slice(samples);
        self.run(u64::MAX, out)
    }

    /// Ends the signal, and appends the last samples.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), String> {
        let length = resampled_length(self.received, self.from, self.to);
        while self.produced < length {
            self.waiting
                .resize(self.blocks.input.max(self.waiting.len()), 0.0);
            self.run(length, out)?;
        }
        Ok(())
    }

    /// Goes through the blocks that have come; appends nothing from sample `end` on.
    fn run(&mut self, end: u64, out: &mut Vec<f32>) -> Result<(), String> {
        let (step_in, step_out) = self.blocks.step();
        let mut done = 0;
        while self.waiting.len() - done >= self.blocks.input && self.produced < end {
            let block = &self.waiting[done..done + self.blocks.input];
            self.input.copy_from_slice(block);
            self.forward
                .process_with_scratch(&mut self.input, &mut self.spectrum, &mut self.scratch)
                .map_err(|e| e.to_string())?;
            // Bins beyond are those that the filter leaves nothing of.
            let pairs = self.spectrum.iter().zip(&self.response);
            for (to, (from, response)) in self.other.iter_mut().zip(pairs) {
                *to = from * response;
            }
            let used = self.response.len().min(self.other.len());
            self.other[used..].fill(Complex::default());
            // A real signal has real ends of its spectrum.
            self.other[0].im = 0.0;
            if let Some(last) = self.other.last_mut() {
                last.im = 0.0;
            }
            self.inverse
                .process_with_scratch(&mut self.other, &mut self.output, &mut self.scratch)
                .map_err(|e| e.to_string())?;
            let left = usize::try_from(end - self.produced).unwrap_or(usize::MAX);
            let count = step_out.min(left);
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(count);
            let margin = self.blocks.output_margin;
            out.extend_from_slice(&self.output[margin + skip..margin + count]);
            self.skip -= skip as u64;
            self.produced += count as u64;
            done += step_in;
        }
        self.waiting.drain(..done);
        Ok(())
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
