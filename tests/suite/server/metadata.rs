//! What clients ask about the database.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables, CommandGetXdbcTypeInfo, SqlInfo,
};

use super::{fetch, start};

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
