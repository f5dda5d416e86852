//! Flight SQL's commands, each handed to the part that knows it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, ActionEndSavepointRequest, ActionEndTransactionRequest,
    Any, Command, CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas,
    CommandGetExportedKeys, CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo,
    CommandGetTableTypes, CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, ProstMessageExt, SqlInfo,
    TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus,
    FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest, HandshakeResponse, IpcMessage,
    SchemaAsIpc, Ticket,
};
use futures::TryStreamExt;
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Request, Response, Status, Streaming};

use super::encode::plain_schema;
use super::jobs::Workers;
use super::planned::{self, Planned, Rows, one_statement};
use super::prepared::{Prepared, PreparedStatements};
use super::queries::{Cancelled, Queries};
use super::status::status;
use super::stream::{FlightStream, send, send_batch};
use super::users::{User, Users};
use super::{catalog, info, ingest};
use crate::session::Session;

/// Flight's own action, which Flight SQL's trait leaves to us.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

/// Bytes of parameters that a prepared statement holds.
const MOST_PARAMETERS: usize = 64 << 20;

/// The server as clients see it.
pub struct Service {
    session: Arc<Session>,
    workers: Workers,
    /// Bytes of the largest message that is sent.
    message_limit: usize,
    /// None where nobody logs in.
    users: Option<Arc<Users>>,
    queries: Arc<Queries>,
    prepared: PreparedStatements,
    sql_info: SqlInfoData,
    type_info: XdbcTypeInfoData,
}

type Get = Result<Response<FlightStream>, Status>;
type Info = Result<Response<FlightInfo>, Status>;

impl Service {
    pub fn new(
        session: Arc<Session>,
        workers: Workers,
        message_limit: usize,
        users: Option<Arc<Users>>,
    ) -> Result<Self, Status> {
        Ok(Self {
            session,
            workers,
            message_limit,
            users,
            queries: Arc::default(),
            prepared: PreparedStatements::default(),
            sql_info: info::sql_info()?,
            type_info: info::type_info()?,
        })
    }

    /// Keeps a result, and tells the client where to fetch it.
    fn offer(&self, owner: Arc<User>, rows: Rows, descriptor: FlightDescriptor) -> Info {
        let schema = plain_schema(&rows.schema());
        let ticket = TicketStatementQuery {
            statement_handle: handle(self.queries.keep(owner, rows)?),
        };
        flight_info(descriptor, &schema, &ticket)
    }

    fn batch(&self, batch: RecordBatch) -> Get {
        Ok(Response::new(send_batch(batch, self.message_limit)?))
    }

    async fn tables(&self, command: CommandGetTables) -> Result<RecordBatch, Status> {
        let session = Arc::clone(&self.session);
        self.workers
            .run(async move {
                let tables = catalog::tables(&session, command).await;
                tables.map_err(|error| status(&error))
            })
            .await
    }

    async fn update(&self, user: &User, planned: Planned) -> Result<i64, Status> {
        let session = Arc::clone(&self.session);
        let written = self
            .workers
            .run_in_turn(user, async move {
                let written = planned.update(&session).await;
                written.map_err(|error| status(&error))
            })
            .await?;
        // Flight SQL's word for unknown: a query writes nothing.
        Ok(written.map_or(-1, |rows| i64::try_from(rows).unwrap_or(i64::MAX)))
    }

    /// A prepared statement with its values, planned again if it ran before.
    async fn bound(&self, user: &User, handle: &Bytes) -> Result<Planned, Status> {
        let prepared = self.prepared.get(user, number(handle)?)?;
        let session = Arc::clone(&self.session);
        self.workers
            .run(async move {
                let bound = prepared.bound(&session).await;
                bound.map_err(|error| status(&error))
            })
            .await
    }

    async fn planned(&self, user: &User, sql: String) -> Result<Planned, Status> {
        let session = Arc::clone(&self.session);
        let planned = self
            .workers
            .run(async move {
                let planned = async {
                    let statement = one_statement(&session, &sql)?;
                    let planned = planned::plan(&session, statement).await?;
                    let parameters = match planned.logical() {
                        Some(plan) => super::parameters::schema(plan)?,
                        None => Schema::empty(),
                    };
                    planned.bind(&parameters, None)
                };
                planned.await.map_err(|error| status(&error))
            })
            .await?;
        planned.permit(user)?;
        Ok(planned)
    }

    /// Makes a result ready: what changes something is done now, once.
    async fn ready(&self, user: &User, planned: Planned) -> Result<Rows, Status> {
        let session = Arc::clone(&self.session);
        self.workers
            .run_in_turn(user, async move {
                let rows = planned.ready(&session).await;
                rows.map_err(|error| status(&error))
            })
            .await
    }

