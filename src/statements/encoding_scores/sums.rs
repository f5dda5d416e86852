//! What R² and correlation need, in one pass over the rows.

/// Sums of one subject, voxel by voxel.
///
/// Values are taken from the first row's, so that squares of large means do not eat the digits.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    voxels: Vec<Voxel>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Voxel {
    count: f64,
    /// The first pair.
    origin: (f64, f64),
    measured: f64,
    predicted: f64,
    measured_squares: f64,
    predicted_squares: f64,
    products: f64,
    errors: f64,
}

impl Sums {
    pub fn new(voxels: usize) -> Self {
        Self {
            voxels: vec![Voxel::default(); voxels],
        }
    }

    /// What so many voxels take.
    pub fn bytes(voxels: usize) -> usize {
        voxels * std::mem::size_of::<Voxel>()
    }

    pub fn voxels(&self) -> usize {
        self.voxels.len()
    }

    /// One row. Where either value is not finite the pair is left out.
    pub fn add(&mut self, measured: &[f32], predicted: &[f32]) {
        for ((voxel, y), p) in self.voxels.iter_mut().zip(measured).zip(predicted) {
            let (y, p) = (f64::from(*y), f64::from(*p));
            if !(y.is_finite() && p.is_finite()) {
                continue;
            }
            if voxel.count == 0.0 {
                voxel.origin = (y, p);
            }
            voxel.errors += (y - p) * (y - p);
            let (y, p) = (y - voxel.origin.0, p - voxel.origin.1);
            voxel.count += 1.0;
            voxel.measured += y;
            voxel.predicted += p;
            voxel.measured_squares += y * y;
            voxel.predicted_squares += p * p;
            voxel.products += y * p;
        }
    }

    /// Pairs that were there.
    pub fn count(&self, voxel: usize) -> i64 {
        self.voxels[voxel].count as i64
    }

    /// `1 − Σ(y − p)² / Σ(y − ȳ)²`; None where `y` does not vary.
    pub fn r2(&self, voxel: usize) -> Option<f64> {
        let voxel = &self.voxels[voxel];
        let power = voxel.measured_power()?;
        Some(1.0 - voxel.errors / power)
    }

    /// Pearson's correlation; None where either does not vary.
    pub fn correlation(&self, voxel: usize) -> Option<f64> {
        let voxel = &self.voxels[voxel];
        let (y, p) = (voxel.measured_power()?, voxel.predicted_power()?);
        let shared = voxel.products - voxel.measured * voxel.predicted / voxel.count;
        Some((shared / (y.sqrt() * p.sqrt())).clamp(-1.0, 1.0))
    }
}

impl Voxel {
    fn measured_power(&self) -> Option<f64> {
        power(self.measured_squares, self.measured, self.count)
    }

    fn predicted_power(&self) -> Option<f64> {
        power(self.predicted_squares, self.predicted, self.count)
    }
}

/// The sum of squares around the mean; None where it is rounding.
fn power(squares: f64, sum: f64, count: f64) -> Option<f64> {
    let power = squares - sum * sum / count;
    (count > 1.0 && power > squares * count * f64::EPSILON).then_some(power)
}

#[cfg(test)]
mod tests {
    use voxql_udfs::kernels::ridge::score;

    use super::*;

    #[test]
    fn one_pass_equals_two() {
        let value = |i: usize, k: usize| 1e4 + ((i * 7 + k * 13) % 11) as f32 * 0.5;
        let (mut sums, n) = (Sums::new(2), 40);
        let mut columns = [(vec![], vec![]), (vec![], vec![])];
        for i in 0..n {
            let (mut y, p) = ([value(i, 0), value(i, 1)], [value(i, 3), value(i * i, 1)]);
            if i == 3 {
                y[1] = f32::NAN;
            }
            sums.add(&y, &p);
            for (k, (ys, ps)) in columns.iter_mut().enumerate() {
                if y[k].is_finite() {
                    ys.push(f64::from(y[k]));
                    ps.push(f64::from(p[k]));
                }
            }
        }
        for (k, (y, p)) in columns.iter().enumerate() {
            assert!((sums.r2(k).unwrap() - score::r2(y, p)).abs() < 1e-9);
            assert!((sums.correlation(k).unwrap() - score::correlation(y, p)).abs() < 1e-9);
        }
        assert_eq!((sums.count(0), sums.count(1)), (40, 39));
    }

    #[test]
    fn what_does_not_vary_has_no_score() {
        let mut sums = Sums::new(2);
        assert_eq!((sums.r2(0), sums.count(0)), (None, 0));
        for i in 0..5 {
            sums.add(&[0.1, i as f32], &[i as f32, 7.3]);
        }
        assert_eq!((sums.r2(0), sums.correlation(0)), (None, None));
        assert!(sums.r2(1).is_some());
        assert_eq!(sums.correlation(1), None);
    }
}
