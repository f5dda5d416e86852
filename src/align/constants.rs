//! Constant arguments of the calls in a plan.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use std::sync::Arc;

/// Reads constants, which in a plan may still be `-1` or `CAST('2' AS INT)`.
pub struct Constants(pub SessionState);

impl Constants {
    /// The value of an expression without columns.
    pub fn value(&self, expr: &Expr) -> Option<ScalarValue> {
        if let Expr::Literal(value, _) = expr {
            return Some(value.clone());
        }
        if !expr.column_refs().is_empty() || expr.is_volatile() {
            return None;
        }
        let physical = self
            .0
            .create_physical_expr(expr.clone(), &DFSchema::empty())
            .ok()?;
        let one = RecordBatchOptions::new().with_row_count(Some(1));
        let row =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one).ok()?;
        match physical.evaluate(&row).ok()? {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0).ok(),
        }
    }

    /// A number.
    pub fn number(&self, expr: &Expr) -> Option<f64> {
        let value = self.value(expr)?;
        if !value.data_type().is_numeric() {
            return None;
        }
        match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(number)) => number,
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, expr: &Expr) -> Option<String> {
        let value = self.value(expr)?;
        value.try_as_str().flatten().map(str::to_string)
    }

    /// True for NULL.
    pub fn is_null(&self, expr: &Expr) -> bool {
        self.value(expr).is_some_and(|value| value.is_null())
    }
}

/// When the volumes of a query are: TR `k` starts at `start + k · tr`, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clock {
    pub tr: f64,
    pub start: f64,
}

impl Clock {
    /// The one that the calls of `tr_index`, `tr_time` (so also `tr_grid`) and
    /// `hrf_convolve` in the plan agree on.
    pub fn of(plan: &LogicalPlan, constants: &Constants) -> Option<Self> {
        let (mut trs, mut starts): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        let add = |list: &mut Vec<f64>, number: Option<f64>| {
            let number = number.unwrap_or(f64::NAN);
            if !list.contains(&number) {
                list.push(number);
            }
        };
        let mut look = |expr: &Expr| match expr {
            Expr::ScalarFunction(call) if matches!(call.name(), "tr_index" | "tr_time") => {
                add(&mut trs, call.args.get(1).and_then(|a| constants.number(a)));
                let start = match call.args.get(2) {
                    Some(start) if !constants.is_null(start) => constants.number(start),
                    _ => Some(0.0),
                };
                add(&mut starts, start);
            }
            Expr::WindowFunction(call) if call.fun.name() == "hrf_convolve" => {
                let tr = call.params.args.get(1);
                add(&mut trs, tr.and_then(|a| constants.number(a)));
            }
            _ => {}
        };
        // The closures never fail.
        let _ = plan.apply_with_subqueries(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    look(expr);
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        });
        match (trs.as_slice(), starts.as_slice()) {
            ([tr], []) if *tr > 0.0 => Some(Self {
                tr: *tr,
                start: 0.0,
            }),
            ([tr], [start]) if *tr > 0.0 && start.is_finite() => Some(Self {
                tr: *tr,
                start: *start,
            }),
            _ => None,
        }
    }

    /// The time at which a volume starts.
    pub fn time(self, index: i64) -> Option<f64> {
        let tr = voxql_udfs::time::repetition(self.tr)?;
        let start = voxql_udfs::time::nanoseconds(self.start)?;
        let time = i128::from(tr) * i128::from(index) + i128::from(start);
        Some(time as f64 / 1e9)
    }
}
