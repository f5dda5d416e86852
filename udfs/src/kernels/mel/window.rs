//! Tapers for short-time Fourier analysis, as `scipy.signal.get_window` makes them.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

/// A taper. All are periodic (`fftbins=True`), so that hann windows half their length
/// apart add up to a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Window {
    Hann,
    Hamming,
    Blackman,
    Boxcar,
    /// Kaiser with its beta.
    Kaiser(f64),
}

impl Window {
    /// The `n` weights.
    pub fn weights(self, n: usize) -> Vec<f64> {
        // scipy's rule for windows too short to have a shape.
        if n <= 1 {
            return vec![1.0; n];
        }
        let cosines = |a: [f64; 3]| {
            (0..n)
                .map(|i| {
                    let phase = TAU * i as f64 / n as f64;
                    a[0] - a[1] * phase.cos() + a[2] * (2.0 * phase).cos()
                })
                .collect()
        };
        match self {
            Self::Hann => cosines([0.5, 0.5, 0.0]),
            Self::Hamming => cosines([0.54, 0.46, 0.0]),
            Self::Blackman => cosines([0.42, 0.5, 0.08]),
            Self::Boxcar => vec![1.0; n],
            Self::Kaiser(beta) => {
                let middle = n as f64 / 2.0;
                (0..n)
                    .map(|i| {
                        let x = (i as f64 - middle) / middle;
                        bessel_i0(beta * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(beta)
                    })
                    .collect()
            }
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hann => f.write_str("hann"),
            Self::Hamming => f.write_str("hamming"),
            Self::Blackman => f.write_str("blackman"),
            Self::Boxcar => f.write_str("boxcar"),
            Self::Kaiser(beta) => write!(f, "kaiser({beta})"),
        }
    }
}

impl FromStr for Window {
    type Err = String;

    /// Reads `hann`, `hamming`, `blackman`, `boxcar` or `kaiser(8.0)`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_lowercase();
        match name.as_str() {
            "hann" => return Ok(Self::Hann),
            "hamming" => return Ok(Self::Hamming),
            "blackman" => return Ok(Self::Blackman),
            "boxcar" => return Ok(Self::Boxcar),
            _ => (),
        }
        // exp(700) is near the largest double; nobody tapers that hard.
        name.strip_prefix("kaiser(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|beta| beta.trim().parse::<f64>().ok())
            .filter(|beta| (0.0..=700.0).contains(beta))
            .map(Self::Kaiser)
            .ok_or_else(|| {
                format!(
                    "window '{text}' is not known; use hann, hamming, blackman, boxcar or \
                     kaiser(BETA) with BETA from 0 to 700"
                )
            })
    }
}

/// The modified Bessel function of the first kind of order 0, by its power series, all
/// of whose terms are positive.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * f64::EPSILON / 4.0 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hann_is_periodic() {
        for (got, want) in Window::Hann.weights(4).iter().zip([0.0, 0.5, 1.0, 0.5]) {
            assert!((got - want).abs() < 1e-15);
        }
        assert_eq!(Window::Hann.weights(1), [1.0]);
        assert!(Window::Hann.weights(0).is_empty());
    }

    #[test]
    fn kaiser_of_beta_0_is_a_boxcar() {
        assert_eq!(Window::Kaiser(0.0).weights(5), Window::Boxcar.weights(5));
        // I0(8) to ten digits, Abramowitz and Stegun, table 9.8.
        assert!((bessel_i0(8.0) - 427.564_115_7).abs() < 1e-6);
    }

    #[test]
    fn names() {
        assert_eq!("Hann".parse(), Ok(Window::Hann));
        assert_eq!("kaiser( 8.5 )".parse(), Ok(Window::Kaiser(8.5)));
        for window in [Window::Blackman, Window::Kaiser(8.5)] {
            assert_eq!(window.to_string().parse(), Ok(window));
        }
        for bad in ["hanning", "kaiser", "kaiser(-1)", "kaiser(nan)", ""] {
            let error = bad.parse::<Window>().unwrap_err();
            assert!(error.contains("blackman"), "{error}");
        }
    }
}
