//! The confounds of one run: read, filled, demeaned; and which volumes stay.

use std::path::Path;

use datafusion::common::Result;

use super::number;
use super::open;
use super::scrub::scrubbed;
use super::select::select;
use super::strategy::Strategy;

/// What a strategy makes of one file.
#[derive(Debug)]
pub struct Run {
    /// The confounds' names, sorted.
    pub names: Vec<String>,
    /// One column per name, one value per volume; NaN where it is missing.
    pub confounds: Vec<Vec<f64>>,
    /// False at volumes before the steady state and at scrubbed ones.
    pub keep: Vec<bool>,
}

impl Run {
    /// Reads a whole file, the columns of the strategy only.
    pub fn read(path: &Path, strategy: &Strategy) -> Result<Self> {
        let mut table = open(path)?;
        let selection = select(path, &table, strategy)?;
        let mut confounds = vec![Vec::new(); selection.confounds.len()];
        let (mut keep, mut fd, mut dvars) = (Vec::new(), Vec::new(), Vec::new());
        while table.next()? {
            let value = |index| number(&table, index).map(|v| v.unwrap_or(f64::NAN));
            for (column, index) in confounds.iter_mut().zip(&selection.confounds) {
                column.push(value(*index)?);
            }
            let mut steady = true;
            for index in &selection.non_steady {
                steady &= number(&table, *index)?.unwrap_or(0.0) == 0.0;
            }
            keep.push(steady);
            if let Some((displacement, variance)) = selection.movement {
                fd.push(value(displacement)?);
                dvars.push(value(variance)?);
            }
        }
        if let Some(scrub) = &strategy.scrub {
            let gone = scrubbed(&fd, &dvars, scrub);
            keep.iter_mut().zip(gone).for_each(|(k, gone)| *k &= !gone);
        }
        if !keep.is_empty() && !keep.contains(&true) {
            log::warn!(
                "{}: no volume is left, the head moved too much everywhere; \
                 higher thresholds or a shorter scrub keep more",
                path.display()
            );
        }
        for column in &mut confounds {
            fill_first(column);
            if strategy.demean {
                demean(column, &keep);
            }
        }
        Ok(Self {
            names: selection.names,
            confounds,
            keep,
        })
    }
}

/// Derivatives begin with the second volume; the first gets its value.
fn fill_first(column: &mut [f64]) {
    if let [first, second, ..] = column
        && first.is_nan()
    {
        *first = *second;
    }
}

/// Subtracts the mean of what is kept and not missing; where nothing is, all is NaN.
fn demean(column: &mut [f64], keep: &[bool]) {
    let kept = column.iter().zip(keep);
    let kept = kept.filter(|(value, keep)| **keep && !value.is_nan());
    let (count, sum) = kept.fold((0.0, 0.0), |(n, sum), (value, _)| (n + 1.0, sum + value));
    let mean = sum / count;
    column.iter_mut().for_each(|value| *value -= mean);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_filled_from_the_second_only() {
        for (before, after) in [
            (vec![f64::NAN, 2.0, f64::NAN], "[2.0, 2.0, NaN]"),
            (vec![1.0, 2.0], "[1.0, 2.0]"),
            (vec![f64::NAN, f64::NAN, 3.0], "[NaN, NaN, 3.0]"),
            (vec![f64::NAN], "[NaN]"),
            (vec![], "[]"),
        ] {
            let mut column = before;
            fill_first(&mut column);
            assert_eq!(format!("{column:?}"), after);
        }
    }

    #[test]
    fn the_mean_is_that_of_the_kept() {
        let mut column = [100.0, 1.0, f64::NAN, 3.0];
        demean(&mut column, &[false, true, true, true]);
        assert_eq!(column[0], 98.0);
        assert_eq!((column[1], column[3]), (-1.0, 1.0));
        assert!(column[2].is_nan());
        demean(&mut column, &[false; 4]);
        assert!(column.iter().all(|v| v.is_nan()));
    }
}
