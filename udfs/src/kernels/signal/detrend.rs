//! The linear trend of a series, and its mean.

use super::{LANES, Lanes, means};

/// Takes the mean and the least-squares line out of each lane. A single TR has no
/// trend and stays as it is.
///
/// Reference: `nilearn.signal._detrend`.
#[inline(always)]
pub fn detrend(x: &mut [Lanes]) {
    if x.len() < 2 {
        return;
    }
    let means = means(x);
    let n = x.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mut slopes = [0.0; LANES];
    for (t, row) in x.iter_mut().enumerate() {
        let at = t as f64 - middle;
        for lane in 0..LANES {
            row[lane] -= means[lane];
            slopes[lane] += at * row[lane];
        }
    }
    // The sum of the squares of the centred times 0 … n − 1.
    let norm = n * (n * n - 1.0) / 12.0;
    for (t, row) in x.iter_mut().enumerate() {
        let at = (t as f64 - middle) / norm;
        for lane in 0..LANES {
            row[lane] -= at * slopes[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_and_what_is_no_line_stays() {
        let wave = [1.0, -1.0, -1.0, 1.0];
        let mut x: Vec<Lanes> = (0..4)
            .map(|t| std::array::from_fn(|lane| 3.0 + lane as f64 * t as f64 + wave[t]))
            .collect();
        detrend(&mut x);
        for (row, want) in x.iter().zip(wave) {
            assert!(row.iter().all(|got| (got - want).abs() < 1e-12), "{row:?}");
        }
    }

    #[test]
    fn constants_become_zeros_exactly_and_one_tr_stays() {
        let mut x = vec![[0.1; LANES]; 7];
        detrend(&mut x);
        assert_eq!(x, vec![[0.0; LANES]; 7]);
        let mut one = vec![[5.0; LANES]];
        detrend(&mut one);
        assert_eq!(one, vec![[5.0; LANES]]);
    }
}
