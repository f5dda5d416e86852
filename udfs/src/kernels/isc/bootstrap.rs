//! Whether a summary of correlations is more than nothing: subjects drawn again, with replacement.

use super::draws::{Draws, sample};
use super::permutation::{Side, Tail};
use super::summary::Summary;
use super::threads::{in_ranges, join_rows};
use super::{pairs, subjects_of_pairs};

/// How a bootstrap is made.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether the rows are pairs of subjects; else they are subjects.
    pub pairwise: bool,
    pub summary: Summary,
    /// How often subjects are drawn.
    pub resamples: usize,
    /// Width of the confidence interval in per cent.
    pub ci_percentile: f64,
    pub side: Side,
    pub seed: u32,
    pub threads: usize,
}

/// What it gives, per voxel.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// The summary of the correlations as they are.
    pub observed: Vec<f64>,
    /// The confidence interval of the summary.
    pub ci_low: Vec<f64>,
    pub ci_high: Vec<f64>,
    /// How often chance alone gives as much: resamples, moved so that their centre is 0 where the
    /// observed was (Hall and Wilson 1991), that reach it, and one, over resamples and one.
    pub p: Vec<f64>,
}

/// Bootstraps the summary of `iscs`, rows of voxels per subject or per pair.
///
/// Pairwise, subjects are drawn, not pairs, and pairs of a subject with itself are left out. Where a
/// resample has nothing that is defined, as when one subject alone is drawn, the interval is NaN.
///
/// # Errors
/// When the rows cannot be all pairs.
pub fn bootstrap(iscs: &[&[f64]], options: &Options) -> Result<Bootstrap, String> {
    let subjects = subjects(iscs.len(), options.pairwise)?;
    let voxels = iscs.first().map_or(0, |row| row.len());
    let mut draws = Draws::new(options.seed);
    let resamples: Vec<Vec<usize>> = (0..options.resamples)
        .map(|_| draws.next(|random| rows_of(&sample(random, subjects), options.pairwise)))
        .collect();
    let pieces = in_ranges(voxels, options.threads, 1, |range| {
        let width = range.len();
        let mut out = vec![f64::NAN; 4 * width];
        let mut scratch = Vec::new();
        let mut distribution = Vec::with_capacity(resamples.len());
        for (at, voxel) in range.enumerate() {
            let prepared: Vec<f64> = iscs
                .iter()
                .map(|row| options.summary.prepare(row[voxel]))
                .collect();
            scratch.clone_from(&prepared);
            let observed = options.summary.of_prepared(&mut scratch);
            distribution.clear();
            for rows in &resamples {
                scratch.clear();
                scratch.extend(rows.iter().map(|row| prepared[*row]));
                distribution.push(options.summary.of_prepared(&mut scratch));
            }
            out[at] = observed;
            if observed.is_nan() || distribution.is_empty() {
                continue;
            }
            // One that is not defined reaches nothing, and leaves no interval.
            let mut tail = Tail::new(observed, options.side);
            distribution.iter().for_each(|d| tail.add(d - observed));
            out[3 * width + at] = tail.p_of_sample();
            if distribution.iter().any(|d| d.is_nan()) {
                continue;
            }
            distribution.sort_unstable_by(f64::total_cmp);
            let outside = (100.0 - options.ci_percentile) / 2.0;
            out[width + at] = percentile(&distribution, outside);
            out[2 * width + at] = percentile(&distribution, options.ci_percentile + outside);
        }
        out
    });
    let mut rows = join_rows(4, voxels, pieces).into_iter();
    let mut next = || rows.next().unwrap_or_default();
    Ok(Bootstrap {
        observed: next(),
        ci_low: next(),
        ci_high: next(),
        p: next(),
    })
}

/// How many subjects have so many rows.
///
/// # Errors
/// When no number of subjects has so many pairs.
pub(super) fn subjects(rows: usize, pairwise: bool) -> Result<usize, String> {
    match pairwise {
        false => Ok(rows),
        true => subjects_of_pairs(rows).ok_or_else(|| {
            format!("{rows} rows are not all pairs of any number of subjects; n subjects have n (n - 1) / 2")
        }),
    }
}

/// The rows that drawn subjects have: themselves, or their pairs.
fn rows_of(drawn: &[usize], pairwise: bool) -> Vec<usize> {
    if !pairwise {
        return drawn.to_vec();
    }
    let n = drawn.len();
    pairs(n)
        .map(|(i, j)| (drawn[i].min(drawn[j]), drawn[i].max(drawn[j])))
        .filter(|(a, b)| a != b)
        .map(|(a, b)| a * n - a * (a + 1) / 2 + b - a - 1)
        .collect()
}

/// The value below which `percent` of the sorted values lie, between two by a straight line.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = percent / 100.0 * (sorted.len() - 1) as f64;
    let below = (place.floor() as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_drawn_subjects() {
        let rows = rows_of(&[2, 0, 2, 1], true);
        let all: Vec<(usize, usize)> = pairs(4).collect();
        let drawn: Vec<(usize, usize)> = rows.into_iter().map(|row| all[row]).collect();
        assert_eq!(drawn, [(0, 2), (1, 2), (0, 2), (0, 1), (1, 2)]);
    }

    #[test]
    fn percentiles() {
        let sorted = [0.0, 10.0, 20.0];
        assert_eq!(percentile(&sorted, 0.0), 0.0);
        assert_eq!(percentile(&sorted, 25.0), 5.0);
        assert_eq!(percentile(&sorted, 100.0), 20.0);
    }
}
