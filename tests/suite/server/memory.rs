//! Memory: of a query, of a user, and what others have meanwhile.

use std::sync::Arc;

use arrow::array::AsArray;
use futures::StreamExt;
use tonic::Code;
use voxql::server::Options;
use voxql::session::{Session, Settings};

use super::{
    Client, ask, connect, heavy_and_light, number, on_a_free_port, refusal, refused, serve_session,
    ticket, until_idle,
};

/// Sorts 200 MB.
const SORT: &str = "SELECT CAST(max(place) AS BIGINT) FROM (SELECT row_number() OVER (ORDER BY x, n) AS place FROM \
    (SELECT value AS n, repeat(CAST(value * 7919 % 1000003 AS VARCHAR), 55) AS x FROM generate_series(1, 600000)))";

/// Holds 190 MB of one side, which a hash join does not spill.
pub const JOIN: &str = "SELECT count(*) FROM \
    (SELECT value AS n, repeat('x', 300) || CAST(value AS VARCHAR) AS x FROM generate_series(1, 600000)) a \
    JOIN (SELECT value AS n, repeat('y', 300) || CAST(value AS VARCHAR) AS y FROM generate_series(1, 600000)) b \
    ON a.n = b.n WHERE a.x <> b.y";

async fn session(memory: usize) -> Arc<Session> {
    let settings = Settings {
        memory_limit: Some(memory),
        shared: true,
        threads: Some(1),
        ..Settings::default()
    };
    Arc::new(Session::open(settings).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_has_its_limit_and_spills_at_it() {
    let session = session(1 << 30).await;
    let options = Options {
        query_memory: Some(120 << 20),
        ..on_a_free_port()
    };
    let address = serve_session(Arc::clone(&session), &options).await;
    let mut client = connect(address).await;
    assert_eq!(number(&mut client, SORT).await, 600_000);
    assert!(spills(&mut client).await > 0);
    let (code, text) = refusal(&mut client, JOIN).await;
    assert_eq!(code, Code::ResourceExhausted, "{text}");
    assert!(
        text.contains("--query-memory-limit") && text.contains("120.0 MB"),
        "{text}"
    );
    assert!(!text.contains("--memory-limit"), "{text}");
    // The same two with more.
    let options = Options {
        query_memory: Some(700 << 20),
        ..on_a_free_port()
    };
    let address = serve_session(Arc::clone(&session), &options).await;
    let mut client = connect(address).await;
    assert_eq!(number(&mut client, JOIN).await, 600_000);
    assert_eq!(spills(&mut client).await, 0);
    until_idle(&session).await;
}

/// How often [`SORT`] spills.
async fn spills(client: &mut Client) -> usize {
    let plan = ask(client, &format!("EXPLAIN ANALYZE {SORT}"))
        .await
        .unwrap();
    let text = plan.column(1).as_string::<i32>().value(0).to_string();
    let counts = text.split("spill_count=").skip(1);
    let numbers =
        counts.filter_map(|rest| rest.split([',', ']']).next()?.trim().parse::<usize>().ok());
    numbers.sum()
}

/// What is not a query has it too.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_write_have_the_limit() {
    let session = session(1 << 30).await;
    let options = Options {
        query_memory: Some(120 << 20),
        ..on_a_free_port()
    };
    let mut client = connect(serve_session(Arc::clone(&session), &options).await).await;
    let (code, text) = refusal(&mut client, &format!("CREATE TABLE t AS {JOIN}")).await;
    assert_eq!(code, Code::ResourceExhausted, "{text}");
    let prepared = client.prepare(JOIN.to_string(), None).await.unwrap();
    prepared.close().await.unwrap();
    assert_eq!(number(&mut client, "SELECT 1").await, 1);
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_s_heavy_queries_do_not_make_another_s_fail() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        users: Some(heavy_and_light(folder.path())),
        query_memory: Some(120 << 20),
        ..on_a_free_port()
    };
    let session = session(600 << 20).await;
    let address = serve_session(Arc::clone(&session), &options).await;
    let mut first = connect(address).await;
    first.handshake("heavy", "correct horse").await.unwrap();
    let token = first.token().unwrap().to_string();
    // Joins that hold 85 MB while nobody reads their rows: as many as this user may have, and some that fail.
    let held = "SELECT a.x, b.value FROM \
        (SELECT value AS n, repeat('x', 300) || CAST(value AS VARCHAR) AS x FROM generate_series(1, 250000)) a \
        JOIN generate_series(1, 100000000) b ON a.n = b.value % 250000";
    let (mut streams, mut refused_ones) = (Vec::new(), 0);
    for _ in 0..8 {
        let mut client = connect(address).await;
        client.set_token(token.clone());
        let info = client.execute(held.to_string(), None).await.unwrap();
        let mut stream = client.do_get(ticket(&info)).await.unwrap();
        match stream.next().await.unwrap() {
            Ok(_) => streams.push((client, stream)),
            Err(error) => {
                let (code, text) = refused(error);
                assert_eq!(code, Code::ResourceExhausted, "{text}");
                assert!(text.contains("all queries of one user"), "{text}");
                refused_ones += 1;
            }
        }
    }
    let reserved = session.context().runtime_env().memory_pool.reserved();
    assert!(
        refused_ones > 0 && (300 << 20..=450 << 20).contains(&reserved),
        "{refused_ones} refused, {reserved} bytes held"
    );
    let mut light = connect(address).await;
    light.handshake("light", "battery staple").await.unwrap();
    assert_eq!(number(&mut light, SORT).await, 600_000);
    let groups = "SELECT count(*) FROM (SELECT value % 50000 AS k, count(*) FROM generate_series(1, 500000) GROUP BY 1)";
    assert_eq!(number(&mut light, groups).await, 50_000);
    assert!(
        ask(
            &mut light,
            "SELECT * FROM generate_series(1, 100000) ORDER BY 1 DESC"
        )
        .await
        .is_ok()
    );
    drop(streams);
    until_idle(&session).await;
}
