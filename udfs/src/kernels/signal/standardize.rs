//! The scale of a series.

use super::{LANES, Lanes, means};

/// What a series is measured in afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standardize {
    /// Standard deviations (divisor n − 1) from the mean.
    ZscoreSample,
    /// Per cent of the mean.
    PercentSignalChange,
}

impl Standardize {
    /// The names that [`Self::from_name`] knows, nilearn's.
    pub const NAMES: [&'static str; 2] = ["zscore_sample", "psc"];

    /// The scale that nilearn calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "zscore_sample" => Some(Self::ZscoreSample),
            "psc" => Some(Self::PercentSignalChange),
            _ => None,
        }
    }
}

/// Each lane minus its mean, over its standard deviation (divisor n − 1). A deviation
/// below 2.2e-16 counts as 1.
#[inline(always)]
pub fn zscore(x: &mut [Lanes]) {
    let means = means(x);
    let mut squares = [0.0; LANES];
    for row in x.iter_mut() {
        for lane in 0..LANES {
            row[lane] -= means[lane];
            squares[lane] += row[lane] * row[lane];
        }
    }
    let divisor = x.len() as f64 - 1.0;
    let deviations: Lanes = std::array::from_fn(|lane| {
        let deviation = (squares[lane] / divisor).sqrt();
        if deviation < f64::EPSILON {
            1.0
        } else {
            deviation
        }
    });
    for row in x {
        for lane in 0..LANES {
            row[lane] /= deviations[lane];
        }
    }
}

/// Each lane's difference from its mean in per cent of the mean's magnitude; 0 where
/// the mean is below 2.2e-16.
#[inline(always)]
pub fn percent_change(x: &mut [Lanes]) {
    let means = means(x);
    let scales: Lanes = std::array::from_fn(|lane| {
        let mean = means[lane].abs();
        if mean < f64::EPSILON {
            0.0
        } else {
            100.0 / mean
        }
    });
    for row in x {
        for lane in 0..LANES {
            row[lane] = (row[lane] - means[lane]) * scales[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(values: &[f64]) -> Vec<Lanes> {
        values.iter().map(|v| [*v; LANES]).collect()
    }

    #[test]
    fn zscores() {
        let mut x = block(&[1.0, 2.0, 3.0]);
        zscore(&mut x);
        assert_eq!(x, block(&[-1.0, 0.0, 1.0]));
        let mut constant = block(&[0.1, 0.1, 0.1]);
        zscore(&mut constant);
        assert_eq!(constant, block(&[0.0, 0.0, 0.0]));
    }

    #[test]
    fn percents() {
        let mut x = block(&[-90.0, -110.0]);
        percent_change(&mut x);
        assert!((x[0][3] - 10.0).abs() < 1e-12 && (x[1][3] + 10.0).abs() < 1e-12);
        let mut no_mean = block(&[1.0, -1.0]);
        percent_change(&mut no_mean);
        assert_eq!(no_mean, block(&[0.0, 0.0]));
    }
}
