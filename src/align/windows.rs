//! Window functions of lineages: what happens to weights along a run.

use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    ColumnarValue, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use voxql_udfs::args::numbers;
use voxql_udfs::kernels::nearby::{self, Method};
use voxql_udfs::time::nanoseconds;

use super::terms::{self, Builder, Lineages, Term};

/// How a row's value follows from the rows of its partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// From those so many rows earlier, each with its weight.
    Lags(Vec<Tap>),
    /// From one or two neighbours in time; the third argument is the time.
    Nearby {
        method: Method,
        /// In nanoseconds.
        tolerance: Option<i64>,
    },
    /// From all of them, not as a weighted sum.
    Run,
}

/// The weight of the row `lag` rows earlier.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    pub lag: i64,
    pub weight: Option<f64>,
}

/// The window function `f(lineage, asked [, time])`. Rows that are not asked for get NULL.
pub fn window(reach: Reach) -> Arc<WindowUDF> {
    Arc::new(WindowUDF::from(Along {
        reach,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq)]
struct Along {
    reach: Reach,
    signature: Signature,
}

impl Eq for Along {}

impl Hash for Along {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(&self.reach).hash(state);
    }
}

impl WindowUDFImpl for Along {
    fn name(&self) -> &str {
        match self.reach {
            Reach::Lags(_) => "align_lags",
            Reach::Nearby { .. } => "align_nearby",
            Reach::Run => "align_run",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), terms::data_type(), true)))
    }

    fn partition_evaluator(
        &self,
        _args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(match &self.reach {
            Reach::Lags(taps) => Box::new(Lags {
                taps: taps.clone(),
                column: None,
            }),
            reach => Box::new(Whole {
                reach: reach.clone(),
            }),
        })
    }
}

/// Rows that look at others a fixed number of rows away.
#[derive(Debug)]
struct Lags {
    taps: Vec<Tap>,
    column: Option<(ArrayRef, Lineages)>,
}

impl Lags {
    /// How many rows the taps reach back, and ahead.
    fn reach(&self) -> (usize, usize) {
        let lags = || self.taps.iter().map(|tap| tap.lag);
        let back = lags().max().unwrap_or(0).max(0);
        let ahead = lags().min().unwrap_or(0).min(0);
        (back as usize, ahead.unsigned_abs() as usize)
    }

    fn read(&mut self, column: &ArrayRef) -> Result<&Lineages> {
        if !matches!(&self.column, Some((last, _)) if Arc::ptr_eq(last, column)) {
            self.column = Some((Arc::clone(column), Lineages::try_new(column)?));
        }
        match &self.column {
            Some((_, lineages)) => Ok(lineages),
            None => exec_err!("EXPLAIN ALIGN: a window has no lineage"),
        }
    }
}

/// The rows that `taps` bring together at `row`.
fn gather(taps: &[Tap], lineages: &Lineages, row: usize, rows: Range<usize>) -> Vec<Term> {
    let mut all = Vec::new();
    for tap in taps {
        let Some(at) = (row as i64)
            .checked_sub(tap.lag)
            .and_then(|at| usize::try_from(at).ok())
            .filter(|at| rows.contains(at))
        else {
            continue;
        };
        all.extend(
            lineages
                .terms(at)
                .into_iter()
                .flatten()
                .map(|term| match tap.weight {
                    Some(weight) => term.scaled(weight),
                    None => term.without_weight(),
                }),
        );
    }
    all
}

impl PartitionEvaluator for Lags {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let [column, asked, ..] = values else {
            return exec_err!("EXPLAIN ALIGN: a window has no lineage");
        };
        let lineages = Lineages::try_new(column)?;
        let mut result = Builder::default();
        for row in 0..num_rows {
            let gathered = || gather(&self.taps, &lineages, row, 0..num_rows);
            result.append(is_asked(asked, row).then(gathered));
        }
        result.finish()
    }

    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let ([column, asked, ..], Some(row)) = (values, range.end.checked_sub(1)) else {
            return exec_err!("EXPLAIN ALIGN: a window was called without rows");
        };
        if !is_asked(asked, row) {
            return terms::scalar(None::<[Term; 0]>);
        }
        let taps = std::mem::take(&mut self.taps);
        let lineages = self.read(column)?;
        let terms = gather(&taps, lineages, row, range.clone());
        self.taps = taps;
        terms::scalar(Some(terms))
    }

    fn get_range(&self, idx: usize, n_rows: usize) -> Result<Range<usize>> {
        let (back, ahead) = self.reach();
        Ok(idx.saturating_sub(back)..(idx + ahead + 1).min(n_rows))
    }

    /// Looking back only, it streams as the function that it follows does.
    fn supports_bounded_execution(&self) -> bool {
        self.reach().1 == 0
    }

    fn is_causal(&self) -> bool {
        self.reach().1 == 0
    }
}

