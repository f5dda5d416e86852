//! Files that a statement names by itself: `FROM 'file.csv'`, `COPY … TO`, `CREATE EXTERNAL TABLE`.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{DynamicFileCatalog, TableProvider, UrlTableFactory};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::prelude::SessionContext;
use object_store::local::LocalFileSystem;

use super::Access;
use crate::readers::files::local_path;

/// The context in which a name that is no table's is a file's, as with DataFusion's `enable_url_table`, if
/// `access` allows it.
pub fn files_as_tables(context: SessionContext, access: Access) -> SessionContext {
    let factory = Arc::new(Files {
        tables: DynamicListTableFactory::default(),
        access,
    });
    let known = Arc::clone(context.state_ref().read().catalog_list());
    let with_files = DynamicFileCatalog::new(known, Arc::clone(&factory) as _);
    let id = context.session_id();
    let builder = context.into_state_builder().with_session_id(id);
    let state = builder.with_catalog_list(Arc::new(with_files)).build();
    let context = SessionContext::from(state);
    let store = factory.tables.session_store();
    store.with_state(context.state_weak_ref());
    context
}

#[derive(Debug)]
struct Files {
    tables: DynamicListTableFactory,
    access: Access,
}

#[async_trait]
impl UrlTableFactory for Files {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        // A word is a table that there is not, unless it is a file here.
        if name.contains(['/', '\\', '.', ':', '*', '?', '[']) {
            check(&self.access, name)?;
        }
        self.tables.try_new(name).await
    }
}

/// Refuses files that the statement may not write or make tables of.
pub fn check_plan(access: &Access, plan: &LogicalPlan) -> Result<()> {
    // EXPLAIN ANALYZE runs what it explains, so the whole plan is looked at.
    let each = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Copy(copy) => check(access, &copy.output_url)?,
            LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table)) => {
                for location in &table.locations {
                    check(access, location)?;
                }
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    each.map(|_| ())
}

/// A name may be read as a path or as a URL, where `%2e%2e` leads up: both have to be allowed.
fn check(access: &Access, name: &str) -> Result<()> {
    if !access.is_limited() {
        return Ok(());
    }
    access.check_pattern(local_path(name)?)?;
    let url = ListingTableUrl::parse(name)?;
    let path = LocalFileSystem::new().path_to_filesystem(url.prefix())?;
    access.check(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_refused_outside() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let access = Access::within(std::slice::from_ref(&folder)).unwrap();
        let at = folder.display();
        for (name, may) in [
            (format!("{at}/a.csv"), true),
            (format!("{at}/"), true),
            (format!("{at}/*.csv"), true),
            (format!("file://{at}/a.csv"), true),
            (format!("{at}/../a.csv"), false),
            (format!("file://{at}/../a.csv"), false),
            (format!("file://{at}/%2e%2e/a.csv"), false),
            (format!("{at}/*/../../a.csv"), false),
            ("/etc/passwd".to_string(), false),
            ("file:///etc/passwd".to_string(), false),
            ("../a.csv".to_string(), false),
            ("s3://bucket/a.csv".to_string(), false),
            ("http://example.org/a.csv".to_string(), false),
        ] {
            assert_eq!(check(&access, &name).is_ok(), may, "{name}");
            assert!(check(&Access::default(), &name).is_ok());
        }
    }
}
