//! Missing values in leave-one-out means.

use super::{Data, Value, correlation};

/// What becomes of a voxel in which some subjects have missing values.
///
/// A subject's own correlation is undefined in any case where one of its values is missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Missing {
    /// The others are averaged over those that have a value, TR by TR.
    Tolerate,
    /// The mean over others is missing where one of theirs is.
    Refuse,
    /// As [`Missing::Tolerate`], and a voxel is undefined for all if fewer than this share of the
    /// subjects, 0 to 1, are without missing values in it.
    Share(f64),
}

impl Missing {
    /// Whether a voxel is looked at in which so many of `subjects` are complete.
    pub fn keeps(self, complete: usize, subjects: usize) -> bool {
        match self {
            Missing::Tolerate | Missing::Refuse => complete > 0,
            Missing::Share(share) => complete > 0 && complete as f64 >= subjects as f64 * share,
        }
    }
}

/// Leave-one-out correlations of one voxel in which values are missing, for all subjects.
///
/// `complete` says which subjects miss none.
pub fn leave_one_out<T: Value>(
    data: &Data<'_, T>,
    voxel: usize,
    complete: &[bool],
    missing: Missing,
) -> Vec<f64> {
    let subjects = data.len();
    let undefined = vec![f64::NAN; subjects];
    let count = complete.iter().filter(|c| **c).count();
    // To refuse is to need all: each is in the mean of the others, or is incomplete itself.
    if missing == Missing::Refuse || !missing.keeps(count, subjects) {
        return undefined;
    }
    let trs = super::trs(data);
    let mut rests = vec![f64::NAN; subjects * trs];
    let mut values = vec![0.0; subjects];
    let mut before = vec![(0.0, 0u32); subjects];
    for tr in 0..trs {
        for (value, subject) in values.iter_mut().zip(data) {
            *value = subject[tr][voxel].into();
        }
        // Sums before and after each subject: taking one from the sum of all would round.
        let mut sum = (0.0, 0);
        for (before, value) in before.iter_mut().zip(&values) {
            *before = sum;
            add(&mut sum, *value);
        }
        let mut after = (0.0, 0);
        for s in (0..subjects).rev() {
            let n = before[s].1 + after.1;
            if n > 0 {
                rests[s * trs + tr] = (before[s].0 + after.0) / f64::from(n);
            }
            add(&mut after, values[s]);
        }
    }
    let of = |(s, complete): (usize, &bool)| match complete {
        false => f64::NAN,
        true => {
            let own = data[s].iter().map(|row| row[voxel].into()).collect();
            series_correlation(own, rests[s * trs..(s + 1) * trs].to_vec())
        }
    };
    complete.iter().enumerate().map(of).collect()
}

fn add(sum: &mut (f64, u32), value: f64) {
    if value.is_finite() {
        *sum = (sum.0 + value, sum.1 + 1);
    }
}

fn series_correlation(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    center(&mut a);
    center(&mut b);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    correlation(product(&a, &b), product(&a, &a), product(&b, &b))
}

/// Takes the mean away, around the first value, so that a constant becomes zero to the last bit.
pub fn center(series: &mut [f64]) {
    let Some(first) = series.first().copied() else {
        return;
    };
    let mut sum = 0.0;
    for value in series.iter_mut() {
        *value -= first;
        sum += *value;
    }
    let mean = sum / series.len() as f64;
    series.iter_mut().for_each(|value| *value -= mean);
}
