//! The server, asked by arrow-flight's own client on the loopback.

mod ending;
mod ingest;
mod many;
mod memory;
mod messages;
mod metadata;
mod operate;
mod paths;
mod remote;
mod statements;
mod stopping;
mod users;
mod views;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandStatementIngest, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use arrow_flight::{FlightInfo, Ticket};
use futures::{StreamExt, TryStreamExt};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use voxql::server::users::{Entry, Role, Secret, User};
use voxql::server::{Options, Server};
use voxql::session::{Session, Settings};

type Client = FlightSqlServiceClient<Channel>;

/// The options of a server for this machine.
fn on_a_free_port() -> Options {
    Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ..Options::default()
    }
}

/// A server of this process, with a database of its own.
async fn serve(options: &Options) -> (Arc<Session>, SocketAddr) {
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let address = serve_session(Arc::clone(&session), options).await;
    (session, address)
}

async fn serve_session(session: Arc<Session>, options: &Options) -> SocketAddr {
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(session, options, threads).await.unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.run(pending()));
    address
}

async fn connect(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
}

async fn start() -> Client {
    connect(serve(&on_a_free_port()).await.1).await
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().unwrap()
}

/// The rows of a result, of the columns that were promised.
async fn fetch(client: &mut Client, info: FlightInfo) -> Result<RecordBatch, FlightError> {
    let stream = client.do_get(ticket(&info)).await?;
    let promised = info.try_decode_schema().unwrap();
    let mut stream = std::pin::pin!(stream);
    let batches: Vec<RecordBatch> = stream.by_ref().try_collect().await?;
    assert_eq!(**stream.schema().unwrap(), promised);
    Ok(arrow::compute::concat_batches(&Arc::new(promised), &batches).unwrap())
}

async fn ask(client: &mut Client, sql: &str) -> Result<RecordBatch, FlightError> {
    let info = client.execute(sql.to_string(), None).await?;
    fetch(client, info).await
}

async fn number(client: &mut Client, sql: &str) -> i64 {
    let batch = ask(client, sql).await.unwrap();
    batch.column(0).as_primitive::<Int64Type>().value(0)
}

fn refused(error: FlightError) -> (Code, String) {
    match error {
        FlightError::Tonic(status) => (status.code(), status.message().to_string()),
        other => panic!("not refused by the server: {other}"),
    }
}

async fn refusal(client: &mut Client, sql: &str) -> (Code, String) {
    refused(ask(client, sql).await.unwrap_err())
}

fn rows(numbers: impl IntoIterator<Item = i64>) -> RecordBatch {
    let numbers: Int64Array = numbers.into_iter().map(Some).collect();
    RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap()
}

fn into(
    table: &str,
    missing: TableNotExistOption,
    there: TableExistsOption,
) -> CommandStatementIngest {
    CommandStatementIngest {
        table: table.to_string(),
        table_definition_options: Some(TableDefinitionOptions {
            if_not_exist: missing as i32,
            if_exists: there as i32,
        }),
        ..CommandStatementIngest::default()
    }
}

fn create(table: &str) -> CommandStatementIngest {
    into(table, TableNotExistOption::Create, TableExistsOption::Fail)
}

fn append(table: &str) -> CommandStatementIngest {
    into(table, TableNotExistOption::Fail, TableExistsOption::Append)
}

async fn ingest(
    client: &mut Client,
    command: CommandStatementIngest,
    batches: Vec<RecordBatch>,
) -> Result<i64, FlightError> {
    let stream = futures::stream::iter(batches.into_iter().map(Ok));
    client.execute_ingest(command, stream).await
}

/// A query that gives rows for hours.
const ENDLESS: &str = "SELECT a.value AS n, repeat('x', 1000) AS x FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b";

/// Waits until no query holds a plan any more.
async fn until_idle(session: &Session) {
    let started = Instant::now();
    while session.running_plan().is_some()
        || session.context().runtime_env().memory_pool.reserved() > 0
    {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the query still runs"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A file of users in `folder`, each with a role and a password.
fn users_file(folder: &Path, users: &[(&str, Role, &str)]) -> PathBuf {
    let entry = |(name, role, password): &(&str, Role, &str)| {
        let user = User {
            name: name.to_string(),
            role: *role,
        };
        Entry::new(user, Secret::Password, password).unwrap()
    };
    let entries: Vec<Entry> = users.iter().map(entry).collect();
    let file = folder.join("users");
    voxql::server::users::write(&file, &entries).unwrap();
    file
}

/// Of two users who read, one is to ask for much.
fn heavy_and_light(folder: &Path) -> PathBuf {
    let users = [
        ("heavy", Role::ReadOnly, "correct horse"),
        ("light", Role::ReadOnly, "battery staple"),
    ];
    users_file(folder, &users)
}
