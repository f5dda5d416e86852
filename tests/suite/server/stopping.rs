//! Servers that stop, well or badly.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow_flight::sql::{TableExistsOption, TableNotExistOption};

use super::{connect, ingest, into, number, rows};

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
