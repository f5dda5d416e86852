//! `EXPLAIN ALIGN`: which rows of which sources went into one row of a query, at what
//! times, and with what weights.
//!
//! The query's plan is rewritten so that each column carries its lineage with it
//! ([`trace`]), runs, and the lineages of the row that was asked for are shown ([`answer`]).
//! A [`flow`] says what an expression does to lineages, [`calls`] what aggregates and window
//! functions do; [`terms`] is a lineage as an Arrow column, and [`arithmetic`],
//! [`aggregates`] and [`windows`] are the functions on such columns.

mod aggregates;
mod answer;
mod arithmetic;
mod calls;
mod constants;
pub mod documentation;
mod flow;
mod responses;
mod row;
mod sources;
mod terms;
mod trace;
mod windows;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Column, Result, exec_err, plan_err};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::ExprWithAlias;
use futures::TryStreamExt;

use crate::session::{Answer, Session};
use crate::statements::parse::ExplainAlign;
use crate::statements::plan::plan;
use answer::Explained;
use constants::{Clock, Constants};
use sources::{KEYS, Registry};
use trace::{Tracer, Wanted};

/// Runs the statement.
///
/// # Errors
/// Those of the query; where no row meets the conditions, or several do.
pub async fn explain(session: &Session, statement: ExplainAlign) -> Result<Answer> {
    let state = session.context().state();
    let query = plan(&state, statement.query).await?;
    let mut conditions = Vec::new();
    for condition in statement.conditions {
        let expr = ExprWithAlias {
            expr: condition,
            alias: None,
        };
        conditions.push(state.create_logical_expr_from_sql_expr(expr, query.schema())?);
    }

    let constants = Constants(state);
    let responses = responses::responses(session.context(), &constants, &query).await?;
    let mut tracer = Tracer {
        registry: Arc::new(Registry::new(&session.context().runtime_env().memory_pool)),
        constants: &constants,
        responses: &responses,
        columns: 0,
    };
    let wanted = explained_columns(&query, &conditions)?;
    let traced = tracer.trace(&query, &wanted, &split(&conditions))?;

    // The row's lineages, and what tells when it was.
    let mut shown = Vec::new();
    let mut columns = Vec::new();
    for &i in &wanted {
        let Some(flow) = traced.flow_at(i)? else {
            continue;
        };
        shown.push(flow.expr);
        columns.push((traced.schema.field(i).name().clone(), flow.paths));
    }
    let own: Vec<Column> = query.schema().columns();
    let moments: Vec<Column> = ["time", "tr"]
        .iter()
        .filter_map(|name| own.iter().find(|c| c.name == *name))
        .cloned()
        .collect();
    shown.extend(moments.iter().cloned().map(Expr::Column));
    let mut rows = LogicalPlanBuilder::from(traced.plan);
    if let Some(condition) = conjunction(conditions.clone()) {
        rows = rows.filter(condition)?;
    }
    let rows = rows.project(shown)?.build()?;
    let row = one_row(session, rows, &conditions).await?;

    let clock = Clock::of(&query, &constants);
    let moment = |name: &str| -> Option<&ArrayRef> {
        let at = moments.iter().position(|c| c.name == name)?;
        row.columns().get(columns.len() + at)
    };
    let asked = moment("time")
        .and_then(answer::seconds)
        .or_else(|| clock?.time(whole(moment("tr")?)?));
    let explained: Vec<Explained> = columns
        .into_iter()
        .zip(row.columns())
        .map(|((name, paths), lineage)| Explained {
            name,
            paths,
            lineage: Arc::clone(lineage),
        })
        .collect();
    let table = answer::table(&tracer.registry, &explained, asked, clock)?;
    let frame = session.context().read_batch(table)?;
    session.run_rows(frame.into_unoptimized_plan()).await
}

/// The positions of the columns to explain: not the keys, and not what the conditions fix.
fn explained_columns(query: &LogicalPlan, conditions: &[Expr]) -> Result<Wanted> {
    if matches!(
        query,
        LogicalPlan::Ddl(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::Statement(_)
    ) {
        return plan_err!("EXPLAIN ALIGN explains a query: EXPLAIN ALIGN (tr = 60) SELECT …");
    }
    let fixed = |name: &str| {
        let mut columns = conditions.iter().flat_map(Expr::column_refs);
        columns.any(|column| column.name == name)
    };
    let wanted: Wanted = query
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !KEYS.contains(&field.name().as_str()) && !fixed(field.name()))
        .map(|(i, _)| i)
        .collect();
    if wanted.is_empty() {
        return plan_err!(
            "EXPLAIN ALIGN: the query has no column to explain, only keys ({})",
            query.schema().field_names().join(", ")
        );
    }
    Ok(wanted)
}

/// Runs the plan, of which one row is expected.
async fn one_row(session: &Session, rows: LogicalPlan, conditions: &[Expr]) -> Result<RecordBatch> {
    let answer = session.run_rows(rows).await?;
    let schema = answer.stream.schema();
    let mut stream = answer.stream;
    let mut batches = Vec::new();
    let mut count = 0;
    while let Some(batch) = stream.try_next().await? {
        count += batch.num_rows();
        // The first is enough to know that there are too many.
        if batches.is_empty() && batch.num_rows() > 0 {
            batches.push(batch.slice(0, 1));
        }
    }
    let given = match conjunction(conditions.to_vec()) {
        Some(condition) => format!("where {}", condition.human_display()),
        None => "in the result".to_string(),
    };
    match count {
        0 => exec_err!("EXPLAIN ALIGN: there is no row {given}"),
        1 => Ok(concat_batches(&schema, &batches)?),
        _ => exec_err!(
            "EXPLAIN ALIGN explains one row, and there are {count} {given}; add what tells them \
             apart: EXPLAIN ALIGN (subject = '01', tr = 60) SELECT …"
        ),
    }
}

/// Each condition by itself.
fn split(conditions: &[Expr]) -> Vec<Expr> {
    conditions
        .iter()
        .flat_map(|condition| split_conjunction(condition).into_iter().cloned())
        .collect()
}

fn whole(column: &ArrayRef) -> Option<i64> {
    let whole = cast(column, &DataType::Int64).ok()?;
    let whole = whole.as_primitive_opt::<Int64Type>()?;
    whole.iter().next().flatten()
}
