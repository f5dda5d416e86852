//! Bulk ingest: a client's rows become a table, or more rows of one, in one staged write.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, IntervalUnit, Schema, SchemaRef};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{
    Column, Constraints, DataFusionError, Result, ScalarValue, TableReference, exec_err, plan_err,
};
use datafusion::datasource::provider_as_source;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{
    CreateMemoryTable, DdlStatement, Expr, LogicalPlan, LogicalPlanBuilder, cast, lit,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tonic::Status;

use super::status::status;
use crate::database::ObjectKind;
use crate::session::{CATALOG, SCHEMA, Session};

/// Writes the rows of `messages` as `command` says, and gives their number. After an error, or
/// when the client goes away, nothing is changed.
///
/// # Errors
/// For what the database does not have (transactions, temporary tables, other schemas); where the
/// table is there and should not be, or the other way round; for columns that the table does not
/// have; and those of the rows themselves.
pub async fn ingest(
    session: &Session,
    command: CommandStatementIngest,
    messages: impl Stream<Item = Result<arrow_flight::FlightData, Status>> + Send + 'static,
) -> Result<u64, Status> {
    refuse_the_unsupported(&command)?;
    let table = command.table.as_str();
    let options = command.table_definition_options.unwrap_or_default();
    let found = session.database().relation(table);
    let rows = rows_of(session, messages).await;
    let rows = rows.map_err(|error| status(&error))?;
    let plan = match found {
        None if options.if_not_exist == TableNotExistOption::Create as i32 => {
            match create(session, table, &rows, false).await {
                // Another client was faster.
                Err(_)
                    if options.if_exists == TableExistsOption::Append as i32
                        && session.database().exists(ObjectKind::Table, table) =>
                {
                    append(session, table, &rows).await
                }
                Err(_) if session.database().exists(ObjectKind::Table, table) => {
                    return Err(exists(table));
                }
                created => created,
            }
        }
        None => return Err(Status::not_found(format!("there is no table {table}"))),
        Some(ObjectKind::Table) if options.if_exists == TableExistsOption::Replace as i32 => {
            create(session, table, &rows, true).await
        }
        Some(ObjectKind::Table) if options.if_exists == TableExistsOption::Append as i32 => {
            append(session, table, &rows).await
        }
        Some(ObjectKind::Table) => return Err(exists(table)),
        Some(other) => {
            return Err(Status::already_exists(format!(
                "{table} exists as a {}; rows go into tables of the database",
                other.noun()
            )));
        }
    };
    plan.map_err(|error| status(&error))
}

fn exists(table: &str) -> Status {
    Status::already_exists(format!("table {table} exists; append to it or replace it"))
}

fn refuse_the_unsupported(command: &CommandStatementIngest) -> Result<(), Status> {
    let own = |given: &Option<String>, only: &str| match given.as_deref() {
        None | Some("") => true,
        Some(name) => name == only,
    };
    if command.transaction_id.is_some() {
        return Err(Status::unimplemented(
            "transactions are not supported: an ingest happens wholly or not at all",
        ));
    }
    if command.temporary {
        return Err(Status::unimplemented("temporary tables are not supported"));
    }
    if !own(&command.catalog, CATALOG) || !own(&command.schema, SCHEMA) {
        return Err(Status::invalid_argument(format!(
            "a VoxQL database has one schema, {CATALOG}.{SCHEMA}; leave it out"
        )));
    }
    if let Some(option) = command.options.keys().next() {
        return Err(Status::invalid_argument(format!(
            "there is no option {option} of ingest"
        )));
    }
    if command.table.is_empty() {
        return Err(Status::invalid_argument("the name of the table is missing"));
    }
    Ok(())
}

/// A plan that reads the client's rows; it can run once.
async fn rows_of(
    session: &Session,
    messages: impl Stream<Item = Result<arrow_flight::FlightData, Status>> + Send + 'static,
) -> Result<LogicalPlan> {
    // The schema comes first, and with it the stream knows the columns.
    let mut batches =
        FlightRecordBatchStream::new_from_flight_data(messages.map_err(FlightError::from));
    let first = batches.next().await.transpose().map_err(not_read)?;
    let Some(schema) = batches.schema().cloned() else {
        return exec_err!("the client sent no columns");
    };
    for (i, field) in schema.fields().iter().enumerate() {
        let name = field.name();
        if schema.fields()[..i].iter().any(|f| f.name() == name) {
            return plan_err!("two columns are called {name}");
        }
        if !is_storable(field.data_type()) {
            return plan_err!(
                "column {name}: a table has no {}; send it as another type",
                field.data_type()
            );
        }
    }
    // The batch at hand counts against the memory of all queries.
    let pool = &session.context().runtime_env().memory_pool;
    let held = MemoryConsumer::new("rows that a client sends").register(pool);
    let all = futures::stream::iter(first.map(Ok))
        .chain(batches.map_err(not_read))
        .map(move |batch: Result<RecordBatch>| {
            let batch = batch?;
            held.try_resize(batch.get_array_memory_size())?;
            Ok(batch)
        });
    let stream = RecordBatchStreamAdapter::new(Arc::clone(&schema), all);
    let source = Sent {
        schema: Arc::clone(&schema),
        stream: Mutex::new(Some(Box::pin(stream))),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(source)])?;
    LogicalPlanBuilder::scan("sent", provider_as_source(Arc::new(table)), None)?.build()
}

