//! Table functions over queries, `f((SELECT …), name => value)`, whose tables are computed when a
//! statement is planned.
//!
//! DataFusion plans without waiting. So before a statement is planned the calls of
//! [`FUNCTIONS`] are taken out of the syntax tree ([`calls`]), their queries run
//! ([`arguments`]), the tables computed, and the planner finds them ready.

pub mod arguments;
pub mod calls;
pub mod held;
pub mod keys;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{Result, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::TableFactor;
use voxql_udfs::args::Parameters;

use calls::Call;

use super::judging::{bootstrap_isc, isc, isfc, permutation_isc, time_segment_matching};
use super::table_functions::{scan_instead, scan_name};
use super::{design_matrix, encoding_scores, word_timing_report};

/// A function of queries and constants that gives a table.
#[derive(Debug)]
pub struct Function {
    pub parameters: Parameters,
    /// The parameters whose values are rows.
    pub queries: &'static [&'static str],
    /// A call, for messages.
    pub example: &'static str,
}

impl Function {
    /// The function's name in SQL.
    pub fn name(&self) -> &'static str {
        self.parameters.function
    }
}

/// All of them.
const FUNCTIONS: [&Function; 8] = [
    &bootstrap_isc::BOOTSTRAP_ISC,
    &design_matrix::DESIGN_MATRIX,
    &encoding_scores::ENCODING_SCORES,
    &isc::ISC,
    &isfc::ISFC,
    &permutation_isc::PERMUTATION_ISC,
    &time_segment_matching::TIME_SEGMENT_MATCHING,
    &word_timing_report::WORD_TIMING_REPORT,
];

/// Computes the tables of all calls in a statement, and leaves their numbers in it for
/// the planner that it gives back.
///
/// # Errors
/// Name the function, the argument or the row, and what to do.
pub async fn resolve(state: &SessionState, statement: &mut EngineStatement) -> Result<Computed> {
    let mut tables = Vec::new();
    for call in calls::take(statement) {
        tables.push(table(state, &call).await?);
    }
    Ok(Computed { tables })
}

async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    match call.function.name() {
        bootstrap_isc::FUNCTION => bootstrap_isc::table(state, call).await,
        design_matrix::FUNCTION => design_matrix::table(state, call).await,
        encoding_scores::FUNCTION => encoding_scores::table(state, call).await,
        isc::FUNCTION => isc::table(state, call).await,
        isfc::FUNCTION => isfc::table(state, call).await,
        permutation_isc::FUNCTION => permutation_isc::table(state, call).await,
        time_segment_matching::FUNCTION => time_segment_matching::table(state, call).await,
        word_timing_report::FUNCTION => word_timing_report::table(state, call).await,
        other => plan_err!("there is no function {other}"),
    }
}

/// Puts computed tables into plans.
#[derive(Debug)]
pub struct Computed {
    tables: Vec<Arc<dyn TableProvider>>,
}

impl Computed {
    /// Whether the statement has no calls.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}

impl RelationPlanner for Computed {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some(function) = calls::called(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let name = function.name();
        let number = calls::number(&relation);
        let Some((number, table)) = number.and_then(|i| Some((i, self.tables.get(i)?))) else {
            return plan_err!("{name} works in SQL that VoxQL runs, not here");
        };
        let source = provider_as_source(Arc::clone(table));
        scan_instead(relation, scan_name(name, number + 1), source)
    }
}
