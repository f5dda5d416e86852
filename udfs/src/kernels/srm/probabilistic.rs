//! The probabilistic model: BrainIAK's `SRM`.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{Accum, Mat, MatRef, Par, Side};

use super::moments::Moments;
use super::responses::Responses;
use super::{Centring, Data, Polar, Stop, sum_of_products, trace};

/// A fitted model of `n` subjects with `k` features over `T` TRs. The maps are had by
/// another pass over the data, from `s`, `polar` and `mean` ([`super::fitted_map`]).
#[derive(Debug, Clone)]
pub struct Fit {
    /// The shared response, k × T: the one that the maps follow from.
    pub s: Mat<f64>,
    /// The covariance of the shared response, k × k.
    pub sigma: Mat<f64>,
    /// Per subject the variance of the noise.
    pub rho2: Vec<f64>,
    /// The log-likelihood before the update of each iteration, up to a constant.
    pub log_likelihood: Vec<f64>,
    /// Per subject, how its map is had.
    pub polar: Vec<Polar>,
    /// Per subject, what was removed from each voxel.
    pub mean: Vec<Vec<f64>>,
}

/// Fits the model from the random start that BrainIAK draws from `seed`. Its defaults are 50
/// features, 10 iterations, seed 0 and [`Centring::CountedAsNoise`]. Reads the data once, and
/// a subject once more where its second moments are too badly conditioned.
///
/// # Errors
/// Fewer than two subjects, unequal numbers of TRs, more features than TRs or voxels, no features or
/// iterations, those of the reader, and where the model degenerates: data all zero or not finite.
pub fn fit(
    data: &Data<'_>,
    features: usize,
    centring: Centring,
    seed: u32,
    stop: Stop,
) -> Result<Fit, String> {
    data.check(features, stop)?;
    let subjects = Moments::read(data, features, centring, seed)?;
    let mut responses = Responses::new(data, &subjects);
    let mut model = Fit {
        s: Mat::zeros(features, data.trs()),
        sigma: Mat::identity(features, features),
        rho2: vec![1.0; subjects.len()],
        log_likelihood: Vec::new(),
        polar: Vec::new(),
        mean: Vec::new(),
    };
    for _ in 0..stop.iterations {
        model.expect(&subjects, &responses.now)?;
        responses.update(model.s.as_ref())?;
        model.maximise(&subjects, &responses.now)?;
        if stop.converged(&model.log_likelihood) {
            break;
        }
    }
    model.polar = responses.polar;
    model.mean = subjects.into_iter().map(|subject| subject.mean).collect();
    Ok(model)
}

impl Fit {
    /// S and Σ from the subjects' `Wᵀx`.
    fn expect(&mut self, subjects: &[Moments], responses: &[Mat<f64>]) -> Result<(), String> {
        let trs = self.s.ncols() as f64;
        let k = self.sigma.nrows();
        let r0: f64 = self.rho2.iter().map(|rho2| 1.0 / rho2).sum();

        let sigma = cholesky(self.sigma.as_ref())?;
        let mut m = sigma.inverse();
        for j in 0..k {
            m[(j, j)] += r0;
        }
        let m = cholesky(m.as_ref())?;
        let m_inverse = m.inverse();

        // B = Σ_i W_iᵀ x_i / rho2_i
        let mut b = Mat::<f64>::zeros(k, self.s.ncols());
        for (response, rho2) in responses.iter().zip(&self.rho2) {
            for (sum, values) in b.col_iter_mut().zip(response.col_iter()) {
                let pairs = sum.iter_mut().zip(values.iter());
                pairs.for_each(|(sum, value)| *sum += value / rho2);
            }
        }
        let m_b = &m_inverse * &b;
        let of_subjects = || subjects.iter().zip(&self.rho2);
        let voxels_log_rho2: f64 = of_subjects().map(|(x, r)| x.voxels as f64 * r.ln()).sum();
        let noise: f64 = of_subjects().map(|(x, r)| x.squares / r).sum();
        self.log_likelihood.push(
            -0.5 * trs * (log_determinant(&m) + voxels_log_rho2 + log_determinant(&sigma))
                - 0.5 * noise
                + 0.5 * sum_of_products(b.as_ref(), m_b.as_ref()),
        );

        // S = Σ (I − r0·M⁻¹) B = Σ (B − r0·M⁻¹B), then Σ = M⁻¹ + S Sᵀ / T.
        let shrunk = Mat::from_fn(k, b.ncols(), |i, t| b[(i, t)] - r0 * m_b[(i, t)]);
        self.s = &self.sigma * &shrunk;
        self.sigma = m_inverse;
        matmul(
            &mut self.sigma,
            Accum::Add,
            &self.s,
            self.s.transpose(),
            1.0 / trs,
            Par::Seq,
        );
        Ok(())
    }

    /// The noise of each subject from its `Wᵀx`.
    fn maximise(&mut self, subjects: &[Moments], responses: &[Mat<f64>]) -> Result<(), String> {
        let trs = self.s.ncols() as f64;
        let power = trs * trace(self.sigma.as_ref());
        for ((rho2, subject), response) in self.rho2.iter_mut().zip(subjects).zip(responses) {
            // tr(Wᵀ x Sᵀ)
            let fitted = sum_of_products(response.as_ref(), self.s.as_ref());
            *rho2 = (subject.squares - 2.0 * fitted + power) / (trs * subject.voxels as f64);
            if !(*rho2 > 0.0 && rho2.is_finite()) {
                return Err(format!(
                    "the noise variance of subject {} became {rho2}; are its data all zero or not finite?",
                    subject.name
                ));
            }
        }
        Ok(())
    }
}

fn cholesky(a: MatRef<'_, f64>) -> Result<Llt<f64>, String> {
    a.llt(Side::Lower).map_err(|_| {
        "the covariance of the shared response is not positive definite; use fewer features".into()
    })
}

fn log_determinant(cholesky: &Llt<f64>) -> f64 {
    let l = cholesky.L();
    2.0 * (0..l.nrows()).map(|j| l[(j, j)].ln()).sum::<f64>()
}
