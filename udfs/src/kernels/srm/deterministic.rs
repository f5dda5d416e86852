//! The deterministic model: BrainIAK's `DetSRM`.

use faer::{Mat, MatRef};

use super::moments::Moments;
use super::responses::Responses;
use super::{Centring, Data, Polar, Stop, mean_of, sum_of_products};

/// A fitted model. The maps are had by another pass over the data, from `before`, `polar`
/// and `mean` ([`super::fitted_map`]).
#[derive(Debug, Clone)]
pub struct Fit {
    /// The shared response, features × TRs: the mean of the subjects' `Wᵀx`.
    pub s: Mat<f64>,
    /// The shared response of the iteration before, which the maps follow from.
    pub before: Mat<f64>,
    /// `½ Σ_i |x_i − W_i S|² / TRs` after each iteration.
    pub objective: Vec<f64>,
    /// Per subject, how its map is had.
    pub polar: Vec<Polar>,
    /// Per subject, what was removed from each voxel.
    pub mean: Vec<Vec<f64>>,
}

/// Fits the model, as [`super::probabilistic::fit`]; BrainIAK's centring is [`Centring::None`].
///
/// # Errors
/// As there.
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
    let mut s = mean_of(responses.now.iter().map(Mat::as_ref));
    let mut before = s.clone();
    let mut history = Vec::new();
    for _ in 0..stop.iterations {
        responses.update(s.as_ref())?;
        before = std::mem::replace(&mut s, mean_of(responses.now.iter().map(Mat::as_ref)));
        history.push(objective(&subjects, &responses.now, s.as_ref()));
        if stop.converged(&history) {
            break;
        }
    }
    Ok(Fit {
        s,
        before,
        objective: history,
        polar: responses.polar,
        mean: subjects.into_iter().map(|subject| subject.mean).collect(),
    })
}

/// `|x − W S|² = |x|² − 2 tr(Wᵀx Sᵀ) + |S|²`, as W is orthonormal.
fn objective(subjects: &[Moments], responses: &[Mat<f64>], s: MatRef<'_, f64>) -> f64 {
    let power = s.squared_norm_l2();
    let errors = subjects
        .iter()
        .zip(responses)
        .map(|(x, response)| x.squares - 2.0 * sum_of_products(response.as_ref(), s) + power);
    0.5 * errors.sum::<f64>() / s.ncols() as f64
}
