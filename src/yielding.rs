//! Joins that let others run.
//!
//! DataFusion counts what the leaves of a plan give, and a task that has had its share yields. One row of a leaf can
//! be millions of a join, which give a query's thread back to nobody: neither to other queries, nor to whoever
//! cancels this one.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

/// Counts what joins, and `unnest`, give as well. To be the last rule.
#[derive(Debug)]
pub struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn name(&self) -> &str {
        "yielding_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            Ok(match multiplies(plan.as_ref()) {
                true => Transformed::yes(Arc::new(CooperativeExec::new(plan)) as _),
                false => Transformed::no(plan),
            })
        })
        .data()
    }
}

fn multiplies(plan: &dyn ExecutionPlan) -> bool {
    plan.name().ends_with("JoinExec") || plan.name() == "UnnestExec"
}
