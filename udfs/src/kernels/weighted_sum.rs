//! Weighted sums of rows: one row of a convolution, for all features at once.

/// Features that are summed together; their sums stay in registers while the rows pass.
const LANES: usize = 16;

/// Writes `Σ weight · row` into `out`; sums are kept in Float64, in the order of
/// `terms`. All rows are as wide as `out`.
pub fn weighted_sum<T: Copy + Into<f64>>(terms: &[(f64, &[T])], out: &mut [f32]) {
    let (blocks, rest) = out.as_chunks_mut::<LANES>();
    let whole = blocks.len() * LANES;
    for (b, block) in blocks.iter_mut().enumerate() {
        let mut sums = [0.0; LANES];
        for (weight, row) in terms {
            let row = row.get(b * LANES..).unwrap_or_default();
            if let Some(row) = row.first_chunk::<LANES>() {
                for (sum, x) in sums.iter_mut().zip(row) {
                    *sum += weight * (*x).into();
                }
            }
        }
        for (out, sum) in block.iter_mut().zip(sums) {
            *out = sum as f32;
        }
    }
    let mut sums = [0.0; LANES];
    for (weight, row) in terms {
        let row = row.get(whole..).unwrap_or_default();
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum += weight * (*x).into();
        }
    }
    for (out, sum) in rest.iter_mut().zip(sums) {
        *out = sum as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(width in 0usize..70, weights in prop::collection::vec(-2.0..2.0, 0..6)) {
            let rows: Vec<Vec<f32>> = (0..weights.len())
                .map(|k| (0..width).map(|i| (i * 7 + k * 13) as f32 % 11.0).collect())
                .collect();
            let terms: Vec<(f64, &[f32])> =
                weights.iter().copied().zip(rows.iter().map(Vec::as_slice)).collect();
            let mut out = vec![f32::NAN; width];
            weighted_sum(&terms, &mut out);
            for (i, out) in out.iter().enumerate() {
                let want: f64 = terms.iter().map(|(weight, row)| weight * f64::from(row[i])).sum();
                prop_assert_eq!(*out, want as f32);
            }
        }
    }

    #[test]
    fn no_rows_sum_to_zero() {
        let mut out = [f32::NAN; 20];
        weighted_sum::<f32>(&[], &mut out);
        assert_eq!(out, [0.0; 20]);
    }
}
