//! The database directory as DataFusion's schema: every look-up looks at the disk,
//! so what another process has published is there at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use arrow::datatypes::Schema;
use async_trait::async_trait;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider, TableProvider};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::datasource::ViewTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan, TableType};
use parking_lot::RwLock;

use super::{Database, ObjectKind};
use crate::statements::{self, Kind};

tokio::task_local! {
    /// The views and external tables whose definitions are being planned. DataFusion
    /// looks up the name that a statement defines too, and a view may name itself:
    /// while it is being defined a name means nothing.
    static DEFINING: Vec<String>;
}

/// Tables, views and external tables of a [`Database`], and below them what the
/// program registered for this session only.
#[derive(Debug)]
pub struct DirectorySchema {
    database: Arc<Database>,
    registered: Arc<MemorySchemaProvider>,
    /// Where views and external tables are planned.
    state: Weak<RwLock<SessionState>>,
}

impl DirectorySchema {
    pub fn new(
        database: Arc<Database>,
        registered: Arc<MemorySchemaProvider>,
        state: Weak<RwLock<SessionState>>,
    ) -> Self {
        Self {
            database,
            registered,
            state,
        }
    }

    fn state(&self) -> Result<SessionState> {
        match self.state.upgrade() {
            Some(state) => Ok(state.read().clone()),
            None => exec_err!("the session is closed"),
        }
    }

    async fn parquet_table(&self, name: &str) -> Result<Arc<dyn TableProvider>> {
        let directory = self.database.place(ObjectKind::Table, name);
        let Some(first) = first_parquet(&directory)? else {
            return exec_err!(
                "table {name}: {} has no Parquet file; the table is damaged",
                directory.display()
            );
        };
        let state = self.state()?;
        let options = state.default_table_options().parquet;
        let format = Arc::new(ParquetFormat::new().with_options(options));
        let options = ListingOptions::new(format).with_file_extension(".parquet");
        let schema = options
            .infer_schema(&state, &ListingTableUrl::parse(first.to_string_lossy())?)
            .await?;
        let schema = Arc::new(nullable(&schema));
        let url = ListingTableUrl::parse(format!("{}/", directory.display()))?;
        let config = ListingTableConfig::new(url)
            .with_listing_options(options)
            .with_schema(schema);
        Ok(Arc::new(ListingTable::try_new(config)?))
    }

    async fn defined(&self, kind: ObjectKind, name: &str) -> Result<Arc<dyn TableProvider>> {
        let mut names = DEFINING.try_with(Clone::clone).unwrap_or_default();
        names.push(name.to_string());
        DEFINING
            .scope(names, self.read_definition(kind, name))
            .await
    }

    async fn read_definition(
        &self,
        kind: ObjectKind,
        name: &str,
    ) -> Result<Arc<dyn TableProvider>> {
        let path = self.database.place(kind, name);
        let text = fs::read_to_string(&path)?;
        let state = self.state()?;
        let Some(Kind::Engine(statement)) = statements::parse::parse(&text)?.pop().map(|s| s.kind)
        else {
            return plan_err!(
                "{}: not the definition of a {}",
                path.display(),
                kind.noun()
            );
        };
        match statements::plan::plan(&state, *statement).await? {
            LogicalPlan::Ddl(DdlStatement::CreateView(view)) => Ok(Arc::new(ViewTable::new(
                Arc::unwrap_or_clone(view.input),
                view.definition,
            ))),
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table)) => {
                let factory = state.table_factories().get(&table.file_type.to_uppercase());
                match factory {
                    Some(factory) => factory.create(&state, &table).await,
                    None => plan_err!("{name}: no reader for {}", table.file_type),
                }
            }
            _ => plan_err!(
                "{}: not the definition of a {}",
                path.display(),
                kind.noun()
            ),
        }
    }
}

/// A later INSERT may bring NULLs to a column that had none when the table was made.
fn nullable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    let fields: Vec<_> = fields
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

/// The first Parquet file by name, at any depth.
fn first_parquet(directory: &Path) -> Result<Option<PathBuf>> {
    let mut entries = fs::read_dir(directory)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    // Files before directories.
    entries.sort_by_key(|path| (path.is_dir(), path.clone()));
    for path in entries {
        if path.is_dir() {
            if let Some(found) = first_parquet(&path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|e| e == "parquet") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[async_trait]
impl SchemaProvider for DirectorySchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.registered.table_names();
        for kind in ObjectKind::RELATIONS {
            match self.database.names(kind) {
                Ok(found) => names.extend(found),
                Err(error) => log::warn!("{}: {error}", self.database.root().display()),
            }
        }
        names.sort();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let defining = DEFINING.try_with(|names| names.iter().any(|n| n == name));
        if defining.unwrap_or(false) {
            return Ok(None);
        }
        match self.database.relation(name) {
            Some(ObjectKind::Table) => Ok(Some(self.parquet_table(name).await?)),
            Some(kind) => match self.defined(kind, name).await {
                Ok(table) => Ok(Some(table)),
                Err(error) => Err(error.context(format!("in the {} {name}", kind.noun()))),
            },
            None => self.registered.table(name).await,
        }
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        match self.database.relation(name) {
            Some(ObjectKind::View) => Ok(Some(TableType::View)),
            Some(_) => Ok(Some(TableType::Base)),
            None => self.registered.table_type(name).await,
        }
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        self.registered.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.registered.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.database.relation(name).is_some() || self.registered.table_exist(name)
    }
}
