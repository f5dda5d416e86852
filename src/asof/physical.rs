//! From the logical plan to operators.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::clock::Clock;
use super::exec::{AsofJoinExec, AsofOn, required_ordering};
use super::node::AsofJoin;

/// Makes [`AsofJoinExec`] of [`AsofJoin`].
pub struct AsofExtension;

#[async_trait]
impl ExtensionPlanner for AsofExtension {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(join), [left, right]) =
            (node.as_any().downcast_ref::<AsofJoin>(), physical_inputs)
        else {
            return Ok(None);
        };
        let physical = |expr: &Expr, schema: &DFSchema| {
            planner.create_physical_expr(expr, schema, session, context)
        };
        let of_left = |expr| physical(expr, join.left.schema());
        let of_right = |expr| physical(expr, join.right.schema());
        let keys = join
            .keys
            .iter()
            .map(|(l, r)| Ok((of_left(l)?, of_right(r)?)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let left_time = of_left(&join.left_time)?;
        let right_time = of_right(&join.right_time)?;
        let clock = Clock::of(
            &left_time.data_type(&left.schema())?,
            &right_time.data_type(&right.schema())?,
        )?;
        let tolerance = match &join.tolerance {
            None => None,
            Some(expr) => tolerance(&physical(expr, &DFSchema::empty())?, clock)?,
        };
        let on = AsofOn {
            keys,
            left_time,
            right_time,
            clock,
            matching: join.matching,
            tolerance,
        };
        let partitions = session.config().target_partitions();
        let partitioned = partitions > 1 && !on.keys.is_empty() && !sorted(left, right, &on);
        let exec =
            AsofJoinExec::try_new(Arc::clone(left), Arc::clone(right), on, partitioned, None)?;
        Ok(Some(Arc::new(exec)))
    }
}

fn tolerance(expr: &Arc<dyn PhysicalExpr>, clock: Clock) -> Result<Option<u64>> {
    let schema = arrow::datatypes::Schema::empty();
    let batch = arrow::array::RecordBatch::new_empty(Arc::new(schema));
    match expr.evaluate(&batch)? {
        ColumnarValue::Scalar(value) => clock.tolerance(&value),
        ColumnarValue::Array(_) => {
            plan_err!("MATCH_CONDITION: the tolerance must be a constant, not {expr}")
        }
    }
}

/// Both sides come in the right order already: then one merge, which reads as fast as the
/// files, is better than splitting and sorting again.
fn sorted(left: &Arc<dyn ExecutionPlan>, right: &Arc<dyn ExecutionPlan>, on: &AsofOn) -> bool {
    let satisfied = |side: &Arc<dyn ExecutionPlan>, ordering| match ordering {
        Some(ordering) => side
            .equivalence_properties()
            .ordering_satisfy(ordering)
            .unwrap_or(false),
        None => false,
    };
    satisfied(
        left,
        required_ordering(on.keys.iter().map(|(l, _)| l), &on.left_time),
    ) && satisfied(
        right,
        required_ordering(on.keys.iter().map(|(_, r)| r), &on.right_time),
    )
}
