//! What the server holds, and the steps of which Flight SQL's commands are made.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{Any, Command, CommandGetTables, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{
    CancelStatus, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket,
};
use datafusion::execution::memory_pool::MemoryConsumer;
use futures::TryStreamExt;
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Request, Response, Status};

use super::encode::plain_schema;
use super::jobs::{Turn, Workers};
use super::logins::Logins;
use super::planned::{self, Control, Planned, Rows, held, one_statement, sentence};
use super::prepared::{Prepared, PreparedStatements};
use super::queries::{Cancelled, Queries, Running};
use super::shares::Shares;
use super::status::status;
use super::stream::{FlightStream, send_batch};
use super::users::User;
use super::{catalog, info, parameters};
use crate::session::Session;
use crate::statements::Statement;

/// Bytes of parameters that a prepared statement holds.
const MOST_PARAMETERS: usize = 64 << 20;

/// The server as clients see it.
pub struct Service {
    pub session: Arc<Session>,
    pub workers: Workers,
    /// Bytes of the largest message that is sent.
    pub message_limit: usize,
    shares: Shares,
    /// None where nobody logs in.
    pub logins: Option<Arc<Logins>>,
    pub queries: Arc<Queries>,
    pub prepared: PreparedStatements,
    pub sql_info: SqlInfoData,
    pub type_info: XdbcTypeInfoData,
}

pub type Get = Result<Response<FlightStream>, Status>;
pub type Info = Result<Response<FlightInfo>, Status>;

impl Service {
    pub fn new(
        session: Arc<Session>,
        shares: Shares,
        workers: Workers,
        message_limit: usize,
        logins: Option<Arc<Logins>>,
        queries: Arc<Queries>,
    ) -> Result<Self, Status> {
        Ok(Self {
            session,
            shares,
            workers,
            message_limit,
            logins,
            queries,
            prepared: PreparedStatements::default(),
            sql_info: info::sql_info()?,
            type_info: info::type_info()?,
        })
    }

    /// The session for one statement of the user's, with memory of its own.
    pub fn session_of(&self, user: &User) -> Result<Arc<Session>, Status> {
        let session = self.session.with_memory(self.shares.of(user));
        session.map(Arc::new).map_err(|error| status(&error))
    }

    /// Keeps a result, and tells the client where to fetch it.
    pub fn offer(&self, running: Running, rows: Rows, descriptor: FlightDescriptor) -> Info {
        let schema = plain_schema(&rows.schema());
        let ticket = TicketStatementQuery {
            statement_handle: handle(running.keep(rows)?),
        };
        flight_info(descriptor, &schema, &ticket)
    }

    pub fn batch(&self, batch: RecordBatch) -> Get {
        Ok(Response::new(send_batch(batch, self.message_limit)?))
    }

    pub async fn tables(
        &self,
        user: &User,
        command: CommandGetTables,
    ) -> Result<RecordBatch, Status> {
        let session = self.session_of(user)?;
        self.workers
            .run(async move {
                let tables = catalog::tables(&session, command).await;
                tables.map_err(|error| status(&error))
            })
            .await
    }

