//! `SHOW INDEXES`: the indexes of the database, and how much of their tables they cover.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::load::Indexes;
use super::manifest::{Manifest, Table};
use crate::database::ObjectKind;

#[derive(Default)]
struct Row {
    name: String,
    table: Option<String>,
    column: Option<String>,
    metric: Option<String>,
    m: Option<i64>,
    ef_construction: Option<i64>,
    /// Rows in the index.
    rows: Option<i64>,
    /// Rows of the table that came later, which queries look at one by one.
    tail_rows: Option<i64>,
    /// On disk.
    bytes: Option<i64>,
    state: String,
}

/// One row per index.
pub fn show(indexes: &Indexes, context: &SessionContext) -> Result<LogicalPlan> {
    let names = indexes.names()?;
    let rows: Vec<Row> = names.into_iter().map(|name| row(indexes, name)).collect();
    let text = |value: fn(&Row) -> Option<&str>| {
        Arc::new(StringArray::from_iter(rows.iter().map(value))) as ArrayRef
    };
    let count = |value: fn(&Row) -> Option<i64>| {
        Arc::new(Int64Array::from_iter(rows.iter().map(value))) as ArrayRef
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("name", text(|r| Some(&r.name)), false),
        ("table", text(|r| r.table.as_deref()), true),
        ("column", text(|r| r.column.as_deref()), true),
        ("metric", text(|r| r.metric.as_deref()), true),
        ("m", count(|r| r.m), true),
        ("ef_construction", count(|r| r.ef_construction), true),
        ("rows", count(|r| r.rows), true),
        ("tail_rows", count(|r| r.tail_rows), true),
        ("bytes", count(|r| r.bytes), true),
        ("state", text(|r| Some(&r.state)), false),
    ])?;
    Ok(context.read_batch(batch)?.into_unoptimized_plan())
}

fn row(indexes: &Indexes, name: String) -> Row {
    let directory = indexes.directory(&name);
    let manifest = match Manifest::read(&directory) {
        Ok(manifest) => manifest,
        Err(error) => {
            let state = format!("not used: {error}");
            return Row {
                name,
                state,
                ..Row::default()
            };
        }
    };
    let table = indexes.database().place(ObjectKind::Table, &manifest.table);
    let (tail_rows, state) = match manifest.compare(&table) {
        Ok(Table::Same { tail }) => match rows_of(&tail) {
            Ok(rows) => (Some(rows), "used".to_string()),
            Err(error) => (None, format!("used; of the rows after it: {error}")),
        },
        Ok(Table::Other(why)) => (None, format!("not used: the table has other data ({why})")),
        Err(error) => (None, format!("not used: {error}")),
    };
    Row {
        rows: Some(manifest.rows() as i64),
        table: Some(manifest.table),
        column: Some(manifest.column),
        metric: Some(manifest.metric),
        m: Some(manifest.m as i64),
        ef_construction: Some(manifest.ef_construction as i64),
        tail_rows,
        bytes: bytes_of(&directory).ok(),
        name,
        state,
    }
}

fn rows_of(files: &[PathBuf]) -> Result<i64> {
    let mut rows = 0;
    for path in files {
        let reader = SerializedFileReader::new(File::open(path)?)?;
        rows += reader.metadata().file_metadata().num_rows();
    }
    Ok(rows)
}

fn bytes_of(directory: &PathBuf) -> std::io::Result<i64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        bytes += entry?.metadata()?.len() as i64;
    }
    Ok(bytes)
}
