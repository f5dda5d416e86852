//! Flight SQL's commands, each handed to the part that knows it.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::server::{FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionCancelQueryRequest, ActionCancelQueryResult,
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult, ActionEndSavepointRequest, ActionEndTransactionRequest,
    CommandGetCatalogs, CommandGetCrossReference, CommandGetDbSchemas, CommandGetExportedKeys,
    CommandGetImportedKeys, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes,
    CommandGetTables, CommandGetXdbcTypeInfo, CommandPreparedStatementQuery,
    CommandPreparedStatementUpdate, CommandStatementIngest, CommandStatementQuery,
    CommandStatementUpdate, DoPutPreparedStatementResult, SqlInfo, TicketStatementQuery,
};
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, FlightDescriptor,
    FlightInfo, HandshakeRequest, HandshakeResponse, Ticket,
};
use prost::Message;
use prost::bytes::Bytes;
use tonic::{Request, Response, Status, Streaming};

use super::encode::plain_schema;
use super::jobs::Turn;
use super::service::{
    Get, Info, Service, flight_info, handle, ipc, no_transactions, number, transactions, user,
};
use super::stream::send;
use super::{catalog, ingest};

/// Flight's own action, which Flight SQL's trait leaves to us.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

#[tonic::async_trait]
impl FlightSqlService for Service {
    type FlightService = Service;

    /// Answers a login, which the guard has verified, with a token for the requests to come.
    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<<Self as FlightService>::HandshakeStream>, Status> {
        let Some(logins) = &self.logins else {
            return Err(Status::failed_precondition(
                "this server has no users; connect without a password",
            ));
        };
        let token = logins.token(&user(&request)?);
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
        let session = self.session_of(&user)?;
        let running = self.queries.begin(&user, &query.query);
        let rows = running
            .or_cancelled(async {
                let planned = self.planned(&user, Arc::clone(&session), query.query);
                self.ready(&user, session, planned.await?).await
            })
            .await?;
        self.offer(running, rows, request.into_inner())
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Info {
        let user = user(&request)?;
        let number = number(&query.prepared_statement_handle)?;
        let prepared = self.prepared.get(&user, number)?;
        let session = self.session_of(&user)?;
        let running = self.queries.begin(&user, prepared.text());
        let rows = running
            .or_cancelled(async {
                let (session, planned) = self.bound(&user, session, prepared).await?;
                self.ready(&user, session, planned).await
            })
            .await?;
        self.offer(running, rows, request.into_inner())
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
        let session = self.session_of(&user)?;
        let running = self.queries.begin(&user, &command.query);
        running
            .or_cancelled(async {
                let planned = self.planned(&user, Arc::clone(&session), command.query);
                self.update(&user, session, planned.await?).await
            })
            .await
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
        let prepared = self.prepared.get(&user, number(&handle)?)?;
        let session = self.session_of(&user)?;
        let running = self.queries.begin(&user, prepared.text());
        running
            .or_cancelled(async {
                let (session, planned) = self.bound(&user, session, prepared).await?;
                self.update(&user, session, planned).await
            })
            .await
    }

    async fn do_put_statement_ingest(
        &self,
        command: CommandStatementIngest,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let user = user(&request)?;
        user.may_write()?;
        let session = self.session_of(&user)?;
        let messages = request.into_inner();
        let running = self
            .queries
            .begin(&user, &format!("ingest into {}", command.table));
        let rows = running
            .or_cancelled(self.workers.run_in_turn(&user, Turn::Writer, async move {
                ingest::ingest(&session, command, messages).await
            }))
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
        let session = self.session_of(&owner)?;
        let running = self
            .queries
            .begin(&owner, &format!("prepare {}", query.query));
        let prepared = running
            .or_cancelled(self.prepare(&session, &owner, query.query))
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

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Get {
        let user = user(&request)?;
        self.batch(self.tables(&user, query).await?)
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
