//! Views and what a program registered, in the session of the statement that names them.

use std::sync::Arc;

use arrow::array::AsArray;
use datafusion::datasource::MemTable;
use tonic::Code;
use voxql::server::Options;
use voxql::session::{Session, Settings};

use super::memory::JOIN;
use super::{
    Client, ask, connect, fetch, number, on_a_free_port, refusal, rows, serve, serve_session,
    until_idle,
};

/// A client whose statements may hold so much.
async fn client(session: &Arc<Session>, query_memory: usize) -> Client {
    let options = Options {
        query_memory: Some(query_memory),
        ..on_a_free_port()
    };
    connect(serve_session(Arc::clone(session), &options).await).await
}

/// The queries of a function in a view run when the view is planned.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_computes_has_the_memory_of_the_query() {
    let settings = Settings {
        memory_limit: Some(1 << 30),
        shared: true,
        threads: Some(1),
        ..Settings::default()
    };
    let session = Arc::new(Session::open(settings).await.unwrap());
    let (mut small, mut large) = (
        client(&session, 120 << 20).await,
        client(&session, 700 << 20).await,
    );
    let wide = "SELECT value % 20 AS onset, 1 AS duration, repeat('x', 100000) AS note FROM generate_series(1, 2000)";
    let heavy = format!("SELECT n % 20 AS onset, 1 AS duration FROM ({JOIN}) AS joined (n)");
    for (view, query) in [("wide", wide), ("heavy", heavy.as_str())] {
        let of_events = format!(
            "CREATE VIEW {view} AS SELECT * FROM design_matrix(({query}), tr => 2, n_scans => 10)"
        );
        ask(&mut large, &of_events).await.unwrap();
        let of_it = format!("CREATE VIEW of_{view} AS SELECT tr, dummy FROM {view} WHERE tr < 5");
        ask(&mut large, &of_it).await.unwrap();
        let counted = [
            (format!("SELECT count(*) FROM {view}"), 10),
            (format!("SELECT count(*) FROM of_{view}"), 5),
            (
                format!(
                    "SELECT count(*) FROM information_schema.columns WHERE table_name = 'of_{view}'"
                ),
                2,
            ),
        ];
        for (sql, count) in counted {
            assert_eq!(number(&mut large, &sql).await, count, "{sql}");
            let (code, text) = refusal(&mut small, &sql).await;
            assert_eq!(code, Code::ResourceExhausted, "{sql}: {text}");
            assert!(text.contains("--query-memory-limit"), "{sql}: {text}");
        }
    }
    until_idle(&session).await;
}

/// They are looked up while rows are fetched, when the statement's own session is needed still.
#[tokio::test(flavor = "multi_thread")]
async fn the_information_schema_knows_views() {
    let (session, address) = serve(&on_a_free_port()).await;
    let mut client = connect(address).await;
    ask(
        &mut client,
        "CREATE VIEW v AS SELECT tr, constant FROM design_matrix(tr => 2, n_scans => 10)",
    )
    .await
    .unwrap();
    for (table, found) in [("tables", 1), ("views", 1), ("columns", 2)] {
        let sql = format!("SELECT * FROM information_schema.{table} WHERE table_name = 'v'");
        assert_eq!(
            ask(&mut client, &sql).await.unwrap().num_rows(),
            found,
            "{sql}"
        );
        let mut prepared = client.prepare(sql.clone(), None).await.unwrap();
        for _ in 0..2 {
            let info = prepared.execute().await.unwrap();
            let batch = fetch(&mut client, info).await.unwrap();
            assert_eq!(batch.num_rows(), found, "{sql}");
        }
        prepared.close().await.unwrap();
    }
    let kind = "SELECT table_type FROM information_schema.tables WHERE table_name = 'v'";
    let kind = ask(&mut client, kind).await.unwrap();
    assert_eq!(kind.column(0).as_string::<i32>().value(0), "VIEW");
    until_idle(&session).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_the_program_registered_are_there() {
    let (session, address) = serve(&on_a_free_port()).await;
    let table = MemTable::try_new(rows([]).schema(), vec![vec![rows(0..7)]]).unwrap();
    let context = session.context();
    context.register_table("t", Arc::new(table)).unwrap();
    let mut client = connect(address).await;
    ask(&mut client, "CREATE VIEW v AS SELECT * FROM t")
        .await
        .unwrap();
    assert_eq!(number(&mut client, "SELECT count(*) FROM v").await, 7);
    ask(&mut client, "DROP TABLE t").await.unwrap();
    assert!(!context.table_exist("t").unwrap());
}
