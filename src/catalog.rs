//! What a name in FROM is: a table of the database, one that the program registered, or a file.

use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, DynamicFileCatalog, MemoryCatalogProvider,
    MemoryCatalogProviderList, MemorySchemaProvider,
};
use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use crate::access::Access;
use crate::access::sql::Files;
use crate::database::{Database, DirectorySchema};
use crate::session::{CATALOG, SCHEMA};

/// A context in which names are found. What a view says is planned in it as well, with its memory: a context with
/// a memory of its own needs a catalog of its own.
pub fn context(
    builder: SessionStateBuilder,
    database: Arc<Database>,
    registered: Arc<MemorySchemaProvider>,
    access: Access,
) -> Result<SessionContext> {
    let catalogs = Arc::new(MemoryCatalogProviderList::new());
    let files = Arc::new(Files::new(access));
    let with_files = DynamicFileCatalog::new(Arc::clone(&catalogs) as _, Arc::clone(&files) as _);
    let builder = builder.with_catalog_list(Arc::new(with_files));
    let context = SessionContext::new_with_state(builder.build());
    let state = context.state_weak_ref();
    files.look_in(state.clone());
    let schema = DirectorySchema::new(database, registered, state);
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(schema))?;
    catalogs.register_catalog(CATALOG.to_string(), Arc::new(catalog));
    Ok(context)
}
