//! Butterworth filters that shift nothing in time.
//!
//! A filter is a chain of second-order sections. It is run forwards and then backwards,
//! so that its delays cancel, over a series that was lengthened at both ends by its own
//! point reflection.

use std::f64::consts::PI;

use realfft::num_complex::Complex64;

use super::{LANES, Lanes};

/// nilearn's order.
pub const ORDER: usize = 5;

/// Which frequencies pass, in Hz. None of both is no filter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Band {
    /// What is slower than this goes.
    pub high_pass: Option<f64>,
    /// What is faster than this goes.
    pub low_pass: Option<f64>,
}

impl Band {
    /// Checks the band for data of one value every `tr` seconds. A `low_pass` at or above
    /// the Nyquist frequency, `0.5 / tr`, becomes one just below it, as in nilearn.
    ///
    /// # Errors
    /// A frequency that is not positive, a `high_pass` at or above the Nyquist frequency
    /// or at or above `low_pass`.
    pub fn checked(self, tr: f64) -> Result<Self, String> {
        let nyquist = 0.5 / tr;
        for (name, cutoff) in [("high_pass", self.high_pass), ("low_pass", self.low_pass)] {
            if let Some(cutoff) = cutoff
                && !(cutoff > 0.0 && cutoff.is_finite())
            {
                return Err(format!(
                    "{name} is a frequency in Hz and must be positive, got {cutoff}"
                ));
            }
        }
        if let Some(high_pass) = self.high_pass
            && high_pass >= nyquist
        {
            return Err(format!(
                "high_pass is {high_pass} Hz, but a TR of {tr} s has no frequencies above {nyquist} Hz: \
                 nothing would be left"
            ));
        }
        if let (Some(high_pass), Some(low_pass)) = (self.high_pass, self.low_pass)
            && high_pass >= low_pass
        {
            return Err(format!(
                "high_pass ({high_pass} Hz) must be below low_pass ({low_pass} Hz)"
            ));
        }
        let below = nyquist - nyquist * 10.0 * f64::from(f32::EPSILON);
        Ok(Self {
            low_pass: self
                .low_pass
                .map(|cutoff| if cutoff >= nyquist { below } else { cutoff }),
            ..self
        })
    }
}

/// A digital Butterworth filter.
#[derive(Clone, Debug)]
pub struct Butterworth {
    sections: Vec<Section>,
    padding: usize,
}

/// `y[t] = b0 x[t] + b1 x[t−1] + b2 x[t−2] − a1 y[t−1] − a2 y[t−2]`.
#[derive(Clone, Copy, Debug)]
struct Section {
    b: [f64; 3],
    a: [f64; 2],
    /// The state of the section after an endless input of ones.
    settled: [f64; 2],
}

impl Butterworth {
    /// The filter of `order` for one value every `tr` seconds; None where the band is
    /// open at both ends. A band-pass has `order` sections, others half as many.
    ///
    /// Reference: `scipy.signal.butter(output='sos')`, through `nilearn.signal.butterworth`.
    ///
    /// # Errors
    /// Those of [`Band::checked`].
    pub fn new(order: usize, band: Band, tr: f64) -> Result<Option<Self>, String> {
        let Band {
            high_pass,
            low_pass,
        } = band.checked(tr)?;
        // The bilinear transform bends the frequency axis; bend the cutoffs against it.
        let bent = |cutoff: f64| (PI * cutoff * tr).tan();
        let one = Complex64::new(1.0, 0.0);
        let mut sections = match (high_pass.map(bent), low_pass.map(bent)) {
            (None, None) => return Ok(None),
            (None, Some(low)) => edge(order, |pole| pole * low, 1.0),
            (Some(high), None) => edge(order, |pole| high / pole, -1.0),
            (Some(high), Some(low)) => {
                let (width, centre) = (low - high, high * low);
                let unit =
                    (one + Complex64::i() * centre.sqrt()) / (one - Complex64::i() * centre.sqrt());
                let mut sections = Vec::new();
                for pole in prototype(order) {
                    let half = pole * (width / 2.0);
                    let root = (half * half - centre).sqrt();
                    let (p, q) = (half + root, half - root);
                    if pole.im == 0.0 {
                        sections.push((p, q, [1.0, 0.0, -1.0], unit));
                    } else {
                        sections.push((p, p.conj(), [1.0, 0.0, -1.0], unit));
                        sections.push((q, q.conj(), [1.0, 0.0, -1.0], unit));
                    }
                }
                sections
            }
        };
        // The section that rings longest comes last.
        let digital = |pole: Complex64| (one + pole) / (one - pole);
        sections.sort_by(|(p, ..), (q, ..)| digital(*p).norm().total_cmp(&digital(*q).norm()));
        let first_order = sections.iter().filter(|(.., b, _)| b[2] == 0.0).count();
        Ok(Some(Self {
            padding: 3 * (2 * sections.len() + 1 - first_order),
            sections: sections
                .into_iter()
                .map(|(p, q, b, unit)| Section::new(digital(p), digital(q), b, unit))
                .collect(),
        }))
    }

