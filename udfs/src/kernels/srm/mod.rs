//! Shared response models: one response for all subjects, and for each subject an
//! orthonormal map from its voxels to the shared features.
//!
//! Chen et al. (2015), "A reduced-dimension fMRI shared response model", and Turek et
//! al. (2017), "Capturing shared and individual information in fMRI data", as
//! BrainIAK's `SRM`, `DetSRM` and `RSRM` compute them, step by step: from the same start
//! they give the same numbers.
//!
//! With a subject's data `x` (voxels × TRs), the map is the orthonormal matrix nearest to
//! `A = x Sᵀ + ε E` (`E` has ones on its diagonal): `W = A (AᵀA)^(-1/2)`. All that the
//! iterations of the first two models need, `Wᵀx` and `AᵀA`, follows from the second moments
//! `K = xᵀx` (TRs × TRs) and the first rows of `x`. So one pass over the data makes
//! [`Moments`], the iterations cost TRs² × features whatever the number of voxels, and
//! another pass writes the maps ([`maps`]). The robust model has a part of every voxel's
//! own, and reads the data twice in each iteration ([`robust`]).
//!
//! Data come in panels ([`Data`]): some voxels with all their TRs, so that no subject need
//! ever be in memory as a whole.

mod data;
pub mod deterministic;
mod maps;
mod moments;
mod polar;
pub mod probabilistic;
mod responses;
pub mod robust;
mod start;

pub use data::{Data, Shape};
pub use maps::{fitted_map, new_map, transform};
pub use moments::{BLOCK, Centring};
pub use polar::Polar;

use faer::{Col, Mat, MatMut, MatRef};

/// What BrainIAK adds to the diagonal before the SVD, so that it is defined for zeros.
const PERTURBATION: f64 = 0.001;

/// When the iterations end.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// No more iterations than this.
    pub iterations: usize,
    /// The iterations end once the likelihood or objective changes by less than this share
    /// of itself. 0, BrainIAK's way, never ends them.
    pub tolerance: f64,
}

impl Stop {
    /// Whether the last value of `history` says that the fit has converged.
    fn converged(&self, history: &[f64]) -> bool {
        match history {
            [.., before, now] => (now - before).abs() < self.tolerance * now.abs(),
            _ => false,
        }
    }
}

/// Each voxel's mean over the TRs.
fn means(panel: MatRef<'_, f64>) -> Vec<f64> {
    let trs = panel.ncols();
    let sums = panel * Col::full(trs, 1.0);
    sums.iter().map(|sum| sum / trs as f64).collect()
}

/// A panel without the voxels' means, and `more` columns beside it, in `room`, which grows as it needs to.
fn without<'a>(
    panel: MatRef<'_, f64>,
    means: &[f64],
    more: usize,
    room: &'a mut Mat<f64>,
) -> MatMut<'a, f64> {
    let (rows, trs) = panel.shape();
    if room.nrows() < rows {
        *room = Mat::zeros(rows, trs + more);
    }
    let mut x = room.subrows_mut(0, rows);
    subtract(panel, means, x.as_mut().subcols_mut(0, trs));
    x
}

/// A panel from whose voxels a number of each is subtracted.
fn subtract(panel: MatRef<'_, f64>, means: &[f64], mut into: MatMut<'_, f64>) {
    for (to, from) in into.as_mut().col_iter_mut().zip(panel.col_iter()) {
        let values = to.iter_mut().zip(from.iter()).zip(means);
        values.for_each(|((to, x), m)| *to = x - m);
    }
}

/// `tr(aᵀ b)`
fn sum_of_products(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    a.col_iter()
        .zip(b.col_iter())
        .map(|(a, b)| a.iter().zip(b.iter()).map(|(a, b)| a * b).sum::<f64>())
        .sum()
}

fn trace(a: MatRef<'_, f64>) -> f64 {
    (0..a.nrows().min(a.ncols())).map(|j| a[(j, j)]).sum()
}

/// The mean of one matrix per subject, all of one shape.
fn mean_of<'a>(matrices: impl ExactSizeIterator<Item = MatRef<'a, f64>>) -> Mat<f64> {
    let subjects = matrices.len() as f64;
    let sum = matrices.fold(None, |sum: Option<Mat<f64>>, next| match sum {
        Some(sum) => Some(sum + next),
        None => Some(next.to_owned()),
    });
    let mut mean = sum.unwrap_or_else(Mat::new);
    mean.col_iter_mut()
        .flat_map(|column| column.iter_mut())
        .for_each(|v| *v /= subjects);
    mean
}
