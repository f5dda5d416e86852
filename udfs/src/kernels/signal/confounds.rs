//! Taking confounds out of a series.

use faer::Mat;

use super::{LANES, Lanes};

/// Below this share of the largest, what is left of a confound after those before it
/// is rounding noise.
const RANK_TOLERANCE: f64 = 100.0 * f64::EPSILON;

/// The projection onto what no confound explains.
#[derive(Clone, Debug)]
pub struct Projection {
    /// Orthonormal columns that span the confounds.
    basis: Vec<Vec<f64>>,
}

impl Projection {
    /// The projection that removes the given columns, which have one length. Columns
    /// that others explain (or that are zero) add nothing: QR with pivoting leaves them
    /// out where `|R_ii| ≤ 100 · 2.2e-16 · |R_00|`.
    ///
    /// Reference: the confound regression in `nilearn.signal.clean`, whose threshold is
    /// absolute, which is the same for z-scored columns of usual lengths.
    pub fn new(columns: &[Vec<f64>]) -> Self {
        let n = columns.first().map_or(0, Vec::len);
        let matrix = Mat::from_fn(n, columns.len(), |row, column| columns[column][row]);
        let qr = matrix.col_piv_qr();
        let (q, r) = (qr.compute_thin_Q(), qr.thin_R());
        let size = n.min(columns.len());
        let largest = if size > 0 { r[(0, 0)].abs() } else { 0.0 };
        let basis = (0..size)
            .filter(|i| r[(*i, *i)].abs() > RANK_TOLERANCE * largest)
            .map(|i| (0..n).map(|t| q[(t, i)]).collect())
            .collect();
        Self { basis }
    }

    /// How many dimensions are removed.
    pub fn rank(&self) -> usize {
        self.basis.len()
    }

    /// Removes the confounds from each lane.
    #[inline(always)]
    pub fn remove(&self, x: &mut [Lanes]) {
        for direction in &self.basis {
            let mut shares = [0.0; LANES];
            for (row, weight) in x.iter().zip(direction) {
                for lane in 0..LANES {
                    shares[lane] += weight * row[lane];
                }
            }
            for (row, weight) in x.iter_mut().zip(direction) {
                for lane in 0..LANES {
                    row[lane] -= weight * shares[lane];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_confounds_explain_goes() {
        let a: Vec<f64> = (0..20).map(|t| f64::from(t * t % 7) - 3.0).collect();
        let b: Vec<f64> = (0..20).map(|t| f64::from(t * 5 % 11) - 5.0).collect();
        let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + 2.0 * b).collect();
        let zero = vec![0.0; 20];
        let projection = Projection::new(&[a.clone(), b.clone(), sum.clone(), zero.clone()]);
        assert_eq!(projection.rank(), 2);
        let mut x: Vec<Lanes> = (0..20)
            .map(|t| std::array::from_fn(|lane| lane as f64 * sum[t] - a[t]))
            .collect();
        projection.remove(&mut x);
        assert!(x.iter().flatten().all(|value| value.abs() < 1e-10));
        assert_eq!(Projection::new(&[zero]).rank(), 0);
        assert_eq!(Projection::new(&[]).rank(), 0);
    }
}
