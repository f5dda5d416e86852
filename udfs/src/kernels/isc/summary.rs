//! One number for the correlations of many subjects.

/// How correlations are summed up. Those that are not defined are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// The mean of Fisher's z (Silver and Dunlap 1987).
    Mean,
    /// The median, of an even number the mean of the middle two.
    Median,
}

impl Summary {
    /// The names that [`Self::from_name`] knows, BrainIAK's.
    pub const NAMES: [&'static str; 2] = ["mean", "median"];

    /// The summary that BrainIAK calls `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "mean" => Some(Self::Mean),
            "median" => Some(Self::Median),
            _ => None,
        }
    }

    /// The summary of `correlations`, which it leaves in another order; NaN without any.
    pub fn of(self, correlations: &mut [f64]) -> f64 {
        for value in correlations.iter_mut() {
            *value = self.prepare(*value);
        }
        self.of_prepared(correlations)
    }

    /// What [`Self::of_prepared`] wants in place of a correlation. The opposite of a correlation
    /// gives the opposite.
    pub(super) fn prepare(self, correlation: f64) -> f64 {
        match self {
            Self::Mean => correlation.atanh(),
            Self::Median => correlation,
        }
    }

    /// The summary of values that are prepared; they are left in another order.
    pub(super) fn of_prepared(self, values: &mut [f64]) -> f64 {
        match self {
            Self::Mean => mean(values).tanh(),
            Self::Median => median(values),
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    let mut sum = 0.0;
    let mut count = 0;
    for value in values.iter().filter(|v| !v.is_nan()) {
        sum += value;
        count += 1;
    }
    sum / f64::from(count)
}

fn median(values: &mut [f64]) -> f64 {
    let mut n = 0;
    for i in 0..values.len() {
        if !values[i].is_nan() {
            values.swap(n, i);
            n += 1;
        }
    }
    if n == 0 {
        return f64::NAN;
    }
    let (below, middle, _) = values[..n].select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return *middle;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lower + *middle) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_is_left_out() {
        let of = |summary: Summary, values: &[f64]| summary.of(&mut values.to_vec());
        assert_eq!(of(Summary::Median, &[0.3, f64::NAN, 0.1]), 0.2);
        assert_eq!(of(Summary::Median, &[0.3, -0.5, 0.1]), 0.1);
        assert!((of(Summary::Mean, &[0.5, f64::NAN, 0.5]) - 0.5).abs() < 1e-15);
        assert_eq!(of(Summary::Mean, &[1.0, 0.2]), 1.0);
        for summary in [Summary::Mean, Summary::Median] {
            assert!(of(summary, &[f64::NAN]).is_nan());
            assert!(of(summary, &[]).is_nan());
            assert_eq!(
                Some(summary),
                Summary::from_name(Summary::NAMES[summary as usize])
            );
        }
    }
}
