//! Time-segment matching: whether a moment of one subject is recognised among the moments of
//! the others (Haxby et al. 2011; Chen et al. 2015).

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};

/// What it gives for one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// The share of segments that are most like the others' segment of the same time.
    pub accuracy: f64,
    /// How many segments there are.
    pub segments: usize,
    /// What guessing gets: the mean over segments of one over the segments it may be taken for.
    pub chance: f64,
}

/// Matches each subject's segments of `window` TRs with those of the mean of the others.
///
/// - `subjects`: each TRs × features; the same TRs and features in all.
/// - `stretches`: TRs that follow one another. Segments lie inside of one.
///
/// Features are z-scored per subject over all TRs (divisor n; a constant one becomes 0). Segments
/// begin at every TR. Two segments are as alike as their values over TRs and features
/// correlate; of the others' segments those that overlap the true one do not stand for
/// choice. A segment without variance is not matched, and none is matched with it.
///
/// # Errors
/// When there are fewer than two subjects, or no segments to choose from.
pub fn match_segments(
    subjects: &[Mat<f64>],
    stretches: &[Range<usize>],
    window: usize,
) -> Result<Vec<Matched>, String> {
    if subjects.len() < 2 {
        return Err(format!(
            "at least two subjects are needed, and there is {}",
            subjects.len()
        ));
    }
    if window == 0 {
        return Err("window_size must be at least 1 TR".into());
    }
    let starts = starts(stretches, window);
    let first = &starts[..starts.len().min(1)];
    let alone = |start: &Start| starts.iter().all(|other| start.overlaps(other, window));
    if first.is_empty() || starts.iter().all(alone) {
        let trs: Vec<String> = stretches.iter().map(|s| s.len().to_string()).collect();
        return Err(format!(
            "there are no two segments of {window} TRs that do not overlap: there are {} TRs in a row; \
             make window_size smaller",
            trs.join(", ")
        ));
    }
    let mut scored = subjects.to_vec();
    scored.iter_mut().for_each(zscore);
    let subject = |s: usize| {
        let mut others = Mat::zeros(scored[s].nrows(), scored[s].ncols());
        for (_, other) in scored.iter().enumerate().filter(|(o, _)| *o != s) {
            others += other;
        }
        matched(&scored[s], &others, &starts, window)
    };
    Ok((0..subjects.len()).map(subject).collect())
}

/// Where a segment begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Start {
    stretch: usize,
    tr: usize,
}

impl Start {
    fn overlaps(&self, other: &Start, window: usize) -> bool {
        self.stretch == other.stretch && self.tr.abs_diff(other.tr) < window
    }
}

fn starts(stretches: &[Range<usize>], window: usize) -> Vec<Start> {
    let of = |(stretch, range): (usize, &Range<usize>)| {
        let end = (range.end + 1).saturating_sub(window);
        (range.start..end).map(move |tr| Start { stretch, tr })
    };
    stretches.iter().enumerate().flat_map(of).collect()
}

fn matched(own: &Mat<f64>, others: &Mat<f64>, starts: &[Start], window: usize) -> Matched {
    // Products of TRs; those of segments are sums along its diagonals.
    let mut products = Mat::<f64>::zeros(others.nrows(), own.nrows());
    matmul(
        products.as_mut(),
        Accum::Replace,
        others,
        own.transpose(),
        1.0,
        Par::Seq,
    );
    let of_own = moments(own, starts, window);
    let of_others = moments(others, starts, window);
    let n = (window * own.ncols()) as f64;
    let (mut right, mut chance) = (0, 0.0);
    for (i, (start, own)) in starts.iter().zip(&of_own).enumerate() {
        let mut best = (f64::NEG_INFINITY, usize::MAX);
        let mut choices = 0;
        for (j, (other_start, other)) in starts.iter().zip(&of_others).enumerate() {
            if i != j && start.overlaps(other_start, window) {
                continue;
            }
            choices += 1;
            if other.deviation == 0.0 {
                continue;
            }
            let product: f64 = (0..window)
                .map(|k| products[(other_start.tr + k, start.tr + k)])
                .sum();
            // All are divided by the same deviation of the own segment.
            let likeness = (product - n * own.mean * other.mean) / other.deviation;
            if likeness > best.0 {
                best = (likeness, j);
            }
        }
        right += usize::from(best.1 == i && own.deviation > 0.0);
        chance += 1.0 / f64::from(choices);
    }
    Matched {
        accuracy: right as f64 / starts.len() as f64,
        segments: starts.len(),
        chance: chance / starts.len() as f64,
    }
}