/// Functions that see their whole partition.
#[derive(Debug)]
struct Whole {
    reach: Reach,
}

impl PartitionEvaluator for Whole {
    fn evaluate_all(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let [column, asked, rest @ ..] = values else {
            return exec_err!("EXPLAIN ALIGN: a window has no lineage");
        };
        let lineages = Lineages::try_new(column)?;
        let mut result = Builder::default();
        if let (Reach::Nearby { method, tolerance }, [time]) = (&self.reach, rest) {
            let found = neighbours(&lineages, time, *method, *tolerance)?;
            for (row, terms) in found.into_iter().enumerate() {
                result.append(terms.filter(|_| is_asked(asked, row)));
            }
            return result.finish();
        }
        let run: Vec<Term> = (0..num_rows)
            .filter_map(|row| lineages.terms(row))
            .flatten()
            .map(Term::without_weight)
            .collect();
        for row in 0..num_rows {
            result.append(is_asked(asked, row).then(|| run.iter().copied()));
        }
        result.finish()
    }

    fn get_range(&self, _idx: usize, n_rows: usize) -> Result<Range<usize>> {
        Ok(0..n_rows)
    }
}

fn is_asked(asked: &ArrayRef, row: usize) -> bool {
    let flags = asked.as_boolean_opt();
    flags.is_some_and(|flags| flags.is_valid(row) && flags.value(row))
}

/// What `interpolate` takes at each row, and how much of it.
fn neighbours(
    lineages: &Lineages,
    time: &ArrayRef,
    method: Method,
    tolerance: Option<i64>,
) -> Result<Vec<Option<Vec<Term>>>> {
    let times = numbers(&ColumnarValue::Array(Arc::clone(time)))?;
    let (mut known, mut known_times) = (Vec::new(), Vec::new());
    let (mut wanted, mut wanted_times) = (Vec::new(), Vec::new());
    for (row, time) in times.iter().enumerate() {
        let Some(at) = time.and_then(nanoseconds) else {
            continue;
        };
        if lineages.terms(row).is_some() {
            known.push(row);
            known_times.push(at);
        }
        wanted.push(row);
        wanted_times.push(at);
    }
    let found = nearby::sources(&known_times, &wanted_times, method, tolerance);
    let share = |i: usize, weight: f64| {
        let terms = lineages.terms(known[i]).into_iter().flatten();
        terms.map(move |term| term.scaled(weight))
    };
    let mut result = vec![None; times.len()];
    for (row, source) in wanted.iter().zip(found) {
        result[*row] = match source {
            nearby::Source::Missing => None,
            nearby::Source::One(i) => Some(share(i, 1.0).collect()),
            nearby::Source::Between(i, j, weight) => {
                Some(share(i, 1.0 - weight).chain(share(j, weight)).collect())
            }
        };
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::super::terms::tests::column;
    use super::*;

    fn everywhere() -> ArrayRef {
        Arc::new(arrow::array::BooleanArray::from(vec![true; 3]))
    }

    fn tap(lag: i64, weight: f64) -> Tap {
        Tap {
            lag,
            weight: Some(weight),
        }
    }

    fn pairs(column: &ArrayRef, row: usize) -> Vec<(i64, Option<f64>)> {
        let lineages = Lineages::try_new(column).unwrap();
        let terms = lineages.terms(row).into_iter().flatten();
        terms.map(|term| (term.row, term.weight)).collect()
    }

    #[test]
    fn lags_stay_within_the_run_and_skip_what_is_missing() {
        let x = column(&[Some(10), None, Some(12)]);
        let mut lags = Lags {
            taps: vec![tap(0, 0.5), tap(1, 0.25), tap(2, 0.125), tap(-1, 2.0)],
            column: None,
        };
        let all = lags.evaluate_all(&[x, everywhere()], 3).unwrap();
        assert_eq!(pairs(&all, 0), [(10, Some(0.5))]);
        assert_eq!(pairs(&all, 1), [(10, Some(0.25)), (12, Some(2.0))]);
        assert_eq!(pairs(&all, 2), [(12, Some(0.5)), (10, Some(0.125))]);
    }

    #[test]
    fn row_by_row_is_the_same() {
        let x = column(&[Some(10), Some(11), Some(12)]);
        let mut lags = Lags {
            taps: vec![tap(1, 0.25), tap(2, 0.125)],
            column: None,
        };
        let all = lags
            .evaluate_all(&[Arc::clone(&x), everywhere()], 3)
            .unwrap();
        for row in 0..3 {
            let range = lags.get_range(row, 3).unwrap();
            let one = lags
                .evaluate(&[Arc::clone(&x), everywhere()], &range)
                .unwrap();
            assert_eq!(pairs(&one.to_array().unwrap(), 0), pairs(&all, row));
        }
    }
}
