//! Calls of table functions, each with a scan of its own name.
//!
//! To DataFusion, scans of one name are one scan, whatever they read: it would give the
//! subqueries `(SELECT … FROM f('a'))` and `(SELECT … FROM f('b'))` one value.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::{DFSchema, Result, TableReference, plan_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{LogicalPlanBuilder, TableSource};
use datafusion::sql::sqlparser::ast::{FunctionArg, FunctionArgExpr, ObjectName, TableFactor};
use parking_lot::Mutex;

/// What a scan is called in the plan: the function, and for the second and later calls of it
/// (from 1) a number before.
pub fn scan_name(function: &str, call: usize) -> TableReference {
    match call {
        1 => TableReference::bare(function),
        _ => TableReference::partial(format!("{function}_{call}"), function),
    }
}

/// The name and the arguments of a call in FROM.
pub fn call_parts(factor: &TableFactor) -> Option<(&ObjectName, &[FunctionArg])> {
    match factor {
        TableFactor::Table {
            name,
            args: Some(args),
            ..
        } => Some((name, &args.args)),
        TableFactor::Function { name, args, .. } => Some((name, args)),
        _ => None,
    }
}

/// A scan in the place of a call, under the call's alias.
pub fn scan_instead(
    call: TableFactor,
    name: TableReference,
    source: Arc<dyn TableSource>,
) -> Result<RelationPlanning> {
    let plan = LogicalPlanBuilder::scan(name, source, None)?.build()?;
    let alias = match call {
        TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. } => alias,
        _ => None,
    };
    let planned = PlannedRelation::new(plan, alias);
    Ok(RelationPlanning::Planned(Box::new(planned)))
}

/// Plans the functions that are DataFusion's own, such as `generate_series`, as it does itself
/// but for the names.
#[derive(Debug)]
pub struct TableFunctions {
    names: HashSet<String>,
    /// The different calls so far, in one statement: function and call as written.
    calls: Mutex<Vec<(String, String)>>,
}

impl TableFunctions {
    /// The functions that are registered, for the plan of one statement.
    pub fn of(state: &SessionState) -> Self {
        Self {
            names: state.table_functions().keys().cloned().collect(),
            calls: Mutex::default(),
        }
    }

    fn name(&self, function: &str, text: String) -> TableReference {
        let mut calls = self.calls.lock();
        let mut same = calls.iter().filter(|(known, _)| known == function);
        let call = match same.position(|(_, known)| *known == text) {
            Some(at) => at + 1,
            None => {
                calls.push((function.to_owned(), text));
                calls.iter().filter(|(known, _)| known == function).count()
            }
        };
        scan_name(&format!("{function}()"), call)
    }
}

impl RelationPlanner for TableFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table {
            name,
            args: Some(args),
            ..
        } = &relation
        else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(function) = name.0.first().and_then(|part| part.as_ident()) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let function = context.normalize_ident(function.clone());
        if !self.names.contains(&function) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let exprs = args.args.iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                context.sql_expr_to_logical_expr(expr.clone(), &DFSchema::empty())
            }
            _ => plan_err!("{function} takes no argument like {arg}"),
        });
        let exprs = exprs.collect::<Result<Vec<_>>>()?;
        let source = context
            .context_provider()
            .get_table_function_source(&function, exprs)?;
        let scan = self.name(&function, relation.to_string());
        scan_instead(relation, scan, source)
    }
}
