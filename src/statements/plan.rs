//! From a statement to DataFusion's logical plan.
//!
//! DataFusion plans without waiting, but the columns of `read_bold('…')` are known
//! only after looking at the files. So the calls are collected from the syntax tree
//! first, their files are looked at on blocking threads, and the planner then finds
//! the tables ready.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigNonZeroUsize;
use datafusion::common::{Result, TableReference, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::planner::{
    RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::physical_plan::stream::{
    RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter,
};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::{CopyToSource, Statement as EngineStatement};
use datafusion::sql::sqlparser::ast::{FunctionArg, ObjectName, TableFactor, Visit, Visitor};

use futures::{StreamExt, TryStreamExt};
use voxql_udfs::named_arguments::complete;

use super::table_functions::{TableFunctions, call_parts, scan_instead, scan_name};
use super::using::qualify;
use super::{computed, one_run, one_space, width, window_batches};
use crate::access::Access;
use crate::access::sql::check_plan;
use crate::asof::relation::AsofPlanner;
use crate::asof::rewrite::nest;
use crate::cancel::Cancelled;
use crate::readers;
use crate::search::relation::KnnPlanner;

/// Plans a query, which starts with the first rows that are asked for. They are computed on a task of their own:
/// dropping the stream, which ends the query, need not wait for a function that is at work.
pub async fn start(
    mut state: SessionState,
    plan: &LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, SendableRecordBatchStream)> {
    let cancelled = Cancelled::default();
    let options = state.config_mut().options_mut();
    options.extensions.insert(cancelled.clone());
    // Functions get the options as they are now.
    state.mark_start_execution();
    let (physical, task) = physical(state, plan).await?;
    let query = Arc::clone(&physical);
    let rows = async move { execute_stream(query, task).map(on_a_task) };
    let rows = futures::stream::once(rows).try_flatten();
    let rows = RecordBatchStreamAdapter::new(physical.schema(), rows);
    Ok((physical, cancelled.when_dropped(Box::pin(rows))))
}

fn on_a_task(mut rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStreamBuilder::new(rows.schema(), 1);
    let to = builder.tx();
    builder.spawn(async move {
        while let Some(batch) = rows.next().await {
            if to.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    builder.build()
}

/// How a plan is run: with batches as its widest rows need them, and refused where it mixes runs.
async fn physical(
    mut state: SessionState,
    plan: &LogicalPlan,
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>)> {
    let usual = state.config().batch_size();
    let rows = width::batch_rows(plan, usual);
    state.config_mut().options_mut().execution.batch_size = ConfigNonZeroUsize::try_new(rows)?;
    let plan = state.optimize(plan)?;
    one_space::check(&plan)?;
    let planner = state.query_planner();
    let mut physical = planner.create_physical_plan(&plan, &state).await?;
    one_run::check(&physical)?;
    if rows < usual {
        physical = window_batches::enlarge(physical, rows)?;
    }
    Ok((physical, Arc::new(TaskContext::from(&state))))
}

/// Plans one of DataFusion's statements.
pub async fn plan(state: &SessionState, mut statement: EngineStatement) -> Result<LogicalPlan> {
    fill_gaps(&mut statement, state)?;
    let text = statement.to_string();
    let tables_of_queries = computed::resolve(state, &mut statement).await?;
    let is_computed = !tables_of_queries.is_empty();
    rewrite_joins(&mut statement);
    let mut calls = Calls::default();
    collect(&statement, &mut calls);
    let access = Access::of(state.config());
    let mut tables = HashMap::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    for call in calls.0 {
        let table = open(&access, &call).await?;
        let count = counts.entry(call.function.clone()).or_default();
        *count += 1;
        let name = scan_name(&call.function, *count);
        tables.insert(call.text, (name, table));
    }
    let mut state = state.clone();
    state.register_relation_planner(Arc::new(TableFunctions::of(&state)))?;
    state.register_relation_planner(Arc::new(ReaderPlanner { tables }))?;
    state.register_relation_planner(Arc::new(tables_of_queries))?;
    state.register_relation_planner(Arc::new(KnnPlanner))?;
    state.register_relation_planner(Arc::new(AsofPlanner))?;
    let mut plan = state.statement_to_plan(statement).await?;
    check_plan(&access, &plan)?;
    if let LogicalPlan::Ddl(DdlStatement::CreateView(view)) = &mut plan
        && is_computed
    {
        view.definition = Some(text);
    }
    Ok(plan)
}

/// NULL for the arguments that named calls leave out between others.
fn fill_gaps(statement: &mut EngineStatement, state: &SessionState) -> Result<()> {
    match statement {
        EngineStatement::Statement(statement) => complete(statement, state),
        EngineStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => complete(query, state),
            CopyToSource::Relation(_) => Ok(()),
        },
        EngineStatement::Explain(explain) => fill_gaps(&mut explain.statement, state),
        EngineStatement::CreateExternalTable(_) | EngineStatement::Reset(_) => Ok(()),
    }
}

/// The WHERE of `JOIN … USING` qualified, and ASOF JOINs to where [`AsofPlanner`] gets them.
fn rewrite_joins(statement: &mut EngineStatement) {
    match statement {
        EngineStatement::Statement(statement) => {
            qualify(statement.as_mut());
            nest(statement.as_mut());
        }
        EngineStatement::CopyTo(copy) => {
            if let CopyToSource::Query(query) = &mut copy.source {
                qualify(query.as_mut());
                nest(query.as_mut());
            }
        }
        EngineStatement::Explain(explain) => rewrite_joins(&mut explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::Reset(_) => {}
    }
}

/// A call of a reader, as written.
struct Call {
    function: String,
    args: Vec<FunctionArg>,
    /// The call's text, by which the planner finds its table again.
    text: String,
}

#[derive(Default)]
struct Calls(Vec<Call>);

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let Some(call) = reader_call(factor)
            && self.0.iter().all(|known| known.text != call.text)
        {
            self.0.push(call);
        }
        ControlFlow::Continue(())
    }
}

fn collect(statement: &EngineStatement, calls: &mut Calls) {
    // The visitor never breaks off.
    let _ = match statement {
        EngineStatement::Statement(statement) => statement.visit(calls),
        EngineStatement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => query.visit(calls),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        EngineStatement::Explain(explain) => {
            collect(&explain.statement, calls);
            ControlFlow::Continue(())
        }
        EngineStatement::CreateExternalTable(_) | EngineStatement::Reset(_) => {
            ControlFlow::Continue(())
        }
    };
}

fn reader_call(factor: &TableFactor) -> Option<Call> {
    let (name, args) = call_parts(factor)?;
    let function = function_name(name)?;
    readers::by_function(&function)?;
    Some(Call {
        text: call_text(&function, args),
        args: args.to_vec(),
        function,
    })
}

fn function_name(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [part] => Some(part.as_ident()?.value.to_lowercase()),
        _ => None,
    }
}

fn call_text(function: &str, args: &[FunctionArg]) -> String {
    let args: Vec<_> = args.iter().map(ToString::to_string).collect();
    format!("{function}({})", args.join(", "))
}

async fn open(access: &Access, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let Some(format) = readers::by_function(&call.function) else {
        return plan_err!("there is no reader {}", call.function);
    };
    let (paths, options) = readers::call::arguments(format.as_ref(), &call.args)?;
    readers::open(access.clone(), format, paths, options).await
}

/// Puts the tables of reader calls into plans.
#[derive(Debug)]
struct ReaderPlanner {
    /// By the call's text.
    tables: HashMap<String, (TableReference, Arc<dyn TableProvider>)>,
}

impl RelationPlanner for ReaderPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        _context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some(call) = reader_call(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some((name, table)) = self.tables.get(&call.text) else {
            return plan_err!("{}: the files were not looked at", call.text);
        };
        scan_instead(
            relation,
            name.clone(),
            provider_as_source(Arc::clone(table)),
        )
    }
}
