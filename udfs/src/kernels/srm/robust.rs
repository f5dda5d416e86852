//! The robust model: BrainIAK's `RSRM`, which gives each subject a sparse response of its
//! own, `x = W R + E`.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::polar::nearest_orthonormal;
use super::start::Start;
use super::{Centring, Data, Stop, mean_of, means, without};
use crate::kernels::mt19937::Mt19937;

/// A fitted model.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Per subject the map with orthonormal columns, voxels × features.
    pub w: Vec<Mat<f64>>,
    /// The shared response, features × TRs.
    pub r: Mat<f64>,
    /// The shared response of the last iteration's start: a subject's own response is
    /// [`individual`] of its data, its map and this.
    pub before: Mat<f64>,
    /// `Σ_i ½ |x_i − W_i R − E_i|² + gamma |E_i|₁` after each iteration.
    pub objective: Vec<f64>,
    /// Per subject, what was removed from each voxel.
    pub mean: Vec<Vec<f64>>,
}

/// Fits the model from the random start that BrainIAK draws from `seed`. `gamma` is the weight of
/// the subjects' own responses: the larger, the sparser they are; BrainIAK's default is 1, and
/// its centring [`Centring::None`]. Reads the data twice in each iteration; the maps are
/// held in memory.
///
/// # Errors
/// A gamma that is not above 0; else as [`super::probabilistic::fit`].
pub fn fit(
    data: &Data<'_>,
    features: usize,
    gamma: f64,
    centring: Centring,
    seed: u32,
    stop: Stop,
) -> Result<Fit, String> {
    data.check(features, stop)?;
    if !(gamma > 0.0 && gamma.is_finite()) {
        return Err(format!("gamma must be above 0, not {gamma}"));
    }
    let starts = starts(data, features, centring, seed)?;
    let mut r = mean_of(starts.iter().map(|start| start.response.as_ref()));
    let mean: Vec<Vec<f64>> = starts.into_iter().map(|start| start.mean).collect();
    let problem = Problem {
        data,
        mean: &mean,
        gamma,
    };
    let mut before = r.clone();
    let mut w: Vec<Mat<f64>> = Vec::new();
    let mut objective = Vec::new();
    for _ in 0..stop.iterations {
        let steps = data.each(|i| problem.map(i, w.get(i), before.as_ref(), r.as_ref()))?;
        if !w.is_empty() {
            objective.push(steps.iter().map(|step| step.objective).sum());
            if stop.converged(&objective) {
                return Ok(Fit {
                    w,
                    r,
                    before,
                    objective,
                    mean,
                });
            }
        }
        w = steps.into_iter().map(|step| step.w).collect();
        let responses = data.each(|i| problem.response(i, &w[i], r.as_ref()))?;
        before = std::mem::replace(&mut r, mean_of(responses.iter().map(Mat::as_ref)));
    }
    let last = data.each(|i| problem.objective(i, &w[i], before.as_ref(), r.as_ref()))?;
    objective.push(last.iter().sum());
    Ok(Fit {
        w,
        r,
        before,
        objective,
        mean,
    })
}

/// A subject's own response, of a panel `x` from which `W R` of the same voxels is
/// subtracted: what exceeds `gamma`.
pub fn individual(
    x: MatRef<'_, f64>,
    w: MatRef<'_, f64>,
    r: MatRef<'_, f64>,
    gamma: f64,
) -> Mat<f64> {
    let mut e = x.to_owned();
    matmul(&mut e, Accum::Add, w, r, -1.0, Par::Seq);
    for column in e.col_iter_mut() {
        column.iter_mut().for_each(|v| *v = shrink(*v, gamma));
    }
    e
}

/// Takes a subject's data (voxels × any number of TRs) into the shared space, as BrainIAK's
/// `transform`: its own response and the shared one in turns, from none of its own.
pub fn transform(
    w: MatRef<'_, f64>,
    x: MatRef<'_, f64>,
    gamma: f64,
    iterations: usize,
) -> Mat<f64> {
    let mut r = w.transpose() * x;
    for _ in 1..iterations {
        let e = individual(x, w, r.as_ref(), gamma);
        r = w.transpose() * (x - e);
    }
    r
}

/// The map of subject `i` that was not in the fit, from its data for the same TRs, as
/// BrainIAK's `transform_subject`; and the means that were removed.
///
/// # Errors
/// As [`super::new_map`].
pub fn new_map(
    data: &Data<'_>,
    i: usize,
    r: MatRef<'_, f64>,
    gamma: f64,
    iterations: usize,
    centring: Centring,
) -> Result<(Mat<f64>, Vec<f64>), String> {
    let (mut w, mean) = super::new_map(data, i, r, centring)?;
    let means: Vec<Vec<f64>> = (0..=i)
        .map(|j| if j == i { mean.clone() } else { Vec::new() })
        .collect();
    let problem = Problem {
        data,
        mean: &means,
        gamma,
    };
    for _ in 1..iterations {
        w = problem.map(i, Some(&w), r, r)?.w;
    }
    Ok((w, mean))
}

fn shrink(v: f64, gamma: f64) -> f64 {
    if v > gamma {
        v - gamma
    } else if v < -gamma {
        v + gamma
    } else {
        0.0
    }
}

