//! WHERE below an ASOF JOIN.
//!
//! A condition on left columns chooses left rows, before the join as well as after it.
//! One on right columns must stay above: below, it would change what matches. Where a
//! condition speaks of left keys only, rows of the right side with other keys match no
//! row that is left, so it goes to both sides.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, Filter, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::node::AsofJoin;

#[derive(Debug)]
pub struct PushFiltersBelowAsofJoin;

impl OptimizerRule for PushFiltersBelowAsofJoin {
    fn name(&self) -> &str {
        "push_filters_below_asof_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let LogicalPlan::Extension(extension) = filter.input.as_ref() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let Some(join) = extension.node.as_any().downcast_ref::<AsofJoin>() else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let (down, stay): (Vec<_>, Vec<_>) = split_conjunction_owned(filter.predicate.clone())
            .into_iter()
            .partition(|part| is_about_left(part, join));
        let same_on_right = same_on_right(&down, join)?;
        let Some(left) = conjunction(down) else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let joined = join.with_inputs(
            filtered(&join.left, Some(left))?,
            filtered(&join.right, conjunction(same_on_right))?,
        )?;
        let joined = LogicalPlan::Extension(Extension {
            node: Arc::new(joined),
        });
        Ok(Transformed::yes(filtered(
            &Arc::new(joined),
            conjunction(stay),
        )?))
    }
}

fn is_about_left(part: &Expr, join: &AsofJoin) -> bool {
    let columns = part.column_refs();
    let left = join.left.schema();
    !columns.is_empty()
        && columns.iter().all(|c| left.is_column_from_schema(c))
        && !part.is_volatile()
}

/// Conditions on left keys with the right keys in their place.
fn same_on_right(parts: &[Expr], join: &AsofJoin) -> Result<Vec<Expr>> {
    let mut right_of: HashMap<&Column, &Column> = HashMap::new();
    for (left, right) in &join.keys {
        if let (Expr::Column(l), Expr::Column(r)) = (left, right)
            && left.get_type(join.left.schema())? == right.get_type(join.right.schema())?
        {
            right_of.insert(l, r);
        }
    }
    let only_keys = |part: &&Expr| part.column_refs().iter().all(|c| right_of.contains_key(c));
    let on_right = |part: &Expr| {
        part.clone()
            .transform(|expr| {
                Ok(match &expr {
                    Expr::Column(column) => match right_of.get(column) {
                        Some(right) => Transformed::yes(Expr::Column((*right).clone())),
                        None => Transformed::no(expr),
                    },
                    _ => Transformed::no(expr),
                })
            })
            .data()
    };
    parts.iter().filter(only_keys).map(on_right).collect()
}

fn filtered(input: &Arc<LogicalPlan>, predicate: Option<Expr>) -> Result<LogicalPlan> {
    Ok(match predicate {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::clone(input))?),
        None => input.as_ref().clone(),
    })
}
