//! Statements that change the database: tables, views, external tables, INSERT.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, UInt64Type};
use datafusion::common::{Result, TableReference, exec_err, plan_err};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{
    CreateExternalTable, CreateMemoryTable, CreateView, DdlStatement, DmlStatement, LogicalPlan,
    WriteOp,
};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;

use crate::database::{ObjectKind, Staging};
use crate::index;
use crate::session::{Answer, CATALOG, SCHEMA, Session};
use crate::statements::{copy, one_space};

/// Runs a statement of definition. `text` is what the user wrote.
pub async fn execute(session: &Session, statement: DdlStatement, text: &str) -> Result<Answer> {
    match statement {
        DdlStatement::CreateMemoryTable(create) => create_table(session, create).await,
        DdlStatement::CreateView(create) => create_view(session, create, text).await,
        DdlStatement::CreateExternalTable(create) => create_external(session, *create, text).await,
        DdlStatement::DropTable(drop) => {
            let kinds = [ObjectKind::Table, ObjectKind::External];
            drop_relation(session, &drop.name, drop.if_exists, &kinds).await
        }
        DdlStatement::DropView(drop) => {
            drop_relation(session, &drop.name, drop.if_exists, &[ObjectKind::View]).await
        }
        other => plan_err!(
            "{} is not supported: a VoxQL database has tables, views, external tables, models and indexes in one schema",
            other.name()
        ),
    }
}

/// `INSERT INTO`: one more part of a table of the database, or DataFusion's own way
/// for external tables.
pub async fn insert(session: &Session, statement: DmlStatement) -> Result<Answer> {
    let name = statement.table_name.table().to_string();
    if session.database().relation(&name) != Some(ObjectKind::Table) {
        return session.run_rows(LogicalPlan::Dml(statement)).await;
    }
    if statement.op != WriteOp::Insert(InsertOp::Append) {
        return plan_err!(
            "{} is not supported: rows are appended to {name}; to change it, CREATE OR REPLACE TABLE {name} AS SELECT …",
            statement.op
        );
    }
    let (table, given) = (
        statement.target.schema(),
        statement.input.schema().as_arrow(),
    );
    one_space::fit(&format!("INSERT INTO {name}"), &table, given)?;
    let staging = session.database().write().await?;
    // Asked again under the lock: since the rows were planned, another may have replaced the table.
    let found = session
        .context()
        .table_provider(TableReference::bare(name.as_str()))
        .await;
    if !found.is_ok_and(|found| found.schema() == table) {
        return exec_err!(
            "INSERT INTO {name}: the table was dropped or replaced meanwhile; run the statement again"
        );
    }
    let rows = stage_rows(session, &staging, Arc::unwrap_or_clone(statement.input)).await?;
    if rows > 0 {
        staging.publish_part(&name)?;
    }
    let said = format!("inserted {} into {name}", count(rows));
    Ok(Answer::written(said, rows))
}

async fn create_table(session: &Session, create: CreateMemoryTable) -> Result<Answer> {
    let name = own_name(&create.name)?;
    if create.temporary {
        return plan_err!(
            "temporary tables are not supported; CREATE VIEW, or leave TEMPORARY out"
        );
    }
    if !create.column_defaults.is_empty() || create.constraints.iter().next().is_some() {
        return plan_err!("table {name}: keys, constraints and defaults are not supported");
    }
    if session.database().exists(ObjectKind::Table, name) && create.if_not_exists {
        return Ok(Answer::done(format!("table {name} is there already")));
    }
    let staging = session.database().write().await?;
    // Asked again under the lock.
    refuse_taken(session, name, ObjectKind::Table, create.or_replace)?;
    let rows = stage_rows(session, &staging, Arc::unwrap_or_clone(create.input)).await?;
    staging.publish_directory(ObjectKind::Table, name)?;
    let said = format!("created table {name} ({})", count(rows));
    Ok(Answer::written(said, rows))
}

async fn create_view(session: &Session, create: CreateView, text: &str) -> Result<Answer> {
    let name = own_name(&create.name)?;
    if create.temporary {
        return plan_err!("temporary views are not supported; leave TEMPORARY out");
    }
    if let Some(parameter) = create.input.get_parameter_names()?.into_iter().min() {
        return plan_err!("view {name}: a view has no parameters, and this one names {parameter}");
    }
    define(session, ObjectKind::View, name, create.or_replace, text).await
}