/// Where a subject starts.
struct Started {
    /// `W₀ᵀx`.
    response: Mat<f64>,
    mean: Vec<f64>,
}

/// One generator draws the starts of all subjects, so they are
/// drawn one after the other.
fn starts(
    data: &Data<'_>,
    features: usize,
    centring: Centring,
    seed: u32,
) -> Result<Vec<Started>, String> {
    let mut random = Mt19937::new(seed);
    let mut starts = Vec::with_capacity(data.subjects.len());
    for (i, subject) in data.subjects.iter().enumerate() {
        let mut start = Start::new(*subject, features, random);
        let mut mean = Vec::with_capacity(subject.voxels);
        let trs = subject.trs;
        let mut centred = Mat::new();
        // Uᵀ[x, U]
        let mut product = Mat::zeros(features, trs + features);
        (data.read)(i, &mut |panel| {
            let first = mean.len();
            mean.extend(match centring {
                Centring::None => vec![0.0; panel.nrows()],
                Centring::Removed | Centring::CountedAsNoise => means(panel),
            });
            let mut xu = without(panel, &mean[first..], features, &mut centred);
            start.draw(xu.as_mut().subcols_mut(trs, features));
            let u = xu.as_ref().subcols(trs, features);
            let xu = xu.as_ref();
            matmul(&mut product, Accum::Add, u.transpose(), xu, 1.0, Par::Seq);
        })?;
        let (ux, uu) = product.split_at_col(trs);
        let response;
        (response, random) = start.finish(ux, uu)?;
        starts.push(Started { response, mean });
    }
    Ok(starts)
}

struct Problem<'a> {
    data: &'a Data<'a>,
    mean: &'a [Vec<f64>],
    gamma: f64,
}

struct Step {
    w: Mat<f64>,
    /// The objective before the step.
    objective: f64,
}

impl Problem<'_> {
    /// Reads subject `i` with its means removed; `f` gets the number of the first voxel too.
    fn read(&self, i: usize, mut f: impl FnMut(usize, MatRef<'_, f64>)) -> Result<(), String> {
        let mut seen = 0;
        let mut centred = Mat::new();
        (self.data.read)(i, &mut |panel| {
            let rows = panel.nrows();
            let means = &self.mean[i][seen..seen + rows];
            f(seen, without(panel, means, 0, &mut centred).as_ref());
            seen += rows;
        })
    }

    /// The map nearest to `(x − E) Rᵀ`, where the subject's own `E` follows from the map `w` and
    /// the response `before` that it was made with; without a map there is none yet.
    fn map(
        &self,
        i: usize,
        w: Option<&Mat<f64>>,
        before: MatRef<'_, f64>,
        r: MatRef<'_, f64>,
    ) -> Result<Step, String> {
        let subject = self.data.subjects[i];
        let mut a = Mat::zeros(subject.voxels, r.nrows());
        let mut objective = 0.0;
        self.read(i, |first, x| {
            let rows = x.nrows();
            let out = a.subrows_mut(first, rows);
            let Some(w) = w else {
                matmul(out, Accum::Replace, x, r.transpose(), 1.0, Par::Seq);
                return;
            };
            let w = w.subrows(first, rows);
            let e = individual(x, w, before, self.gamma);
            objective += self.of_panel(x, w, r, &e);
            let shared = x - e;
            matmul(out, Accum::Replace, &shared, r.transpose(), 1.0, Par::Seq);
        })?;
        Ok(Step {
            w: nearest_orthonormal(subject.name, a.as_ref())?,
            objective,
        })
    }

    /// `Wᵀ(x − E)`, where E follows from `w` and `r`.
    fn response(&self, i: usize, w: &Mat<f64>, r: MatRef<'_, f64>) -> Result<Mat<f64>, String> {
        let mut response = Mat::zeros(r.nrows(), r.ncols());
        self.read(i, |first, x| {
            let w = w.subrows(first, x.nrows());
            let shared = x - individual(x, w, r, self.gamma);
            matmul(
                &mut response,
                Accum::Add,
                w.transpose(),
                &shared,
                1.0,
                Par::Seq,
            );
        })?;
        Ok(response)
    }

    fn objective(
        &self,
        i: usize,
        w: &Mat<f64>,
        before: MatRef<'_, f64>,
        r: MatRef<'_, f64>,
    ) -> Result<f64, String> {
        let mut objective = 0.0;
        self.read(i, |first, x| {
            let w = w.subrows(first, x.nrows());
            let e = individual(x, w, before, self.gamma);
            objective += self.of_panel(x, w, r, &e);
        })?;
        Ok(objective)
    }

    /// `½ |x − W R − E|² + gamma |E|₁` of a panel.
    fn of_panel(
        &self,
        x: MatRef<'_, f64>,
        w: MatRef<'_, f64>,
        r: MatRef<'_, f64>,
        e: &Mat<f64>,
    ) -> f64 {
        let mut rest = x - e;
        matmul(&mut rest, Accum::Add, w, r, -1.0, Par::Seq);
        0.5 * rest.squared_norm_l2() + self.gamma * e.norm_l1()
    }
}
