//! Figures for those who keep the server running.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use voxql::server::users::Role;
use voxql::server::{Options, Server};
use voxql::session::{Session, Settings};

use super::{ask, connect, number, on_a_free_port, users_file};

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
    let users = [("ana", Role::ReadOnly, "correct horse")];
    let options = Options {
        users: Some(users_file(folder.path(), &users)),
        metrics: Some(on_a_free_port().listen),
        ..on_a_free_port()
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
    // What was never fetched has ended too, once it is cancelled.
    ask(&mut client, "CANCEL QUERY 3").await.unwrap();
    let text = page(pages, "/metrics").await;
    for line in [
        "voxql_statements_total{outcome=\"Cancelled\"} 1",
        "voxql_results_waiting 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(page(pages, "/other").await.starts_with("HTTP/1.1 404"));
}
