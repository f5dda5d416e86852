//! Files that a statement names by itself: `FROM 'file.csv'`, `COPY … TO`, `CREATE EXTERNAL TABLE`.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use datafusion::catalog::{TableProvider, UrlTableFactory};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use object_store::local::LocalFileSystem;
use parking_lot::RwLock;

use super::Access;
use crate::readers::files::local_path;

/// Makes a table of a file whose name stands where a table's does, as with DataFusion's `enable_url_table`, if
/// `access` allows it.
#[derive(Debug)]
pub struct Files {
    tables: DynamicListTableFactory,
    access: Access,
}

impl Files {
    pub fn new(access: Access) -> Self {
        Self {
            tables: DynamicListTableFactory::default(),
            access,
        }
    }

    /// Says in which session files are looked at.
    pub fn look_in(&self, state: Weak<RwLock<SessionState>>) {
        self.tables.session_store().with_state(state);
    }
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
