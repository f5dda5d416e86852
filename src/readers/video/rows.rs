//! Which picture each row holds, and at what time.

use std::ops::Range;

use super::asked::{Asked, grid_time, is_reached};
use crate::readers::mp4::{Shown, Timeline};

pub struct Rows {
    timeline: Timeline,
    fps: Option<(i128, i128)>,
    /// Where the last row asked for stands in `timeline.shown`.
    at: usize,
}

impl Rows {
    pub fn new(timeline: Timeline, fps: Option<(i128, i128)>) -> Self {
        Self {
            timeline,
            fps,
            at: 0,
        }
    }

    /// The rows that are asked for.
    pub fn range(&self, asked: &Asked) -> Range<usize> {
        let count = self.count();
        let start = first_row(count, |row| !asked.is_early(row as i64, self.time(row)));
        let end = first_row(count, |row| asked.is_late(row as i64, self.time(row)));
        start..end.max(start)
    }

    pub fn count(&self) -> usize {
        let Timeline {
            shown,
            ticks_per_second,
        } = &self.timeline;
        match (self.fps, shown.last()) {
            (None, _) => shown.len(),
            (Some(_), None) => 0,
            (Some(fps), Some(last)) => rows_before(last.end, fps, *ticks_per_second),
        }
    }

    pub fn time(&self, row: usize) -> f64 {
        match self.fps {
            None => self.timeline.seconds(self.timeline.shown[row].start),
            Some(fps) => grid_time(row as i64, fps),
        }
    }

    /// The samples of some rows, each named once where it stands in several in a row. It takes a step for a
    /// sample, not for a row: a picture may stand for a hundred years.
    pub fn samples(&mut self, rows: Range<usize>) -> Vec<usize> {
        let at = self.at;
        let mut samples = Vec::new();
        let mut row = rows.start;
        while row < rows.end {
            samples.push(self.sample(row));
            row = match (self.fps, self.timeline.shown.get(self.at + 1)) {
                (None, _) => row + 1,
                (Some(_), None) => rows.end,
                (Some(fps), Some(next)) => {
                    // The first row at which the next one is reached; it is not at this one.
                    rows_before(next.start, fps, self.timeline.ticks_per_second).max(row + 1)
                }
            };
        }
        samples.dedup();
        self.at = at;
        samples
    }

    /// The sample of a row; rows are asked for in order.
    pub fn sample(&mut self, row: usize) -> usize {
        let Timeline {
            shown,
            ticks_per_second,
        } = &self.timeline;
        match self.fps {
            None => self.at = row,
            Some(fps) => {
                let is_shown =
                    |next: &Shown| is_reached(next.start, row as i64, fps, *ticks_per_second);
                while shown.get(self.at + 1).is_some_and(is_shown) {
                    self.at += 1;
                }
            }
        }
        shown[self.at].sample
    }
}

/// How many rows come before a time stamp: every k with k·seconds/frames < stamp.
fn rows_before(stamp: i64, (frames, seconds): (i128, i128), ticks_per_second: i64) -> usize {
    let per_row = i128::from(ticks_per_second) * seconds;
    let rows = (i128::from(stamp) * frames + per_row - 1) / per_row;
    usize::try_from(rows.max(0)).unwrap_or(usize::MAX)
}

/// The first of `count` rows for which `holds`, which then holds for all after it.
pub fn first_row(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match holds(middle) {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    low
}