    /// Keeps the values that a client sends for a prepared statement.
    async fn keep_values(
        &self,
        user: &User,
        handle: &Bytes,
        stream: PeekableFlightDataStream,
    ) -> Result<(), Status> {
        let prepared = self.prepared.get(user, number(handle)?)?;
        let values = self.workers.run(values(stream)).await?;
        prepared.set_values(values);
        Ok(())
    }

    fn cancel(&self, user: &User, info: &FlightInfo) -> Result<CancelStatus, Status> {
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
fn user<T>(request: &Request<T>) -> Result<Arc<User>, Status> {
    match request.extensions().get::<Arc<User>>() {
        Some(user) => Ok(Arc::clone(user)),
        None => Err(Status::unauthenticated("nobody has logged in")),
    }
}

fn no_ticket() -> Status {
    Status::invalid_argument("the ticket is none of this server's")
}

fn handle(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

fn number(handle: &Bytes) -> Result<u64, Status> {
    let text = std::str::from_utf8(handle).map_err(|_| no_ticket())?;
    text.parse().map_err(|_| no_ticket())
}

fn flight_info(
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

fn ipc(schema: &Schema) -> Result<Bytes, Status> {
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

fn no_transactions(transaction: Option<&Bytes>) -> Result<(), Status> {
    match transaction {
        None => Ok(()),
        Some(_) => Err(transactions()),
    }
}

fn transactions() -> Status {
    Status::unimplemented(
        "transactions are not supported: each statement happens wholly or not at all",
    )
}

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Service;

    /// Answers a login, which the guard has verified, with a token for the requests to come.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<<Self as FlightService>::HandshakeStream>, Status> {
        let Some(users) = &self.users else {
            return Err(Status::failed_precondition(
                "this server has no users; connect without a password",
            ));
        };
        let token = users.token(&user(&request)?);
        let answer = HandshakeResponse {
            protocol_version: 0,
            payload: token.clone().into(),
        };
        let answer: <Self as FlightService>::HandshakeStream =
            Box::pin(futures::stream::iter([Ok(answer)]));
        let mut response = Response::new(answer);
        match format!("Bearer {token}").parse() {
            Ok(header) => response.metadata_mut().insert("authorization", header),
            Err(_) => return Err(Status::internal("the token is no header")),
        };
        Ok(response)
    }

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let user = user(&request)?;
        no_transactions(query.transaction_id.as_ref())?;
        let planned = self.planned(&user, query.query).await?;
        let rows = self.ready(&user, planned).await?;
        self.offer(user, rows, request.into_inner())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let user = user(&request)?;
        let planned = self.bound(&user, &query.prepared_statement_handle).await?;
        let rows = self.ready(&user, planned).await?;
        self.offer(user, rows, request.into_inner())
    }

    async fn do_get_statement(
        &self,
        ticket: TicketStatementQuery,
        request: Request<Ticket>,
    ) -> Get {
        let number = number(&ticket.statement_handle)?;
        let user = user(&request)?;
        let (rows, running) = self.queries.fetch(&user, number)?;
        let stream = send(&self.workers, &user, rows, running, self.message_limit);
        Ok(Response::new(stream))
    }

    async fn do_put_statement_update(
        &self,
        command: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        no_transactions(command.transaction_id.as_ref())?;
        let user = user(&request)?;
        let planned = self.planned(&user, command.query).await?;
        self.update(&user, planned).await
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let user = user(&request)?;
        let handle = query.prepared_statement_handle;
        self.keep_values(&user, &handle, request.into_inner())
            .await?;
        Ok(DoPutPreparedStatementResult {
            prepared_statement_handle: Some(handle),
        })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let user = user(&request)?;
        let handle = query.prepared_statement_handle;
        let mut stream = request.into_inner();
        // The values may come with the command, or have come before it.
        let first = stream.peek().await;
        let with_values = matches!(first, Some(Ok(first)) if !first.data_header.is_empty());
        if with_values {
            self.keep_values(&user, &handle, stream).await?;
        }
        let planned = self.bound(&user, &handle).await?;
        self.update(&user, planned).await
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let user = user(&request)?;
        user.may_write()?;
        let session = Arc::clone(&self.session);
        let messages = request.into_inner();
        let rows = self
            .workers
            .run_in_turn(&user, async move {
                ingest::ingest(&session, command, messages).await
            })
            .await?;
        Ok(i64::try_from(rows).unwrap_or(i64::MAX))
    }

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let owner = user(&request)?;
        no_transactions(query.transaction_id.as_ref())?;
        let session = Arc::clone(&self.session);
        let prepared = self
            .workers
            .run(async move {
                let statement = one_statement(&session, &query.query);
                let statement = statement.map_err(|error| status(&error))?;
                Prepared::new(&session, owner, statement).await
            })
            .await?;
        let dataset_schema = match &prepared.columns {
            Some(columns) => ipc(&plain_schema(columns))?,
            None => Bytes::new(),
        };
        let parameter_schema = ipc(&plain_schema(&prepared.parameters))?;
        Ok(ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle(self.prepared.keep(prepared)?),
            dataset_schema,
            parameter_schema,
        })
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        let number = number(&query.prepared_statement_handle)?;
        self.prepared.close(user(&request)?.as_ref(), number);
        Ok(())
    }