/// Whether Parquet has the type, as arrow-rs writes it.
fn is_storable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) | DataType::Interval(IntervalUnit::MonthDayNano) => false,
        DataType::Struct(fields) => {
            !fields.is_empty() && fields.iter().all(|f| is_storable(f.data_type()))
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => is_storable(item.data_type()),
        _ => true,
    }
}

fn not_read(error: FlightError) -> DataFusionError {
    let text = match error {
        FlightError::Tonic(status) => status.message().to_string(),
        other => other.to_string(),
    };
    DataFusionError::Execution(format!(
        "the rows that the client sent cannot be read: {text}"
    ))
}

async fn create(
    session: &Session,
    table: &str,
    rows: &LogicalPlan,
    or_replace: bool,
) -> Result<u64> {
    if rows.schema().fields().is_empty() {
        return plan_err!("table {table}: a table has at least one column");
    }
    let create = CreateMemoryTable {
        name: TableReference::bare(table),
        constraints: Constraints::default(),
        input: Arc::new(rows.clone()),
        if_not_exists: false,
        or_replace,
        column_defaults: Vec::new(),
        temporary: false,
    };
    let plan = LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(create));
    Ok(session
        .execute_plan(plan, "")
        .await?
        .written
        .unwrap_or_default())
}

async fn append(session: &Session, table: &str, rows: &LogicalPlan) -> Result<u64> {
    let name = TableReference::bare(table);
    let target = session.context().table_provider(name.clone()).await?;
    let input = as_columns_of(table, &target.schema(), rows)?;
    let plan =
        LogicalPlanBuilder::insert_into(input, name, provider_as_source(target), InsertOp::Append)?
            .build()?;
    Ok(session
        .execute_plan(plan, "")
        .await?
        .written
        .unwrap_or_default())
}

/// The rows in the table's columns, by name; a column that was not sent is NULL.
fn as_columns_of(table: &str, target: &Schema, rows: &LogicalPlan) -> Result<LogicalPlan> {
    let sent = rows.schema().as_arrow();
    for field in sent.fields() {
        if target.index_of(field.name()).is_err() {
            let columns: Vec<&str> = target.fields().iter().map(|f| f.name().as_str()).collect();
            return plan_err!(
                "table {table} has no column {}; it has {}",
                field.name(),
                columns.join(", ")
            );
        }
    }
    let columns = target.fields().iter().map(|field| {
        let value = match sent.index_of(field.name()) {
            Ok(_) => Expr::Column(Column::from_name(field.name())),
            Err(_) => lit(ScalarValue::Null),
        };
        cast(value, field.data_type().clone()).alias(field.name())
    });
    LogicalPlanBuilder::from(rows.clone())
        .project(columns.collect::<Vec<_>>())?
        .build()
}

/// The client's rows as a table of one partition.
struct Sent {
    schema: SchemaRef,
    /// Taken by the one run.
    stream: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rows that a client sends")
    }
}

impl PartitionStream for Sent {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _task: Arc<TaskContext>) -> SendableRecordBatchStream {
        match self.stream.lock().take() {
            Some(stream) => stream,
            None => {
                let again = DataFusionError::Execution(
                    "rows that a client sends are read once".to_string(),
                );
                let stream = futures::stream::iter([Err(again)]);
                Box::pin(RecordBatchStreamAdapter::new(
                    Arc::clone(&self.schema),
                    stream,
                ))
            }
        }
    }
}