    /// By how many values the series is lengthened at each end; it must have more.
    pub fn padding(&self) -> usize {
        self.padding
    }

    /// Filters each lane of the series that lies in `padded` between [`Self::padding`]
    /// values of room at each end. The room's contents do not matter, before and after.
    ///
    /// Reference: `scipy.signal.sosfiltfilt` with odd padding.
    #[inline(always)]
    pub fn filter(&self, padded: &mut [Lanes]) {
        let (first, last) = (self.padding, padded.len() - 1 - self.padding);
        for i in 1..=self.padding {
            for lane in 0..LANES {
                padded[first - i][lane] = 2.0 * padded[first][lane] - padded[first + i][lane];
                padded[last + i][lane] = 2.0 * padded[last][lane] - padded[last - i][lane];
            }
        }
        for section in &self.sections {
            let start = padded[0];
            section.run(start, padded.iter_mut());
        }
        for section in &self.sections {
            let start = padded[padded.len() - 1];
            section.run(start, padded.iter_mut().rev());
        }
    }
}

/// An analog section, before the bilinear transform: two poles, the numerator in powers
/// of 1/z, and the point on the unit circle at which the section's gain is 1.
type Analog = (Complex64, Complex64, [f64; 3], Complex64);

/// A low-pass (`pass` 1) or high-pass (−1) of the given poles.
fn edge(order: usize, pole_of: impl Fn(Complex64) -> Complex64, pass: f64) -> Vec<Analog> {
    let unit = Complex64::new(pass, 0.0);
    prototype(order)
        .map(|pole| {
            let p = pole_of(pole);
            if pole.im == 0.0 {
                // The second pole and its zero are at z = 0: s = −1.
                (p, Complex64::new(-1.0, 0.0), [1.0, pass, 0.0], unit)
            } else {
                (p, p.conj(), [1.0, 2.0 * pass, 1.0], unit)
            }
        })
        .collect()
}

/// The poles of the analog low-pass with cutoff 1, without those below the real axis.
fn prototype(order: usize) -> impl Iterator<Item = Complex64> {
    (0..order).rev().step_by(2).map(move |m| {
        if m == 0 {
            Complex64::new(-1.0, 0.0)
        } else {
            -Complex64::cis(-PI * m as f64 / (2 * order) as f64)
        }
    })
}

impl Section {
    fn new(p: Complex64, q: Complex64, b: [f64; 3], unit: Complex64) -> Self {
        let a = [-(p + q).re, (p * q).re];
        let back = unit.inv();
        let polynomial = |c: [f64; 3]| c[0] + back * (c[1] + back * c[2]);
        let gain = (polynomial([1.0, a[0], a[1]]) / polynomial(b)).norm();
        let b = b.map(|b| b * gain);
        let output = b.iter().sum::<f64>() / (1.0 + a[0] + a[1]);
        let later = b[2] - a[1] * output;
        Self {
            b,
            a,
            settled: [b[1] - a[0] * output + later, later],
        }
    }

