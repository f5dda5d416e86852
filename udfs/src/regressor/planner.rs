//! The type of `regressor(…)`, which follows from its arguments.
//!
//! DataFusion gives an aggregate the types of its arguments to say its own, not their
//! values. But a model of several columns gives vectors, and a number of scans that is
//! known makes every list equally long. So where a call is planned from SQL, literals
//! choose between `regressor` and `regressors`, and a cast gives the lists their lengths.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr};
use datafusion::logical_expr::{Expr, cast};

use super::{ONE_COLUMN, PARAMETERS, SEVERAL_COLUMNS, regressors};
use crate::kernels::regressor::Model;

/// Plans calls of `regressor` and `regressors`.
#[derive(Debug)]
pub struct RegressorPlanner;

impl ExprPlanner for RegressorPlanner {
    fn plan_aggregate(
        &self,
        mut call: RawAggregateExpr,
    ) -> Result<PlannerResult<RawAggregateExpr>> {
        let one = call.func.name() == ONE_COLUMN;
        if !one && call.func.name() != SEVERAL_COLUMNS {
            return Ok(PlannerResult::Original(call));
        }
        let model = match argument(&call.args, "model") {
            None => Some("glover"),
            Some(Expr::Literal(value, _)) if value.is_null() => Some("glover"),
            Some(Expr::Literal(value, _)) => value.try_as_str().flatten(),
            Some(_) => None,
        };
        // What the delays are does not matter here, only that there are some.
        let model = model.and_then(|name| Model::from_name(name, &[0.0]).ok());
        let vectors = !one || model.as_ref().is_some_and(gives_vectors);
        if one && vectors {
            call.func = Arc::new(regressors());
        }
        let scans = match argument(&call.args, "n_scans") {
            Some(Expr::Literal(ScalarValue::Int64(Some(scans)), _)) => i32::try_from(*scans).ok(),
            _ => None,
        };
        let row = match (vectors, model) {
            (false, _) => DataType::Float64,
            (true, Some(Model::Fir(_))) => list(DataType::Float64, delays(&call.args)),
            (true, model) => list(DataType::Float64, model.map(|m| m.columns() as i32)),
        };
        let aggregate = Expr::AggregateFunction(AggregateFunction::new_udf(
            call.func,
            call.args,
            call.distinct,
            call.filter,
            call.order_by,
            call.null_treatment,
        ));
        // Where nothing is known the cast is to the type it has, and goes away.
        Ok(PlannerResult::Planned(cast(
            aggregate,
            list(row, scans.filter(|n| *n >= 0)),
        )))
    }
}

/// Whether a condition has a vector per volume: all models whose columns may be several.
pub(super) fn gives_vectors(model: &Model) -> bool {
    matches!(model, Model::Fir(_)) || model.columns() > 1
}

/// A list of that length, or of any.
pub(super) fn list(item: DataType, length: Option<i32>) -> DataType {
    let item = Arc::new(Field::new_list_field(item, true));
    match length {
        Some(length) => DataType::FixedSizeList(item, length),
        None => DataType::List(item),
    }
}

fn argument<'a>(args: &'a [Expr], name: &str) -> Option<&'a Expr> {
    let at = PARAMETERS.list.iter().position(|(known, _)| *known == name);
    args.get(at?)
}

/// The number of columns of a FIR model, one if no delays are given.
fn delays(args: &[Expr]) -> Option<i32> {
    match argument(args, "fir_delays") {
        None => Some(1),
        Some(Expr::Literal(value, _)) if value.is_null() => Some(1),
        Some(Expr::ScalarFunction(call)) if call.func.name() == "make_array" => {
            i32::try_from(call.args.len()).ok()
        }
        Some(_) => None,
    }
}
