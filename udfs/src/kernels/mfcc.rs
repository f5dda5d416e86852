//! Mel-frequency cepstral coefficients: a cosine transform of each frame in decibels.
//!
//! The reference is `librosa.feature.mfcc`, whose transform is `scipy.fftpack.dct`.

use std::f64::consts::{PI, SQRT_2};

/// Which cosine transform, and what follows it.
#[derive(Debug, Clone, PartialEq)]
pub struct MfccOptions {
    /// Coefficients kept, the first ones. Default 20.
    pub n_mfcc: usize,
    /// The type of the cosine transform: 1, 2 (default) or 3.
    pub dct_type: i64,
    /// Whether the transform is made orthonormal. Default true.
    pub ortho: bool,
    /// Coefficient `k`, from 1, is multiplied by `1 + lifter / 2 * sin(pi k / lifter)`; 0 (default)
    /// leaves it.
    pub lifter: f64,
}

impl Default for MfccOptions {
    fn default() -> Self {
        Self {
            n_mfcc: 20,
            dct_type: 2,
            ortho: true,
            lifter: 0.0,
        }
    }
}

/// The transform of frames of one width, as a matrix.
pub struct Mfcc {
    n_mels: usize,
    /// A row per coefficient.
    rows: Vec<f64>,
}

impl Mfcc {
    /// The transform of frames of `n_mels` bands.
    ///
    /// # Errors
    /// A sentence that names the option, its value and what it may be.
    pub fn new(options: &MfccOptions, n_mels: usize) -> Result<Self, String> {
        let MfccOptions {
            n_mfcc,
            dct_type,
            ortho,
            lifter,
        } = *options;
        if !(1..=n_mels).contains(&n_mfcc) {
            return Err(format!(
                "n_mfcc must be from 1 to the number of mel bands ({n_mels}), not {n_mfcc}"
            ));
        }
        if !(lifter.is_finite() && lifter >= 0.0) {
            return Err(format!("lifter must be 0 or more, not {lifter}"));
        }
        let element: fn(usize, usize, usize, bool) -> f64 = match dct_type {
            1 if n_mels < 2 => {
                return Err("dct_type 1 needs two mel bands or more".to_string());
            }
            1 => dct1,
            2 => dct2,
            3 => dct3,
            _ => return Err(format!("dct_type must be 1, 2 or 3, not {dct_type}")),
        };
        let lift = |k: usize| match lifter {
            0.0 => 1.0,
            _ => 1.0 + lifter / 2.0 * (PI * (k + 1) as f64 / lifter).sin(),
        };
        let rows = (0..n_mfcc)
            .flat_map(|k| (0..n_mels).map(move |i| lift(k) * element(k, i, n_mels, ortho)))
            .collect();
        Ok(Self { n_mels, rows })
    }

    /// Appends the coefficients of a frame of `n_mels` decibels.
    pub fn transform(&self, frame: &[f64], out: &mut Vec<f64>) {
        let rows = self.rows.chunks_exact(self.n_mels);
        out.extend(rows.map(|row| row.iter().zip(frame).map(|(a, x)| a * x).sum::<f64>()));
    }
}

/// Element `(k, i)` of the transform of type 1 of `n` values.
fn dct1(k: usize, i: usize, n: usize, ortho: bool) -> f64 {
    let is_end = |i: usize| i == 0 || i == n - 1;
    // The phase modulo its period, as an integer: cos of a large angle is less exact.
    let phase = (k * i) % (2 * (n - 1));
    let cosine = (PI * phase as f64 / (n - 1) as f64).cos();
    match ortho {
        false => cosine * if is_end(i) { 1.0 } else { 2.0 },
        true => {
            let ends = [i, k].into_iter().filter(|&i| is_end(i)).count() as i32;
            cosine * (2.0 / (n - 1) as f64).sqrt() / SQRT_2.powi(ends)
        }
    }
}

