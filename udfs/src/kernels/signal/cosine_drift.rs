//! Slow drifts as cosines: the discrete cosine transform's first functions.

use std::f64::consts::PI;

/// The cosines that span the drifts slower than `high_pass` (Hz) at `frame_times`
/// (seconds, evenly spaced), slowest first, and a column of ones last.
///
/// There are `floor(2 · n · high_pass · dt)` cosines, n − 1 at most.
///
/// Reference: `nilearn.glm.first_level.design_matrix.create_cosine_drift`.
pub fn cosine_drift(high_pass: f64, frame_times: &[f64]) -> Vec<Vec<f64>> {
    let n = frame_times.len();
    let (Some(first), Some(last)) = (frame_times.first(), frame_times.last()) else {
        return Vec::new();
    };
    let order = if n > 1 {
        let dt = (last - first) / (n - 1) as f64;
        // A float that is no count (NaN, negative) becomes 0.
        ((2.0 * n as f64 * high_pass * dt).floor() as usize).min(n - 1)
    } else {
        0
    };
    let scale = (2.0 / n as f64).sqrt();
    let mut columns: Vec<Vec<f64>> = (1..=order)
        .map(|k| {
            (0..n)
                .map(|i| scale * (PI / n as f64 * (i as f64 + 0.5) * k as f64).cos())
                .collect()
        })
        .collect();
    columns.push(vec![1.0; n]);
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthonormal_and_as_many_as_asked() {
        let times: Vec<f64> = (0..50).map(|i| f64::from(i) * 2.0).collect();
        let drifts = cosine_drift(0.02, &times);
        assert_eq!(drifts.len(), 5);
        for (i, a) in drifts[..4].iter().enumerate() {
            for (j, b) in drifts[..4].iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        assert_eq!(cosine_drift(9.0, &times).len(), 50);
        assert_eq!(cosine_drift(0.02, &[3.0]), [[1.0]]);
        assert!(cosine_drift(0.02, &[]).is_empty());
    }
}
