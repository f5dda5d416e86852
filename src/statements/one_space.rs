//! Refuses to put vectors of two models into one column, by `UNION` or by `INSERT`.
//!
//! A column remembers one model ([`voxql_udfs::identity`]). DataFusion would let the union's forget it or
//! take that of the last part, and a distance to the column would then be one between two spaces.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};

use voxql_udfs::identity::{MODEL_METADATA, same_space};

/// Looks at every union in the plan.
///
/// # Errors
/// Name the column, both models, and what to do.
pub fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    plan.apply(|node| {
        let node_any = node.as_ref();
        if node_any.is::<UnionExec>() || node_any.is::<InterleaveExec>() {
            let parts: Vec<_> = node
                .children()
                .into_iter()
                .map(|part| part.schema())
                .collect();
            for (i, part) in parts.iter().enumerate() {
                for earlier in &parts[..i] {
                    fit("UNION", earlier, part)?;
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Refuses rows whose columns are of other spaces than those of the same places in `table`.
///
/// # Errors
/// As [`check`]; they begin with `what`.
pub fn fit(what: &str, table: &Schema, rows: &Schema) -> Result<()> {
    for (of_table, of_rows) in table.fields().iter().zip(rows.fields()) {
        let model = |field: &Field| field.metadata().get(MODEL_METADATA).cloned();
        if let (Some(one), Some(other)) = (model(of_table), model(of_rows))
            && !same_space(&one, &other)
        {
            return plan_err!(
                "{what}: the column {} would hold vectors of the model {one} and of the model {other}, which cannot be \
                 compared; keep them in two columns, embed both with one model, or drop what they remember by \
                 forget_model({})",
                of_table.name(),
                of_rows.name()
            );
        }
    }
    Ok(())
}
