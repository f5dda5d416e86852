//! Statements, their results, and what is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema};
use tonic::Code;

use super::{Client, ask, fetch, number, refusal, refused, rows, start, ticket};

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
            "SELECT avg(v) FROM (VALUES ([1.5, 2.5])) AS t(v)",
            Code::InvalidArgument,
            "vector_avg takes vectors",
        ),
        (
            "SELECT * FROM design_matrix((SELECT 1 AS onset, 1 AS duration), n_scans => 9, tr => ?)",
            Code::InvalidArgument,
            "tr has a parameter",
        ),
        (
            "SELECT * FROM design_matrix((SELECT $1 AS onset, 1 AS duration), n_scans => 9, tr => 2)",
            Code::InvalidArgument,
            "write the value itself",
        ),
        (
            "SET voxql.ef_search = 400",
            Code::Unimplemented,
            "voxql.ef_search cannot be set",
        ),
        (
            "SELECT $1000000000",
            Code::InvalidArgument,
            "$65535 is the last",
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

/// JDBC's driver and Go's send a batch without columns where there is nothing to bind.
#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_update_takes_a_batch_of_no_parameters() {
    let mut client = start().await;
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    for sql in [
        "CREATE TABLE t AS SELECT 1 AS n",
        "INSERT INTO t VALUES (2)",
    ] {
        let mut prepared = client.prepare(sql.to_string(), None).await.unwrap();
        prepared.set_parameters(nothing.clone()).unwrap();
        assert_eq!(prepared.execute_update().await.unwrap(), 1, "{sql}");
    }
    assert_eq!(number(&mut client, "SELECT sum(n) FROM t").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_for_another_table_is_not_inserted() {
    let mut client = start().await;
    let update = async |client: &mut Client, sql: &str| {
        client.execute_update(sql.to_string(), None).await.unwrap()
    };
    update(&mut client, "CREATE TABLE t (n BIGINT)").await;
    let insert = "INSERT INTO t VALUES (5)".to_string();
    let mut insert = client.prepare(insert, None).await.unwrap();
    update(
        &mut client,
        "CREATE OR REPLACE TABLE t AS SELECT 'a' AS word",
    )
    .await;
    let (_, text) = refused(insert.execute_update().await.unwrap_err());
    assert!(text.contains("dropped or replaced meanwhile"), "{text}");
    assert_eq!(number(&mut client, "SELECT count(*) FROM t").await, 1);
}

/// A view is kept as it was written.
#[tokio::test(flavor = "multi_thread")]
async fn values_do_not_make_a_view() {
    let mut client = start().await;
    let view = "CREATE VIEW v AS SELECT $1 + 1 AS n".to_string();
    let mut view = client.prepare(view, None).await.unwrap();
    view.set_parameters(rows([5])).unwrap();
    let (_, text) = refused(view.execute_update().await.unwrap_err());
    assert!(text.contains("a view has no parameters"), "{text}");
    assert!(ask(&mut client, "SELECT * FROM v").await.is_err());
}
