//! From the logical plan to the operator.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::exec::KnnExec;
use super::node::Knn;

/// Makes [`KnnExec`] of [`Knn`].
pub struct KnnExtension;

#[async_trait]
impl ExtensionPlanner for KnnExtension {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(knn), [query, base @ ..]) =
            (node.as_any().downcast_ref::<Knn>(), physical_inputs)
        else {
            return Ok(None);
        };
        let base = base.first().cloned();
        let exec = KnnExec::try_new(Arc::clone(query), base, knn.search)?;
        Ok(Some(Arc::new(exec)))
    }
}