    pub async fn update(
        &self,
        user: &User,
        session: Arc<Session>,
        planned: Planned,
    ) -> Result<i64, Status> {
        if let Planned::Control(control) = planned {
            self.control(user, control)?;
            return Ok(0);
        }
        let turn = planned.turn();
        let work = async move {
            let written = planned.update(&session).await;
            written.map_err(|error| status(&error))
        };
        let written = self.workers.run_in_turn(user, turn, work).await?;
        // Flight SQL's word for unknown: a query writes nothing.
        Ok(written.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX)))
    }

    fn control(&self, user: &User, control: Control) -> Result<RecordBatch, Status> {
        match control {
            Control::ShowQueries => self.queries.show(user),
            Control::CancelQuery(number) => {
                let said = match self.queries.cancel(user, number)? {
                    Cancelled::Before => format!("cancelled query {number}, which had not started"),
                    Cancelled::Running => format!("told query {number} to stop"),
                };
                sentence(said).map_err(|error| status(&error))
            }
        }
    }

    /// A prepared statement with its values, and the session to run it in. It is planned again, in `session`, if it
    /// ran before.
    pub async fn bound(
        &self,
        user: &User,
        session: Arc<Session>,
        prepared: Arc<Prepared>,
    ) -> Result<(Arc<Session>, Planned), Status> {
        let waits = planned::waits(&prepared.statement);
        let work = async move {
            let bound = prepared.bound(session).await;
            bound.map_err(|error| status(&error))
        };
        self.plan(user, waits, work).await
    }

    /// The one statement of a client's text.
    async fn parsed(&self, session: &Arc<Session>, sql: String) -> Result<Statement, Status> {
        let session = Arc::clone(session);
        self.workers
            .run(async move { one_statement(&session, &sql).map_err(|error| status(&error)) })
            .await
    }

    /// Plans, in the user's turn if the statement waits for one: planning computes the tables of calls such as
    /// `design_matrix((SELECT …))`.
    async fn plan<T: Send + 'static>(
        &self,
        user: &User,
        waits: bool,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        match waits {
            true => self.workers.run_in_turn(user, Turn::Reader, work).await,
            false => self.workers.run(work).await,
        }
    }

    pub async fn planned(
        &self,
        user: &User,
        session: Arc<Session>,
        sql: String,
    ) -> Result<Planned, Status> {
        let statement = self.parsed(&session, sql).await?;
        let waits = planned::waits(&statement);
        let work = async move {
            let planned = async {
                let planned = planned::plan(&session, statement).await?;
                let parameters = match planned.logical() {
                    Some(plan) => parameters::schema(plan)?,
                    None => Schema::empty(),
                };
                planned.bind(&parameters, None)
            };
            planned.await.map_err(|error| status(&error))
        };
        let planned = self.plan(user, waits, work).await?;
        planned.permit(user)?;
        Ok(planned)
    }

    /// The columns of a statement's result; none where it gives no rows. A query is planned to its end, as only then
    /// all is known of them, but where its parameters have no values yet.
    pub async fn columns(
        &self,
        user: &User,
        session: Arc<Session>,
        prepared: Arc<Prepared>,
    ) -> Result<Schema, Status> {
        match &prepared.columns {
            None => return Ok(Schema::empty()),
            Some(columns) if !prepared.is_bound() => return Ok(columns.clone()),
            Some(_) => {}
        }
        let (session, planned) = self.bound(user, session, prepared).await?;
        let rows = self.ready(user, session, planned).await?;
        Ok(rows.schema().as_ref().clone())
    }

    /// Plans a statement to run it later.
    pub async fn prepare(
        &self,
        session: &Arc<Session>,
        user: &Arc<User>,
        sql: String,
    ) -> Result<Prepared, Status> {
        let statement = self.parsed(session, sql).await?;
        let waits = planned::waits(&statement);
        let work = Prepared::new(Arc::clone(session), Arc::clone(user), statement);
        self.plan(user, waits, work).await
    }

    /// Makes a result ready: what changes something is done now, once.
    pub async fn ready(
        &self,
        user: &User,
        session: Arc<Session>,
        planned: Planned,
    ) -> Result<Rows, Status> {
        if let Planned::Control(control) = planned {
            // It does not wait for a turn: it may be wanted because there is none.
            let batch = self.control(user, control)?;
            return held(batch.schema(), vec![batch]).map_err(|error| status(&error));
        }
        let is_query = matches!(planned, Planned::Query(_));
        let turn = planned.turn();
        let work = async move {
            let rows = planned.ready(&session).await;
            rows.map_err(|error| status(&error))
        };
        // A query is only planned now; it waits for its turn when its rows are fetched.
        match is_query {
            true => self.workers.run(work).await,
            false => self.workers.run_in_turn(user, turn, work).await,
        }
    }

    /// Keeps the values that a client sends for a prepared statement.
    pub async fn keep_values(
        &self,
        user: &User,
        handle: &Bytes,
        stream: PeekableFlightDataStream,
    ) -> Result<(), Status> {
        let prepared = self.prepared.get(user, number(handle)?)?;
        let values = self.workers.run(values(stream)).await?;
        let memory = MemoryConsumer::new("parameters").register(&self.shares.of(user));
        let kept = memory.try_grow(values.get_array_memory_size());
        kept.map_err(|error| status(&error))?;
        prepared.set_values(values, memory);
        Ok(())
    }

    pub fn cancel(&self, user: &User, info: &FlightInfo) -> Result<CancelStatus, Status> {
        let ticket = info.endpoint.first().and_then(|e| e.ticket.as_ref());
        let Some(ticket) = ticket else {
            return Err(Status::invalid_argument("the FlightInfo has no ticket"));
        };
        let any = Any::decode(&*ticket.ticket).map_err(|_| no_ticket())?;
        match Command::try_from(any).map_err(|_| no_ticket())? {
            Command::TicketStatementQuery(ticket) => {
                match self
                    .queries
                    .cancel(user, number(&ticket.statement_handle)?)?
                {
                    Cancelled::Before => Ok(CancelStatus::Cancelled),
                    Cancelled::Running => Ok(CancelStatus::Cancelling),
                }
            }
            _ => Ok(CancelStatus::NotCancellable),
        }
    }
}

