//! From a client's text to rows: what a statement is, and how it is started.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result, not_impl_err, plan_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{
    DdlStatement, LogicalPlan, ResetVariable, SetVariable, Statement as SessionStatement,
};
use datafusion::physical_plan::memory::MemoryStream;
use futures::TryStreamExt;
use tonic::Status;

use super::jobs::Turn;
use super::parameters;
use super::users::User;
use crate::index;
use crate::models::show;
use crate::session::{Answer, AnswerKind, Session};
use crate::statements::{self, Kind, Statement};

/// A statement that was looked at and not run.
pub enum Planned {
    /// Gives rows and changes nothing.
    Query(LogicalPlan),
    /// Does something: tables, views, INSERT, COPY.
    Change { plan: LogicalPlan, text: String },
    /// A statement of VoxQL's own, planned as it runs.
    Own(Statement),
    /// About the server itself, which does it at once.
    Control(Control),
}

/// Statements about the server's statements.
#[derive(Clone, Copy)]
pub enum Control {
    ShowQueries,
    CancelQuery(u64),
}

/// A result that nobody has fetched yet.
pub enum Rows {
    /// It starts with the first rows that are asked for, and waits for its turn.
    Query(SendableRecordBatchStream),
    /// They are there already.
    Held(SendableRecordBatchStream),
}

impl Rows {
    pub fn schema(&self) -> SchemaRef {
        match self {
            Self::Query(rows) | Self::Held(rows) => rows.schema(),
        }
    }
}

/// Bytes of a statement's text. As tokens it takes a hundred times as much memory, which nobody counts.
const LONGEST: usize = 4 << 20;

/// The one statement of a client's text.
pub fn one_statement(session: &Session, sql: &str) -> Result<Statement> {
    if sql.len() > LONGEST {
        return plan_err!(
            "the statement has {} bytes, and {LONGEST} is the most; many rows are sent as parameters, or by bulk ingest",
            sql.len()
        );
    }
    let mut statements = session.parse(sql)?;
    match (statements.pop(), statements.len()) {
        (Some(mut statement), 0) => {
            if let Kind::Engine(engine) = &mut statement.kind {
                parameters::number(engine)?;
            }
            Ok(statement)
        }
        (None, _) => plan_err!("there is no statement in the text"),
        (Some(_), more) => plan_err!(
            "there are {} statements in the text; a client sends one at a time",
            more + 1
        ),
    }
}

/// Whether a statement waits for a turn: not those about queries, which may be wanted because there is none.
pub fn waits(statement: &Statement) -> bool {
    !matches!(statement.kind, Kind::ShowQueries | Kind::CancelQuery(_))
}

/// Plans a statement. It looks at the files that the statement names, and computes the tables of
/// calls such as `design_matrix((SELECT …))`; nothing is changed.
///
/// # Errors
/// Those of planning, and for statements about the session, which lasts for one statement.
pub async fn plan(session: &Session, statement: Statement) -> Result<Planned> {
    match statement.kind {
        Kind::Engine(engine) => {
            let plan = statements::plan::plan(&session.context().state(), *engine).await?;
            match plan {
                LogicalPlan::Statement(statement) => refuse(&statement),
                plan if changes(&plan) => Ok(Planned::Change {
                    plan,
                    text: statement.text,
                }),
                plan => Ok(Planned::Query(plan)),
            }
        }
        Kind::ShowModels => Ok(Planned::Query(show::show(
            session.models(),
            session.context(),
        )?)),
        Kind::ShowIndexes => Ok(Planned::Query(index::show::show(
            session.indexes(),
            session.context(),
        )?)),
        Kind::ShowQueries => Ok(Planned::Control(Control::ShowQueries)),
        Kind::CancelQuery(number) => Ok(Planned::Control(Control::CancelQuery(number))),
        _ => Ok(Planned::Own(statement)),
    }
}

fn changes(plan: &LogicalPlan) -> bool {
    matches!(
        plan,
        LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_)
    )
}

fn refuse<T>(statement: &SessionStatement) -> Result<T> {
    match statement {
        SessionStatement::TransactionStart(_) | SessionStatement::TransactionEnd(_) => {
            not_impl_err!(
                "transactions are not supported: each statement happens wholly or not at all"
            )
        }
        SessionStatement::SetVariable(SetVariable { variable, .. })
        | SessionStatement::ResetVariable(ResetVariable { variable }) => not_impl_err!(
            "{variable} cannot be set through the server: each statement has a session of its own, which ends with it. \
             Run the statements that need it in the shell, voxql --db, or in a program that opens the database"
        ),
        SessionStatement::Prepare(_)
        | SessionStatement::Execute(_)
        | SessionStatement::Deallocate(_) => not_impl_err!(
            "PREPARE is not supported by the server: clients prepare statements by themselves, with ? or $1 for values"
        ),
    }
}