    async fn do_action_begin_transaction(
        &self,
        _: ActionBeginTransactionRequest,
        _: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        Err(transactions())
    }

    async fn do_action_end_transaction(
        &self,
        _: ActionEndTransactionRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Err(transactions())
    }

    async fn do_action_begin_savepoint(
        &self,
        _: ActionBeginSavepointRequest,
        _: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(transactions())
    }

    async fn do_action_end_savepoint(
        &self,
        _: ActionEndSavepointRequest,
        _: Request<Action>,
    ) -> Result<(), Status> {
        Err(transactions())
    }

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(&*query.info)
            .map_err(|_| Status::invalid_argument("the FlightInfo cannot be read"))?;
        // The two enumerations have the same numbers.
        let result = self.cancel(user(&request)?.as_ref(), &info)? as i32;
        Ok(ActionCancelQueryResult { result })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Result<Response<<Self as FlightService>::DoActionStream>, Status> {
        let user = user(&request)?;
        let action = request.into_inner();
        if action.r#type != CANCEL_FLIGHT_INFO {
            return Err(Status::unimplemented(format!(
                "there is no action {}",
                action.r#type
            )));
        }
        let request = CancelFlightInfoRequest::decode(&*action.body)
            .map_err(|_| Status::invalid_argument("the CancelFlightInfoRequest cannot be read"))?;
        let status = self.cancel(&user, &request.info.unwrap_or_default())? as i32;
        let body = CancelFlightInfoResult { status }.encode_to_vec().into();
        let result = futures::stream::iter([Ok(arrow_flight::Result { body })]);
        Ok(Response::new(Box::pin(result)))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        Some(vec![Ok(ActionType {
            r#type: CANCEL_FLIGHT_INFO.to_string(),
            description: "Cancels a query\nRequest: CancelFlightInfoRequest\nResponse: CancelFlightInfoResult"
                .to_string(),
        })])
    }

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Info {
        flight_info(request.into_inner(), &catalog::catalogs()?.schema(), &query)
    }

    async fn do_get_catalogs(&self, _: CommandGetCatalogs, _: Request<Ticket>) -> Get {
        self.batch(catalog::catalogs()?)
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = catalog::schemas(query.clone())?.schema();
        flight_info(request.into_inner(), &schema, &query)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, _: Request<Ticket>) -> Get {
        self.batch(catalog::schemas(query)?)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = query.clone().into_builder().schema();
        flight_info(request.into_inner(), &schema, &query)
    }

    async fn do_get_tables(&self, query: CommandGetTables, _: Request<Ticket>) -> Get {
        self.batch(self.tables(query).await?)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Info {
        flight_info(
            request.into_inner(),
            &catalog::table_types()?.schema(),
            &query,
        )
    }

    async fn do_get_table_types(&self, _: CommandGetTableTypes, _: Request<Ticket>) -> Get {
        self.batch(catalog::table_types()?)
    }

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Info {
        flight_info(request.into_inner(), &self.sql_info.schema(), &query)
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _: Request<Ticket>) -> Get {
        self.batch(self.sql_info.record_batch(query.info)?)
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Info {
        flight_info(request.into_inner(), &self.type_info.schema(), &query)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _: Request<Ticket>,
    ) -> Get {
        self.batch(self.type_info.record_batch(query.data_type)?)
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = catalog::no_primary_keys().schema();
        flight_info(request.into_inner(), &schema, &query)
    }

    async fn do_get_primary_keys(&self, _: CommandGetPrimaryKeys, _: Request<Ticket>) -> Get {
        self.batch(catalog::no_primary_keys())
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = catalog::no_foreign_keys().schema();
        flight_info(request.into_inner(), &schema, &query)
    }

    async fn do_get_exported_keys(&self, _: CommandGetExportedKeys, _: Request<Ticket>) -> Get {
        self.batch(catalog::no_foreign_keys())
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = catalog::no_foreign_keys().schema();
        flight_info(request.into_inner(), &schema, &query)
    }

    async fn do_get_imported_keys(&self, _: CommandGetImportedKeys, _: Request<Ticket>) -> Get {
        self.batch(catalog::no_foreign_keys())
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let schema = catalog::no_foreign_keys().schema();
        flight_info(request.into_inner(), &schema, &query)
    }

    async fn do_get_cross_reference(&self, _: CommandGetCrossReference, _: Request<Ticket>) -> Get {
        self.batch(catalog::no_foreign_keys())
    }

    async fn register_sql_info(&self, _: i32, _: &SqlInfo) {}
}
