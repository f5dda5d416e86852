//! The number of columns of a window's result, known when the query is planned.
//!
//! The type of a window function's result may depend on the types of its arguments, but
//! not on their values; and `delays => [1, 2, 3]` is a list of any length. So this
//! planner writes such constants as `FixedSizeList`s, whose type says how many there are:
//!
//! ```text
//! delays => [1, 2, 3]               a FixedSizeList<Int64, 3>
//! model => 'glover + derivative'    the FixedSizeList<Utf8, 2> ['glover', 'derivative']
//! ```
//!
//! What it does stands in the plan. A program that builds plans without SQL may write
//! the lists itself; without them `delays` gives a List.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, StringArray};
use arrow::datatypes::Field;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawWindowExpr};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::fir_delays;
use crate::hrf_convolve;

/// Gives `model` and `delays` of window functions a type that says their number.
#[derive(Debug)]
pub struct ColumnPlanner;

impl ExprPlanner for ColumnPlanner {
    fn plan_window(&self, mut call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        let functions = [hrf_convolve::PARAMETERS, fir_delays::PARAMETERS];
        let name = call.func_def.name();
        if let Some(parameters) = functions.iter().find(|known| known.function == name) {
            for ((name, _), arg) in parameters.list.iter().zip(&mut call.args) {
                let counted = match *name {
                    "model" => constant(arg).and_then(|value| parts(&value)),
                    "delays" => constant(arg).and_then(|value| elements(&value)),
                    _ => None,
                };
                if let Some(list) = counted {
                    *arg = lit(list);
                }
            }
        }
        Ok(PlannerResult::Original(call))
    }
}

/// The value of an expression without columns and parameters.
pub fn constant(expr: &Expr) -> Option<ScalarValue> {
    let simplifier = ExprSimplifier::new(SimplifyContext::default());
    // What fails here fails again where the query is checked, with the better message.
    let expr = simplifier.coerce(expr.clone(), &DFSchema::empty()).ok()?;
    match simplifier.simplify(expr).ok()? {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// The parts of a model's name, if there are several.
fn parts(model: &ScalarValue) -> Option<ScalarValue> {
    let parts = hrf_convolve::model_parts(model.try_as_str()??);
    let several = parts.len() > 1;
    several.then(|| fixed(Arc::new(StringArray::from(parts))))?
}

fn elements(list: &ScalarValue) -> Option<ScalarValue> {
    match list {
        ScalarValue::List(list) if list.is_valid(0) => fixed(list.value(0)),
        ScalarValue::LargeList(list) if list.is_valid(0) => fixed(list.value(0)),
        _ => None,
    }
}

fn fixed(values: ArrayRef) -> Option<ScalarValue> {
    let width = i32::try_from(values.len()).ok()?;
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let list = FixedSizeListArray::try_new_with_length(item, width, values, None, 1).ok()?;
    Some(ScalarValue::FixedSizeList(Arc::new(list)))
}
