//! Window functions over a run: one row per TR, in order, without holes.
//!
//! A window function sees only the values of its arguments, so it could not notice
//! that TR 17 is missing, nor say in which run. Therefore every function of this kind
//! has its call rewritten at planning ([`append_keys`], as its `simplify`):
//!
//! ```text
//! f(x, 1.49)                    OVER (PARTITION BY subject, run ORDER BY tr)
//! f(x, 1.49, NULL, NULL, 'tr', tr, 'subject', subject, 'run', run)  OVER (…)
//! ```
//!
//! Optional arguments that were left out become NULL, and the keys follow with their
//! names. The function is the same one, so plans travel to other machines as they are.
//! The evaluator then asks [`RunCheck`] about each row before it uses it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use crate::args::Parameters;
use crate::time::{bin, nanoseconds, repetition};

/// The `simplify` of a window function over a run: appends the keys to the arguments.
///
/// The TR key is the last ORDER BY expression: the number of the TR (an integer) or
/// its time in seconds (a float). Calls without ORDER BY, or with a descending one,
/// stay as they are, and [`RunCheck::try_new`] says what is wrong with them.
pub fn append_keys(parameters: Parameters) -> WindowFunctionSimplification {
    Box::new(move |mut call: WindowFunction, info: &SimplifyContext| {
        let own = parameters.list.len();
        let params = &mut call.params;
        if let Some(key) = params.order_by.last()
            && key.asc
            && params.args.len() <= own
        {
            let key_type = key.expr.get_type(info.schema())?;
            let tr = if key_type.is_integer() {
                cast(key.expr.clone(), DataType::Int64)
            } else {
                key.expr.clone()
            };
            params.args.resize(own, lit(ScalarValue::Null));
            params.args.extend([lit(key_name(&key.expr)), tr]);
            for partition in &params.partition_by {
                params
                    .args
                    .extend([lit(key_name(partition)), partition.clone()]);
            }
        }
        Ok(Expr::from(call))
    })
}

/// The `coerce_types` of a window function over a run: `coerce` for its own arguments,
/// keys stay as they are.
///
/// # Errors
/// Those of `coerce`.
pub fn coerce_before_keys(
    parameters: Parameters,
    types: &[DataType],
    coerce: impl Fn(&[DataType]) -> Result<Vec<DataType>>,
) -> Result<Vec<DataType>> {
    // One argument too many is not yet a call with keys: they come in pairs.
    let own = parameters.list.len();
    let (given, keys) = types.split_at(if types.len() > own + 1 {
        own
    } else {
        types.len()
    });
    let mut types = coerce(given)?;
    types.extend_from_slice(keys);
    Ok(types)
}

/// The `expressions` of a window function over a run whose first argument is the only
/// column: its evaluator gets the column, the TR key, and the partition's keys.
pub fn column_and_keys(
    parameters: Parameters,
    args: &ExpressionArgs,
) -> Vec<Arc<dyn PhysicalExpr>> {
    columns_and_keys(parameters, &[0], args)
}

/// As [`column_and_keys`], where the arguments at the positions `columns` are columns.
pub fn columns_and_keys(
    parameters: Parameters,
    columns: &[usize],
    args: &ExpressionArgs,
) -> Vec<Arc<dyn PhysicalExpr>> {
    let exprs = args.input_exprs();
    let columns = columns.iter().filter_map(|i| exprs.get(*i));
    let keys = exprs.iter().skip(parameters.list.len() + 1).step_by(2);
    columns.chain(keys).cloned().collect()
}

/// Follows the rows of one partition and refuses those that are not the next TR.
#[derive(Debug)]
pub struct RunCheck {
    function: &'static str,
    /// The repetition time in nanoseconds, where rows are ordered by time.
    tr: Option<i64>,
    /// The names of the partition's keys.
    names: Vec<String>,
    previous: Option<i64>,
}

