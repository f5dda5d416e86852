//! `WHERE random() < 0.1` above a node of ours, which must stay there.
//!
//! DataFusion leaves a condition above an extension node if it names a column that the node
//! protects. One that names none goes to all of its inputs, even one that is drawn anew for each
//! row: an ASOF JOIN or a knn would then choose among the rows that were not dropped by chance. So
//! the condition becomes a column below its filter, and a projection that draws is where DataFusion
//! stops:
//!
//! ```text
//! Filter: random() < 0.1     Projection: all but drawn
//!   AsofJoin                   Filter: drawn
//!                                Projection: *, random() < 0.1 AS drawn
//!                                  AsofJoin
//! ```

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, col};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The column that says whether a row was drawn.
const DRAWN: &str = "__voxql_drawn";

/// To be placed before DataFusion's `push_down_filter`.
#[derive(Debug)]
pub struct KeepVolatileFilters;

impl OptimizerRule for KeepVolatileFilters {
    fn name(&self) -> &str {
        "keep_volatile_filters"
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
        let (drawn, rest): (Vec<_>, Vec<_>) = split_conjunction_owned(filter.predicate.clone())
            .into_iter()
            .partition(|part| part.is_volatile() && part.column_refs().is_empty());
        let Some(drawn) = conjunction(drawn) else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        if !filter.input.exists(|below| Ok(protects(below)))? {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let columns = filter.input.schema().columns().into_iter();
        let columns: Vec<Expr> = columns.map(Expr::Column).collect();
        let input = match conjunction(rest) {
            None => filter.input,
            Some(rest) => Arc::new(LogicalPlan::Filter(Filter::try_new(rest, filter.input)?)),
        };
        let mut with_drawn = columns.clone();
        with_drawn.push(drawn.alias(DRAWN));
        let drawing = LogicalPlan::Projection(Projection::try_new(with_drawn, input)?);
        let filtered = LogicalPlan::Filter(Filter::try_new(col(DRAWN), Arc::new(drawing))?);
        let projected = Projection::try_new(columns, Arc::new(filtered))?;
        Ok(Transformed::yes(LogicalPlan::Projection(projected)))
    }
}

/// Whether the node keeps conditions above it.
fn protects(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(extension) => {
            let node = &extension.node;
            !node.inputs().is_empty() && !node.prevent_predicate_push_down_columns().is_empty()
        }
        _ => false,
    }
}
