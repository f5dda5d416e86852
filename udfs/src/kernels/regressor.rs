//! Events to regressors, with the numbers of nilearn's `compute_regressor`.
//!
//! nilearn paints the events of a condition as boxes on a fine grid, convolves that
//! with a kernel, and reads the result at the frame times:
//!
//! ```text
//! events      ▁▁▁█████▁▁▁▁▁▁▁   a box is a step up at its start and one down at its end
//! response    ▁▁▁▁▂▅▇█▇▄▂▁▁▁▁
//! frames          ↑   ↑   ↑
//! ```
//!
//! Here the same is read at the frame times alone. A step passed through the kernel is
//! the kernel's cumulative sum from there on, so the response at a grid point is a sum
//! over the steps before it: those within the kernel's length each with their
//! cumulative sum, and all older ones together with its total. That is exact, and costs
//! frames × steps within one kernel.

mod grid;
mod model;

use super::orthogonal::orthogonalise;
use grid::{Frame, Grid, Steps};
pub use model::{Event, Model};

/// The default start of the fine grid in seconds, relative to the first frame.
pub const MIN_ONSET: f64 = -24.0;

/// The times at which the volumes of a run are sampled, `(k + slice_time_ref) · tr`
/// seconds for `k` from 0, as nilearn's users compute them.
///
/// # Errors
/// When `tr` or `slice_time_ref` cannot be, or there are fewer than 2 scans: the grid
/// is scaled by their distance.
pub fn frame_times(n_scans: usize, tr: f64, slice_time_ref: f64) -> Result<Vec<f64>, String> {
    const MOST: usize = 10_000_000;
    if !(tr.is_finite() && tr > 0.0) {
        return Err(format!(
            "tr is the repetition time in seconds and must be positive, got {tr}"
        ));
    }
    if !(0.0..=1.0).contains(&slice_time_ref) {
        return Err(format!(
            "slice_time_ref is a part of a TR from 0 to 1, got {slice_time_ref}"
        ));
    }
    if !(2..=MOST).contains(&n_scans) {
        return Err(format!(
            "n_scans is the number of volumes of a run, from 2 to {MOST}, got {n_scans}"
        ));
    }
    Ok((0..n_scans)
        .map(|k| (k as f64 + slice_time_ref) * tr)
        .collect())
}

/// Everything that the conditions of a run share: kernels, grid and frames.
#[derive(Debug, Clone)]
pub struct Regressors {
    grid: Grid,
    frames: Vec<Frame>,
    /// The cumulative sums of each kernel.
    kernels: Vec<Vec<f64>>,
    /// FIR columns are not made orthogonal.
    orthogonal: bool,
}

impl Regressors {
    /// Prepares a model for frames at these times, in seconds and ascending.
    ///
    /// `oversampling` are grid points per TR, and the grid starts `min_onset` seconds
    /// (0 or less) after the first frame.
    ///
    /// # Errors
    /// When frames, oversampling or `min_onset` leave no grid or no kernel.
    pub fn new(
        frame_times: &[f64],
        model: &Model,
        oversampling: usize,
        min_onset: f64,
    ) -> Result<Self, String> {
        let grid = Grid::new(frame_times, oversampling, min_onset)?;
        let tr = frame_times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(f64::INFINITY, f64::min);
        let mut kernels = model.kernels(tr, oversampling)?;
        kernels.iter_mut().for_each(|kernel| accumulate(kernel));
        let fir = matches!(model, Model::Fir(_));
        // nilearn reads FIR columns one TR less one sample later than they are.
        let shift = if fir { oversampling - 1 } else { 0 };
        let frames = frame_times
            .iter()
            .map(|time| grid.frame(*time, shift))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            grid,
            frames,
            kernels,
            orthogonal: !fir,
        })
    }

    /// The columns of one condition, each with a value per frame.
    ///
    /// The events must have passed [`Event::check`]; their order makes no difference, to
    /// the last bit.
    pub fn columns(&self, events: &[Event]) -> Vec<Vec<f64>> {
        let steps = Steps::new(&self.grid, events);
        let mut columns: Vec<Vec<f64>> = self
            .kernels
            .iter()
            .map(|kernel| {
                let read = |frame: &Frame| {
                    let value = steps.through(kernel, frame.at);
                    match frame.part == 0.0 {
                        true => value,
                        false => value + (steps.through(kernel, frame.at + 1) - value) * frame.part,
                    }
                };
                self.frames.iter().map(read).collect()
            })
            .collect();
        if self.orthogonal {
            orthogonalise(&mut columns);
        }
        columns
    }
}

