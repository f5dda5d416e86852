//! Ridge regression of many targets at once, as himalaya computes it: `Ridge`, `RidgeCV`,
//! `KernelRidgeCV` (linear kernel) and `GroupRidgeCV` (banded ridge).
//!
//! With `X` (samples × features) and `Y` (samples × targets) the weights of a target minimise
//! `‖X b − y‖² + alpha ‖b‖²`; alpha is not scaled by the number of samples. In banded ridge the
//! features of band `k` are scaled by `√gamma_k` first (Nunez-Elizalde et al. 2019, Dupré la Tour
//! et al. 2022).
//!
//! Everything goes through one eigendecomposition per fold and candidate gamma, of `XᵀX` or, where
//! there are more features than samples, of `XXᵀ`; all alphas and all targets share it. Targets are
//! read and answered in blocks, so what is held beside `X` does not grow with their number, but for
//! the scores: alphas × targets.
//!
//! ```text
//! spectrum   X  -> X·b = A diag(1 / (λ + alpha)) Bᵀ y       one per fold and gamma
//! validate   a fold's held-out scores for all alphas          blocks of targets
//! search     alphas and gammas with the best mean score
//! weights    the weights of all samples with those            blocks of targets
//! ```

mod dirichlet;
mod folds;
mod parallel;
pub mod score;
mod search;
mod spectrum;
mod targets;
mod validate;
mod weights;

pub use dirichlet::candidates;
pub use folds::{Fold, contiguous, leave_one_out};
pub use score::Score;
pub use search::{Search, Selection};
pub use targets::Targets;
pub use weights::Weights;

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

/// Which of the two equal forms is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The one that is smaller for the folds.
    #[default]
    Auto,
    /// By `XᵀX`, features × features.
    Primal,
    /// By the kernel `XXᵀ`, samples × samples.
    Dual,
}

/// Features and targets, ready for any number of fits.
pub struct Regression<'a, Y> {
    /// Samples × features, centred when there is an intercept.
    x: Mat<f64>,
    /// What was subtracted.
    means: Vec<f64>,
    /// The columns of each feature space.
    bands: Vec<Range<usize>>,
    /// `X_k X_kᵀ` of each band; empty in the primal form.
    kernels: Vec<Mat<f64>>,
    y: &'a Y,
    intercept: bool,
    threads: usize,
    /// Targets that are computed together.
    block: usize,
}

impl<'a, Y: Targets> Regression<'a, Y> {
    /// `x` is samples × features; `bands` are the numbers of features of each feature space,
    /// in order. `threads` threads share the work (at least one).
    ///
    /// # Errors
    /// No samples, features or targets; bands that do not add up to the features; numbers of
    /// samples that differ; a value of `x` that is not finite.
    pub fn new(
        x: MatRef<'_, f64>,
        bands: &[usize],
        y: &'a Y,
        intercept: bool,
        form: Form,
        threads: usize,
    ) -> Result<Self, String> {
        let (samples, features) = (x.nrows(), x.ncols());
        if samples == 0 || features == 0 || y.count() == 0 {
            return Err(format!(
                "ridge needs samples, features and targets; there are {samples}, {features} and {}",
                y.count()
            ));
        }
        if y.samples() != samples {
            return Err(format!(
                "the features have {samples} samples, the targets {}",
                y.samples()
            ));
        }
        if bands.iter().sum::<usize>() != features || bands.contains(&0) {
            return Err(format!(
                "feature spaces of {bands:?} features do not make {features} features"
            ));
        }
        if !x.is_all_finite() {
            return Err("the features hold NaN or infinite values".into());
        }
        let mut x = x.to_owned();
        let mut means = vec![0.0; features];
        if intercept {
            for (j, mean) in means.iter_mut().enumerate() {
                *mean = centre(x.col_as_slice_mut(j));
            }
        }
        let mut start = 0;
        let bands: Vec<_> = bands
            .iter()
            .map(|width| {
                start += width;
                start - width..start
            })
            .collect();
        let dual = match form {
            // Folds have fewer samples: four fifths of them, as a rule.
            Form::Auto => 5 * features > 4 * samples,
            Form::Primal => false,
            Form::Dual => true,
        };
        let threads = threads.max(1);
        let kernels = match dual {
            false => Vec::new(),
            true => parallel::map(threads, bands.len(), |k| {
                let band = x.subcols(bands[k].start, bands[k].len());
                product(band, band.transpose())
            }),
        };
        Ok(Self {
            x,
            means,
            bands,
            kernels,
            y,
            intercept,
            threads,
            // About 4 MB of targets a block, which stay in the cache of a core.
            block: (4 << 20 >> 3) / samples.clamp(512, 8192),
        })
    }

    /// Computes `targets` targets together (at least one); the result does not depend on it.
    #[must_use]
    pub fn with_block(mut self, targets: usize) -> Self {
        self.block = targets.max(1);
        self
    }

    /// Samples.
    pub fn samples(&self) -> usize {
        self.x.nrows()
    }

    /// Features of all spaces.
    pub fn features(&self) -> usize {
        self.x.ncols()
    }

    /// Feature spaces.
    pub fn spaces(&self) -> usize {
        self.bands.len()
    }

    /// The mean of each feature; zeros without an intercept.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// All targets in blocks: enough for every thread, none larger than asked for.
    fn blocks(&self) -> Vec<Range<usize>> {
        let count = self.y.count();
        let size = self.block.min(count.div_ceil(self.threads)).max(1);
        let starts = (0..count).step_by(size);
        starts
            .map(|start| start..(start + size).min(count))
            .collect()
    }

    fn check_alphas(&self, alphas: &[f64]) -> Result<(), String> {
        if alphas.is_empty() {
            return Err("ridge needs at least one alpha".into());
        }
        match alphas.iter().find(|a| !(a.is_finite() && **a > 0.0)) {
            Some(alpha) => Err(format!("alphas must be above 0 and finite, not {alpha}")),
            None => Ok(()),
        }
    }

    fn check_gammas(&self, gammas: &[Vec<f64>]) -> Result<(), String> {
        if gammas.is_empty() {
            return Err("ridge needs at least one candidate of gammas".into());
        }
        for gamma in gammas {
            if gamma.len() != self.spaces() {
                return Err(format!(
                    "a candidate has {} gammas for {} feature spaces",
                    gamma.len(),
                    self.spaces()
                ));
            }
            if gamma.iter().any(|g| !(g.is_finite() && *g >= 0.0)) {
                return Err(format!(
                    "gammas must be 0 or above and finite, not {gamma:?}"
                ));
            }
        }
        Ok(())
    }
}

fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut out, Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// Subtracts the mean, and gives it.
fn centre(values: &mut [f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter_mut().for_each(|v| *v -= mean);
    mean
}