/// What is smaller than this part of the values is no variance: a constant's mean is not exactly it.
const ROUNDING: f64 = 1e-12;

struct Moments {
    mean: f64,
    /// Square root of the sum of squares around the mean; 0 where that is only rounding.
    deviation: f64,
}

fn moments(series: &Mat<f64>, starts: &[Start], window: usize) -> Vec<Moments> {
    let n = (window * series.ncols()) as f64;
    let of = |start: &Start| {
        let segment = series.subrows(start.tr, window);
        let values = || segment.col_iter().flat_map(|column| column.iter());
        let mean = values().sum::<f64>() / n;
        let squares: f64 = values().map(|v| (v - mean) * (v - mean)).sum();
        let all: f64 = values().map(|v| v * v).sum();
        let deviation = squares.sqrt();
        let is_flat = deviation <= ROUNDING * all.sqrt();
        Moments {
            mean,
            deviation: if is_flat { 0.0 } else { deviation },
        }
    };
    starts.iter().map(of).collect()
}

fn zscore(series: &mut Mat<f64>) {
    let n = series.nrows() as f64;
    for v in 0..series.ncols() {
        let column = series.col_as_slice_mut(v);
        crate::kernels::isc::missing::center(column);
        let deviation = (column.iter().map(|x| x * x).sum::<f64>() / n).sqrt();
        if deviation > 0.0 {
            column.iter_mut().for_each(|x| *x /= deviation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(trs: usize, noise: f64, seed: u32) -> Mat<f64> {
        let mut random = crate::kernels::mt19937::Mt19937::new(seed);
        Mat::from_fn(trs, 3, |tr, f| {
            ((tr * tr * (f + 1)) as f64 * 0.37).sin() + noise * (random.next_f64() - 0.5)
        })
    }

    #[test]
    fn the_same_moments_are_found() {
        let subjects = [
            subject(40, 0.0, 1),
            subject(40, 0.01, 2),
            subject(40, 0.01, 3),
        ];
        let got = match_segments(&subjects, std::slice::from_ref(&(0..40)), 5).unwrap();
        for matched in got {
            assert_eq!(matched.segments, 36);
            assert_eq!(matched.accuracy, 1.0);
            // Of 36 segments 28 may be chosen in the middle, more at the ends.
            assert!(matched.chance > 1.0 / 36.0 && matched.chance < 1.0 / 28.0);
        }
    }

    #[test]
    fn segments_do_not_cross_stretches() {
        let subjects = [subject(40, 0.0, 1), subject(40, 0.1, 2)];
        let got = match_segments(&subjects, &[0..20, 20..24, 24..40], 5).unwrap();
        assert_eq!(got[0].segments, 16 + 12);
    }

    /// Of one feature, where a flat segment's likeness would be rounding over 0.
    #[test]
    fn flat_segments_of_the_others_are_not_chosen() {
        let mut random = crate::kernels::mt19937::Mt19937::new(4);
        let own = Mat::from_fn(60, 1, |_, _| random.next_f64());
        let flat = |value: f64| {
            Mat::from_fn(60, 1, |tr, _| match tr {
                30..50 => value,
                _ => own[(tr, 0)],
            })
        };
        for value in [0.1, 0.3, 0.7] {
            let subjects = [own.clone(), flat(value)];
            let got = match_segments(&subjects, std::slice::from_ref(&(0..60)), 5).unwrap();
            // Those from 0 to 25 and from 50 to 55 hold none of the flat part.
            assert!(got[0].accuracy >= 32.0 / 56.0 - 1e-9, "{value}: {got:?}");
            // Those from 30 to 45 are flat.
            assert!(got[1].accuracy <= 40.0 / 56.0 + 1e-9, "{value}: {got:?}");
        }
    }

    #[test]
    fn nothing_to_choose_from() {
        let subjects = [subject(9, 0.0, 1), subject(9, 0.0, 2)];
        let error = match_segments(&subjects, std::slice::from_ref(&(0..9)), 5).unwrap_err();
        assert!(error.contains("no two segments of 5 TRs"), "{error}");
        assert!(match_segments(&subjects, std::slice::from_ref(&(0..9)), 10).is_err());
        assert!(match_segments(&subjects, std::slice::from_ref(&(0..9)), 0).is_err());
        assert!(match_segments(&subjects[..1], std::slice::from_ref(&(0..9)), 2).is_err());
        assert_eq!(
            match_segments(&subjects, std::slice::from_ref(&(0..9)), 2).unwrap()[0].accuracy,
            1.0
        );
    }
}
