//! Which rows of a film are asked for, whatever the film holds.

use super::wanted::Wanted;
use crate::readers::bounds::Bounds;

/// What arguments and conditions leave: rows between two times and between two numbers.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Rows per second as a fraction; where it is `None` a row is a picture.
    pub fps: Option<(i128, i128)>,
    /// The least time and the least number.
    pub from: (f64, f64),
    /// The greatest of both.
    to: (f64, f64),
    /// Times are less than this.
    before: f64,
}

impl Asked {
    pub fn new(wanted: &Wanted, bounds: &Bounds) -> Self {
        let (time, number) = (bounds.interval("time"), bounds.interval("frame_index"));
        Self {
            fps: wanted.fps,
            from: (time.0.max(wanted.start), number.0),
            to: (time.1, number.1),
            before: wanted.end,
        }
    }

    /// Whether a row comes before all that are asked for.
    pub fn is_early(&self, number: i64, time: f64) -> bool {
        time < self.from.0 || (number as f64) < self.from.1
    }

    /// Whether a row comes after all that are asked for.
    pub fn is_late(&self, number: i64, time: f64) -> bool {
        time > self.to.0 || number as f64 > self.to.1 || time >= self.before
    }

    /// Whether no row can be between the limits.
    pub fn is_nothing(&self) -> bool {
        let (time, number) = self.from;
        time > self.to.0 || number > self.to.1 || time >= self.before
    }
}

/// Whether what begins or ends at a time stamp, with so many ticks a second, has done so at the time of a
/// row: exactly, in whole numbers.
pub fn is_reached(
    stamp: i64,
    row: i64,
    (frames, seconds): (i128, i128),
    ticks_per_second: i64,
) -> bool {
    i128::from(stamp) * frames <= i128::from(row) * seconds * i128::from(ticks_per_second)
}

/// The time of a row where there are so many a second.
pub fn grid_time(row: i64, (frames, seconds): (i128, i128)) -> f64 {
    (i128::from(row) * seconds) as f64 / frames as f64
}
