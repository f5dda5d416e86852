//! Window functions over a run: one row per TR, in order, without holes.
//!
//! A window function sees only the values of its arguments, so it could not notice
//! that TR 17 is missing, nor say in which run. Therefore every function of this kind
//! has its call rewritten at planning ([`append_keys`], as its `simplify`):
//!
//! ```text
//! f(x, 1.49)                    OVER (PARTITION BY subject, run ORDER BY tr)
//! f(x, 1.49, NULL, NULL, 'tr', tr, 'subject', subject, 'run', run, 'same session', session)  OVER (…)
//! ```
//!
//! Optional arguments that were left out become NULL, and the keys follow with their
//! names: that of ORDER BY, those of PARTITION BY, and the columns of the input that tell
//! runs apart ([`RUN_KEYS`]) and are not in PARTITION BY. The function is the same one, so
//! plans travel to other machines as they are. The evaluator then asks [`RunCheck`] about
//! each row before it uses it; a window with an order of its own asks [`SameRun`].

mod same_run;

pub use self::same_run::{RUN_KEYS, SameRun, bare, guarded, refusal};

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use datafusion::physical_expr::PhysicalExpr;

use self::same_run::{guards, key_name, label};
use crate::args::Parameters;
use crate::time::{bin, nanoseconds, repetition};

/// The `simplify` of a window function over a run: appends the keys to the arguments.
///
/// The TR key is the last ORDER BY expression: the number of the TR (an integer) or
/// its time in seconds (a float). Calls without ORDER BY, or with a descending one,
/// stay as they are, and [`RunCheck::try_new`] says what is wrong with them.
pub fn append_keys(parameters: Parameters) -> WindowFunctionSimplification {
    Box::new(move |call: WindowFunction, info: &SimplifyContext| {
        match call.params.order_by.last() {
            Some(key) if key.asc => append(parameters, call, info),
            _ => Ok(Expr::from(call)),
        }
    })
}

/// The `simplify` of a window function that looks after the order itself and only must
/// not mix runs: [`append_keys`] whatever the order.
pub fn append_keys_in_any_order(parameters: Parameters) -> WindowFunctionSimplification {
    Box::new(move |call: WindowFunction, info: &SimplifyContext| append(parameters, call, info))
}

fn append(
    parameters: Parameters,
    mut call: WindowFunction,
    info: &SimplifyContext,
) -> Result<Expr> {
    let own = parameters.list.len();
    let params = &mut call.params;
    // More arguments are keys: the plan was here before.
    if params.args.len() <= own {
        let schema = info.schema();
        let order_by = params
            .order_by
            .iter()
            .map(|key| key_name(schema, &key.expr));
        let name = order_by.collect::<Vec<_>>().join(", ");
        let key = match params.order_by.last() {
            None => lit(ScalarValue::Null),
            Some(key) if key.expr.get_type(schema)?.is_integer() => {
                cast(key.expr.clone(), DataType::Int64)
            }
            Some(key) => key.expr.clone(),
        };
        let guards = guards(schema, &params.partition_by, params.args.first());
        params.args.resize(own, lit(ScalarValue::Null));
        params.args.extend([lit(name), key]);
        for partition in &params.partition_by {
            let name = key_name(schema, partition);
            params.args.extend([lit(name), partition.clone()]);
        }
        params.args.extend(guards);
    }
    Ok(Expr::from(call))
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
/// column: its evaluator gets the column, the TR key, and the other keys.
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

/// The check that the rows of one partition are of one run, for a function with an order
/// of its own.
pub fn same_run(parameters: Parameters, args: &PartitionEvaluatorArgs) -> SameRun {
    let own = parameters.list.len();
    let keys = args.input_exprs().get(own..).unwrap_or_default();
    SameRun::new(parameters.function, keys)
}

/// Follows the rows of one partition and refuses those that are not the next TR of the
/// same run.
#[derive(Debug)]
pub struct RunCheck {
    function: &'static str,
    /// The repetition time in nanoseconds, where rows are ordered by time.
    tr: Option<i64>,
    same_run: SameRun,
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
        Ok(Self {
            function,
            tr,
            same_run: same_run(parameters, args),
            previous: None,
        })
    }

    /// Checks that `row` is the TR after the one before, of the same run, and returns its
    /// number. `keys` are the columns that [`column_and_keys`] put after the first.
    ///
    /// # Errors
    /// A row of another run, a hole, a TR that occurs twice, a TR that is NULL; the error names the partition
    /// and the TR.
    pub fn next(&mut self, keys: &[ArrayRef], row: usize) -> Result<i64> {
        let Some((key, _)) = keys.split_first() else {
            return exec_err!("{}: the TR key is missing from the plan", self.function);
        };
        self.same_run.check(keys, row)?;
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
        let partition = self.same_run.partition(keys, row);
        let colon = if partition.is_empty() { "" } else { ": " };
        format!("{}: {partition}{colon}", self.function)
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
