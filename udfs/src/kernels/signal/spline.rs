//! Cubic splines over the TRs that were left out.

use super::{LANES, Lanes};

/// The not-a-knot cubic spline through the values at some positions, evaluated at
/// others.
///
/// The spline is twice continuously differentiable everywhere and three times at the
/// second and the last but one knot. Two knots give the line through them, three the
/// parabola. Outside the knots the first and last pieces go on.
///
/// Reference: `scipy.interpolate.CubicSpline` with its defaults.
#[derive(Clone, Debug)]
pub struct Spline {
    knots: Vec<usize>,
    /// The distance of each knot to the next.
    steps: Vec<f64>,
    system: Vec<Equation>,
    /// The positions to evaluate, each with the knot at which its piece starts.
    wanted: Vec<(usize, usize)>,
}

/// A row of the tridiagonal system for the slopes at the knots, after elimination.
#[derive(Clone, Copy, Debug)]
struct Equation {
    /// How much of the row before is taken off this one.
    factor: f64,
    diagonal: f64,
    upper: f64,
}

impl Spline {
    /// A spline with the given knots for the given positions, both ascending.
    ///
    /// # Errors
    /// When there are fewer than two knots.
    pub fn new(knots: &[usize], wanted: &[usize]) -> Result<Self, String> {
        let n = knots.len();
        if n < 2 {
            return Err(format!(
                "{n} TR is left, and at least two are needed to interpolate those left out"
            ));
        }
        let steps: Vec<f64> = knots
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64)
            .collect();
        let mut system: Vec<Equation> = Vec::with_capacity(n);
        for i in 0..if n > 3 { n } else { 0 } {
            let (lower, diagonal, upper) = if i == 0 {
                (0.0, steps[1], steps[0] + steps[1])
            } else if i == n - 1 {
                (steps[n - 2] + steps[n - 3], steps[n - 3], 0.0)
            } else {
                (steps[i], 2.0 * (steps[i - 1] + steps[i]), steps[i - 1])
            };
            let factor = system.last().map_or(0.0, |above| lower / above.diagonal);
            let above = system.last().map_or(0.0, |above| above.upper);
            system.push(Equation {
                factor,
                diagonal: diagonal - factor * above,
                upper,
            });
        }
        let wanted = wanted
            .iter()
            .map(|&at| {
                let after = knots.partition_point(|&knot| knot <= at);
                (at, after.clamp(1, n - 1) - 1)
            })
            .collect();
        Ok(Self {
            knots: knots.to_vec(),
            steps,
            system,
            wanted,
        })
    }

    /// Overwrites the wanted positions of `x` by the spline through its values at the
    /// knots. `slopes` is room to work in.
    #[inline(always)]
    pub fn fill(&self, x: &mut [Lanes], slopes: &mut Vec<Lanes>) {
        if self.wanted.is_empty() {
            return;
        }
        self.slopes(x, slopes);
        for &(at, piece) in &self.wanted {
            let (left, right) = (self.knots[piece], self.knots[piece + 1]);
            let step = self.steps[piece];
            // Before the first knot it is negative.
            let u = (at as f64 - left as f64) / step;
            let v = 1.0 - u;
            let (value_left, value_right) = (v * v * (1.0 + 2.0 * u), u * u * (1.0 + 2.0 * v));
            let (slope_left, slope_right) = (step * u * v * v, -step * u * u * v);
            for lane in 0..LANES {
                x[at][lane] = value_left * x[left][lane]
                    + value_right * x[right][lane]
                    + slope_left * slopes[piece][lane]
                    + slope_right * slopes[piece + 1][lane];
            }
        }
    }

    /// The slopes at the knots.
    #[inline(always)]
    fn slopes(&self, x: &[Lanes], slopes: &mut Vec<Lanes>) {
        let n = self.knots.len();
        let h = &self.steps;
        slopes.clear();
        slopes.resize(n, [0.0; LANES]);
        let secant =
            |i: usize, lane: usize| (x[self.knots[i + 1]][lane] - x[self.knots[i]][lane]) / h[i];
        if n == 2 {
            for lane in 0..LANES {
                let slope = secant(0, lane);
                slopes[0][lane] = slope;
                slopes[1][lane] = slope;
            }
            return;
        }
        if n == 3 {
            for lane in 0..LANES {
                let (first, second) = (secant(0, lane), secant(1, lane));
                let bend = (second - first) / (h[0] + h[1]);
                slopes[0][lane] = first - h[0] * bend;
                slopes[1][lane] = first + h[0] * bend;
                slopes[2][lane] = second + h[1] * bend;
            }
            return;
        }
        let (first, last) = (h[0] + h[1], h[n - 2] + h[n - 3]);
        for i in 0..n {
            let factor = self.system[i].factor;
            for lane in 0..LANES {
                let right = if i == 0 {
                    ((h[0] + 2.0 * first) * h[1] * secant(0, lane) + h[0] * h[0] * secant(1, lane))
                        / first
                } else if i == n - 1 {
                    (h[n - 2] * h[n - 2] * secant(n - 3, lane)
                        + (2.0 * last + h[n - 2]) * h[n - 3] * secant(n - 2, lane))
                        / last
                } else {
                    3.0 * (h[i] * secant(i - 1, lane) + h[i - 1] * secant(i, lane))
                };
                let above = if i == 0 { 0.0 } else { slopes[i - 1][lane] };
                slopes[i][lane] = right - factor * above;
            }
        }
        for i in (0..n).rev() {
            let Equation {
                diagonal, upper, ..
            } = self.system[i];
            for lane in 0..LANES {
                let below = if i == n - 1 { 0.0 } else { slopes[i + 1][lane] };
                slopes[i][lane] = (slopes[i][lane] - upper * below) / diagonal;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a polynomial of degree 3 was at the knots, it is everywhere.
    #[test]
    fn cubics_come_back() {
        for (knots, degree) in [
            (vec![0, 1, 4, 5, 9], 3),
            (vec![2, 3, 5, 8], 3),
            (vec![1, 4, 6], 2),
            (vec![3, 5], 1),
        ] {
            let cubic = |t: usize, lane: usize| {
                let t = t as f64 - 4.0;
                (0..=degree)
                    .map(|power| (1.0 + lane as f64) * t.powi(power) / f64::from(power + 2))
                    .sum::<f64>()
            };
            let wanted: Vec<usize> = (0..12).filter(|t| !knots.contains(t)).collect();
            let mut x = vec![[f64::NAN; LANES]; 12];
            for &t in &knots {
                x[t] = std::array::from_fn(|lane| cubic(t, lane));
            }
            let spline = Spline::new(&knots, &wanted).unwrap();
            spline.fill(&mut x, &mut Vec::new());
            for (t, row) in x.iter().enumerate() {
                for (lane, got) in row.iter().enumerate() {
                    let want = cubic(t, lane);
                    assert!(
                        (got - want).abs() < 1e-9 * (1.0 + want.abs()),
                        "{knots:?} {t} {lane}: {got} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_knot_is_too_few() {
        assert!(
            Spline::new(&[3], &[1])
                .unwrap_err()
                .contains("at least two")
        );
    }
}