/// Who sent a request, as the guard before this service found out.
pub fn user<T>(request: &Request<T>) -> Result<Arc<User>, Status> {
    match request.extensions().get::<Arc<User>>() {
        Some(user) => Ok(Arc::clone(user)),
        None => Err(Status::unauthenticated("nobody has logged in")),
    }
}

fn no_ticket() -> Status {
    Status::invalid_argument("the ticket is none of this server's")
}

pub fn handle(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

pub fn number(handle: &Bytes) -> Result<u64, Status> {
    let text = std::str::from_utf8(handle).map_err(|_| no_ticket())?;
    text.parse().map_err(|_| no_ticket())
}

pub fn flight_info(
    descriptor: FlightDescriptor,
    schema: &Schema,
    ticket: &impl ProstMessageExt,
) -> Info {
    let ticket = Ticket::new(ticket.as_any().encode_to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| Status::internal(error.to_string()))?
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket))
        .with_descriptor(descriptor);
    Ok(Response::new(info))
}

pub fn ipc(schema: &Schema) -> Result<Bytes, Status> {
    let message: Result<IpcMessage, _> =
        SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into();
    match message {
        Ok(IpcMessage(bytes)) => Ok(bytes),
        Err(error) => Err(Status::internal(error.to_string())),
    }
}

/// All rows of parameters that a client sends.
async fn values(stream: PeekableFlightDataStream) -> Result<RecordBatch, Status> {
    let messages = stream.map_err(FlightError::from);
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut all = Vec::new();
    let mut bytes = 0;
    while let Some(batch) = batches.try_next().await.map_err(malformed)? {
        bytes += batch.get_array_memory_size();
        if bytes > MOST_PARAMETERS {
            return Err(Status::resource_exhausted(format!(
                "the parameters take more than {MOST_PARAMETERS} bytes; bulk ingest takes as many rows as there are"
            )));
        }
        all.push(batch);
    }
    let Some(schema) = batches.schema() else {
        return Err(Status::invalid_argument("the client sent no parameters"));
    };
    concat_batches(schema, &all).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn malformed(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::invalid_argument(format!("the parameters cannot be read: {other}")),
    }
}

pub fn no_transactions(transaction: Option<&Bytes>) -> Result<(), Status> {
    match transaction {
        None => Ok(()),
        Some(_) => Err(transactions()),
    }
}

pub fn transactions() -> Status {
    Status::unimplemented(
        "transactions are not supported: each statement happens wholly or not at all",
    )
}