impl RunCheck {
    /// A check for one partition. `tr`, in seconds, is needed only where rows are
    /// ordered by time.
    ///
    /// # Errors
    /// When the call has no ascending ORDER BY, or the TR key is neither a TR nor a time.
    pub fn try_new(
        parameters: Parameters,
        args: &PartitionEvaluatorArgs,
        tr: Option<f64>,
    ) -> Result<Self> {
        let function = parameters.function;
        let own = parameters.list.len();
        let (Some(name), Some(key)) = (
            args.input_exprs().get(own),
            args.input_fields().get(own + 1),
        ) else {
            return plan_err!(
                "{function} needs the rows of a run in the order of their TRs: write \
                 {function}(…) OVER (PARTITION BY subject, run ORDER BY tr)"
            );
        };
        let tr = match key.data_type() {
            DataType::Int64 => None,
            DataType::Float64 | DataType::Float32 => match tr.and_then(repetition) {
                Some(tr) => Some(tr),
                None => {
                    return plan_err!(
                        "{function}: ORDER BY {} is a time; order by the number of the TR, \
                         as in ORDER BY tr",
                        label(name)
                    );
                }
            },
            other => {
                return plan_err!(
                    "{function}: ORDER BY {} is {other}; it must be the number of the TR (an \
                     integer) or its time in seconds (a float)",
                    label(name)
                );
            }
        };
        let names = args.input_exprs().iter().skip(own + 2).step_by(2);
        Ok(Self {
            function,
            tr,
            names: names.map(label).collect(),
            previous: None,
        })
    }

    /// Checks that `row` is the TR after the one before, and returns its number.
    /// `keys` are the columns that [`column_and_keys`] put after the first.
    ///
    /// # Errors
    /// A hole, a TR that occurs twice, a TR that is NULL; the error names the partition
    /// and the TR.
    pub fn next(&mut self, keys: &[ArrayRef], row: usize) -> Result<i64> {
        let Some((key, _)) = keys.split_first() else {
            return exec_err!("{}: the TR key is missing from the plan", self.function);
        };
        let Some(tr) = self.index(key, row) else {
            return exec_err!(
                "{}the TR of a row is NULL or not a number; leave such rows out",
                self.place(keys, row)
            );
        };
        let Some(previous) = self.previous.replace(tr) else {
            return Ok(tr);
        };
        let place = || self.place(keys, row);
        if tr == previous {
            exec_err!(
                "{}TR {tr} occurs twice; average its rows (GROUP BY), or add what tells them \
                 apart to PARTITION BY",
                place()
            )
        } else if tr < previous {
            exec_err!(
                "{}TR {previous} is followed by {tr}; several runs are mixed: add what tells \
                 them apart to PARTITION BY",
                place()
            )
        } else if tr > previous + 1 {
            let (first, last) = (previous + 1, tr - 1);
            let missing = if first == last {
                format!("TR {first} is missing")
            } else {
                format!("TRs {first} to {last} are missing")
            };
            exec_err!(
                "{}{missing} ({previous} is followed by {tr}); fill it on tr_grid or drop the run",
                place()
            )
        } else {
            Ok(tr)
        }
    }

    /// `hrf_convolve: subject = 01, run = 1: `, the beginning of an error at `row`.
    pub fn place(&self, keys: &[ArrayRef], row: usize) -> String {
        let mut place = format!("{}: ", self.function);
        let columns = keys.iter().skip(1);
        for (i, (name, column)) in self.names.iter().zip(columns).enumerate() {
            let value = if column.is_null(row) {
                "NULL".into()
            } else {
                array_value_to_string(column, row).unwrap_or_default()
            };
            let comma = if i > 0 { ", " } else { "" };
            place.push_str(&format!("{comma}{name} = {value}"));
        }
        if !self.names.is_empty() {
            place.push_str(": ");
        }
        place
    }

    fn index(&self, key: &ArrayRef, row: usize) -> Option<i64> {
        if key.is_null(row) {
            return None;
        }
        match self.tr {
            None => Some(key.as_primitive_opt::<Int64Type>()?.value(row)),
            Some(tr) => {
                let time = match key.as_primitive_opt::<Float64Type>() {
                    Some(times) => times.value(row),
                    // A single stands for the decimal number that it prints as.
                    None => key
                        .as_primitive_opt::<Float32Type>()?
                        .value(row)
                        .to_string()
                        .parse()
                        .ok()?,
                };
                bin(nanoseconds(time)?, tr, 0)
            }
        }
    }
}

/// A key as people write it: `run`, not `events.run`.
fn key_name(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        other => other.human_display().to_string(),
    }
}

fn label(expr: &Arc<dyn PhysicalExpr>) -> String {
    expr.downcast_ref::<Literal>()
        .and_then(|literal| literal.value().try_as_str().flatten())
        .unwrap_or_default()
        .to_string()
}
