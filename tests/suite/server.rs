//! The server, asked by arrow-flight's own client on the loopback.

use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    Any, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo,
    CommandStatementIngest, CommandStatementQuery, ProstMessageExt, SqlInfo,
    TableDefinitionOptions, TableExistsOption, TableNotExistOption, TicketStatementQuery,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, FlightData, FlightDescriptor, FlightInfo, Ticket,
};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use tonic::Code;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use voxql::server::users::{self, Entry, Role, Secret, User};
use voxql::server::{Options, Server, Tls};
use voxql::session::{Session, Settings};

type Client = FlightSqlServiceClient<Channel>;

const OPTIONS: Options = Options {
    listen: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
    query_timeout: None,
    max_queries: 16,
    message_limit: 16 << 20,
    users: None,
    tls: None,
    metrics: None,
    allow_insecure_remote: false,
};

/// A server of this process, with a database of its own.
async fn serve(options: &Options) -> (Arc<Session>, SocketAddr) {
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(Arc::clone(&session), options, threads)
        .await
        .unwrap();
    let address = server.address().unwrap();
    tokio::spawn(server.run(pending()));
    (session, address)
}

async fn connect(address: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
}

async fn start() -> Client {
    connect(serve(&OPTIONS).await.1).await
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

#[tokio::test(flavor = "multi_thread")]
async fn statements() {
    let mut client = start().await;
    let batch = ask(
        &mut client,
        "SELECT 1 AS one, 'sea' AS word, CAST(NULL AS DOUBLE) AS x;",
    )
    .await
    .unwrap();
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "sea");
    // An empty result has columns.
    let batch = ask(&mut client, "SELECT 1 AS one WHERE false")
        .await
        .unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (0, 1));
    // What changes something is done when the client is told where its result is.
    let said = client
        .execute("CREATE TABLE t AS SELECT 7 AS n".to_string(), None)
        .await
        .unwrap();
    assert_eq!(number(&mut client, "SELECT n FROM t").await, 7);
    let said = fetch(&mut client, said).await.unwrap();
    assert_eq!(
        said.column(0).as_string::<i32>().value(0),
        "created table t (1 row)"
    );
    let update = |sql: &str| sql.to_string();
    let insert = "INSERT INTO t SELECT value FROM generate_series(1, 5)";
    assert_eq!(
        client.execute_update(update(insert), None).await.unwrap(),
        5
    );
    assert_eq!(number(&mut client, "SELECT count(*) FROM t").await, 6);
    assert_eq!(
        client
            .execute_update(update("DROP TABLE t"), None)
            .await
            .unwrap(),
        0
    );
    // Statements of VoxQL's own.
    assert!(ask(&mut client, "SHOW MODELS").await.unwrap().num_rows() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why() {
    let mut client = start().await;
    for (sql, code, said) in [
        ("SELEC 1", Code::InvalidArgument, "syntax error"),
        ("SELECT x FROM nowhere", Code::InvalidArgument, "nowhere"),
        ("SELECT 1; SELECT 2", Code::InvalidArgument, "2 statements"),
        ("", Code::InvalidArgument, "no statement"),
        ("SELECT $1 + 1", Code::InvalidArgument, "parameter $1"),
        (
            "SET datafusion.execution.batch_size = 1",
            Code::Unimplemented,
            "settings",
        ),
        ("START TRANSACTION", Code::Unimplemented, "transactions"),
        ("BEGIN", Code::Unimplemented, "BEGIN"),
        ("PREPARE p AS SELECT 1", Code::Unimplemented, "PREPARE"),
        ("SELECT 1 / 0", Code::InvalidArgument, "Divide by zero"),
        ("DELETE FROM nowhere", Code::InvalidArgument, "nowhere"),
    ] {
        let (found, text) = refusal(&mut client, sql).await;
        assert!(
            found == code && text.contains(said),
            "{sql}: {found:?} {text}"
        );
    }
    let error = client.begin_transaction().await.unwrap_err();
    assert_eq!(refused(error).0, Code::Unimplemented);
    let error = client
        .execute("SELECT 1".to_string(), Some("tx".into()))
        .await
        .unwrap_err();
    assert_eq!(refused(error).0, Code::Unimplemented);
    // After all that the server still answers.
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_fetched_once() {
    let mut client = start().await;
    let info = client.execute("SELECT 1".to_string(), None).await.unwrap();
    fetch(&mut client, info.clone()).await.unwrap();
    let error = client.do_get(ticket(&info)).await.err().unwrap();
    assert_eq!(refused(error).0, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements() {
    let mut client = start().await;
    client
        .execute_update("CREATE TABLE t (n BIGINT, word VARCHAR)".to_string(), None)
        .await
        .unwrap();
    let values = |numbers: Vec<i64>, words: Vec<&str>| {
        RecordBatch::try_from_iter([
            ("0", Arc::new(Int64Array::from(numbers)) as ArrayRef),
            ("1", Arc::new(StringArray::from(words)) as ArrayRef),
        ])
        .unwrap()
    };
    let insert = "INSERT INTO t VALUES (?, ?)".to_string();
    let mut insert = client.prepare(insert, None).await.unwrap();
    let types: Vec<_> = insert
        .parameter_schema()
        .unwrap()
        .fields()
        .iter()
        .map(|f| f.data_type().clone())
        .collect();
    assert_eq!(types, [DataType::Int64, DataType::Utf8]);
    assert!(insert.dataset_schema().unwrap().fields().is_empty());
    insert
        .set_parameters(values(vec![1, 2, 3], vec!["a", "b", "c"]))
        .unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), 3);
    insert.set_parameters(values(vec![4], vec!["d"])).unwrap();
    assert_eq!(insert.execute_update().await.unwrap(), 1);
    insert.close().await.unwrap();

    let select = "SELECT n FROM t WHERE n > $1 AND word <> $2 ORDER BY n".to_string();
    let mut select = client.prepare(select, None).await.unwrap();
    assert_eq!(select.dataset_schema().unwrap().field(0).name(), "n");
    for (least, count) in [(0, 3), (2, 1), (9, 0)] {
        select
            .set_parameters(values(vec![least], vec!["d"]))
            .unwrap();
        let info = select.execute().await.unwrap();
        assert_eq!(
            fetch(&mut client, info).await.unwrap().num_rows(),
            count,
            "{least}"
        );
    }
    // The next run sees what was written after the statement was prepared.
    client
        .execute_update("INSERT INTO t VALUES (10, 'z')".to_string(), None)
        .await
        .unwrap();
    select.set_parameters(values(vec![9], vec!["d"])).unwrap();
    let info = select.execute().await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 1);
    let closed = select.clone();
    select.close().await.unwrap();
    let mut closed = closed;
    assert_eq!(
        refused(closed.execute().await.unwrap_err()).0,
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_creates_appends_and_replaces() {
    let mut client = start().await;
    let batches = vec![rows(0..1000), rows(1000..1500)];
    assert_eq!(
        ingest(&mut client, create("t"), batches).await.unwrap(),
        1500
    );
    let sum = "SELECT sum(n) FROM t";
    assert_eq!(number(&mut client, sum).await, 1499 * 1500 / 2);
    let again = ingest(&mut client, create("t"), vec![rows(0..2)])
        .await
        .unwrap_err();
    assert_eq!(refused(again).0, Code::AlreadyExists);
    assert_eq!(
        ingest(&mut client, append("t"), vec![rows([1])])
            .await
            .unwrap(),
        1
    );
    assert_eq!(number(&mut client, sum).await, 1499 * 1500 / 2 + 1);
    let missing = ingest(&mut client, append("u"), vec![rows([1])])
        .await
        .unwrap_err();
    assert_eq!(refused(missing).0, Code::NotFound);
    let replace = into("t", TableNotExistOption::Create, TableExistsOption::Replace);
    assert_eq!(
        ingest(&mut client, replace, vec![rows([5])]).await.unwrap(),
        1
    );
    assert_eq!(number(&mut client, sum).await, 5);
    let either = into("u", TableNotExistOption::Create, TableExistsOption::Append);
    for _ in 0..2 {
        ingest(&mut client, either.clone(), vec![rows([5])])
            .await
            .unwrap();
    }
    assert_eq!(number(&mut client, "SELECT count(*) FROM u").await, 2);
    // Names are taken as they are.
    ingest(&mut client, create("My Table"), vec![rows([5])])
        .await
        .unwrap();
    assert_eq!(number(&mut client, "SELECT n FROM \"My Table\"").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn ingest_happens_wholly_or_not_at_all() {
    let mut client = start().await;
    ingest(&mut client, create("t"), vec![rows([1])])
        .await
        .unwrap();
    // Columns go by name, are cast, and those that are not sent are NULL.
    client
        .execute_update("CREATE TABLE two (word VARCHAR, n INT)".to_string(), None)
        .await
        .unwrap();
    ingest(&mut client, append("two"), vec![rows([3])])
        .await
        .unwrap();
    assert_eq!(
        number(
            &mut client,
            "SELECT count(*) FROM two WHERE word IS NULL AND n = 3"
        )
        .await,
        1
    );
    let too_large = ingest(&mut client, append("two"), vec![rows([1]), rows([1 << 40])]).await;
    assert!(too_large.is_err());
    assert_eq!(number(&mut client, "SELECT count(*) FROM two").await, 1);
    let other: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("m", other)]).unwrap();
    let (_, text) = refused(
        ingest(&mut client, append("t"), vec![other])
            .await
            .unwrap_err(),
    );
    assert!(text.contains("no column m; it has n"), "{text}");
    for command in [
        CommandStatementIngest {
            temporary: true,
            ..create("x")
        },
        CommandStatementIngest {
            schema: Some("other".to_string()),
            ..create("x")
        },
        CommandStatementIngest {
            transaction_id: Some("1".into()),
            ..create("x")
        },
        CommandStatementIngest {
            table: String::new(),
            ..create("x")
        },
    ] {
        assert!(ingest(&mut client, command, vec![rows([1])]).await.is_err());
    }
    // A client that breaks off in the middle of its rows.
    let sent = futures::stream::iter([Ok(rows(0..100_000))]);
    let endless = sent.chain(futures::stream::pending());
    let broken = client.execute_ingest(append("t"), endless);
    assert!(
        tokio::time::timeout(Duration::from_millis(300), broken)
            .await
            .is_err()
    );
    assert_eq!(number(&mut client, "SELECT count(*) FROM t").await, 1);
    // The lock is free again.
    ingest(&mut client, append("t"), vec![rows([2])])
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wide_rows_come_in_messages_that_fit() {
    let options = Options {
        message_limit: 4 << 20,
        ..OPTIONS
    };
    let (_, address) = serve(&options).await;
    let mut client = connect(address).await;
    let width = 230_000;
    let vectors = |width: usize, rows: usize| {
        let values = Float32Array::from_iter_values((0..rows * width).map(|i| i as f32));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let list = FixedSizeListArray::new(item, width as i32, Arc::new(values), None);
        RecordBatch::try_from_iter([("v", Arc::new(list) as ArrayRef)]).unwrap()
    };
    let brain = vectors(width, 30);
    ingest(&mut client, create("brain"), vec![brain.clone()])
        .await
        .unwrap();
    let info = client
        .execute("SELECT v FROM brain".to_string(), None)
        .await
        .unwrap();
    let mut stream = client
        .inner_mut()
        .do_get(ticket(&info))
        .await
        .unwrap()
        .into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(message.encoded_len() < 4 << 20);
        messages.push(message);
    }
    assert!(messages.len() > 10, "{}", messages.len());
    let back = ask(&mut client, "SELECT v FROM brain").await.unwrap();
    assert_eq!(back.column(0), brain.column(0));
    // One row above the limit.
    ingest(&mut client, create("wide"), vec![vectors(1_100_000, 1)])
        .await
        .unwrap();
    let (code, text) = refusal(&mut client, "SELECT v FROM wide").await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(
        text.contains("--max-message-size") && text.contains("with_max_msg_size"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata() {
    let mut client = start().await;
    client
        .execute_update(
            "CREATE TABLE t AS SELECT 1 AS n, 'a' AS word".to_string(),
            None,
        )
        .await
        .unwrap();
    client
        .execute_update("CREATE VIEW v AS SELECT n FROM t".to_string(), None)
        .await
        .unwrap();
    let text = |batch: &RecordBatch, column: usize| {
        let column = arrow::compute::cast(batch.column(column), &DataType::Utf8).unwrap();
        column
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    let info = client.get_catalogs().await.unwrap();
    assert_eq!(text(&fetch(&mut client, info).await.unwrap(), 0), ["voxql"]);
    let info = client
        .get_db_schemas(CommandGetDbSchemas::default())
        .await
        .unwrap();
    assert_eq!(
        text(&fetch(&mut client, info).await.unwrap(), 1),
        ["public"]
    );
    let info = client.get_table_types().await.unwrap();
    assert_eq!(
        text(&fetch(&mut client, info).await.unwrap(), 0),
        ["TABLE", "VIEW"]
    );
    let asked = CommandGetTables {
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(asked.clone()).await.unwrap();
    let tables = fetch(&mut client, info).await.unwrap();
    assert_eq!(text(&tables, 2), ["t", "v"]);
    assert_eq!(text(&tables, 3), ["TABLE", "VIEW"]);
    let schema = tables.column(4).as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(arrow_flight::IpcMessage(schema.into())).unwrap();
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);
    let views = CommandGetTables {
        table_types: vec!["VIEW".to_string()],
        ..asked
    };
    let info = client.get_tables(views).await.unwrap();
    assert_eq!(text(&fetch(&mut client, info).await.unwrap(), 2), ["v"]);
    let info = client
        .get_sql_info(vec![
            SqlInfo::FlightSqlServerName,
            SqlInfo::FlightSqlServerTransaction,
        ])
        .await
        .unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 2);
    let info = client
        .get_xdbc_type_info(CommandGetXdbcTypeInfo::default())
        .await
        .unwrap();
    assert!(fetch(&mut client, info).await.unwrap().num_rows() > 10);
    let keys = CommandGetPrimaryKeys {
        table: "t".to_string(),
        ..CommandGetPrimaryKeys::default()
    };
    let info = client.get_primary_keys(keys).await.unwrap();
    assert_eq!(fetch(&mut client, info).await.unwrap().num_rows(), 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_cancelled_by_its_ticket() {
    let mut client = start().await;
    let cancel = |info: &FlightInfo| Action {
        r#type: "CancelFlightInfo".to_string(),
        body: CancelFlightInfoRequest {
            info: Some(info.clone()),
        }
        .encode_to_vec()
        .into(),
    };
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    client.do_action(cancel(&info)).await.unwrap();
    let end = loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break refused(error),
            None => panic!("a cancelled query looks like a whole one"),
        }
    };
    assert_eq!(end.0, Code::Cancelled);
    // One that was never fetched.
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    client.do_action(cancel(&info)).await.unwrap();
    assert_eq!(
        refused(client.do_get(ticket(&info)).await.err().unwrap()).0,
        Code::NotFound
    );
    let error = client.do_action(cancel(&info)).await.err().unwrap();
    assert_eq!(refused(error).0, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_shown_and_cancelled_by_their_number() {
    let (_, address) = serve(&OPTIONS).await;
    let mut client = connect(address).await;
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let mut other = connect(address).await;
    let shown = ask(&mut other, "SHOW QUERIES").await.unwrap();
    // The one that runs, and the question itself.
    assert_eq!(shown.num_rows(), 2);
    let text = |column: usize| shown.column(column).as_string::<i32>().value(0).to_string();
    assert_eq!((text(2).as_str(), text(4).as_str()), ("sending", ENDLESS));
    let number = shown.column(0).as_primitive::<UInt64Type>().value(0);
    let said = ask(&mut other, &format!("CANCEL QUERY {number}"))
        .await
        .unwrap();
    assert_eq!(
        said.column(0).as_string::<i32>().value(0),
        format!("told query {number} to stop")
    );
    loop {
        match stream.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break assert_eq!(refused(error).0, Code::Cancelled),
            None => panic!("a cancelled query looks like a whole one"),
        }
    }
    let (code, _) = refusal(&mut other, &format!("CANCEL QUERY {number}")).await;
    assert_eq!(code, Code::NotFound);
    // A statement that is done before its result is fetched.
    let mut writer = connect(address).await;
    let table = format!("CREATE TABLE t AS {ENDLESS}");
    let writing = tokio::spawn(async move { refusal(&mut writer, &table).await.0 });
    let number = loop {
        let shown = ask(&mut other, "SHOW QUERIES").await.unwrap();
        let texts = shown.column(4).as_string::<i32>();
        if texts.value(0).starts_with("CREATE TABLE") {
            break shown.column(0).as_primitive::<UInt64Type>().value(0);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    ask(&mut other, &format!("CANCEL QUERY {number}"))
        .await
        .unwrap();
    assert_eq!(writing.await.unwrap(), Code::Cancelled);
    assert_eq!(ask(&mut other, "SHOW QUERIES").await.unwrap().num_rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_query() {
    let (session, address) = serve(&OPTIONS).await;
    let mut client = connect(address).await;
    let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = client.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    drop(client);
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_stopped() {
    let options = Options {
        query_timeout: Some(Duration::from_millis(500)),
        ..OPTIONS
    };
    let (session, address) = serve(&options).await;
    let mut client = connect(address).await;
    let (code, text) = refusal(&mut client, ENDLESS).await;
    assert_eq!(code, Code::DeadlineExceeded);
    assert!(text.contains("--query-timeout"), "{text}");
    // Where the work is done before rows are fetched.
    let table = format!("CREATE TABLE t AS {ENDLESS}");
    assert_eq!(refusal(&mut client, &table).await.0, Code::DeadlineExceeded);
    assert!(ask(&mut client, "SELECT * FROM t").await.is_err());
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_s_heavy_queries_do_not_starve_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let entries = [
        entry("heavy", Role::ReadOnly, "correct horse"),
        entry("light", Role::ReadOnly, "battery staple"),
    ];
    users::write(&file, &entries).unwrap();
    let options = Options {
        users: Some(file),
        max_queries: 4,
        ..OPTIONS
    };
    let (session, address) = serve(&options).await;
    let mut first = connect(address).await;
    first.handshake("heavy", "correct horse").await.unwrap();
    let token = first.token().unwrap().to_string();
    let (mut heavy, mut streams) = (vec![first], Vec::new());
    for _ in 0..12 {
        // A connection each: what is not read of one result holds up all others of its connection.
        let mut client = connect(address).await;
        client.set_token(token.clone());
        let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
        let mut stream = client.do_get(ticket(&info)).await.unwrap();
        // Three run and are not read; nine wait for them.
        if streams.len() < 3 {
            stream.next().await.unwrap().unwrap();
        }
        streams.push(stream);
        heavy.push(client);
    }
    let mut light = connect(address).await;
    light.handshake("light", "battery staple").await.unwrap();
    for _ in 0..20 {
        let answer = tokio::time::timeout(Duration::from_secs(20), number(&mut light, "SELECT 1"));
        assert_eq!(answer.await.unwrap(), 1);
    }
    drop(streams);
    drop(heavy);
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_errors() {
    let mut client = start().await;
    let garbage = vec![0xff; 100];
    let flight = client.inner_mut();
    assert!(
        flight
            .get_flight_info(FlightDescriptor::new_cmd(garbage.clone()))
            .await
            .is_err()
    );
    assert!(
        flight
            .get_flight_info(FlightDescriptor::new_path(vec!["x".to_string()]))
            .await
            .is_err()
    );
    assert!(flight.do_get(Ticket::new(garbage.clone())).await.is_err());
    assert!(flight.do_get(Ticket::new(Vec::new())).await.is_err());
    let forged = TicketStatementQuery {
        statement_handle: "12 or so".into(),
    };
    assert!(
        flight
            .do_get(Ticket::new(forged.as_any().encode_to_vec()))
            .await
            .is_err()
    );
    let cut = Any {
        value: vec![0x0a, 0xff].into(),
        ..CommandStatementQuery::default().as_any()
    };
    assert!(
        flight
            .get_flight_info(FlightDescriptor::new_cmd(cut.encode_to_vec()))
            .await
            .is_err()
    );
    for action in [
        "CancelFlightInfo",
        "CancelQuery",
        "CreatePreparedStatement",
        "Nonsense",
    ] {
        let action = Action {
            r#type: action.to_string(),
            body: garbage.clone().into(),
        };
        assert!(flight.do_action(action).await.is_err());
    }
    // Rows that are none.
    let descriptor = FlightDescriptor::new_cmd(create("t").as_any().encode_to_vec());
    let data = |header: Vec<u8>, body: Vec<u8>| FlightData {
        flight_descriptor: Some(descriptor.clone()),
        data_header: header.into(),
        data_body: body.into(),
        ..FlightData::default()
    };
    for message in [
        data(garbage.clone(), Vec::new()),
        data(Vec::new(), garbage.clone()),
    ] {
        assert!(
            flight
                .do_put(futures::stream::iter([message]))
                .await
                .is_err()
        );
    }
    // A header that promises more than the body has.
    let good =
        arrow_flight::utils::batches_to_flight_data(&rows(0..1000).schema(), vec![rows(0..1000)])
            .unwrap();
    let mut cut: Vec<FlightData> = good;
    cut[0].flight_descriptor = Some(descriptor.clone());
    cut[1].data_body = cut[1].data_body.slice(0..64);
    assert!(flight.do_put(futures::stream::iter(cut)).await.is_err());
    assert!(ask(&mut client, "SELECT * FROM t").await.is_err());
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() {
    let (session, address) = serve(&OPTIONS).await;
    let mut first = connect(address).await;
    ingest(&mut first, create("shared"), vec![rows(0..1000)])
        .await
        .unwrap();
    let end = Instant::now() + Duration::from_secs(4);
    let clients = (0..16).map(|i| async move {
        let mut client = connect(address).await;
        let mut appended = 0;
        while Instant::now() < end {
            match appended % 3 {
                0 => assert_eq!(number(&mut client, "SELECT min(n) FROM shared").await, 0),
                1 => assert!(
                    ask(&mut client, "SELECT nothing FROM shared")
                        .await
                        .is_err()
                ),
                _ => {
                    let sql =
                        "SELECT n, repeat('x', 2000) AS x FROM shared WHERE n < 1000 LIMIT 1000";
                    assert_eq!(ask(&mut client, sql).await.unwrap().num_rows(), 1000);
                }
            }
            ingest(&mut client, append("shared"), vec![rows([1000 + i])])
                .await
                .unwrap();
            appended += 1;
        }
        appended
    });
    let appended: i64 = futures::future::join_all(clients).await.into_iter().sum();
    assert!(appended >= 16, "{appended}");
    assert_eq!(
        number(&mut first, "SELECT count(*) FROM shared").await,
        1000 + appended
    );
    until_idle(&session).await;
}

async fn not_bound(options: &Options) -> String {
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(session, options, threads).await;
    server.err().unwrap().to_string()
}

#[tokio::test]
async fn other_machines_are_not_served_by_accident() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    users::write(&users, &[entry("ana", Role::ReadWrite, "correct horse")]).unwrap();
    let tls = certificate(folder.path());
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:31337"] {
        let listen = listen.parse().unwrap();
        for (users, tls) in [
            (None, None),
            (Some(users.clone()), None),
            (None, Some(tls.clone())),
            (Some(users.clone()), Some(tls.clone())),
        ] {
            let options = Options {
                listen,
                users,
                tls,
                ..OPTIONS
            };
            let error = not_bound(&options).await;
            assert!(error.contains("other machines reach"), "{error}");
        }
    }
    let options = Options {
        listen: "0.0.0.0:0".parse().unwrap(),
        allow_insecure_remote: true,
        ..OPTIONS
    };
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    assert!(Server::bind(session, &options, threads).await.is_ok());
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "# nobody\n").unwrap();
    let error = not_bound(&Options {
        users: Some(empty),
        ..OPTIONS
    })
    .await;
    assert!(error.contains("no users"), "{error}");
}

fn entry(name: &str, role: Role, password: &str) -> Entry {
    let user = User {
        name: name.to_string(),
        role,
    };
    Entry::new(user, Secret::Password, password).unwrap()
}

/// A certificate that the program made.
fn certificate(folder: &Path) -> Tls {
    let made = Command::new(env!("CARGO_BIN_EXE_voxql"))
        .args([
            "certificate",
            "--host",
            "localhost",
            "--host",
            "127.0.0.1",
            "--dir",
        ])
        .arg(folder)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    Tls {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_and_may_what_their_role_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let entries = [
        entry("ana", Role::ReadWrite, "correct horse"),
        entry("ben", Role::ReadOnly, "battery staple"),
    ];
    users::write(&file, &entries).unwrap();
    let options = Options {
        users: Some(file),
        ..OPTIONS
    };
    let (_, address) = serve(&options).await;
    let mut nobody = connect(address).await;
    assert_eq!(
        refusal(&mut nobody, "SELECT 1").await.0,
        Code::Unauthenticated
    );
    assert!(
        ingest(&mut nobody, create("t"), vec![rows([1])])
            .await
            .is_err()
    );
    assert!(nobody.handshake("ana", "wrong").await.is_err());
    nobody.set_token("made up".to_string());
    assert_eq!(
        refusal(&mut nobody, "SELECT 1").await.0,
        Code::Unauthenticated
    );

    let mut ana = connect(address).await;
    ana.handshake("ana", "correct horse").await.unwrap();
    ana.execute_update("CREATE TABLE t AS SELECT 1 AS n".to_string(), None)
        .await
        .unwrap();
    let mut ben = connect(address).await;
    ben.handshake("ben", "battery staple").await.unwrap();
    assert_eq!(number(&mut ben, "SELECT n FROM t").await, 1);
    assert!(ask(&mut ben, "SHOW MODELS").await.unwrap().num_rows() > 0);
    let target = folder.path().join("out.parquet");
    let copy = format!("COPY t TO '{}' STORED AS PARQUET", target.display());
    for sql in [
        "CREATE TABLE u AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "INSERT INTO t VALUES (2)",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (2)",
        "DROP TABLE t",
        "DROP MODEL IF EXISTS m",
        copy.as_str(),
    ] {
        let (code, text) = refusal(&mut ben, sql).await;
        assert_eq!(code, Code::PermissionDenied, "{sql}: {text}");
        assert!(text.contains("ben may only read"), "{text}");
        let update = ben.execute_update(sql.to_string(), None).await.unwrap_err();
        assert_eq!(refused(update).0, Code::PermissionDenied, "{sql}");
        let prepared = ben.prepare(sql.to_string(), None).await.unwrap_err();
        assert_eq!(refused(prepared).0, Code::PermissionDenied, "{sql}");
    }
    let denied = ingest(&mut ben, append("t"), vec![rows([1])])
        .await
        .unwrap_err();
    assert_eq!(refused(denied).0, Code::PermissionDenied);
    assert!(!target.exists());
    assert_eq!(number(&mut ana, "SELECT count(*) FROM t").await, 1);
    // A result is for the one who asked.
    let info = ana
        .execute("SELECT n FROM t".to_string(), None)
        .await
        .unwrap();
    let stolen = ben.do_get(ticket(&info)).await.err().unwrap();
    assert_eq!(refused(stolen).0, Code::NotFound);
    assert_eq!(fetch(&mut ana, info).await.unwrap().num_rows(), 1);
}

/// A page over HTTP/1.1, headers and all.
async fn page(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_for_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    users::write(&file, &[entry("ana", Role::ReadOnly, "correct horse")]).unwrap();
    let options = Options {
        users: Some(file),
        metrics: Some(OPTIONS.listen),
        ..OPTIONS
    };
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(session, &options, threads).await.unwrap();
    let address = server.address().unwrap();
    let pages = server.metrics_address().unwrap().unwrap();
    tokio::spawn(server.run(pending()));
    assert!(page(pages, "/health").await.starts_with("HTTP/1.1 200"));
    let mut client = connect(address).await;
    assert!(client.handshake("ana", "wrong").await.is_err());
    client.handshake("ana", "correct horse").await.unwrap();
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
    assert!(ask(&mut client, "SELECT nothing").await.is_err());
    client.execute("SELECT 2".to_string(), None).await.unwrap();
    let text = page(pages, "/metrics").await;
    for line in [
        "voxql_statements_total{outcome=\"Ok\"} 1",
        "voxql_statements_total{outcome=\"InvalidArgument\"} 1",
        "voxql_statement_seconds_count 2",
        "voxql_failed_logins_total 1",
        "voxql_statements_running 0",
        "voxql_results_waiting 1",
        "voxql_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(page(pages, "/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let tls = certificate(folder.path());
    let root = std::fs::read(&tls.certificate).unwrap();
    let options = Options {
        tls: Some(tls.clone()),
        ..OPTIONS
    };
    let (_, address) = serve(&options).await;
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    let config =
        ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(root));
    let channel = endpoint
        .clone()
        .tls_config(config)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = FlightSqlServiceClient::new(channel);
    assert_eq!(number(&mut client, "SELECT 7").await, 7);
    // Whoever does not trust the certificate, or does not encrypt, is not served.
    let untrusting = endpoint.tls_config(ClientTlsConfig::new()).unwrap();
    assert!(untrusting.connect().await.is_err());
    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap();
    if let Ok(channel) = plain.connect().await {
        assert!(
            ask(&mut FlightSqlServiceClient::new(channel), "SELECT 7")
                .await
                .is_err()
        );
    }
    // A key that is none.
    let options = Options {
        tls: Some(Tls {
            key: tls.certificate.clone(),
            ..tls
        }),
        ..OPTIONS
    };
    let session = Arc::new(Session::open(Settings::default()).await.unwrap());
    let threads = tokio::runtime::Handle::current();
    let server = Server::bind(session, &options, threads).await.unwrap();
    let error = server.run(pending()).await.unwrap_err().to_string();
    assert!(error.contains("--tls-key"), "{error}");
}

#[test]
fn users_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let run = |arguments: &[&str], stdin: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_voxql"))
            .arg("user")
            .args(arguments)
            .arg("--users")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let ana = ["add", "ana", "--role", "read-write"];
    assert!(run(&ana, "correct horse\n").0);
    let (added, _, error) = run(&ana, "correct horse\n");
    assert!(!added && error.contains("already"), "{error}");
    let (added, _, error) = run(&["add", "ben", "--role", "read-only"], "short\n");
    assert!(!added && error.contains("8 characters"), "{error}");
    let (added, _, error) = run(&["add", "a b", "--role", "read-only"], "correct horse\n");
    assert!(!added && error.contains("no name"), "{error}");
    let (added, token, _) = run(&["add", "bot", "--role", "read-only", "--token"], "");
    assert!(
        added && token.starts_with("bot.") && token.trim().len() == 4 + 64,
        "{token}"
    );
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        !text.contains("horse") && !text.contains(token.trim()),
        "{text}"
    );
    assert_eq!(run(&["list"], "").1, "ana read-write\nbot read-only\n");
    assert!(run(&["remove", "ana"], "").0);
    assert!(!run(&["remove", "ana"], "").0);
    assert_eq!(run(&["list"], "").1, "bot read-only\n");
}

/// The program itself, and the address that it prints.
fn program(db: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_voxql"))
        .args(["serve", "--listen", "127.0.0.1:0", "--db"])
        .arg(db)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let address = line.trim().strip_prefix("listening on grpc://").unwrap();
    (child, address.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_acknowledged_ingest() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("study");
    let mut kept: i64 = 0;
    for round in 0..4 {
        let (mut child, address) = program(&db);
        let mut client = connect(address).await;
        let command = into("t", TableNotExistOption::Create, TableExistsOption::Append);
        for _ in 0..3 {
            kept += ingest(&mut client, command.clone(), vec![rows(0..1000)])
                .await
                .unwrap();
        }
        // Killed in the middle of one more, at another moment each round.
        let unacknowledged = tokio::spawn(async move {
            let many = vec![rows(0..200_000); 10];
            ingest(&mut client, command, many).await
        });
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        if let Ok(rows) = unacknowledged.await.unwrap() {
            kept += rows;
        }
        let (mut child, address) = program(&db);
        let mut client = connect(address).await;
        let found = number(&mut client, "SELECT count(*) FROM t").await;
        // The last may have happened without its acknowledgement; then it did so wholly.
        assert!(
            found == kept || found == kept + 2_000_000,
            "{found} of {kept} rows"
        );
        kept = found;
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_stops_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, address) = program(folder.path());
    let mut client = connect(address).await;
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
    let asked = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(asked.success());
    let started = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(started.elapsed() < Duration::from_secs(20), "it still runs"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success());
}
