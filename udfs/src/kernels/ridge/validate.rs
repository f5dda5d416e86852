//! The scores of one fold's held-out samples, for all alphas and targets.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::folds::Fold;
use super::score::Score;
use super::spectrum::Spectrum;
use super::targets::rows;
use super::{centre, product};

/// A fold that is ready to score targets.
pub struct Held<'f> {
    fold: &'f Fold,
    score: Score,
    /// Where there are more held-out samples than the rank, an orthonormal basis of the
    /// predictions: then rank numbers say of a prediction what held-out samples would.
    basis: Option<Mat<f64>>,
    predictor: Predictor,
}

/// How predictions for one alpha come from the training samples' targets. Both cost the same per
/// alpha; what comes before differs.
enum Predictor {
    /// One matrix per alpha, `A diag(1 / (λ + alpha)) Bᵀ`: for many targets.
    Composed(Vec<Mat<f64>>),
    /// `Bᵀ y` once, then `A diag(1 / (λ + alpha))` per alpha: for few targets, or a low rank.
    Spectral {
        filtered: Vec<Mat<f64>>,
        b: Mat<f64>,
    },
}

impl<'f> Held<'f> {
    pub fn new(
        spectrum: Spectrum,
        fold: &'f Fold,
        score: Score,
        alphas: &[f64],
        targets: usize,
    ) -> Self {
        let Spectrum { mut a, b, values } = spectrum;
        if score == Score::Correlation {
            // The correlation does not see the mean: without it, a prediction's power is its variance.
            for j in 0..a.ncols() {
                centre(a.col_as_slice_mut(j));
            }
        }
        let mut basis = None;
        if a.nrows() > a.ncols() {
            let qr = a.qr();
            a = qr.thin_R().to_owned();
            basis = Some(qr.compute_thin_Q());
        }
        let filtered = alphas.iter().map(|alpha| {
            let mut a = a.clone();
            for (j, value) in values.iter().enumerate() {
                let filter = 1.0 / (value + alpha);
                a.col_as_slice_mut(j).iter_mut().for_each(|v| *v *= filter);
            }
            a
        });
        let (rows, rank, train) = (a.nrows(), a.ncols(), b.nrows());
        let composed = alphas.len() * rows * train * (rank + targets);
        let spectral = targets * rank * (train + alphas.len() * rows);
        let predictor = match composed < spectral {
            true => Predictor::Composed(
                filtered
                    .map(|a| product(a.as_ref(), b.transpose()))
                    .collect(),
            ),
            false => Predictor::Spectral {
                filtered: filtered.collect(),
                b,
            },
        };
        Self {
            fold,
            score,
            basis,
            predictor,
        }
    }

    /// The scores of some targets, alphas × targets. `y` is all samples × targets.
    pub fn scores(&self, y: &Mat<f64>, intercept: bool) -> Mat<f64> {
        let targets = y.ncols();
        let mut train = rows(y, &self.fold.train);
        let mut test = rows(y, &self.fold.test);
        if intercept {
            for j in 0..targets {
                let mean = centre(train.col_as_slice_mut(j));
                test.col_as_slice_mut(j).iter_mut().for_each(|v| *v -= mean);
            }
        }
        let measured = Measured::new(test, self.score, self.basis.as_ref());
        let (from, matrices) = match &self.predictor {
            Predictor::Composed(matrices) => (train, matrices),
            Predictor::Spectral { filtered, b } => {
                (product(b.transpose(), train.as_ref()), filtered)
            }
        };
        let mut scores = Mat::zeros(matrices.len(), targets);
        let mut predicted = Mat::zeros(measured.y.nrows(), targets);
        for (i, matrix) in matrices.iter().enumerate() {
            matmul(&mut predicted, Accum::Replace, matrix, &from, 1.0, Par::Seq);
            for j in 0..targets {
                scores[(i, j)] = measured.score(j, predicted.as_ref(), self.score);
            }
        }
        scores
    }
}

/// The held-out targets of a block.
struct Measured {
    /// In the coordinates of the predictions.
    y: Mat<f64>,
    /// Per target the power that no prediction reaches.
    rest: Vec<f64>,
    /// Per target what the score divides by.
    power: Vec<f64>,
}

impl Measured {
    fn new(mut y: Mat<f64>, score: Score, basis: Option<&Mat<f64>>) -> Self {
        let samples = y.nrows() as f64;
        let power = (0..y.ncols())
            .map(|j| {
                let y = y.col_as_slice_mut(j);
                if score == Score::NegativeError {
                    return samples;
                }
                let mean = y.iter().sum::<f64>() / samples;
                let power = y.iter().map(|v| (v - mean) * (v - mean)).sum();
                if score == Score::Correlation {
                    y.iter_mut().for_each(|v| *v -= mean);
                }
                power
            })
            .collect();
        let Some(basis) = basis else {
            let rest = vec![0.0; y.ncols()];
            return Self { y, rest, power };
        };
        let reached = product(basis.transpose(), y.as_ref());
        matmul(&mut y, Accum::Add, basis, &reached, -1.0, Par::Seq);
        let rest = (0..y.ncols())
            .map(|j| y.col_as_slice(j).iter().map(|v| v * v).sum())
            .collect();
        Self {
            y: reached,
            rest,
            power,
        }
    }

    fn score(&self, j: usize, predicted: MatRef<'_, f64>, score: Score) -> f64 {
        let (y, power) = (self.y.col(j).iter(), self.power[j]);
        let predicted = predicted.col(j);
        if score == Score::Correlation {
            let (mut product, mut squares) = (0.0, 0.0);
            for (y, p) in y.zip(predicted.iter()) {
                product += y * p;
                squares += p * p;
            }
            return match power > 0.0 && squares > 0.0 {
                true => product / (power.sqrt() * squares.sqrt()),
                false => 0.0,
            };
        }
        let error: f64 = y
            .zip(predicted.iter())
            .map(|(y, p)| (y - p) * (y - p))
            .sum::<f64>()
            + self.rest[j];
        match score {
            Score::R2 if power > 0.0 => 1.0 - error / power,
            Score::R2 => 0.0,
            _ => -error / power,
        }
    }
}
