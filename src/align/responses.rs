//! The weights of `hrf_convolve`, `fir_delays` and their like, from the functions themselves.
//!
//! Such a function treats every TR of a run alike, so its answer to a single 1 among zeros
//! is the list of its weights. Asking it, instead of computing them a second time, means
//! that what EXPLAIN ALIGN shows cannot differ from what the query does, whatever the model
//! and its options.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFrame, WindowFunctionDefinition, col};
use datafusion::prelude::SessionContext;

use super::constants::Constants;
use super::windows::Tap;

/// Window functions whose weights depend on nothing but how many rows lie between.
const FUNCTIONS: [&str; 2] = ["hrf_convolve", "fir_delays"];

/// A response is over after this many seconds.
const SECONDS: f64 = 64.0;

/// Rows on each side of the 1 where the repetition time is not an argument.
const ROWS: f64 = 512.0;

const MOST_ROWS: f64 = 20_000.0;

/// The calls of such functions in a plan, and the weights of each.
pub type Responses = HashMap<Expr, Vec<Tap>>;

/// Asks every such function of the plan. One that fails is left out: the query will say why.
pub async fn responses(
    context: &SessionContext,
    constants: &Constants,
    plan: &LogicalPlan,
) -> Result<Responses> {
    let mut calls = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::WindowFunction(call) = expr
                    && FUNCTIONS.contains(&call.fun.name())
                    && !calls.contains(expr)
                {
                    calls.push(expr.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let mut found = Responses::new();
    for expr in calls {
        if let Expr::WindowFunction(call) = &expr
            && let Ok(Some(taps)) = response(context, constants, call).await
        {
            found.insert(expr, taps);
        }
    }
    Ok(found)
}

/// The answer to a 1; None where it is not over within the rows that were asked for.
async fn response(
    context: &SessionContext,
    constants: &Constants,
    call: &WindowFunction,
) -> Result<Option<Vec<Tap>>> {
    let WindowFunctionDefinition::WindowUDF(function) = &call.fun else {
        return Ok(None);
    };
    let tr = match function.name() {
        "hrf_convolve" => call.params.args.get(1),
        _ => None,
    };
    let rows = match tr.and_then(|tr| constants.number(tr)) {
        Some(tr) if tr > 0.0 => (SECONDS / tr).ceil().clamp(ROWS / 8.0, MOST_ROWS),
        _ => ROWS,
    } as i64;
    let index = Int64Array::from_iter_values(-rows..=rows);
    let one = Float64Array::from_iter_values((-rows..=rows).map(|i| f64::from(i == 0)));
    let batch = RecordBatch::try_from_iter([
        ("tr", Arc::new(index) as ArrayRef),
        ("x", Arc::new(one) as ArrayRef),
    ])?;

    let mut asked = WindowFunction::new(Arc::clone(function), call.params.args.clone());
    if let Some(x) = asked.params.args.first_mut() {
        *x = col("x");
    }
    asked.params.order_by = vec![Sort::new(col("tr"), true, false)];
    asked.params.window_frame = WindowFrame::new(Some(true));
    let answer = context
        .read_batch(batch)?
        .window(vec![Expr::from(asked).alias("y")])?
        .sort(vec![col("tr").sort(true, false)])?
        .select(vec![col("y")])?
        .collect()
        .await?;

    let mut taps = Vec::new();
    let mut lag = -rows;
    for batch in &answer {
        for row in 0..batch.num_rows() {
            if let Some(weight) = weight(batch.column(0), row)? {
                taps.push(Tap { lag, weight });
            }
            lag += 1;
        }
    }
    let over = taps.iter().all(|tap| tap.lag.abs() < rows);
    Ok(over.then_some(taps))
}

/// The answer at one row: outer None if it is zero, inner None if it has several numbers,
/// none of which is the weight.
fn weight(column: &ArrayRef, row: usize) -> Result<Option<Option<f64>>> {
    if column.is_null(row) {
        return Ok(None);
    }
    let values = match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(row),
        DataType::LargeList(_) => column.as_list::<i64>().value(row),
        DataType::FixedSizeList(..) => column.as_fixed_size_list().value(row),
        _ => column.slice(row, 1),
    };
    let values = cast(&values, &DataType::Float64)?;
    let values = values.as_primitive::<Float64Type>();
    let mut found = values.iter().flatten().filter(|value| *value != 0.0);
    Ok(match (found.next(), found.next()) {
        (None, _) => None,
        (Some(weight), None) => Some(Some(weight)),
        (Some(_), Some(_)) => Some(None),
    })
}