impl Planned {
    /// Refuses what the user may not do.
    pub fn permit(&self, user: &User) -> Result<(), Status> {
        match self.writes() {
            true => user.may_write(),
            false => Ok(()),
        }
    }

    fn writes(&self) -> bool {
        match self {
            // EXPLAIN ANALYZE runs what it explains.
            Self::Query(plan) => plan.exists(|node| Ok(changes(node))).unwrap_or(true),
            Self::Change { .. } => true,
            Self::Own(statement) => !matches!(statement.kind, Kind::ExplainAlign(_)),
            // One's own queries are one's own.
            Self::Control(_) => false,
        }
    }

    /// What it waits for. A COPY writes, but not the database.
    pub fn turn(&self) -> Turn {
        match self {
            Self::Change { plan, .. } if !matches!(plan, LogicalPlan::Copy(_)) => Turn::Writer,
            Self::Own(_) if self.writes() => Turn::Writer,
            _ => Turn::Reader,
        }
    }

    /// The plan that may have parameters.
    pub fn logical(&self) -> Option<&LogicalPlan> {
        match self {
            Self::Query(plan) | Self::Change { plan, .. } => Some(plan),
            Self::Own(_) | Self::Control(_) => None,
        }
    }

    /// Puts values for the parameters in.
    pub fn bind(self, parameters: &Schema, values: Option<&RecordBatch>) -> Result<Self> {
        let put = |plan| match values {
            Some(values) => parameters::bind(plan, parameters, values),
            None => {
                parameters::none_left(parameters)?;
                Ok(plan)
            }
        };
        match self {
            Self::Query(plan) => Ok(Self::Query(put(plan)?)),
            // It is kept as it was written, without the values.
            Self::Change {
                plan: LogicalPlan::Ddl(DdlStatement::CreateView(view)),
                ..
            } if !parameters.fields().is_empty() => plan_err!(
                "view {}: a view has no parameters; write the values themselves",
                view.name
            ),
            Self::Change { plan, text } => Ok(Self::Change {
                plan: put(plan)?,
                text,
            }),
            _ if values.is_some() => {
                plan_err!("this statement has no parameters, and values were given")
            }
            own => Ok(own),
        }
    }

    /// Makes the result ready. A query does not start before its rows are asked for. What changes
    /// something is done when this returns, and has one row that says what was done.
    pub async fn ready(self, session: &Session) -> Result<Rows> {
        match self {
            Self::Query(plan) => Ok(Rows::Query(session.run_rows(plan).await?.stream)),
            Self::Change { plan, text } => {
                let answer = session.execute_plan(plan, &text).await?;
                said(answer, true).await
            }
            Self::Own(statement) => said(session.execute(statement).await?, false).await,
            Self::Control(_) => plan_err!("this is for the server"),
        }
    }

    /// Runs it to its end for a client that wants no rows. Gives the rows that were written; none
    /// where the statement is a query.
    pub async fn update(self, session: &Session) -> Result<Option<u64>> {
        let (answer, query) = match self {
            Self::Query(plan) => (session.run_rows(plan).await?, true),
            Self::Change { plan, text } => (session.execute_plan(plan, &text).await?, false),
            Self::Own(statement) => (session.execute(statement).await?, false),
            Self::Control(_) => return plan_err!("this is for the server"),
        };
        let mut counted = answer.written.unwrap_or_default();
        let mut stream = answer.stream;
        while let Some(batch) = stream.try_next().await? {
            counted += count(&batch).unwrap_or_default();
        }
        Ok((!query).then_some(counted))
    }
}

/// What DataFusion's writers answer: the column `count`.
fn count(batch: &RecordBatch) -> Option<u64> {
    let column = batch.column_by_name("count")?;
    let counts = column.as_any().downcast_ref::<UInt64Array>()?;
    Some(counts.iter().flatten().sum())
}

/// The rows of an answer, or the sentence that it is.
async fn said(answer: Answer, to_its_end: bool) -> Result<Rows> {
    let AnswerKind::Done(text_said) = answer.kind else {
        if !to_its_end {
            return Ok(Rows::Query(answer.stream));
        }
        let schema = answer.stream.schema();
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
        return held(schema, batches);
    };
    let batch = sentence(text_said)?;
    held(batch.schema(), vec![batch])
}

/// What was done, as a result.
pub fn sentence(text: String) -> Result<RecordBatch> {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "result",
        DataType::Utf8,
        false,
    )]));
    let column = Arc::new(StringArray::from(vec![text]));
    Ok(RecordBatch::try_new(schema, vec![column])?)
}

pub fn held(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Rows> {
    let stream = MemoryStream::try_new(batches, schema, None)?;
    Ok(Rows::Held(Box::pin(stream)))
}
