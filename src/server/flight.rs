//! Flight's requests. arrow-flight hands those that are Flight SQL's to [`super::commands`]; GetSchema, which it
//! does not know, is answered here.

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::{Any, Command};
use arrow_flight::{
    Action, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo,
    SchemaAsIpc, SchemaResult, Ticket,
};
use prost::Message;
use tonic::{Request, Response, Status, Streaming};

use super::encode::plain_schema;
use super::service::{Service, no_transactions, number, user};

/// The service with GetSchema.
pub struct Flight(pub Service);

impl Flight {
    /// The columns of what a command asks for. A query is planned for it and not run.
    async fn schema(&self, request: Request<FlightDescriptor>) -> Result<Schema, Status> {
        let user = user(&request)?;
        let command = &request.get_ref().cmd;
        let any = Any::decode(&**command)
            .map_err(|_| Status::invalid_argument("the command cannot be read"))?;
        let service = &self.0;
        match Command::try_from(any).map_err(|e| Status::invalid_argument(e.to_string()))? {
            Command::CommandStatementQuery(query) => {
                no_transactions(query.transaction_id.as_ref())?;
                let session = service.session_of(&user)?;
                let prepared = service.prepare(&session, &user, query.query).await?;
                service.columns(&user, session, Arc::new(prepared)).await
            }
            Command::CommandPreparedStatementQuery(query) => {
                let number = number(&query.prepared_statement_handle)?;
                let prepared = service.prepared.get(&user, number)?;
                let session = service.session_of(&user)?;
                service.columns(&user, session, prepared).await
            }
            // What is asked about the database is answered without any work.
            _ => {
                let info = FlightService::get_flight_info(service, request).await?;
                let schema = info.into_inner().try_decode_schema();
                schema.map_err(|error| Status::internal(error.to_string()))
            }
        }
    }
}

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = <Service as FlightService>::HandshakeStream;
    type ListFlightsStream = <Service as FlightService>::ListFlightsStream;
    type DoGetStream = <Service as FlightService>::DoGetStream;
    type DoPutStream = <Service as FlightService>::DoPutStream;
    type DoActionStream = <Service as FlightService>::DoActionStream;
    type ListActionsStream = <Service as FlightService>::ListActionsStream;
    type DoExchangeStream = <Service as FlightService>::DoExchangeStream;

    async fn get_schema(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        let schema = plain_schema(&self.schema(request).await?);
        let options = IpcWriteOptions::default();
        match SchemaResult::try_from(SchemaAsIpc::new(&schema, &options)) {
            Ok(schema) => Ok(Response::new(schema)),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        FlightService::handshake(&self.0, request).await
    }

    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        FlightService::list_flights(&self.0, request).await
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        FlightService::get_flight_info(&self.0, request).await
    }

    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        FlightService::poll_flight_info(&self.0, request).await
    }

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        FlightService::do_get(&self.0, request).await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        FlightService::do_put(&self.0, request).await
    }

    async fn do_action(
        &self,
        request: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        FlightService::do_action(&self.0, request).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        FlightService::list_actions(&self.0, request).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        FlightService::do_exchange(&self.0, request).await
    }
}