fn dct2(k: usize, i: usize, n: usize, ortho: bool) -> f64 {
    let phase = (k * (2 * i + 1)) % (4 * n);
    let cosine = (PI * phase as f64 / (2 * n) as f64).cos();
    match (ortho, k) {
        (false, _) => 2.0 * cosine,
        (true, 0) => (1.0 / n as f64).sqrt(),
        (true, _) => cosine * (2.0 / n as f64).sqrt(),
    }
}

fn dct3(k: usize, i: usize, n: usize, ortho: bool) -> f64 {
    match (ortho, i) {
        (false, 0) => 1.0,
        // Type 3 is type 2 the other way round.
        _ => dct2(i, k, n, ortho),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transformed(options: &MfccOptions, frame: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        let mfcc = Mfcc::new(options, frame.len()).unwrap();
        mfcc.transform(frame, &mut out);
        out
    }

    fn options(dct_type: i64, ortho: bool) -> MfccOptions {
        MfccOptions {
            n_mfcc: 4,
            dct_type,
            ortho,
            lifter: 0.0,
        }
    }

    /// `scipy.fftpack.dct([1, 2, 3, 5], type, norm=…)`.
    #[test]
    fn scipys_numbers() {
        let cases = [
            (
                1,
                false,
                [
                    16.00000000000000,
                    -5.00000000000000,
                    1.00000000000000,
                    -2.00000000000000,
                ],
            ),
            (
                1,
                true,
                [
                    5.33624108873131,
                    -2.71764936722237,
                    1.42286016281844,
                    -1.05564289266583,
                ],
            ),
            (
                2,
                false,
                [
                    22.00000000000000,
                    -8.15640312482047,
                    SQRT_2,
                    -1.21370839389814,
                ],
            ),
            (
                2,
                true,
                [
                    5.50000000000000,
                    -2.88372397982585,
                    0.50000000000000,
                    -0.42911071785421,
                ],
            ),
            (
                3,
                false,
                [
                    12.76499314081533,
                    -10.95070228277179,
                    4.46542090853322,
                    -2.27971176657676,
                ],
            ),
            (
                3,
                true,
                [
                    4.65955321524187,
                    -3.72521131204474,
                    1.72521131204474,
                    -0.65955321524187,
                ],
            ),
        ];
        for (dct_type, ortho, want) in cases {
            let got = transformed(&options(dct_type, ortho), &[1.0, 2.0, 3.0, 5.0]);
            for (g, w) in got.iter().zip(want) {
                assert!((g - w).abs() < 1e-12, "type {dct_type}, {ortho}: {got:?}");
            }
        }
    }

    #[test]
    fn orthonormal_transforms_keep_lengths() {
        let frame = [0.3, -1.0, 7.0, 2.5];
        let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
        for dct_type in 1..=3 {
            let got = transformed(&options(dct_type, true), &frame);
            assert!((square(&got) - square(&frame)).abs() < 1e-12);
        }
    }

    #[test]
    fn lifter() {
        let plain = options(2, true);
        let lifted = MfccOptions {
            lifter: 22.0,
            ..plain.clone()
        };
        let frame = [1.0, 2.0, 3.0, 5.0];
        let (a, b) = (transformed(&plain, &frame), transformed(&lifted, &frame));
        let factor = 1.0 + 11.0 * (PI * 2.0 / 22.0).sin();
        assert!((b[1] - factor * a[1]).abs() < 1e-12);
    }

    #[test]
    fn options_that_make_no_sense() {
        let message = |change: fn(&mut MfccOptions), n_mels: usize| {
            let mut options = MfccOptions::default();
            change(&mut options);
            Mfcc::new(&options, n_mels).err().unwrap_or_default()
        };
        assert!(message(|o| o.n_mfcc = 0, 40).contains("from 1 to the number of mel bands (40)"));
        assert!(message(|_| (), 13).contains("n_mfcc must be from 1"));
        assert!(message(|o| o.dct_type = 4, 40).contains("dct_type must be 1, 2 or 3, not 4"));
        assert!(message(|o| o.lifter = -1.0, 40).contains("lifter must be 0 or more"));
        assert!(message(|o| (o.n_mfcc, o.dct_type) = (1, 1), 1).contains("two mel bands"));
        assert_eq!(message(|_| (), 20), "");
    }
}
