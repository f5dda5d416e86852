//! Users and their roles.

use std::process::{Command, Stdio};

use tonic::Code;
use voxql::server::Options;
use voxql::server::users::Role;

use super::{
    append, ask, connect, create, fetch, ingest, number, on_a_free_port, refusal, refused, rows,
    serve, ticket, users_file,
};

#[tokio::test(flavor = "multi_thread")]
async fn users_log_in_and_may_what_their_role_says() {
    let folder = tempfile::tempdir().unwrap();
    let users = [
        ("ana", Role::ReadWrite, "correct horse"),
        ("ben", Role::ReadOnly, "battery staple"),
    ];
    let options = Options {
        users: Some(users_file(folder.path(), &users)),
        ..on_a_free_port()
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
    assert_eq!(ask(&mut ben, "SHOW INDEXES").await.unwrap().num_rows(), 0);
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
