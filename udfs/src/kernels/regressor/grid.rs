//! The fine time grid, and boxes as steps on it.

use super::Event;

/// More grid points than this are refused: some input is wrong (TR 1 ns).
const MAX_GRID: f64 = 1e12;

/// A frame between two grid points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The grid point at or before it.
    pub at: usize,
    /// The part of the step to the next grid point.
    pub part: f64,
}

/// nilearn's fine time grid, never held in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    start: f64,
    step: f64,
    pub end: f64,
    pub count: usize,
}

impl Grid {
    pub fn new(frame_times: &[f64], oversampling: usize, min_onset: f64) -> Result<Self, String> {
        let (Some(first), Some(last)) = (frame_times.first(), frame_times.last()) else {
            return Err("there are no frames".into());
        };
        let ascending = |pair: &[f64]| pair[0] < pair[1];
        if frame_times.len() < 2 || !frame_times.windows(2).all(ascending) || !last.is_finite() {
            return Err("frame times must be two or more, ascending".into());
        }
        if oversampling == 0 {
            return Err("oversampling must be at least 1, got 0".into());
        }
        if !(min_onset.is_finite() && min_onset <= 0.0) {
            return Err(format!(
                "min_onset is the start of the grid in seconds before the first volume, 0 or negative, \
                 got {min_onset}"
            ));
        }
        let intervals = (frame_times.len() - 1) as f64;
        // Scaled from the last time, not from the length: where the frames do not start
        // at 0 the step is not quite tr / oversampling.
        let end = last * (1.0 + 1.0 / intervals);
        let count =
            intervals / (last - first) * ((end - first - min_onset) * oversampling as f64) + 1.0;
        let count = count.round_ties_even();
        // Also false for NaN.
        if !(2.0..=MAX_GRID).contains(&count) {
            return Err(format!(
                "a grid of {count} points from {min_onset} s before the first volume to {end} s cannot be; \
                 times are in seconds"
            ));
        }
        let start = first + min_onset;
        Ok(Self {
            start,
            step: (end - start) / (count - 1.0),
            end,
            count: count as usize,
        })
    }

    /// Grid point `i`. Multiplied, rounded and added: events often lie on grid points,
    /// and one unit in the last place moves them by a sample.
    pub fn at(&self, i: usize) -> f64 {
        match i + 1 == self.count {
            true => self.end,
            false => i as f64 * self.step + self.start,
        }
    }

    /// The first grid point at or after `time`, or the last one.
    fn first_from(&self, time: f64) -> usize {
        let last = self.count - 1;
        let guess = ((time - self.start) / self.step).ceil();
        // A negative guess is 0; it is right to within a step or two.
        let mut i = (guess as usize).min(last);
        while i > 0 && self.at(i - 1) >= time {
            i -= 1;
        }
        while i < last && self.at(i) < time {
            i += 1;
        }
        i
    }

    /// Where to read a value for `time`: `shift` points later than it lies.
    pub fn frame(&self, time: f64, shift: usize) -> Result<Frame, String> {
        let from = self.first_from(time);
        let at = if self.at(from) > time {
            from.saturating_sub(1)
        } else {
            from
        };
        if time < self.at(at) || at + shift >= self.count || time > self.at(self.count - 1 - shift)
        {
            return Err(format!(
                "the volume at {time} s is outside of the grid, which ends at {} s",
                self.end
            ));
        }
        let part = match at + 1 + shift < self.count {
            true => (time - self.at(at)) / (self.at(at + 1) - self.at(at)),
            false => 0.0,
        };
        Ok(Frame {
            at: at + shift,
            part,
        })
    }
}

/// The boxes of a condition as steps on the grid.
pub(super) struct Steps {
    /// Grid points, ascending, with the step there.
    steps: Vec<(usize, f64)>,
    /// The sum of the steps before each one, and of all.
    levels: Vec<f64>,
}

impl Steps {
    pub fn new(grid: &Grid, events: &[Event]) -> Self {
        let last = grid.count - 1;
        let mut edges = Vec::with_capacity(2 * events.len());
        for event in events {
            let start = grid.first_from(event.onset);
            let mut end = grid.first_from(event.onset + event.duration);
            // A box of no length is one sample; after the end of the grid it is nothing.
            if end == start && end < last {
                end += 1;
            }
            edges.push((start, event.amplitude));
            edges.push((end, -event.amplitude));
        }
        // By value too: sums then do not depend on the order of the events.
        edges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut steps: Vec<(usize, f64)> = Vec::with_capacity(edges.len());
        for (at, height) in edges {
            match steps.last_mut() {
                Some((known, sum)) if *known == at => *sum += height,
                _ => steps.push((at, height)),
            }
        }
        let mut levels = Vec::with_capacity(steps.len() + 1);
        let mut level = 0.0;
        levels.push(level);
        for (_, height) in &steps {
            level += height;
            levels.push(level);
        }
        Self { steps, levels }
    }

    /// The steps convolved with a kernel, given as its cumulative sums, at a grid point.
    pub fn through(&self, kernel: &[f64], at: usize) -> f64 {
        let Some(total) = kernel.last() else {
            return 0.0;
        };
        // Through a step as old as the kernel is long the whole kernel has passed.
        let settled = (at + 1).saturating_sub(kernel.len());
        let from = self.steps.partition_point(|(step, _)| *step < settled);
        let recent = self.steps[from..]
            .iter()
            .take_while(|(step, _)| *step <= at)
            .map(|(step, height)| height * kernel[at - step]);
        self.levels[from] * total + recent.sum::<f64>()
    }
}
