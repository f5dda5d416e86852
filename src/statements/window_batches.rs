//! Windows over wide rows get few, large batches.
//!
//! A window function that needs its run whole (`clean`, `zscore`) has DataFusion hold the
//! run, and for every batch that comes copy what is held so far: the copies grow with the
//! square of the number of batches. A run of 300 TRs of 50,000 voxels is 60 MB, and came
//! in 15 batches: a gigabyte was copied, which took longer than the cleaning.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_plan::ExecutionPlan;
#[expect(
    deprecated,
    reason = "what replaces it is for the insides of operators, and this stands between two"
)]
use datafusion::physical_plan::coalesce_batches::CoalesceBatchesExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::windows::BoundedWindowAggExec;

/// Up to 128 MB, where a batch has 8: a run's usual size.
const BATCHES: usize = 16;

/// Puts [`BATCHES`] batches of `rows` rows together below every streaming window.
pub fn enlarge(plan: Arc<dyn ExecutionPlan>, rows: usize) -> Result<Arc<dyn ExecutionPlan>> {
    let enlarged = plan.transform_up(|node| {
        let inputs = node.children();
        let ([input], true) = (inputs.as_slice(), node.is::<BoundedWindowAggExec>()) else {
            return Ok(Transformed::no(node));
        };
        #[expect(deprecated, reason = "see above")]
        let larger = CoalesceBatchesExec::new(Arc::clone(input), BATCHES * rows);
        let larger: Vec<Arc<dyn ExecutionPlan>> = vec![Arc::new(larger)];
        Ok(Transformed::yes(replace_children_if_necessary(
            node, larger,
        )?))
    })?;
    Ok(enlarged.data)
}
