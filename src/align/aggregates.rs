//! Aggregates of lineages: what `avg`, `sum` and the like do to weights.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use super::terms::{self, Lineages, Term};

/// What becomes of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weighting {
    /// Divided by the number of rows, or with a second argument by the sum of those weights.
    Mean,
    /// Unchanged.
    Sum,
    /// The rows go in, but not as summands.
    Unknown,
}

/// The aggregate `f(lineage [, weight])`. Rows whose lineage or weight is NULL do not count.
pub fn aggregate(weighting: Weighting) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::from(Merge {
        weighting,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Merge {
    weighting: Weighting,
    signature: Signature,
}

impl AggregateUDFImpl for Merge {
    fn name(&self) -> &str {
        match self.weighting {
            Weighting::Mean => "align_mean",
            Weighting::Sum => "align_total",
            Weighting::Unknown => "align_rows",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(terms::data_type())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Merged {
            weighting: self.weighting,
            terms: VecDeque::new(),
            rows: VecDeque::new(),
            counted: 0,
            total: 0.0,
        }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type| {
            Arc::new(Field::new(
                format_state_name(args.name, name),
                data_type,
                true,
            ))
        };
        Ok(vec![
            field("terms", terms::data_type()),
            field("total", DataType::Float64),
        ])
    }
}

/// The rows of one group, or of one window.
#[derive(Debug)]
struct Merged {
    weighting: Weighting,
    terms: VecDeque<Term>,
    /// How many terms each row brought, and its weight; None if the row did not count.
    rows: VecDeque<Option<(usize, f64)>>,
    counted: usize,
    total: f64,
}

impl Merged {
    fn add(&mut self, terms: impl Iterator<Item = Term>, weight: f64, counted: usize) -> usize {
        let before = self.terms.len();
        self.terms.extend(terms);
        self.counted += counted;
        self.total += weight;
        self.terms.len() - before
    }
}

impl Accumulator for Merged {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(column) = values.first() else {
            return exec_err!("EXPLAIN ALIGN: an aggregate was called without a lineage");
        };
        let lineages = Lineages::try_new(column)?;
        let weights = match values.get(1) {
            Some(weights) => Some(
                cast(weights, &DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .clone(),
            ),
            None => None,
        };
        for i in 0..lineages.len() {
            let weight = match &weights {
                None => Some(1.0),
                Some(weights) => weights.is_valid(i).then(|| weights.value(i)),
            };
            let row = match (lineages.terms(i), weight) {
                (Some(terms), Some(weight)) => {
                    let terms = terms.map(|term| term.scaled(weight));
                    Some((self.add(terms, weight, 1), weight))
                }
                _ => None,
            };
            self.rows.push_back(row);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.counted == 0 || self.weighting == Weighting::Mean && self.total == 0.0 {
            return terms::scalar(None::<[Term; 0]>);
        }
        let (weighting, total) = (self.weighting, self.total);
        terms::scalar(Some(self.terms.iter().map(|term| match weighting {
            // Divided, not multiplied with 1/n: then 1/3 is a third to the last digit.
            Weighting::Mean => Term {
                weight: term.weight.map(|weight| weight / total),
                ..*term
            },
            Weighting::Sum => *term,
            Weighting::Unknown => term.without_weight(),
        })))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let terms = (self.counted > 0).then(|| self.terms.iter().copied());
        Ok(vec![terms::scalar(terms)?, ScalarValue::from(self.total)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [lineages, totals] = states else {
            return exec_err!("EXPLAIN ALIGN: an aggregate has a wrong state");
        };
        let lineages = Lineages::try_new(lineages)?;
        let totals = totals.as_primitive::<Float64Type>();
        for i in 0..lineages.len() {
            if let Some(terms) = lineages.terms(i) {
                self.add(terms, totals.value(i), 1);
            }
        }
        Ok(())
    }

    /// A sliding window forgets its first rows.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let rows = values.first().map_or(0, |column| column.len());
        let forgotten = self.rows.drain(..rows.min(self.rows.len()));
        for (terms, weight) in forgotten.flatten() {
            self.terms.drain(..terms.min(self.terms.len()));
            self.counted -= 1;
            self.total -= weight;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.terms.capacity() * size_of::<Term>()
            + self.rows.capacity() * size_of::<Option<(usize, f64)>>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::terms::tests::column;
    use super::*;

    fn merged(weighting: Weighting) -> Merged {
        Merged {
            weighting,
            terms: VecDeque::new(),
            rows: VecDeque::new(),
            counted: 0,
            total: 0.0,
        }
    }

    fn weights(state: &mut Merged) -> Option<Vec<(i64, Option<f64>)>> {
        let column = state.evaluate().unwrap().to_array().unwrap();
        let terms = Lineages::try_new(&column).unwrap();
        terms
            .terms(0)
            .map(|terms| terms.map(|t| (t.row, t.weight)).collect())
    }

    #[test]
    fn a_mean_counts_what_is_there_and_forgets_in_order() {
        let mut mean = merged(Weighting::Mean);
        assert_eq!(weights(&mut mean), None);
        mean.update_batch(&[column(&[Some(1), None, Some(2)])])
            .unwrap();
        let half = |row| (row, Some(0.5));
        assert_eq!(weights(&mut mean), Some(vec![half(1), half(2)]));
        mean.update_batch(&[column(&[Some(3)])]).unwrap();
        mean.retract_batch(&[column(&[Some(1), None])]).unwrap();
        assert_eq!(weights(&mut mean), Some(vec![half(2), half(3)]));
    }

    #[test]
    fn parts_merge() {
        let mut whole = merged(Weighting::Mean);
        for rows in [&[Some(1), Some(2), Some(3)][..], &[None], &[Some(4)]] {
            let mut part = merged(Weighting::Mean);
            part.update_batch(&[column(rows)]).unwrap();
            let state: Vec<ArrayRef> = part
                .state()
                .unwrap()
                .iter()
                .map(|s| s.to_array().unwrap())
                .collect();
            whole.merge_batch(&state).unwrap();
        }
        let quarter = |row| (row, Some(0.25));
        assert_eq!(weights(&mut whole), Some((1..=4).map(quarter).collect()));
    }
}
