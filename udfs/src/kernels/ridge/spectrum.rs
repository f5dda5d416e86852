//! One decomposition that answers for every alpha:
//! `X (XᵀX + alpha)⁻¹ Xᵀ` and all that is made of it are `A diag(1 / (λ + alpha)) Bᵀ`.

use faer::{Mat, MatRef, Side};

use super::folds::Fold;
use super::{Regression, Targets, centre, product};

/// An eigendecomposition of `XᵀX` keeps the weights to about `ε λ_max / alpha`. Below this share of
/// the largest eigenvalue the SVD of `X` is taken, which costs three times as much and keeps
/// `ε √(λ_max / alpha)`.
const SMALL: f64 = 1e-7;

/// `T X (XᵀX + alpha)⁻¹ Xᵀ y = A diag(1 / (λ + alpha)) Bᵀ y`.
pub struct Spectrum {
    /// For held-out samples their number × rank; for weights features × rank.
    pub a: Mat<f64>,
    /// Training samples × rank.
    pub b: Mat<f64>,
    /// Squares of the singular values of `X`.
    pub values: Vec<f64>,
}

impl<Y: Targets> Regression<'_, Y> {
    /// For the predictions of a fold's held-out samples.
    pub(super) fn of_fold(
        &self,
        gamma: &[f64],
        fold: &Fold,
        smallest: f64,
    ) -> Result<Spectrum, String> {
        if !self.kernels.is_empty() {
            let mut train = self.kernel(gamma, &fold.train, &fold.train);
            let mut test = self.kernel(gamma, &fold.test, &fold.train);
            if self.intercept {
                centre_kernels(&mut train, &mut test);
            }
            let (values, vectors) = eigen(train.as_ref())?;
            if precise(&values, smallest) {
                return Ok(Spectrum {
                    a: product(test.as_ref(), vectors.as_ref()),
                    b: vectors,
                    values,
                });
            }
        }
        let mut train = self.scaled(gamma, &fold.train);
        let mut test = self.scaled(gamma, &fold.test);
        if self.intercept {
            for j in 0..train.ncols() {
                let mean = centre(train.col_as_slice_mut(j));
                test.col_as_slice_mut(j).iter_mut().for_each(|v| *v -= mean);
            }
        }
        let found = self.of_rows(train.as_ref(), smallest)?;
        Ok(Spectrum {
            a: product(test.as_ref(), found.a.as_ref()),
            ..found
        })
    }

    /// For the weights of all samples.
    pub(super) fn of_all(&self, gamma: &[f64], smallest: f64) -> Result<Spectrum, String> {
        let all: Vec<usize> = (0..self.samples()).collect();
        let scaled = self.scaled(gamma, &all);
        let mut found = 'found: {
            if !self.kernels.is_empty() {
                let kernel = self.kernel(gamma, &all, &all);
                let (values, vectors) = eigen(kernel.as_ref())?;
                if precise(&values, smallest) {
                    break 'found Spectrum {
                        a: product(scaled.transpose(), vectors.as_ref()),
                        b: vectors,
                        values,
                    };
                }
            }
            self.of_rows(scaled.as_ref(), smallest)?
        };
        // Weights of the features as they are, not as they were scaled.
        for (band, gamma) in self.bands.iter().zip(gamma) {
            let scale = gamma.sqrt();
            for column in found.a.subrows_mut(band.start, band.len()).col_iter_mut() {
                column.iter_mut().for_each(|v| *v *= scale);
            }
        }
        Ok(found)
    }

    /// For weights of the features as they are in `x`, from `x` itself.
    fn of_rows(&self, x: MatRef<'_, f64>, smallest: f64) -> Result<Spectrum, String> {
        if self.kernels.is_empty() {
            let gram = product(x.transpose(), x);
            let (values, vectors) = eigen(gram.as_ref())?;
            if precise(&values, smallest) {
                return Ok(Spectrum {
                    b: product(x, vectors.as_ref()),
                    a: vectors,
                    values,
                });
            }
        }
        let svd = x
            .thin_svd()
            .map_err(|_| "the singular value decomposition did not converge".to_string())?;
        let singular: Vec<f64> = svd.S().column_vector().iter().copied().collect();
        let mut a = svd.V().to_owned();
        for (j, s) in singular.iter().enumerate() {
            a.col_as_slice_mut(j).iter_mut().for_each(|v| *v *= s);
        }
        Ok(Spectrum {
            a,
            b: svd.U().to_owned(),
            values: singular.iter().map(|s| s * s).collect(),
        })
    }

    /// Rows of the features, each band times `√gamma`.
    fn scaled(&self, gamma: &[f64], samples: &[usize]) -> Mat<f64> {
        let mut out = Mat::zeros(samples.len(), self.features());
        for (band, gamma) in self.bands.iter().zip(gamma) {
            let scale = gamma.sqrt();
            for j in band.clone() {
                let column = self.x.col_as_slice(j);
                for (out, &i) in out.col_as_slice_mut(j).iter_mut().zip(samples) {
                    *out = column[i] * scale;
                }
            }
        }
        out
    }

    /// `Σ gamma_k X_k X_kᵀ` between these samples.
    fn kernel(&self, gamma: &[f64], rows: &[usize], columns: &[usize]) -> Mat<f64> {
        let mut out = Mat::<f64>::zeros(rows.len(), columns.len());
        for (kernel, gamma) in self.kernels.iter().zip(gamma) {
            for (j, &column) in columns.iter().enumerate() {
                let column = kernel.col_as_slice(column);
                for (out, &i) in out.col_as_slice_mut(j).iter_mut().zip(rows) {
                    *out += gamma * column[i];
                }
            }
        }
        out
    }
}

/// The kernels that features would have whose means over the training samples were subtracted.
/// `train` is symmetric, `test` held-out × training samples.
fn centre_kernels(train: &mut Mat<f64>, test: &mut Mat<f64>) {
    let n = train.ncols();
    let means: Vec<f64> = (0..n)
        .map(|j| train.col_as_slice(j).iter().sum::<f64>() / n as f64)
        .collect();
    let mean = means.iter().sum::<f64>() / n as f64;
    let rows = |m: &Mat<f64>| -> Vec<f64> {
        let mut sums = vec![0.0; m.nrows()];
        for j in 0..n {
            sums.iter_mut()
                .zip(m.col_as_slice(j))
                .for_each(|(sum, v)| *sum += v);
        }
        sums.into_iter().map(|sum| sum / n as f64).collect()
    };
    let test_means = rows(test);
    for (j, column_mean) in means.iter().enumerate() {
        for (kernel, row_means) in [(&mut *train, &means), (&mut *test, &test_means)] {
            for (v, row_mean) in kernel.col_as_slice_mut(j).iter_mut().zip(row_means) {
                *v += mean - column_mean - row_mean;
            }
        }
    }
}

/// Eigenvalues (those below zero are rounding, and become 0) and eigenvectors.
fn eigen(a: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>), String> {
    let found = a
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| "the eigendecomposition did not converge".to_string())?;
    let values = found.S().column_vector().iter().map(|v| v.max(0.0));
    Ok((values.collect(), found.U().to_owned()))
}

/// Whether an eigendecomposition is good enough for the smallest alpha.
fn precise(values: &[f64], smallest: f64) -> bool {
    let largest = values.iter().copied().fold(0.0, f64::max);
    smallest >= SMALL * largest
}
