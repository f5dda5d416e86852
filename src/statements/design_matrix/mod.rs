//! `design_matrix((SELECT onset, duration, trial_type FROM …), tr => …, n_scans => …)`:
//! events as a table with a column per regressor.
//!
//! Which columns the table has is known only from the events, and DataFusion plans
//! without waiting. So before a statement is planned its calls are taken out of the
//! syntax tree ([`calls`]), their queries run ([`arguments`]), the matrices computed, and
//! the planner finds the tables ready.

mod added;
mod arguments;
mod calls;
mod events;
mod keys;
mod matrix;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Result, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::TableFactor;

use calls::Call;

use super::table_functions::scan_name;

/// The function's name in SQL.
pub const FUNCTION: &str = "design_matrix";

/// Computes the tables of all calls in a statement, and leaves their numbers in it for
/// the planner that it gives back.
///
/// # Errors
/// Name the argument, the event or the run, and what to do.
pub async fn resolve(state: &SessionState, statement: &mut EngineStatement) -> Result<Matrices> {
    let mut tables = Vec::new();
    for call in calls::take(statement) {
        tables.push(table(state, call).await?);
    }
    Ok(Matrices { tables })
}

async fn table(state: &SessionState, call: Call) -> Result<Arc<dyn TableProvider>> {
    let inputs = arguments::Inputs::evaluate(state, &call).await?;
    matrix::table(state, &inputs)
}

/// Puts computed tables into plans.
#[derive(Debug)]
pub struct Matrices {
    tables: Vec<Arc<dyn TableProvider>>,
}

impl Matrices {
    /// Whether the statement has no calls.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

impl RelationPlanner for Matrices {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        if !calls::is_call(&relation) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let number = calls::number(&relation);
        let Some((number, table)) = number.and_then(|i| Some((i, self.tables.get(i)?))) else {
            return plan_err!("{FUNCTION} works in SQL that VoxQL runs, not here");
        };
        let source = provider_as_source(Arc::clone(table));
        let plan =
            LogicalPlanBuilder::scan(scan_name(FUNCTION, number + 1), source, None)?.build()?;
        let alias = match relation {
            TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. } => alias,
            _ => None,
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
            plan, alias,
        ))))
    }
}
