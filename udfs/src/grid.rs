//! The grid of volumes: the arguments `tr`, `start` and `slice_time_ref` of a call.
//!
//! Volume `k` stands for one moment, `start + (k + slice_time_ref) * tr`, the time that
//! nilearn calls its frame time. Its bin begins there and lasts one `tr`:
//!
//! ```text
//!        start     bin 0           bin 1           bin 2
//!          |       |               |               |
//!    ------+-------[---------------[---------------[------> time
//!          <------>  slice_time_ref * tr
//! ```
//!
//! So `tr_index` and `tr_time` are inverses for every `slice_time_ref`, and a response
//! that is read at the beginning of each bin (`hrf_convolve`) is read at the moment for
//! which the volume stands. All three arguments may be constants or columns.

use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs};

use crate::args::{Kind, Parameters, numbers, result_of, rows_of};
use crate::time;

/// The parameters of a grid, as a function declares them.
pub(crate) const TR: (&str, Kind) = ("tr", Kind::Number);
pub(crate) const START: (&str, Kind) = ("start", Kind::Number);
pub(crate) const SLICE_TIME_REF: (&str, Kind) = ("slice_time_ref", Kind::Number);

/// Bins of `tr` nanoseconds, of which bin 0 begins at `origin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bins {
    pub(crate) tr: i64,
    pub(crate) origin: i64,
}

/// The grid of each row of a call.
pub(crate) struct Grid {
    function: &'static str,
    /// In nanoseconds; one value where it is a constant.
    tr: Vec<Option<i64>>,
    start: Vec<Option<i64>>,
    slice_time_ref: Vec<Option<f64>>,
}

impl Grid {
    pub(crate) fn try_new(parameters: &Parameters, args: &[ColumnarValue]) -> Result<Self> {
        let function = parameters.function;
        let argument = |name: &str| {
            let at = parameters.list.iter().position(|(known, _)| *known == name);
            at.and_then(|at| args.get(at))
        };
        let given = |name: &str| {
            argument(name)
                .filter(|arg| !matches!(arg, ColumnarValue::Scalar(value) if value.is_null()))
        };
        let Some(tr) = given(TR.0) else {
            parameters.of_scalar(args).required(TR.0, None::<f64>)?;
            return exec_err!("{function}: tr is missing");
        };
        Ok(Self {
            function,
            tr: column(tr, |tr| {
                time::repetition(tr).ok_or_else(|| bad_tr(function, tr))
            })?,
            start: match given(START.0) {
                None => vec![Some(0)],
                Some(start) => column(start, |start| {
                    time::nanoseconds(start).ok_or_else(|| {
                        format!(
                            "{function}: start must be a number of seconds within 292 years, got {start}"
                        )
                    })
                })?,
            },
            slice_time_ref: match given(SLICE_TIME_REF.0) {
                None => vec![Some(0.0)],
                Some(share) => column(share, |share| {
                    is_share(share)
                        .then_some(share)
                        .ok_or_else(|| bad_share(function, share))
                })?,
            },
        })
    }

    /// The bins of row `i`; None where an argument of the row is NULL.
    pub(crate) fn at(&self, i: usize) -> Result<Option<Bins>> {
        let (Some(tr), Some(start), Some(share)) = (
            pick(&self.tr, i),
            pick(&self.start, i),
            pick(&self.slice_time_ref, i),
        ) else {
            return Ok(None);
        };
        match time::origin(start, tr, share) {
            Some(origin) => Ok(Some(Bins { tr, origin })),
            None => exec_err!(
                "{}: volume 0 is further than 292 years from the start of the run",
                self.function
            ),
        }
    }
}

/// Fails at planning for a constant that no row could accept.
pub(crate) fn check_at_planning(parameters: &Parameters, args: &ReturnFieldArgs) -> Result<()> {
    let constants = parameters.at_planning(args.scalar_arguments);
    let constant = |name: &str| match constants.is_constant(name) {
        true => constants.f64(name),
        false => Ok(None),
    };
    if let Some(tr) = constant(TR.0)?
        && time::repetition(tr).is_none()
    {
        return plan_err!("{}", bad_tr(parameters.function, tr));
    }
    if let Some(share) = constant(SLICE_TIME_REF.0)?
        && !is_share(share)
    {
        return plan_err!("{}", bad_share(parameters.function, share));
    }
    Ok(())
}

/// A number a row from the first argument and the row's bins; NULL where an argument
/// of the row is NULL, or `value` gives none.
pub(crate) fn number_of_each_row<T: ArrowPrimitiveType>(
    parameters: &Parameters,
    args: &[ColumnarValue],
    value: impl Fn(f64, Bins) -> Result<Option<T::Native>>,
) -> Result<ColumnarValue> {
    let numbers = numbers(&args[0])?;
    let grid = Grid::try_new(parameters, args)?;
    let rows = rows_of(args);
    let mut values = PrimitiveArray::<T>::builder(rows);
    for i in 0..rows {
        let at = if numbers.len() == 1 { 0 } else { i };
        let number = numbers.is_valid(at).then(|| numbers.value(at));
        values.append_option(match number.zip(grid.at(i)?) {
            Some((number, bins)) => value(number, bins)?,
            None => None,
        });
    }
    result_of(args, Arc::new(values.finish()))
}

fn column<T>(
    argument: &ColumnarValue,
    read: impl Fn(f64) -> std::result::Result<T, String>,
) -> Result<Vec<Option<T>>> {
    let read = |value: Option<f64>| value.map(&read).transpose();
    numbers(argument)?
        .iter()
        .map(|value| read(value).map_err(|message| exec_datafusion_err!("{message}")))
        .collect()
}

fn pick<T: Copy>(values: &[Option<T>], i: usize) -> Option<T> {
    match values {
        [one] => *one,
        many => many.get(i).copied().flatten(),
    }
}

fn is_share(share: f64) -> bool {
    (0.0..=1.0).contains(&share)
}

fn bad_tr(function: &str, tr: f64) -> String {
    format!("{function}: tr must be a positive number of seconds, got {tr}")
}

fn bad_share(function: &str, share: f64) -> String {
    format!(
        "{function}: slice_time_ref must be a share of the tr, from 0 to 1, got {share}; a shift in \
         seconds is start"
    )
}
