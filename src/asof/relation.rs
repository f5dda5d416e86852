//! From a nested join that ends with ASOF JOIN to a logical plan.

use std::sync::Arc;

use arrow::row::{RowConverter, SortField};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr_rewriter::normalize_col;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as SqlExpr, Join, JoinConstraint, JoinOperator, ObjectName, TableFactor, TableWithJoins,
};

use super::clock::Clock;
use super::condition::{Sides, coerced, keys_of_on, match_condition};
use super::node::AsofJoin;
use super::rewrite::{is_asof, nest_chain};

/// Plans what [`super::rewrite::nest`] has nested.
#[derive(Debug)]
pub struct AsofPlanner;

impl RelationPlanner for AsofPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::NestedJoin {
                mut table_with_joins,
                alias,
            } if table_with_joins.joins.last().is_some_and(is_asof) => {
                let Some(Join {
                    relation: right,
                    join_operator:
                        JoinOperator::AsOf {
                            match_condition,
                            constraint,
                        },
                    ..
                }) = table_with_joins.joins.pop()
                else {
                    return plan_err!("ASOF JOIN: there is no join");
                };
                let left = plan_left(*table_with_joins, context)?;
                let right = plan_right(right, context)?;
                let plan = plan_join(left, right, match_condition, constraint, context)?;
                let planned = PlannedRelation::new(plan, alias);
                Ok(RelationPlanning::Planned(Box::new(planned)))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn plan_left(
    mut chain: TableWithJoins,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    nest_chain(&mut chain);
    context.plan(TableFactor::NestedJoin {
        table_with_joins: Box::new(chain),
        alias: None,
    })
}

fn plan_right(
    factor: TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    if let TableFactor::Derived { lateral: true, .. }
    | TableFactor::Function { lateral: true, .. } = &factor
    {
        return plan_err!("ASOF JOIN: LATERAL cannot stand on its right side");
    }
    context.plan(factor)
}

fn plan_join(
    left: LogicalPlan,
    right: LogicalPlan,
    condition: SqlExpr,
    constraint: JoinConstraint,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let sides = Sides {
        left: left.schema(),
        right: right.schema(),
        both: left.schema().join(right.schema())?,
    };
    let condition = match_condition(condition, &sides, context)?;
    Clock::of(
        &condition.left_time.get_type(sides.left)?,
        &condition.right_time.get_type(sides.right)?,
    )?;
    let mut shared = None;
    let keys = match constraint {
        JoinConstraint::None => vec![],
        JoinConstraint::On(on) => keys_of_on(on, &sides, context)?,
        JoinConstraint::Using(names) => {
            let names = names.into_iter().map(|name| using_name(name, context));
            let keys = shared_keys(names.collect::<Result<_>>()?, &left, &right)?;
            shared.insert(keys).clone()
        }
        JoinConstraint::Natural => {
            let there = |name: &String| sides.left.has_column_with_unqualified_name(name);
            let names = right.schema().fields().iter().map(|f| f.name().clone());
            let keys = shared_keys(names.filter(there).collect(), &left, &right)?;
            shared.insert(keys).clone()
        }
    };
    let keys = keys.into_iter().map(|pair| coerced(pair, &sides));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    for (key, _) in &keys {
        sortable(key, sides.left)?;
    }
    let node = AsofJoin::try_new(left, right, keys, condition)?;
    let plan = LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    });
    match shared {
        Some(keys) => without_right_keys(plan, &keys),
        None => Ok(plan),
    }
}

fn using_name(name: ObjectName, context: &mut dyn RelationPlannerContext) -> Result<String> {
    match name.0.as_slice() {
        [part] if let Some(ident) = part.as_ident() => Ok(context.normalize_ident(ident.clone())),
        _ => plan_err!("ASOF JOIN … USING ({name}): it takes names of columns without a table"),
    }
}

/// The columns that both sides have under these names.
fn shared_keys(
    names: Vec<String>,
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> Result<Vec<(Expr, Expr)>> {
    let column = |name: &str, plan| normalize_col(Expr::Column(Column::from_name(name)), plan);
    let pair = |name: &String| Ok((column(name, left)?, column(name, right)?));
    names.iter().map(pair).collect()
}

/// USING gives each key once: the left one, which every row has.
fn without_right_keys(plan: LogicalPlan, keys: &[(Expr, Expr)]) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().map(Expr::Column);
    let kept: Vec<_> = columns
        .filter(|column| keys.iter().all(|(_, right)| right != column))
        .collect();
    LogicalPlanBuilder::from(plan).project(kept)?.build()
}

fn sortable(key: &Expr, schema: &DFSchema) -> Result<()> {
    let data_type = key.get_type(schema)?;
    match RowConverter::supports_fields(&[SortField::new(data_type.clone())]) {
        true => Ok(()),
        false => plan_err!("ASOF JOIN: {key} cannot be a key, since {data_type} has no order"),
    }
}