    /// Runs the section over `rows` in place, as if `start` had been its input for ever.
    #[inline(always)]
    fn run<'a>(&self, start: Lanes, rows: impl Iterator<Item = &'a mut Lanes>) {
        let [b0, b1, b2] = self.b;
        let [a1, a2] = self.a;
        let mut next = start.map(|x| x * self.settled[0]);
        let mut after = start.map(|x| x * self.settled[1]);
        for row in rows {
            for lane in 0..LANES {
                let x = row[lane];
                let y = b0 * x + next[lane];
                next[lane] = b1 * x - a1 * y + after[lane];
                after[lane] = b2 * x - a2 * y;
                row[lane] = y;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TR: f64 = 2.0;

    fn band(high_pass: Option<f64>, low_pass: Option<f64>) -> Band {
        Band {
            high_pass,
            low_pass,
        }
    }

    /// How much of a wave of `frequency` passes, both ways together, far from the ends.
    fn gain(filter: &Butterworth, frequency: f64) -> f64 {
        let n = 4000;
        let pad = filter.padding();
        let wave = |t: usize| (2.0 * PI * frequency * TR * t as f64).cos();
        let mut x = vec![[0.0; LANES]; n + 2 * pad];
        for t in 0..n {
            x[pad + t] = [wave(t); LANES];
        }
        filter.filter(&mut x);
        let middle = n / 2..n / 2 + 500;
        let inner = |f: &dyn Fn(usize) -> f64| middle.clone().map(f).sum::<f64>();
        inner(&|t| x[pad + t][0] * wave(t)) / inner(&|t| wave(t) * wave(t))
    }

    /// The response is the textbook's: half the power at a cutoff, 1 inside the band, and
    /// no shift in time anywhere.
    #[test]
    fn half_power_at_the_cutoffs() {
        for order in [2, 3, 5] {
            for (high, low) in [
                (Some(0.02), None),
                (None, Some(0.1)),
                (Some(0.02), Some(0.1)),
            ] {
                let filter = Butterworth::new(order, band(high, low), TR)
                    .unwrap()
                    .unwrap();
                for cutoff in [high, low].into_iter().flatten() {
                    let gain = gain(&filter, cutoff);
                    assert!((gain - 0.5).abs() < 1e-3, "{order} {cutoff}: {gain}");
                }
                let inside = gain(&filter, (0.02f64 * 0.1).sqrt());
                assert!((inside - 1.0).abs() < 0.05, "{order}: {inside}");
                if high.is_some() {
                    assert!(gain(&filter, 0.002).abs() < 0.02);
                }
                if low.is_some() {
                    assert!(gain(&filter, 0.23).abs() < 0.01);
                }
            }
        }
    }

    /// A constant is its own past and future: it passes or goes whole, from the first TR.
    #[test]
    fn constants() {
        for (band, want) in [
            (band(Some(0.01), None), 0.0),
            (band(None, Some(0.1)), 7.0),
            (band(Some(0.01), Some(0.1)), 0.0),
        ] {
            let filter = Butterworth::new(ORDER, band, TR).unwrap().unwrap();
            let pad = filter.padding();
            let mut x = vec![[7.0; LANES]; 40 + 2 * pad];
            filter.filter(&mut x);
            for row in &x[pad..pad + 40] {
                assert!((row[1] - want).abs() < 1e-9, "{band:?}: {}", row[1]);
            }
        }
    }

    #[test]
    fn padding_is_scipys() {
        let padding = |order, high, low| {
            let filter = Butterworth::new(order, band(high, low), TR).unwrap();
            filter.unwrap().padding()
        };
        assert_eq!(padding(5, Some(0.01), None), 18);
        assert_eq!(padding(5, None, Some(0.1)), 18);
        assert_eq!(padding(5, Some(0.01), Some(0.1)), 33);
        assert_eq!(padding(2, None, Some(0.1)), 9);
    }

    #[test]
    fn bands() {
        assert!(
            Butterworth::new(ORDER, Band::default(), TR)
                .unwrap()
                .is_none()
        );
        let error = |high, low| band(high, low).checked(TR).unwrap_err();
        assert!(error(Some(0.0), None).contains("high_pass is a frequency in Hz"));
        assert!(error(None, Some(f64::NAN)).contains("low_pass is a frequency in Hz"));
        assert!(error(Some(0.25), None).contains("no frequencies above 0.25 Hz"));
        assert!(error(Some(0.1), Some(0.1)).contains("must be below low_pass"));
        let lowered = band(None, Some(3.0)).checked(TR).unwrap();
        assert!(lowered.low_pass.is_some_and(|f| f < 0.25 && f > 0.2499));
    }
}
