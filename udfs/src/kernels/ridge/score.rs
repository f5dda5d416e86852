//! How good predictions are, as himalaya scores them. Measured values and predictions are columns
//! of samples.

/// What cross-validation maximises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Score {
    /// Minus the mean squared error, himalaya's default.
    #[default]
    NegativeError,
    /// The share of variance explained, below 0 where the mean would be better.
    R2,
    /// Pearson's correlation.
    Correlation,
}

/// `1 − Σ(y − p)² / Σ(y − ȳ)²`; 0 where `y` is constant.
pub fn r2(measured: &[f64], predicted: &[f64]) -> f64 {
    let mean = mean(measured);
    let variance: f64 = measured.iter().map(|y| (y - mean) * (y - mean)).sum();
    match variance > 0.0 {
        true => 1.0 - squared_error(measured, predicted) / variance,
        false => 0.0,
    }
}

/// Pearson's correlation; 0 where either is constant.
pub fn correlation(measured: &[f64], predicted: &[f64]) -> f64 {
    let (y_mean, p_mean) = (mean(measured), mean(predicted));
    let (mut yy, mut pp, mut yp) = (0.0, 0.0, 0.0);
    for (y, p) in measured.iter().zip(predicted) {
        let (y, p) = (y - y_mean, p - p_mean);
        yy += y * y;
        pp += p * p;
        yp += y * p;
    }
    match yy > 0.0 && pp > 0.0 {
        true => yp / (yy.sqrt() * pp.sqrt()),
        false => 0.0,
    }
}

/// The share of each feature space in the R² of the sum of their predictions (himalaya's
/// `r2_score_split`): they add up to it. `measured` has mean zero.
pub fn r2_split(measured: &[f64], predicted: &[&[f64]]) -> Vec<f64> {
    let total: f64 = measured.iter().map(|y| y * y).sum();
    let share = |own: &&[f64]| {
        let part = |(i, y): (usize, &f64)| {
            let sum: f64 = predicted.iter().map(|p| p[i]).sum();
            own[i] * (2.0 * y - sum)
        };
        measured.iter().enumerate().map(part).sum::<f64>() / total
    };
    predicted.iter().map(share).collect()
}

/// `Σ (y − p)²`
pub fn squared_error(measured: &[f64], predicted: &[f64]) -> f64 {
    measured
        .iter()
        .zip(predicted)
        .map(|(y, p)| (y - p) * (y - p))
        .sum()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_small_numbers() {
        let y = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(r2(&y, &y), 1.0);
        assert_eq!(r2(&y, &[2.5; 4]), 0.0);
        assert_eq!(r2(&[1.0; 4], &y), 0.0);
        assert!((correlation(&y, &[-2.0, -4.0, -6.0, -8.0]) + 1.0).abs() < 1e-15);
        assert_eq!(correlation(&y, &[7.0; 4]), 0.0);
        let y = [-1.0, 0.0, 1.0];
        let parts = r2_split(&y, &[&[-0.5, 0.0, 0.5], &[-0.25, 0.0, 0.25]]);
        assert!((parts.iter().sum::<f64>() - r2(&y, &[-0.75, 0.0, 0.75])).abs() < 1e-15);
    }
}
