//! A large result through the server, beside the same through a bare arrow-flight server.
//!
//! Both serve rows that are in memory, on the loopback, to the same client. The bare server is
//! arrow-flight's encoder over a stream of batches, as its examples have it: no SQL, no turns, no
//! users. Wide rows are vectors of 768 numbers, narrow ones a time and a word.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::datasource::MemTable;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use voxql::server::{Options, Server};
use voxql::session::{Session, Settings};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Serves the same batches to whoever asks.
struct Bare(Vec<RecordBatch>);

type Answer<T> = Result<Response<T>, Status>;

fn no<T>() -> Answer<T> {
    Err(Status::unimplemented("only do_get"))
}

#[tonic::async_trait]
impl FlightService for Bare {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(&self, _: Request<Ticket>) -> Answer<Self::DoGetStream> {
        let batches = futures::stream::iter(self.0.clone().into_iter().map(Ok));
        let messages = FlightDataEncoderBuilder::new().build(batches);
        Ok(Response::new(messages.map_err(Status::from).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Answer<Self::HandshakeStream> {
        no()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        no()
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        no()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        no()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        no()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        no()
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Answer<Self::DoExchangeStream> {
        no()
    }

    async fn do_action(&self, _: Request<Action>) -> Answer<Self::DoActionStream> {
        no()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        no()
    }
}

async fn connect(address: SocketAddr) -> FlightSqlServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    FlightSqlServiceClient::new(endpoint.connect().await.expect("the server listens"))
}

/// A client of a bare server.
async fn bare(batches: Vec<RecordBatch>) -> FlightSqlServiceClient<Channel> {
    let listener = TcpListener::bind(LOOPBACK).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serve = tonic::transport::Server::builder()
        .add_service(FlightServiceServer::new(Bare(batches)))
        .serve_with_incoming(incoming);
    tokio::spawn(serve);
    connect(address).await
}

/// A client of a VoxQL server, with the batches as the table `t`.
async fn ours(batches: Vec<RecordBatch>) -> FlightSqlServiceClient<Channel> {
    let session = Session::open(Settings::default()).await.expect("a session");
    let table = MemTable::try_new(batches[0].schema(), vec![batches]).expect("equal columns");
    let context = session.context();
    context
        .register_table("t", Arc::new(table))
        .expect("t is new");
    let options = Options {
        listen: LOOPBACK,
        ..Options::default()
    };
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(Arc::new(session), &options, threads);
    let server = server.await.expect("a free port");
    let address = server.address().expect("it is bound");
    tokio::spawn(server.run(std::future::pending()));
    connect(address).await
}

/// Rows that arrive.
async fn rows(client: &mut FlightSqlServiceClient<Channel>, ticket: Ticket) -> usize {
    let batches = client.do_get(ticket).await.expect("the result is there");
    batches
        .try_fold(0, async |rows, batch| Ok(rows + batch.num_rows()))
        .await
        .expect("the result is whole")
}

fn wide() -> Vec<RecordBatch> {
    const WIDTH: usize = 768;
    let batch = |first: usize| {
        let numbers = Float32Array::from_iter_values((0..1024 * WIDTH).map(|i| (first + i) as f32));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let vectors = FixedSizeListArray::new(item, WIDTH as i32, Arc::new(numbers), None);
        RecordBatch::try_from_iter([("v", Arc::new(vectors) as ArrayRef)]).expect("one column")
    };
    (0..160).map(batch).collect()
}

fn narrow() -> Vec<RecordBatch> {
    let batch = |first: usize| {
        let numbers = first * 8192..(first + 1) * 8192;
        let times = Float64Array::from_iter_values(numbers.clone().map(|i| i as f64 / 25.0));
        let words = StringArray::from_iter_values(numbers.map(|i| format!("word {i}")));
        RecordBatch::try_from_iter([
            ("time", Arc::new(times) as ArrayRef),
            ("word", Arc::new(words) as ArrayRef),
        ])
        .expect("columns of equal length")
    };
    (0..1024).map(batch).collect()
}

fn flight(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    for (name, batches) in [("wide", wide()), ("narrow", narrow())] {
        let bytes: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let all: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let mut group = criterion.benchmark_group(format!("flight, {name}"));
        group.sample_size(10);
        group.throughput(Throughput::Bytes(bytes as u64));
        let mut bare = runtime.block_on(bare(batches.clone()));
        group.bench_function("bare", |bencher| {
            bencher.iter(|| {
                let got = runtime.block_on(rows(&mut bare, Ticket::new("")));
                assert_eq!(got, all);
            });
        });
        let mut ours = runtime.block_on(ours(batches));
        group.bench_function("voxql", |bencher| {
            bencher.iter(|| {
                let got = runtime.block_on(async {
                    let info = ours.execute("SELECT * FROM t".to_string(), None).await;
                    let info = info.expect("t is there");
                    let ticket = info.endpoint[0].ticket.clone().expect("a ticket");
                    rows(&mut ours, ticket).await
                });
                assert_eq!(got, all);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, flight);
criterion_main!(benches);
