//! The random start: `W₀ᵀx`, where `W₀` is the Q of a matrix `U` of uniform random numbers,
//! voxels × features, that is never held as a whole.

use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, MatMut, MatRef, Par, Side};

use super::Shape;
use crate::kernels::mt19937::Mt19937;

/// One subject's random start U, drawn panel by panel.
#[derive(Debug, Clone)]
pub struct Start {
    random: Mt19937,
    voxels: usize,
    seen: usize,
    /// The rows of U that belong to a panel, one after the other.
    rows: Vec<f64>,
    /// The first rows of U: all of them, if they are not more than twice the features.
    top: Mat<f64>,
}

impl Start {
    /// `random` draws U row by row, as NumPy does.
    pub fn new(shape: Shape<'_>, features: usize, random: Mt19937) -> Self {
        Self {
            random,
            voxels: shape.voxels,
            seen: 0,
            rows: Vec::new(),
            top: Mat::zeros(shape.voxels.min(2 * features), features),
        }
    }

    /// Draws U's rows for the next voxels, voxels × features.
    pub fn draw(&mut self, mut into: MatMut<'_, f64>) {
        let (voxels, features) = into.shape();
        self.rows.resize(voxels * features, 0.0);
        self.random.fill(&mut self.rows);
        let u = MatRef::from_row_major_slice(&self.rows, voxels, features);
        for i in self.seen..self.top.nrows().min(self.seen + voxels) {
            self.top.row_mut(i).copy_from(u.row(i - self.seen));
        }
        into.copy_from(u);
        self.seen += voxels;
    }

    /// `W₀ᵀx` from `Uᵀx` and the lower triangle of `UᵀU`; and the generator for who comes next.
    ///
    /// As `U = W₀ R`, it is `R⁻ᵀ Uᵀx`. R comes from the Cholesky decomposition of `UᵀU`, whose
    /// condition is about `3 × features` once there are twice as many voxels as features; its
    /// signs from [`reflector_signs`].
    ///
    /// # Errors
    /// When `UᵀU` is not positive definite, which uniform numbers do not give.
    pub fn finish(
        self,
        ux: MatRef<'_, f64>,
        uu: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mt19937), String> {
        let mut response = ux.to_owned();
        if self.top.nrows() == self.voxels {
            // faer's reflectors have LAPACK's signs.
            let qr = self.top.qr();
            solve_lower_triangular_in_place(qr.thin_R().transpose(), response.as_mut(), Par::Seq);
            return Ok((response, self.random));
        }
        let Ok(cholesky) = uu.llt(Side::Lower) else {
            return Err("the random start has no QR decomposition; choose another seed".into());
        };
        let l = cholesky.L();
        solve_lower_triangular_in_place(l, response.as_mut(), Par::Seq);

        // The first rows of Q, transposed.
        let features = l.nrows();
        let mut q = self.top.subrows(0, features).transpose().to_owned();
        solve_lower_triangular_in_place(l, q.as_mut(), Par::Seq);
        let signs = reflector_signs(q.transpose().to_owned());
        for mut column in response.col_iter_mut() {
            let values = column.as_mut().iter_mut();
            values.zip(&signs).for_each(|(v, sign)| *v *= sign);
        }
        Ok((response, self.random))
    }
}

/// The signs that LAPACK's Householder QR gives the columns of Q, from the first rows of a Q
/// whose R has a positive diagonal: a reflector takes a column to minus the sign of its first
/// element (Ballard et al. 2014, "Reconstructing Householder vectors from TSQR", section 4).
fn reflector_signs(mut q: Mat<f64>) -> Vec<f64> {
    let k = q.nrows();
    let mut signs = Vec::with_capacity(k);
    for j in 0..k {
        let sign = if q[(j, j)] < 0.0 { 1.0 } else { -1.0 };
        signs.push(sign);
        q[(j, j)] -= sign;
        for i in j + 1..k {
            q[(i, j)] /= q[(j, j)];
        }
        for c in j + 1..k {
            let above = q[(j, c)];
            for i in j + 1..k {
                q[(i, c)] -= q[(i, j)] * above;
            }
        }
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start by an explicit QR.
    fn by_qr(shape: Shape<'_>, features: usize, seed: u32, x: &Mat<f64>) -> Mat<f64> {
        let mut random = Mt19937::new(seed);
        let mut u = Mat::zeros(shape.voxels, features);
        for i in 0..shape.voxels {
            for j in 0..features {
                u[(i, j)] = random.next_f64();
            }
        }
        u.qr().compute_thin_Q().transpose() * x
    }

    #[test]
    fn equals_an_explicit_qr() {
        let mut random = Mt19937::new(9);
        for (voxels, features) in [(1, 1), (5, 5), (12, 6), (13, 6), (300, 20), (2000, 50)] {
            let shape = Shape {
                name: "s",
                voxels,
                trs: 7,
            };
            let x = Mat::from_fn(voxels, 7, |_, _| random.next_f64() - 0.5);
            for seed in 0..5 {
                let mut start = Start::new(shape, features, Mt19937::new(seed));
                let mut u = Mat::zeros(voxels, features);
                for at in (0..voxels).step_by(64) {
                    start.draw(u.subrows_mut(at, 64.min(voxels - at)));
                }
                let (ux, uu) = (u.transpose() * &x, u.transpose() * &u);
                let (response, _) = start.finish(ux.as_ref(), uu.as_ref()).unwrap();
                let difference = (response - by_qr(shape, features, seed, &x)).norm_max();
                assert!(
                    difference < 1e-10,
                    "{voxels} {features} {seed} {difference}"
                );
            }
        }
    }
}
