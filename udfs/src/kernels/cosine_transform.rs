//! Discrete cosine transforms of short vectors, as `scipy.fft.dct`.

use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};

/// Which transform, with SciPy's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DctType {
    One,
    /// The usual one.
    Two,
    Three,
}

/// The first `rows` coefficients of the transform of vectors of `n` elements, as a matrix: row
/// after row, each `n` long. `ortho` makes the whole transform orthonormal (SciPy's
/// `norm='ortho'`).
///
/// # Errors
/// More coefficients than elements, or fewer than two elements for the first type.
pub fn matrix(kind: DctType, ortho: bool, n: usize, rows: usize) -> Result<Vec<f64>, String> {
    if rows > n {
        return Err(format!(
            "{rows} coefficients are more than the {n} elements"
        ));
    }
    if kind == DctType::One && n < 2 {
        return Err("the transform of type 1 needs two elements or more".to_string());
    }
    let weight = |k: usize, i: usize| {
        let (k, i, n) = (k as f64, i as f64, n as f64);
        match kind {
            DctType::One => {
                let inner = 2.0 * (PI * k * i / (n - 1.0)).cos();
                let at_end = |x: f64| x == 0.0 || x == n - 1.0;
                let weight = if at_end(i) { inner / 2.0 } else { inner };
                match ortho {
                    false => weight,
                    true => {
                        let column = if at_end(i) { SQRT_2 } else { 1.0 };
                        let row = if at_end(k) { FRAC_1_SQRT_2 } else { 1.0 };
                        weight * column * row / (2.0 * (n - 1.0)).sqrt()
                    }
                }
            }
            DctType::Two => {
                let weight = 2.0 * (PI * k * (2.0 * i + 1.0) / (2.0 * n)).cos();
                match ortho {
                    false => weight,
                    true if k == 0.0 => weight / (4.0 * n).sqrt(),
                    true => weight / (2.0 * n).sqrt(),
                }
            }
            DctType::Three => {
                let angle = (PI * (2.0 * k + 1.0) * i / (2.0 * n)).cos();
                match (ortho, i == 0.0) {
                    (false, true) => 1.0,
                    (false, false) => 2.0 * angle,
                    (true, true) => 1.0 / n.sqrt(),
                    (true, false) => (2.0 / n).sqrt() * angle,
                }
            }
        }
    };
    Ok((0..rows)
        .flat_map(|k| (0..n).map(move |i| (k, i)))
        .map(|(k, i)| weight(k, i))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transform(kind: DctType, ortho: bool, x: &[f64]) -> Vec<f64> {
        let weights = matrix(kind, ortho, x.len(), x.len()).unwrap();
        let row = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum();
        weights.chunks(x.len()).map(row).collect()
    }

    #[track_caller]
    fn assert_close(got: &[f64], want: &[f64]) {
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-9, "{got} is not {want}");
        }
    }

    /// `scipy.fft.dct([1.0, -2.0, 4.0, 0.5], …)`.
    #[test]
    fn numbers_of_scipy() {
        let x = [1.0, -2.0, 4.0, 0.5];
        assert_close(
            &transform(DctType::One, false, &x),
            &[5.5, -5.5, -0.5, 12.5],
        );
        assert_close(
            &transform(DctType::One, true, &x),
            &[
                1.7670729740750466,
                -2.1608146081883652,
                0.049528822856712354,
                3.6682257603696864,
            ],
        );
        assert_close(
            &transform(DctType::Two, false, &x),
            &[
                7.0,
                -3.66832165586979,
                -0.7071067811865475,
                11.469237822500531,
            ],
        );
        assert_close(
            &transform(DctType::Two, true, &x),
            &[
                1.7500000000000002,
                -1.2969475592194968,
                -0.25,
                4.054987919665679,
            ],
        );
        assert_close(
            &transform(DctType::Three, false, &x),
            &[
                3.344019551812323,
                -7.111467511464026,
                -2.202240987520734,
                9.969688947172436,
            ],
        );
        assert_close(
            &transform(DctType::Three, true, &x),
            &[
                1.3287360601601728,
                -2.3678368413652913,
                -0.6321631586347088,
                3.6712639398398275,
            ],
        );
    }

    #[test]
    fn orthonormal_where_asked() {
        for kind in [DctType::One, DctType::Two, DctType::Three] {
            let n = 7;
            let m = matrix(kind, true, n, n).unwrap();
            for a in 0..n {
                for b in 0..n {
                    let (a_row, b_row) = (&m[a * n..(a + 1) * n], &m[b * n..(b + 1) * n]);
                    let product: f64 = a_row.iter().zip(b_row).map(|(a, b)| a * b).sum();
                    let want = f64::from(u8::from(a == b));
                    assert!(
                        (product - want).abs() < 1e-12,
                        "{kind:?} {a} {b}: {product}"
                    );
                }
            }
        }
    }

    #[test]
    fn too_many_coefficients() {
        assert!(
            matrix(DctType::Two, true, 3, 4)
                .unwrap_err()
                .contains("4 coefficients")
        );
        assert!(matrix(DctType::One, true, 1, 1).is_err());
    }
}