/// Replaces values by their cumulative sums, compensated for rounding (Neumaier): the
/// 50 samples of 1/50 of a FIR kernel add up to 1.
fn accumulate(values: &mut [f64]) {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for value in values {
        let next = sum + *value;
        lost += match sum.abs() >= value.abs() {
            true => (sum - next) + *value,
            false => (*value - next) + sum,
        };
        sum = next;
        *value = sum + lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::hrf::{self, Sampling};

    const GLOVER: Model = Model::Response {
        response: hrf::Model::Glover,
        derivative: false,
        dispersion: false,
    };

    fn event(onset: f64, duration: f64, amplitude: f64) -> Event {
        Event {
            onset,
            duration,
            amplitude,
        }
    }

    /// As nilearn does it: the boxes on the whole grid, convolved sample by sample.
    fn painted(times: &[f64], oversampling: usize, events: &[Event]) -> Vec<f64> {
        let grid = Grid::new(times, oversampling, MIN_ONSET).unwrap();
        let points: Vec<f64> = (0..grid.count).map(|i| grid.at(i)).collect();
        let first = |t: f64| points.partition_point(|p| *p < t).min(grid.count - 1);
        let mut boxes = vec![0.0; grid.count];
        for event in events {
            let start = first(event.onset);
            let mut end = first(event.onset + event.duration);
            if start == end && end + 1 < grid.count {
                end += 1;
            }
            boxes[start..end]
                .iter_mut()
                .for_each(|b| *b += event.amplitude);
        }
        let tr = times[1] - times[0];
        let kernel = hrf::response(hrf::Model::Glover, Sampling::new(tr, oversampling)).unwrap();
        let response = |i: usize| -> f64 {
            (0..=i.min(kernel.len() - 1))
                .map(|k| kernel[k] * boxes[i - k])
                .sum()
        };
        times
            .iter()
            .map(|time| {
                let i = points.partition_point(|p| p <= time) - 1;
                let (a, b) = (response(i), response((i + 1).min(grid.count - 1)));
                let next = points.get(i + 1).copied().unwrap_or(grid.end + 1.0);
                a + (b - a) * (time - points[i]) / (next - points[i])
            })
            .collect()
    }

    #[test]
    fn steps_equal_the_painted_and_convolved_grid() {
        let events = [
            event(0.0, 1.0, 1.0),
            event(3.3, 0.0, 2.0),
            event(3.3, 7.0, -0.5),
            event(5.0, 60.0, 0.25),
            event(-40.0, 30.0, 1.0),
            event(-100.0, 1.0, 1.0),
            event(500.0, 1.0, 1.0),
        ];
        for (tr, oversampling) in [(0.72, 50), (2.0, 16), (1.49, 1)] {
            let times = frame_times(60, tr, 0.0).unwrap();
            let regressors = Regressors::new(&times, &GLOVER, oversampling, MIN_ONSET).unwrap();
            let got = regressors.columns(&events);
            for (got, want) in got[0].iter().zip(painted(&times, oversampling, &events)) {
                assert!((got - want).abs() < 1e-12, "{got} {want}");
            }
        }
    }

    #[test]
    fn without_events_it_is_zero() {
        let times = frame_times(10, 2.0, 0.5).unwrap();
        for name in Model::NAMES {
            let model = Model::from_name(name, &[0.0, 3.0]).unwrap();
            let columns = Regressors::new(&times, &model, 50, MIN_ONSET)
                .unwrap()
                .columns(&[]);
            assert_eq!(columns, vec![vec![0.0; 10]; model.columns()], "{name}");
        }
    }

    #[test]
    fn boxes_are_what_was_painted() {
        let times = frame_times(6, 1.0, 0.0).unwrap();
        let boxes = Regressors::new(&times, &Model::Boxes, 10, MIN_ONSET).unwrap();
        let got = boxes.columns(&[event(1.0, 2.0, 3.0), event(4.0, 0.0, 1.0)]);
        assert_eq!(got, [[0.0, 3.0, 3.0, 0.0, 1.0, 0.0]]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let times = frame_times(10, 2.0, 0.0).unwrap();
        assert!(Regressors::new(&times, &GLOVER, 0, MIN_ONSET).is_err());
        for min_onset in [1.0, f64::NAN, f64::NEG_INFINITY, -1e15] {
            assert!(Regressors::new(&times, &GLOVER, 50, min_onset).is_err());
        }
        for times in [
            &[][..],
            &[1.0],
            &[1.0, 1.0],
            &[2.0, 1.0],
            &[0.0, f64::INFINITY],
        ] {
            assert!(Regressors::new(times, &GLOVER, 50, MIN_ONSET).is_err());
        }
        // The grid ends before the frames do where times are negative.
        assert!(Regressors::new(&[-20.0, -10.0], &GLOVER, 50, MIN_ONSET).is_err());
        let long = Model::from_name("fir", &[1e6]).unwrap();
        assert!(Regressors::new(&times, &long, 50, MIN_ONSET).is_err());
        for (n, tr, part) in [
            (1, 2.0, 0.0),
            (10, 0.0, 0.0),
            (10, f64::NAN, 0.0),
            (10, 2.0, 1.5),
        ] {
            assert!(frame_times(n, tr, part).is_err());
        }
    }
}
