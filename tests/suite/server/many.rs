//! Many clients, and heavy ones.

use std::time::{Duration, Instant};

use futures::StreamExt;
use voxql::server::Options;

use super::{
    ENDLESS, append, ask, connect, create, heavy_and_light, ingest, number, on_a_free_port, rows,
    serve, ticket, until_idle,
};

#[tokio::test(flavor = "multi_thread")]
async fn one_user_s_heavy_queries_do_not_starve_another() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        users: Some(heavy_and_light(folder.path())),
        max_queries: 4,
        ..on_a_free_port()
    };
    let (session, address) = serve(&options).await;
    let mut first = connect(address).await;
    first.handshake("heavy", "correct horse").await.unwrap();
    let token = first.token().unwrap().to_string();
    let (mut heavy, mut streams) = (vec![first], Vec::new());
    let mut waiting = Vec::new();
    for _ in 0..12 {
        // A connection each: what is not read of one result holds up all others of its connection.
        let mut client = connect(address).await;
        client.set_token(token.clone());
        // Three run and are not read; nine wait for them.
        if streams.len() < 3 {
            let info = client.execute(ENDLESS.to_string(), None).await.unwrap();
            let mut stream = client.do_get(ticket(&info)).await.unwrap();
            stream.next().await.unwrap().unwrap();
            streams.push(stream);
            heavy.push(client);
        } else {
            let sent = async move { client.execute(ENDLESS.to_string(), None).await };
            waiting.push(tokio::spawn(sent));
        }
    }
    let mut light = connect(address).await;
    light.handshake("light", "battery staple").await.unwrap();
    for _ in 0..20 {
        let answer = tokio::time::timeout(Duration::from_secs(20), number(&mut light, "SELECT 1"));
        assert_eq!(answer.await.unwrap(), 1);
    }
    assert!(waiting.iter().all(|sent| !sent.is_finished()));
    waiting.iter().for_each(|sent| sent.abort());
    // One that the server still knows would be planned when there is a turn. The three, and the question.
    let started = Instant::now();
    while ask(&mut heavy[0], "SHOW QUERIES").await.unwrap().num_rows() > 4 {
        assert!(started.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(streams);
    drop(heavy);
    until_idle(&session).await;
}

/// Planning waits for a turn as well, since it computes the tables of some calls; what is asked about queries does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_computed_for_a_plan_waits_for_its_turn() {
    let options = Options {
        max_queries: 1,
        ..on_a_free_port()
    };
    let (session, address) = serve(&options).await;
    let (mut first, mut second) = (connect(address).await, connect(address).await);
    let info = first.execute(ENDLESS.to_string(), None).await.unwrap();
    let mut stream = first.do_get(ticket(&info)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let sql = "SELECT count(*) FROM design_matrix((SELECT 1 AS onset, 1 AS duration), tr => 2, n_scans => 10)";
    let counted = tokio::spawn(async move { number(&mut second, sql).await });
    let mut third = connect(address).await;
    let queries = loop {
        let asked = ask(&mut third, "SHOW QUERIES");
        let queries = tokio::time::timeout(Duration::from_secs(20), asked).await;
        let queries = queries.unwrap().unwrap();
        if queries.num_rows() > 1 {
            break queries;
        }
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(queries.num_rows() >= 2 && !counted.is_finished());
    drop((stream, first));
    let counted = tokio::time::timeout(Duration::from_secs(60), counted).await;
    assert_eq!(counted.unwrap().unwrap(), 10);
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once() {
    let (session, address) = serve(&on_a_free_port()).await;
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

/// One row of a leaf is three million of the join.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_of_many_rows_lets_others_run_and_ends_with_its_client() {
    let (session, address) = serve(&on_a_free_port()).await;
    let mut heavy = connect(address).await;
    let mut light = connect(address).await;
    let join = "SELECT sum(sin(a.value * b.value)) FROM generate_series(1, 3000000) a, generate_series(1, 1000000) b";
    let info = heavy.execute(join.to_string(), None).await.unwrap();
    let stream = heavy.do_get(ticket(&info)).await.unwrap();
    // Until it is in the midst of it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), number(&mut light, "SELECT 1"));
    assert_eq!(answer.await.unwrap(), 1);
    drop(stream);
    until_idle(&session).await;
}
