//! Bulk ingest.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch, StructArray,
    UnionArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::{CommandStatementIngest, TableExistsOption, TableNotExistOption};
use futures::StreamExt;
use tonic::Code;

use super::{append, create, ingest, into, number, refused, rows, start};

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
async fn columns_that_no_table_can_have_are_refused() {
    let mut client = start().await;
    let interval: ArrayRef = Arc::new(IntervalMonthDayNanoArray::new_null(1));
    let nothing: ArrayRef = Arc::new(StructArray::new_empty_fields(1, None));
    let item = Arc::new(Field::new_list_field(nothing.data_type().clone(), true));
    let one = OffsetBuffer::from_lengths([1]);
    let list: ArrayRef = Arc::new(ListArray::new(item, one, Arc::clone(&nothing), None));
    let number: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let union = {
        let fields = [(0, Arc::new(Field::new("n", DataType::Int64, true)))];
        let children = vec![Arc::clone(&number)];
        UnionArray::try_new(fields.into_iter().collect(), vec![0].into(), None, children)
    };
    let union: ArrayRef = Arc::new(union.unwrap());
    for column in [interval, nothing, list, union] {
        let field = Field::new("odd", column.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let rows = RecordBatch::try_new(schema, vec![column]).unwrap();
        let error = ingest(&mut client, create("t"), vec![rows]).await;
        let (code, message) = refused(error.unwrap_err());
        assert_eq!(code, Code::InvalidArgument, "{message}");
        assert!(message.contains("column odd"), "{message}");
    }
    let field = Field::new("twice", DataType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field.clone(), field]));
    let rows = RecordBatch::try_new(schema, vec![Arc::clone(&number), number]).unwrap();
    let error = ingest(&mut client, create("t"), vec![rows]).await;
    let (_, message) = refused(error.unwrap_err());
    assert!(
        message.contains("two columns are called twice"),
        "{message}"
    );
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
