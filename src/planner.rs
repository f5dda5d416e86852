//! From logical to physical plans: DataFusion's planner, and the nodes of ours.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};

use crate::asof::physical::AsofExtension;
use crate::search::physical::KnnExtension;

/// DataFusion's planner, `ASOF JOIN` and `knn`.
#[derive(Debug)]
pub struct VoxqlPlanner;

#[async_trait]
impl QueryPlanner for VoxqlPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![
            Arc::new(AsofExtension),
            Arc::new(KnnExtension),
        ])
        .create_physical_plan(plan, session)
        .await
    }
}
