//! The probabilistic model by its definition, with all data in memory: what the
//! kernels' use of second moments is held against.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{Accum, Mat, MatRef, Par, Side};
use voxql_udfs::kernels::mt19937::Mt19937;

/// What BrainIAK adds to the diagonal before the SVD, so that it is defined for zeros.
const PERTURBATION: f64 = 0.001;

/// A fitted model of `n` subjects with `k` features over `T` TRs.
#[derive(Debug, Clone)]
pub struct Srm {
    /// Per subject the map `W` with orthonormal columns, voxels × k.
    pub w: Vec<Mat<f64>>,
    /// The shared response, k × T. It precedes the last update of `w`.
    pub s: Mat<f64>,
    /// The covariance of the shared response, k × k.
    pub sigma: Mat<f64>,
    /// Per subject the variance of the noise.
    pub rho2: Vec<f64>,
    /// Per subject the mean of each voxel.
    pub mu: Vec<Vec<f64>>,
    /// The log-likelihood before the update of each iteration, up to a constant.
    pub log_likelihood: Vec<f64>,
}

/// Fits the model from the random start that BrainIAK draws from `seed`.
pub fn fit(
    subjects: &[MatRef<'_, f64>],
    features: usize,
    iterations: usize,
    seed: u32,
) -> Result<Srm, String> {
    let voxels: Vec<usize> = subjects.iter().map(|x| x.nrows()).collect();
    fit_from(subjects, initial_maps(&voxels, features, seed), iterations)
}

/// Fits the model from the given maps, one per subject, voxels_i × features.
pub fn fit_from(
    subjects: &[MatRef<'_, f64>],
    w: Vec<Mat<f64>>,
    iterations: usize,
) -> Result<Srm, String> {
    let mut state = State::new(subjects, w);
    for _ in 0..iterations {
        state.iterate(subjects)?;
    }
    Ok(state.model)
}

/// The maps from which BrainIAK starts: per subject the Q of a matrix of uniform
/// random numbers, whose seed the generator of `seed` draws.
pub fn initial_maps(voxels: &[usize], features: usize, seed: u32) -> Vec<Mat<f64>> {
    let mut seeds = Mt19937::new(seed);
    voxels
        .iter()
        .map(|&voxels| {
            let mut random = Mt19937::new(seeds.next_u32());
            let mut uniform = Mat::zeros(voxels, features);
            for i in 0..voxels {
                for j in 0..features {
                    uniform[(i, j)] = random.next_f64();
                }
            }
            // faer's reflectors have LAPACK's signs.
            uniform.qr().compute_thin_Q()
        })
        .collect()
}

/// What the iterations carry.
struct State {
    model: Srm,
    /// Per subject the sum of squares of the raw data.
    squares: Vec<f64>,
}

impl State {
    fn new(subjects: &[MatRef<'_, f64>], w: Vec<Mat<f64>>) -> Self {
        let features = w[0].ncols();
        let model = Srm {
            w,
            s: Mat::zeros(features, subjects[0].ncols()),
            sigma: Mat::identity(features, features),
            rho2: vec![1.0; subjects.len()],
            mu: subjects.iter().map(|x| row_means(*x)).collect(),
            log_likelihood: Vec::new(),
        };
        let squares = subjects.iter().map(|x| x.squared_norm_l2()).collect();
        Self { model, squares }
    }

    /// One step of expectation maximisation: S and Σ from W, then W and rho2 from S.
    fn iterate(&mut self, subjects: &[MatRef<'_, f64>]) -> Result<(), String> {
        self.expect(subjects)?;
        self.maximise(subjects)
    }

    fn expect(&mut self, subjects: &[MatRef<'_, f64>]) -> Result<(), String> {
        let model = &mut self.model;
        let trs = model.s.ncols() as f64;
        let k = model.sigma.nrows();
        let r0: f64 = model.rho2.iter().map(|rho2| 1.0 / rho2).sum();

        let sigma = cholesky(model.sigma.as_ref())?;
        let mut m = sigma.inverse();
        for j in 0..k {
            m[(j, j)] += r0;
        }
        let m = cholesky(m.as_ref())?;
        let m_inverse = m.inverse();

        // B = Σ_i W_iᵀ x_i / rho2_i, and Wᵀ x = Wᵀ X − (Wᵀ mu)·1ᵀ.
        let mut b = Mat::zeros(k, model.s.ncols());
        for (((w, x), rho2), mu) in model.w.iter().zip(subjects).zip(&model.rho2).zip(&model.mu) {
            matmul(&mut b, Accum::Add, w.transpose(), x, 1.0 / rho2, Par::Seq);
            for j in 0..k {
                let mean = dot(w.col_as_slice(j), mu) / rho2;
                b.row_mut(j).iter_mut().for_each(|v| *v -= mean);
            }
        }

        let m_b = &m_inverse * &b;
        let voxels_log_rho2: f64 = model
            .rho2
            .iter()
            .zip(subjects)
            .map(|(rho2, x)| x.nrows() as f64 * rho2.ln())
            .sum();
        let noise: f64 = self
            .squares
            .iter()
            .zip(&model.rho2)
            .map(|(q, rho2)| q / rho2)
            .sum();
        model.log_likelihood.push(
            -0.5 * trs * (log_determinant(&m) + voxels_log_rho2 + log_determinant(&sigma))
                - 0.5 * noise
                + 0.5 * sum_of_products(b.as_ref(), m_b.as_ref()),
        );

        // S = Σ (I − r0·M⁻¹) B = Σ (B − r0·M⁻¹B), then Σ = M⁻¹ + S Sᵀ / T.
        let shrunk = Mat::from_fn(k, b.ncols(), |i, t| b[(i, t)] - r0 * m_b[(i, t)]);
        model.s = &model.sigma * &shrunk;
        model.sigma = m_inverse;
        matmul(
            &mut model.sigma,
            Accum::Add,
            &model.s,
            model.s.transpose(),
            1.0 / trs,
            Par::Seq,
        );
        Ok(())
    }

    fn maximise(&mut self, subjects: &[MatRef<'_, f64>]) -> Result<(), String> {
        let model = &mut self.model;
        let trs = model.s.ncols() as f64;
        let k = model.s.nrows();
        let trace: f64 = (0..k).map(|j| model.sigma[(j, j)]).sum();
        let s_sums: Vec<f64> = (0..k).map(|j| model.s.row(j).iter().sum()).collect();
        for (i, x) in subjects.iter().enumerate() {
            // A = x Sᵀ = X Sᵀ − mu (S·1)ᵀ
            let mut a = Mat::zeros(x.nrows(), k);
            matmul(
                &mut a,
                Accum::Replace,
                x,
                model.s.transpose(),
                1.0,
                Par::Seq,
            );
            for (j, s_sum) in s_sums.iter().enumerate() {
                for (a, mu) in a.col_as_slice_mut(j).iter_mut().zip(&model.mu[i]) {
                    *a -= mu * s_sum;
                }
            }
            perturb(&mut a, PERTURBATION);
            let w = nearest_orthonormal(a.as_ref())?;
            perturb(&mut a, -PERTURBATION);
            let fitted = sum_of_products(w.as_ref(), a.as_ref());
            let rho2 = (self.squares[i] - 2.0 * fitted + trs * trace) / (trs * x.nrows() as f64);
            if !(rho2 > 0.0 && rho2.is_finite()) {
                return Err(format!(
                    "the noise variance of subject {i} became {rho2}; are its data all zero or not finite?"
                ));
            }
            model.w[i] = w;
            model.rho2[i] = rho2;
        }
        Ok(())
    }
}

/// `U Vᵀ` of the thin SVD: the matrix with orthonormal columns nearest to `a`.
fn nearest_orthonormal(a: MatRef<'_, f64>) -> Result<Mat<f64>, String> {
    let svd = a
        .thin_svd()
        .map_err(|_| "the singular value decomposition did not converge".to_string())?;
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

fn cholesky(a: MatRef<'_, f64>) -> Result<Llt<f64>, String> {
    a.llt(Side::Lower).map_err(|_| {
        "the covariance of the shared response is not positive definite; use fewer features".into()
    })
}

fn log_determinant(cholesky: &Llt<f64>) -> f64 {
    let l = cholesky.L();
    2.0 * (0..l.nrows()).map(|j| l[(j, j)].ln()).sum::<f64>()
}

fn row_means(x: MatRef<'_, f64>) -> Vec<f64> {
    let mut sums = vec![0.0; x.nrows()];
    for column in x.col_iter() {
        for (sum, v) in sums.iter_mut().zip(column.iter()) {
            *sum += v;
        }
    }
    let trs = x.ncols() as f64;
    sums.iter_mut().for_each(|sum| *sum /= trs);
    sums
}

fn perturb(a: &mut Mat<f64>, by: f64) {
    for j in 0..a.nrows().min(a.ncols()) {
        a[(j, j)] += by;
    }
}

/// `tr(aᵀ b)`
fn sum_of_products(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> f64 {
    a.col_iter()
        .zip(b.col_iter())
        .map(|(a, b)| a.iter().zip(b.iter()).map(|(a, b)| a * b).sum::<f64>())
        .sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
