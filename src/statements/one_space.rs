//! Refuses to put vectors of two models into one column, by `UNION` or by `INSERT`.
//!
//! A column remembers one model ([`voxql_udfs::identity`]). DataFusion's union would say that all of it is
//! of the last part's, and a distance to the column would then be one between two spaces.

use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::LogicalPlan;

use voxql_udfs::identity::{MODEL_METADATA, same_space};

/// Looks at every union in an optimized plan, in which views are what they stand for. In the physical plan it
/// would be too late: there all parts of a union have its schema.
///
/// # Errors
/// Name the column, both models, and what to do.
pub fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Union(union) = node {
            let parts: Vec<&Schema> = union
                .inputs
                .iter()
                .map(|part| part.schema().as_arrow())
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
