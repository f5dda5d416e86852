//! Making columns orthogonal, as nilearn's `orthogonalize` does.

/// Makes each column orthogonal to the span of those before it, in order; the first
/// stays as it is, and nothing is normalised.
///
/// nilearn projects by the pseudo-inverse of the columns before. Those are orthogonal
/// already, so the projection is a sum over them, and what the pseudo-inverse would
/// cut off (singular values below `n · eps` of the largest) are columns with such a
/// norm: zero, or the rounding noise that is left of a column in the span.
pub fn orthogonalise(columns: &mut [Vec<f64>]) {
    let mut norms: Vec<f64> = Vec::with_capacity(columns.len());
    for i in 0..columns.len() {
        let (before, rest) = columns.split_at_mut(i);
        let Some(column) = rest.first_mut() else {
            return;
        };
        let largest = norms.iter().copied().fold(0.0, f64::max);
        let negligible = largest * column.len().max(i) as f64 * f64::EPSILON;
        // All products first: they are with the column as it was.
        let shares: Vec<f64> = before
            .iter()
            .zip(&norms)
            .map(|(other, norm)| match *norm > negligible {
                true => dot(column, other) / (norm * norm),
                false => 0.0,
            })
            .collect();
        for (other, share) in before.iter().zip(shares) {
            for (value, other) in column.iter_mut().zip(other) {
                *value -= share * other;
            }
        }
        norms.push(dot(column, column).sqrt());
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_orthogonal_and_zero_ones_do_no_harm() {
        let mut columns = vec![
            vec![0.0; 4],
            vec![1.0, 1.0, 1.0, 1.0],
            vec![0.0, 1.0, 2.0, 3.0],
            // In the span of the two before.
            vec![5.0, 4.0, 3.0, 2.0],
            vec![0.0, 1.0, 4.0, 9.0],
        ];
        orthogonalise(&mut columns);
        assert_eq!(columns[0], [0.0; 4]);
        assert_eq!(columns[1], [1.0; 4]);
        assert_eq!(columns[2], [-1.5, -0.5, 0.5, 1.5]);
        assert!(columns[3].iter().all(|x| x.abs() < 1e-14));
        for (x, want) in columns[4].iter().zip([1.0, -1.0, -1.0, 1.0]) {
            assert!((x - want).abs() < 1e-13, "{x} {want}");
        }
    }
}