async fn create_external(
    session: &Session,
    create: CreateExternalTable,
    text: &str,
) -> Result<Answer> {
    let name = own_name(&create.name)?;
    if session.database().exists(ObjectKind::External, name) && create.if_not_exists {
        return Ok(Answer::done(format!(
            "external table {name} is there already"
        )));
    }
    // What cannot be read now is not kept.
    let state = session.context().state();
    match state
        .table_factories()
        .get(&create.file_type.to_uppercase())
    {
        Some(factory) => factory.create(&state, &create).await?,
        None => {
            let mut known: Vec<_> = state.table_factories().keys().cloned().collect();
            known.sort();
            return plan_err!(
                "external table {name}: no reader for {}; there are {}",
                create.file_type,
                known.join(", ")
            );
        }
    };
    define(session, ObjectKind::External, name, create.or_replace, text).await
}

/// Keeps a definition as the SQL that was written.
async fn define(
    session: &Session,
    kind: ObjectKind,
    name: &str,
    or_replace: bool,
    text: &str,
) -> Result<Answer> {
    let staging = session.database().write().await?;
    refuse_taken(session, name, kind, or_replace)?;
    staging.publish_text(kind, name, &format!("{text};\n"))?;
    Ok(Answer::done(format!("created {} {name}", kind.noun())))
}

async fn drop_relation(
    session: &Session,
    name: &TableReference,
    if_exists: bool,
    kinds: &[ObjectKind],
) -> Result<Answer> {
    let name = own_name(name)?;
    let staging = session.database().write().await?;
    match session.database().relation(name) {
        Some(kind) if kinds.contains(&kind) => {
            if kind == ObjectKind::Table {
                for index in index::create::names_of_table(session, name)? {
                    staging.remove(ObjectKind::Index, &index)?;
                    session.indexes().forget(&index).await;
                }
            }
            staging.remove(kind, name)?;
            Ok(Answer::done(format!("dropped {} {name}", kind.noun())))
        }
        Some(ObjectKind::View) => plan_err!("{name} is a view: DROP VIEW {name}"),
        Some(_) => plan_err!("{name} is a table: DROP TABLE {name}"),
        None => {
            // A table that a program registered for this session.
            let registered = session.context().deregister_table(name)?.is_some();
            match registered || if_exists {
                true => Ok(Answer::done(format!("dropped {name}"))),
                false => plan_err!("there is no {} {name}", kinds[0].noun()),
            }
        }
    }
}

fn refuse_taken(session: &Session, name: &str, kind: ObjectKind, or_replace: bool) -> Result<()> {
    match session.database().relation(name) {
        None => Ok(()),
        Some(found) if found == kind && or_replace => Ok(()),
        Some(found) if found == kind => plan_err!(
            "{} {name} exists; CREATE OR REPLACE replaces it",
            kind.noun()
        ),
        Some(found) => plan_err!("{name} exists as a {}; drop it first", found.noun()),
    }
}

/// The bare name, if it is in our one schema.
fn own_name(name: &TableReference) -> Result<&str> {
    let elsewhere = name.schema().is_some_and(|schema| schema != SCHEMA)
        || name.catalog().is_some_and(|catalog| catalog != CATALOG);
    match elsewhere {
        true => {
            plan_err!("{name}: a VoxQL database has one schema, {CATALOG}.{SCHEMA}; leave it out")
        }
        false => Ok(name.table()),
    }
}

/// Writes the plan's rows into one Parquet file of the staging directory.
async fn stage_rows(session: &Session, staging: &Staging<'_>, input: LogicalPlan) -> Result<u64> {
    let path = staging.directory().join("data.parquet");
    let schema: SchemaRef = Arc::new(input.schema().as_arrow().clone());
    let Some(url) = path.to_str() else {
        return exec_err!("{}: not a UTF-8 path", path.display());
    };
    let answer = session.run_rows(copy::write_parquet(input, url)?).await?;
    let counts: Vec<RecordBatch> = answer.stream.try_collect().await?;
    if !path.exists() {
        // No row came: the file still says the columns.
        ArrowWriter::try_new(File::create(&path)?, schema, None)?.close()?;
    }
    let written = |batch: &RecordBatch| {
        let column = batch.columns().first()?.as_primitive_opt::<UInt64Type>()?;
        Some(column.iter().flatten().sum::<u64>())
    };
    Ok(counts.iter().filter_map(written).sum())
}

fn count(rows: u64) -> String {
    match rows {
        1 => "1 row".to_string(),
        rows => format!("{rows} rows"),
    }
}
