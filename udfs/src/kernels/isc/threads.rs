//! Work on ranges of voxels, a thread each.

use std::ops::Range;

/// `work` on `0..n` cut into one range a thread, in order; cuts are at multiples of `step`.
pub fn in_ranges<R: Send>(
    n: usize,
    threads: usize,
    step: usize,
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let steps = n.div_ceil(step);
    let each = steps.div_ceil(threads.max(1)).max(1) * step;
    let ranges: Vec<Range<usize>> = (0..n)
        .step_by(each)
        .map(|from| from..(from + each).min(n))
        .collect();
    if ranges.len() < 2 {
        return ranges.into_iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = ranges
            .into_iter()
            .map(|range| scope.spawn(move || work(range)))
            .collect();
        let joined = running.into_iter().map(|thread| thread.join());
        // A thread of ours panics only where this one would have.
        joined
            .map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Rows of `n` values, each put together from the pieces that [`in_ranges`] gives, which hold
/// all rows of their range one after another.
pub fn join_rows(rows: usize, n: usize, pieces: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut joined: Vec<Vec<f64>> = (0..rows).map(|_| Vec::with_capacity(n)).collect();
    for piece in pieces {
        let width = piece.len() / rows.max(1);
        for (row, part) in joined.iter_mut().zip(piece.chunks_exact(width.max(1))) {
            row.extend_from_slice(part);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        for n in [0, 1, 7, 8, 9, 100] {
            for threads in [0, 1, 2, 3, 50] {
                let pieces = in_ranges(n, threads, 8, |range| {
                    range.clone().chain(range).map(|v| v as f64).collect()
                });
                let want: Vec<f64> = (0..n).map(|v| v as f64).collect();
                assert_eq!(join_rows(2, n, pieces), [want.clone(), want]);
            }
        }
    }
}
