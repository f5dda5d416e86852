//! `tr_grid(n => 300, tr => 1.49)`: the empty grid, one row per TR.
//!
//! A table with named arguments, so it is planned by a [`RelationPlanner`]; the plan is
//! `generate_series` and [`tr_time`](crate::tr_time), and runs anywhere.

use datafusion::common::{DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, col, lit};
use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, TableFactor};

use crate::tr_time::tr_time;

const NAMES: [&str; 4] = ["n", "tr", "start", "slice_time_ref"];
const USAGE: &str = "tr_grid(n => …, tr => … [, start => 0] [, slice_time_ref => 0])";

/// Plans `tr_grid(n, tr [, start] [, slice_time_ref])`: columns `tr` (Int64, from 0 to
/// n - 1) and `time` (Float64, `start + (tr + slice_time_ref)·TR` in seconds, exact as
/// [`tr_time`] has it).
#[derive(Debug)]
pub struct TrGrid;

impl RelationPlanner for TrGrid {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table {
            name,
            args: Some(args),
            alias,
            ..
        } = &relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        if !name.to_string().eq_ignore_ascii_case("tr_grid") {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let plan = plan(&args.args, context)?;
        let planned = PlannedRelation::new(plan, alias.clone());
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

fn plan(args: &[FunctionArg], context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let mut given: [Option<f64>; 4] = [None; 4];
    for (i, arg) in args.iter().enumerate() {
        let (at, value) = match arg {
            FunctionArg::Named { name, arg, .. } => (position(&name.value)?, arg),
            FunctionArg::Unnamed(arg) if i < NAMES.len() => (i, arg),
            _ => return plan_err!("tr_grid: too many arguments; it is called as {USAGE}"),
        };
        let FunctionArgExpr::Expr(value) = value else {
            return plan_err!("tr_grid: {} must be a number, not {value}", NAMES[at]);
        };
        let expr = context.sql_to_expr(value.clone(), &DFSchema::empty())?;
        given[at] = Some(number(NAMES[at], &expr)?);
    }
    let (Some(n), Some(tr)) = (given[0], given[1]) else {
        return plan_err!("tr_grid needs n and tr; it is called as {USAGE}");
    };
    if !(n >= 0.0 && n.fract() == 0.0 && n < 1e15) {
        return plan_err!("tr_grid: n must be a whole number from 0, not {n}");
    }
    let bounds = vec![lit(0i64), lit(n as i64 - 1)];
    let source = context
        .context_provider()
        .get_table_function_source("generate_series", bounds)?;
    let time = tr_time().call(vec![
        col("value"),
        lit(tr),
        lit(given[2].unwrap_or(0.0)),
        lit(given[3].unwrap_or(0.0)),
    ]);
    // To DataFusion, scans of one name are one scan: the name says how long this one is.
    let name = TableReference::partial(format!("{n}"), "tr_grid");
    LogicalPlanBuilder::scan(name, source, None)?
        .project(vec![col("value").alias("tr"), time.alias("time")])?
        .alias("tr_grid")?
        .build()
}

fn position(name: &str) -> Result<usize> {
    match NAMES
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))
    {
        Some(at) => Ok(at),
        None => plan_err!("tr_grid has no argument {name}; it is called as {USAGE}"),
    }
}

fn number(name: &str, expr: &Expr) -> Result<f64> {
    let value = match expr {
        Expr::Literal(value, _) => as_f64(value),
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(value, _) => as_f64(value).map(|v| -v),
            _ => None,
        },
        _ => None,
    };
    match value {
        Some(value) => Ok(value),
        None => plan_err!("tr_grid: {name} must be a number, not {expr}"),
    }
}

fn as_f64(value: &ScalarValue) -> Option<f64> {
    let numeric = value.data_type().is_numeric() && !value.is_null();
    match value.cast_to(&arrow::datatypes::DataType::Float64) {
        Ok(ScalarValue::Float64(number)) if numeric => number,
        _ => None,
    }
}
