//! What clients ask about the database: catalogs, schemas, tables and keys.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::sql::metadata::GetCatalogsBuilder;
use arrow_flight::sql::{CommandGetDbSchemas, CommandGetTableTypes, CommandGetTables};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::TableType;
use tonic::Status;

use crate::session::{CATALOG, SCHEMA, Session};

const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

pub fn catalogs() -> Result<RecordBatch, Status> {
    let mut builder = GetCatalogsBuilder::new();
    builder.append(CATALOG);
    Ok(builder.build()?)
}

pub fn schemas(command: CommandGetDbSchemas) -> Result<RecordBatch, Status> {
    let mut builder = command.into_builder();
    builder.append(CATALOG, SCHEMA);
    Ok(builder.build()?)
}

pub fn table_types() -> Result<RecordBatch, Status> {
    let mut builder = CommandGetTableTypes {}.into_builder();
    builder.append(TABLE);
    builder.append(VIEW);
    Ok(builder.build()?)
}

/// Tables, external tables and views. One that cannot be read is listed without columns, and
/// logged: it must not hide the others.
pub async fn tables(session: &Session, command: CommandGetTables) -> Result<RecordBatch> {
    let with_columns = command.include_schema;
    let catalog = session.context().catalog(CATALOG);
    let Some(schema) = catalog.and_then(|catalog| catalog.schema(SCHEMA)) else {
        return exec_err!("the schema {CATALOG}.{SCHEMA} is missing");
    };
    let mut builder = command.into_builder();
    for name in schema.table_names() {
        let kind = match schema.table_type(&name).await? {
            Some(TableType::View) => VIEW,
            Some(_) => TABLE,
            // Dropped meanwhile.
            None => continue,
        };
        let mut columns = Arc::new(Schema::empty());
        if with_columns {
            match schema.table(&name).await {
                Ok(Some(table)) => columns = super::encode::plain_schema(&table.schema()),
                Ok(None) => continue,
                Err(error) => log::warn!("the columns of {name}: {error}"),
            }
        }
        let appended = builder.append(CATALOG, SCHEMA, &name, kind, &columns);
        appended.map_err(|error| datafusion::common::DataFusionError::External(Box::new(error)))?;
    }
    let built = builder.build();
    built.map_err(|error| datafusion::common::DataFusionError::External(Box::new(error)))
}

/// Primary keys: a VoxQL database has none.
pub fn no_primary_keys() -> RecordBatch {
    RecordBatch::new_empty(Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("key_name", true),
    ])))
}

/// Exported, imported and cross-reference keys: none, either.
pub fn no_foreign_keys() -> RecordBatch {
    RecordBatch::new_empty(Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ])))
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}
