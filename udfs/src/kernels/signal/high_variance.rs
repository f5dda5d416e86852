//! Confounds from the data themselves: what the most variable voxels have in common.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use super::detrend::detrend;
use super::{LANES, Lanes, Sample};

/// The `n_confounds` strongest common time courses of the voxels whose mean square is
/// above the given percentile from the top (`percentile` 2 keeps the most variable 2 %).
///
/// `rows` holds one row of `width` voxels a TR. The result holds the confounds as
/// columns of unit length, strongest first. Their signs are arbitrary; here the largest
/// element of each is positive. A voxel that holds NaN is left out.
///
/// Reference: `nilearn.signal.high_variance_confounds` (CompCor, Behzadi 2007).
///
/// # Errors
/// A percentile outside 0 to 100, rows of another width, more confounds than TRs or
/// than voxels that were kept.
pub fn high_variance_confounds<T: Sample>(
    rows: &[&[T]],
    width: usize,
    n_confounds: usize,
    percentile: f64,
    with_detrend: bool,
) -> Result<Vec<Vec<f64>>, String> {
    if !(0.0..=100.0).contains(&percentile) {
        return Err(format!(
            "percentile must lie between 0 and 100, got {percentile}"
        ));
    }
    if let Some(other) = rows.iter().find(|row| row.len() != width) {
        return Err(format!("one TR has {} voxels, others {width}", other.len()));
    }
    let n = rows.len();
    let load = |from: usize, block: &mut Vec<Lanes>| {
        block.clear();
        for row in rows {
            let row = &row[from..width.min(from + LANES)];
            let mut lanes = [0.0; LANES];
            for (lane, value) in lanes.iter_mut().zip(row) {
                *lane = (*value).into();
            }
            block.push(lanes);
        }
        if with_detrend {
            detrend(block);
        }
    };

    let mut block = Vec::with_capacity(n);
    let mut squares = Vec::with_capacity(width);
    for from in (0..width).step_by(LANES) {
        load(from, &mut block);
        squares.extend((0..LANES.min(width - from)).map(|lane| {
            let sum: f64 = block.iter().map(|row| row[lane] * row[lane]).sum();
            sum / n as f64
        }));
    }
    let threshold = quantile(&squares, 1.0 - percentile / 100.0);
    let kept: Vec<usize> = (0..width).filter(|v| squares[*v] > threshold).collect();
    if n_confounds > n.min(kept.len()) {
        return Err(format!(
            "{n_confounds} confounds are more than {n} TRs of the {} most variable of {width} voxels \
             hold; ask for fewer, or raise percentile ({percentile})",
            kept.len()
        ));
    }

    let mut series: Mat<f64> = Mat::zeros(n, kept.len());
    let mut loaded = None;
    for (column, &voxel) in kept.iter().enumerate() {
        let from = voxel / LANES * LANES;
        if loaded.replace(from) != Some(from) {
            load(from, &mut block);
        }
        for (t, row) in block.iter().enumerate() {
            series[(t, column)] = row[voxel - from];
        }
    }
    let mut covariance = Mat::zeros(n, n);
    matmul(
        &mut covariance,
        Accum::Replace,
        &series,
        series.transpose(),
        1.0 / n as f64,
        Par::Seq,
    );
    let eigen = covariance
        .self_adjoint_eigen(Side::Lower)
        .map_err(|error| format!("the common time courses cannot be found: {error:?}"))?;
    let vectors = eigen.U();
    Ok((0..n_confounds)
        .map(|k| {
            let column: Vec<f64> = (0..n).map(|t| vectors[(t, n - 1 - k)]).collect();
            let largest = column.iter().fold(
                0.0,
                |most: f64, x| if x.abs() > most.abs() { *x } else { most },
            );
            column.iter().map(|x| x * largest.signum()).collect()
        })
        .collect())
}

/// The value below which `share` of the values lie, with linear interpolation; NaN
/// counts for nothing.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let below = (at as usize).min(last);
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_time_course_is_found() {
        let course: Vec<f64> = (0..30).map(|t| f64::from(t * 7 % 13) - 6.0).collect();
        // Ten voxels of 100 carry it, ten times as strong as the others' noise.
        let rows: Vec<Vec<f64>> = (0..30)
            .map(|t| {
                (0..100)
                    .map(|v| {
                        let noise = f64::from(((t * 31 + v * 17) % 23) as u8) / 23.0;
                        if v < 10 {
                            10.0 * course[t] + noise
                        } else {
                            noise
                        }
                    })
                    .collect()
            })
            .collect();
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let found = high_variance_confounds(&rows, 100, 1, 10.0, false).unwrap();
        let norm = course.iter().map(|x| x * x).sum::<f64>().sqrt();
        let cosine: f64 = found[0]
            .iter()
            .zip(&course)
            .map(|(a, b)| a * b / norm)
            .sum();
        assert!(cosine.abs() > 0.99, "{cosine}");

        let error =
            |n, percentile| high_variance_confounds(&rows, 100, n, percentile, false).unwrap_err();
        assert!(error(11, 10.0).contains("11 confounds are more than"));
        assert!(error(1, 101.0).contains("percentile must lie"));
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[3.0, f64::NAN, 1.0, 2.0], 0.75), 2.5);
        assert_eq!(quantile(&[3.0], 0.2), 3.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
