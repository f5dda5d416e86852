//! Design matrices, with the columns of nilearn's `make_first_level_design_matrix`.

use std::f64::consts::PI;

use faer::Mat;

use super::orthogonal::orthogonalise;
use super::regressor::{Event, Regressors};

/// The largest ratio of singular values that is not regularised.
const LARGEST_CONDITION: f64 = 1e15;

/// Slow changes of the signal that are modelled as columns, beside the constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drift {
    /// Cosines up to a frequency in Hz.
    Cosine { high_pass: f64 },
    /// Powers of time up to an order.
    Polynomial { order: usize },
    /// Only the constant.
    None,
}

impl Drift {
    /// The names that [`Drift::from_name`] knows.
    pub const NAMES: [&'static str; 3] = ["cosine", "polynomial", "none"];

    /// The drift model of that name, upper or lower case.
    ///
    /// # Errors
    /// When there is no such model.
    pub fn from_name(name: &str, high_pass: f64, order: usize) -> Result<Self, String> {
        match name.to_lowercase().as_str() {
            "cosine" => Ok(Self::Cosine { high_pass }),
            "polynomial" => Ok(Self::Polynomial { order }),
            "none" => Ok(Self::None),
            _ => Err(format!(
                "there is no drift model {name}; the models are {}",
                Self::NAMES.join(", ")
            )),
        }
    }

    /// How many columns [`Self::columns`] will give.
    ///
    /// # Errors
    /// When the frequency or the order cannot be.
    pub fn number(self, frame_times: &[f64]) -> Result<usize, String> {
        let n_scans = frame_times.len();
        match self {
            Self::Cosine { high_pass } => cosine_order(n_scans, high_pass, interval(frame_times)?),
            Self::Polynomial { order } => polynomial_order(n_scans, order),
            Self::None => Ok(0),
        }
    }

    /// The columns for frames at these times (two or more, ascending), without the
    /// constant.
    ///
    /// # Errors
    /// When the frequency or the order cannot be.
    pub fn columns(self, frame_times: &[f64]) -> Result<Vec<Vec<f64>>, String> {
        match self {
            Self::Cosine { high_pass } => {
                cosine_drift(frame_times.len(), high_pass, interval(frame_times)?)
            }
            Self::Polynomial { order } => polynomial_drift(frame_times, order),
            Self::None => Ok(Vec::new()),
        }
    }
}

/// The mean time between volumes.
fn interval(frame_times: &[f64]) -> Result<f64, String> {
    match frame_times {
        [first, .., last] => Ok((last - first) / (frame_times.len() - 1) as f64),
        _ => Err("drifts need two volumes or more".into()),
    }
}

/// The cosines of a run of `n_scans` volumes, `dt` seconds apart, with fewer than
/// `high_pass` periods a second, and without the constant.
///
/// There are `min(n − 1, floor(2 · n · high_pass · dt))` of them, `√(2/n) · cos(π/n ·
/// (i + ½) · k)` for `k` from 1: nilearn's `create_cosine_drift` without its last
/// column.
///
/// # Errors
/// When `high_pass` is not 0 or a positive number, or `dt` not positive.
pub fn cosine_drift(n_scans: usize, high_pass: f64, dt: f64) -> Result<Vec<Vec<f64>>, String> {
    let order = cosine_order(n_scans, high_pass, dt)?;
    let n = n_scans as f64;
    let column = |k: usize| {
        let value = |i: usize| (2.0 / n).sqrt() * (PI / n * (i as f64 + 0.5) * k as f64).cos();
        (0..n_scans).map(value).collect()
    };
    Ok((1..=order).map(column).collect())
}

fn cosine_order(n_scans: usize, high_pass: f64, dt: f64) -> Result<usize, String> {
    if !(high_pass.is_finite() && high_pass >= 0.0) {
        return Err(format!(
            "high_pass is a frequency in Hz, 0 or positive, got {high_pass}"
        ));
    }
    if !(dt.is_finite() && dt > 0.0) {
        return Err(format!(
            "the time between volumes must be positive, got {dt}"
        ));
    }
    let order = (2.0 * n_scans as f64 * high_pass * dt).floor() as usize;
    Ok(order.min(n_scans.saturating_sub(1)))
}

/// `(t / max t)^k` for `k` from 1 to `order`, each orthogonal to those before it and to
/// the constant; nilearn's `_poly_drift` without its last column, the constant.
///
/// # Errors
/// When the last time is not positive, or the run has no more volumes than `order`.
pub fn polynomial_drift(frame_times: &[f64], order: usize) -> Result<Vec<Vec<f64>>, String> {
    let largest = frame_times
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    if !(largest.is_finite() && largest > 0.0) {
        return Err(format!(
            "polynomial drifts need a positive time, the last one is {largest} s"
        ));
    }
    polynomial_order(frame_times.len(), order)?;
    let power = |k: usize| {
        let value = |t: &f64| (t / largest).powi(k as i32);
        frame_times.iter().map(value).collect()
    };
    let mut columns: Vec<Vec<f64>> = (0..=order).map(power).collect();
    orthogonalise(&mut columns);
    columns.remove(0);
    Ok(columns)
}

fn polynomial_order(n_scans: usize, order: usize) -> Result<usize, String> {
    match order < n_scans {
        true => Ok(order),
        false => Err(format!(
            "drift_order must be less than the number of volumes, {n_scans}, got {order}"
        )),
    }
}

/// The columns of one run: those of each condition in turn, the added ones, the drifts
/// and the constant.
///
/// Events of one condition that are equal in onset and duration count with the sum of
/// their amplitudes, since boxes add. nilearn merges such rows first; the sum is the same.
///
/// If the columns are linearly dependent at working precision they are changed by about
/// 1e-15 of the matrix's largest singular value, as nilearn does, and the second value
/// is true.
///
/// # Errors
/// When a column holds what is not finite.
pub fn design_matrix(
    conditions: &[&[Event]],
    regressors: &Regressors,
    added: &[Vec<f64>],
    drifts: &[Vec<f64>],
    n_scans: usize,
) -> Result<(Vec<Vec<f64>>, bool), String> {
    let mut columns: Vec<Vec<f64>> = conditions
        .iter()
        .flat_map(|events| regressors.columns(events))
        .collect();
    columns.extend_from_slice(added);
    columns.extend_from_slice(drifts);
    columns.push(vec![1.0; n_scans]);
    let regularised = full_rank(&mut columns)?;
    Ok((columns, regularised))
}

/// nilearn's `full_rank`: gives a matrix whose singular values have a ratio of 1e15 or more the
/// ones `s + (s_max − 1e15 · s_min) / (1e15 − 1)`. Says whether it did.
fn full_rank(columns: &mut [Vec<f64>]) -> Result<bool, String> {
    if columns.iter().flatten().any(|value| !value.is_finite()) {
        return Err("the design matrix holds values that are not finite".into());
    }
    let rows = columns.first().map_or(0, Vec::len);
    let matrix = Mat::from_fn(rows, columns.len(), |i, j| columns[j][i]);
    let svd = matrix
        .thin_svd()
        .map_err(|_| "the singular values of the design matrix do not converge".to_string())?;
    let values: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let (Some(&largest), Some(&smallest)) = (values.first(), values.last()) else {
        return Ok(false);
    };
    if largest < LARGEST_CONDITION * smallest {
        return Ok(false);
    }
    let lift = (largest - LARGEST_CONDITION * smallest) / (LARGEST_CONDITION - 1.0);
    for (j, column) in columns.iter_mut().enumerate() {
        for (i, value) in column.iter_mut().enumerate() {
            *value = values
                .iter()
                .enumerate()
                .map(|(k, s)| svd.U()[(i, k)] * (s + lift) * svd.V()[(j, k)])
                .sum();
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::regressor::{MIN_ONSET, Model, frame_times};

    #[test]
    fn cosines_stop_below_the_frequency_and_are_orthogonal() {
        // 100 volumes of 2 s: periods of 400 / k s, those down to 100 s.
        let drifts = cosine_drift(100, 0.01, 2.0).unwrap();
        assert_eq!(drifts.len(), 4);
        for (i, a) in drifts.iter().enumerate() {
            for (j, b) in drifts.iter().enumerate() {
                let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                let want = if i == j { 1.0 } else { 0.0 };
                assert!((dot - want).abs() < 1e-12);
            }
            assert!(a.iter().sum::<f64>().abs() < 1e-12);
        }
        assert_eq!(cosine_drift(10, 1e9, 2.0).unwrap().len(), 9);
        assert!(cosine_drift(10, 0.0, 2.0).unwrap().is_empty());
        for high_pass in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(cosine_drift(10, high_pass, 2.0).is_err());
        }
        assert!(cosine_drift(10, 0.01, 0.0).is_err());
    }

    #[test]
    fn polynomials_are_orthogonal_to_the_constant() {
        let times = frame_times(50, 1.49, 0.5).unwrap();
        let drifts = polynomial_drift(&times, 3).unwrap();
        assert_eq!(drifts.len(), 3);
        for drift in &drifts {
            assert!(drift.iter().sum::<f64>().abs() < 1e-12);
        }
        assert!(polynomial_drift(&times, 50).is_err());
        assert!(polynomial_drift(&[-2.0, 0.0], 1).is_err());
        assert!(
            Drift::from_name("spline", 0.01, 1)
                .unwrap_err()
                .contains("cosine, polynomial")
        );
    }

    #[test]
    fn dependent_columns_are_regularised_and_stay_themselves() {
        let times = frame_times(20, 2.0, 0.0).unwrap();
        let regressors = Regressors::new(&times, &Model::Boxes, 10, MIN_ONSET).unwrap();
        let event = Event {
            onset: 4.0,
            duration: 8.0,
            amplitude: 1.0,
        };
        let twice = [&[event][..], &[event]];
        let (columns, regularised) =
            design_matrix(&twice, &regressors, &[], &[], times.len()).unwrap();
        assert!(regularised);
        for (a, b) in columns[0].iter().zip(&regressors.columns(&[event])[0]) {
            assert!((a - b).abs() < 1e-12);
        }
        let (columns, regularised) =
            design_matrix(&twice[..1], &regressors, &[], &[], times.len()).unwrap();
        assert!(!regularised);
        assert_eq!(columns[1], vec![1.0; 20]);
        let nan = [vec![f64::NAN; 20]];
        assert!(design_matrix(&twice[..1], &regressors, &nan, &[], 20).is_err());
    }
}
