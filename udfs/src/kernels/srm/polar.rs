//! One subject's step: its orthonormal map for a shared response, as far as the
//! iterations need it.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

use super::PERTURBATION;
use super::moments::{Factor, Moments};

/// The smallest ratio of the eigenvalues of `AᵀA` at which the map is computed from them.
/// Squaring loses half the digits: with this ratio eight are left.
const CONDITION: f64 = 1e-8;

/// How the map `W` is had from `A = x Sᵀ + ε E`.
#[derive(Debug, Clone)]
pub enum Polar {
    /// `W = A P` with `P = (AᵀA)^(-1/2)`, features × features.
    Root {
        root: Mat<f64>,
        /// The ratio of the smallest eigenvalue of `AᵀA` to the largest.
        condition: f64,
    },
    /// By the SVD of `A`: its smallest singular values are too small for `AᵀA`.
    Svd,
}

/// What a step gives.
pub(super) struct Step {
    pub polar: Polar,
    /// `Wᵀx`, features × TRs.
    pub response: Mat<f64>,
}

/// The step from the second moments; None where they are too badly conditioned.
pub(super) fn from_moments(moments: &Moments, s: MatRef<'_, f64>) -> Result<Option<Step>, String> {
    let k = s.nrows();
    // Aᵀx = S K + ε X_k, and AᵀA = Aᵀx Sᵀ + ε (Aᵀx)'s first columns' counterpart for E:
    // AᵀE = S X_kᵀ + ε I.
    let mut ax = s * &moments.gram;
    for j in 0..ax.ncols() {
        for i in 0..k {
            ax[(i, j)] += PERTURBATION * moments.top[(i, j)];
        }
    }
    let top_s = &moments.top * s.transpose();
    let mut aa = &ax * s.transpose();
    for j in 0..k {
        for i in 0..k {
            aa[(i, j)] += PERTURBATION * top_s[(j, i)];
        }
        aa[(j, j)] += PERTURBATION * PERTURBATION;
    }
    let eigen = aa
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| not_converged(&moments.name))?;
    let values = eigen.S().column_vector();
    let (smallest, largest) = (values[0], values[k - 1]);
    if !largest.is_finite() {
        return Err(not_converged(&moments.name));
    }
    // NaN is badly conditioned, too.
    if smallest.is_nan() || smallest <= CONDITION * largest {
        return Ok(None);
    }
    let u = eigen.U();
    let scaled = Mat::from_fn(k, k, |i, j| u[(i, j)] / values[j].sqrt());
    let root = scaled * u.transpose();
    let response = &root * ax;
    Ok(Some(Step {
        polar: Polar::Root {
            root,
            condition: smallest / largest,
        },
        response,
    }))
}

/// The step from the triangular factor of the data.
pub(super) fn from_factor(name: &str, factor: &Factor, s: MatRef<'_, f64>) -> Result<Step, String> {
    let svd = factor
        .perturbed(s)
        .thin_svd()
        .map_err(|_| not_converged(name))?;
    let response = svd.V() * (svd.U().transpose() * factor.data(s.ncols()));
    Ok(Step {
        polar: Polar::Svd,
        response,
    })
}

/// `U Vᵀ` of the thin SVD: the matrix with orthonormal columns nearest to `a`.
pub(super) fn nearest_orthonormal(name: &str, a: MatRef<'_, f64>) -> Result<Mat<f64>, String> {
    let svd = a.thin_svd().map_err(|_| not_converged(name))?;
    let mut w = Mat::zeros(a.nrows(), a.ncols());
    matmul(
        &mut w,
        Accum::Replace,
        svd.U(),
        svd.V().transpose(),
        1.0,
        Par::Seq,
    );
    Ok(w)
}

fn not_converged(name: &str) -> String {
    format!("the map of subject {name} cannot be found; are its data all zero or not finite?")
}
