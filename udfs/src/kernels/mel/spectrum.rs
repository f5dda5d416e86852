//! The squared magnitudes of a frame's Fourier transform.

use std::f64::consts::PI;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::num_traits::Float;
use realfft::{FftNum, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};

/// The transform of frames of one length.
pub enum Spectrum<T: FftNum> {
    Even(Even<T>),
    Odd(Odd<T>),
}

impl<T: FftNum + Float> Spectrum<T> {
    /// A transform of `n_fft` samples, one or more.
    pub fn new(n_fft: usize) -> Self {
        match n_fft % 2 {
            0 => Self::Even(Even::new(n_fft)),
            _ => Self::Odd(Odd::new(n_fft)),
        }
    }

    /// Writes the squared magnitudes of `frame` times `window` at the first bins into `out`, of which
    /// there are no more than `n_fft / 2 + 1`.
    pub fn squares(&mut self, frame: &[T], window: &[T], out: &mut [T]) {
        match self {
            Self::Even(even) => even.squares(frame, window, out),
            Self::Odd(odd) => odd.squares(frame, window, out),
        }
    }
}

/// Real frames of even length, as complex ones of half of it.
///
/// Even samples are the real part and odd ones the imaginary part: the transform `Z` of that has those
/// of both, `E = (Z[k] + conj Z[-k]) / 2` and `O = (Z[k] - conj Z[-k]) / 2i`, and that of the frame is
/// `E + w^k O`. Reals and imaginaries stand apart in memory, so that the compiler computes several bins at once:
/// that takes a third of the time of `realfft`'s last step, which gives the phases too.
pub struct Even<T: FftNum> {
    fft: Arc<dyn Fft<T>>,
    packed: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
    re: Vec<T>,
    im: Vec<T>,
    /// Half the real and imaginary parts of `w^k`.
    half_cos: Vec<T>,
    half_sin: Vec<T>,
}

impl<T: FftNum + Float> Even<T> {
    fn new(n_fft: usize) -> Self {
        let half = n_fft / 2;
        let fft = FftPlanner::new().plan_fft_forward(half);
        let real = |x: f64| T::from_f64(x).unwrap_or_else(T::nan);
        let phases = || (0..=half).map(|k| PI * k as f64 / half as f64);
        Self {
            packed: vec![Complex::new(T::zero(), T::zero()); half],
            scratch: vec![Complex::new(T::zero(), T::zero()); fft.get_inplace_scratch_len()],
            fft,
            // One more than the transform has: bin 0 once more, as it is periodic.
            re: vec![T::zero(); half + 1],
            im: vec![T::zero(); half + 1],
            half_cos: phases().map(|x| real(x.cos() / 2.0)).collect(),
            half_sin: phases().map(|x| real(x.sin() / 2.0)).collect(),
        }
    }

    fn squares(&mut self, frame: &[T], window: &[T], out: &mut [T]) {
        let pairs = frame.chunks_exact(2).zip(window.chunks_exact(2));
        for (z, (x, w)) in self.packed.iter_mut().zip(pairs) {
            *z = Complex::new(x[0] * w[0], x[1] * w[1]);
        }
        self.fft
            .process_with_scratch(&mut self.packed, &mut self.scratch);
        for ((re, im), z) in self.re.iter_mut().zip(&mut self.im).zip(&self.packed) {
            (*re, *im) = (z.re, z.im);
        }
        let half = self.packed.len();
        (self.re[half], self.im[half]) = (self.re[0], self.im[0]);

        let point_five = T::from_f64(0.5).unwrap_or_else(T::nan);
        let bins = out.len().min(half + 1);
        let (re, im) = (&self.re[..bins], &self.im[..bins]);
        let (cos, sin) = (&self.half_cos[..bins], &self.half_sin[..bins]);
        // Bin -k, from k = 0 on.
        let back = half + 1 - bins;
        let (back_re, back_im) = (&self.re[back..], &self.im[back..]);
        for k in 0..bins {
            let (mirrored_re, mirrored_im) = (back_re[bins - 1 - k], back_im[bins - 1 - k]);
            let (sum_re, sum_im) = (re[k] + mirrored_re, im[k] + mirrored_im);
            let (off_re, off_im) = (re[k] - mirrored_re, im[k] - mirrored_im);
            let x = point_five * sum_re + cos[k] * sum_im - sin[k] * off_re;
            let y = point_five * off_im - cos[k] * off_re - sin[k] * sum_im;
            out[k] = x * x + y * y;
        }
    }
}

/// Frames of odd length.
pub struct Odd<T: FftNum> {
    fft: Arc<dyn RealToComplex<T>>,
    frame: Vec<T>,
    spectrum: Vec<Complex<T>>,
    scratch: Vec<Complex<T>>,
}

impl<T: FftNum + Float> Odd<T> {
    fn new(n_fft: usize) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(n_fft);
        Self {
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    fn squares(&mut self, frame: &[T], window: &[T], out: &mut [T]) {
        for ((slot, &x), &w) in self.frame.iter_mut().zip(frame).zip(window) {
            *slot = x * w;
        }
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by the plan");
        for (slot, c) in out.iter_mut().zip(&self.spectrum) {
            *slot = c.norm_sqr();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the sum that defines it.
    #[test]
    fn any_length() {
        for n in [1usize, 2, 3, 4, 5, 6, 10, 16, 37, 400] {
            let frame: Vec<f64> = (0..n).map(|i| ((i * i + 3) % 17) as f64 - 8.0).collect();
            let window: Vec<f64> = (0..n).map(|i| 1.0 + i as f64 / n as f64).collect();
            let mut spectrum = Spectrum::<f64>::new(n);
            for bins in [n / 2 + 1, n / 4 + 1] {
                let mut got = vec![f64::NAN; bins];
                spectrum.squares(&frame, &window, &mut got);
                for (k, got) in got.iter().enumerate() {
                    let term = |i: usize| {
                        let phase = -2.0 * PI * (k * i % n) as f64 / n as f64;
                        Complex::from_polar(frame[i] * window[i], phase)
                    };
                    let want: Complex<f64> = (0..n).map(term).sum();
                    let off = (got - want.norm_sqr()).abs();
                    assert!(off < 1e-9 * (1.0 + want.norm_sqr()), "{n}, {k}: {got}");
                }
            }
        }
    }
}
