//! The database directory: plain files, each statement visible by one rename.
//!
//! ```text
//! study/
//!   voxql.json             says that this is a database, and of which layout
//!   tables/NAME/**.parquet one directory a table; INSERT adds a subdirectory
//!   views/NAME.sql         CREATE VIEW, as written
//!   external/NAME.sql      CREATE EXTERNAL TABLE, as written
//!   models/NAME/           one directory a model that was fitted here
//!   pretrained/NAME/       one folder an embedding model that was fetched
//!   indexes/NAME/          one directory an index
//!   .staging/              statements in the making; swept by the next writer
//!   .lock                  held while a statement writes; says who
//! ```
//!
//! Everything is first written under `.staging`, forced to disk, and then renamed to
//! its place. After a kill at any moment a statement has happened wholly or not at all.

mod objects;
mod schema;
mod staging;
mod temporary;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, exec_err};

pub use objects::ObjectKind;
pub use schema::DirectorySchema;
pub use staging::Staging;
use temporary::Temporary;

/// The layout described above.
const LAYOUT: u32 = 1;

/// The folder of embedding models that were fetched; there only once there is one.
pub const PRETRAINED: &str = "pretrained";

/// A database directory.
#[derive(Debug)]
pub struct Database {
    root: PathBuf,
    /// Held for a session without `--db`: the directory goes when the session ends.
    _temporary: Option<Temporary>,
    /// Statements of this process that write take turns.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Database {
    /// Opens or makes the database in `directory`; without one, a temporary one.
    ///
    /// A directory that holds other things is refused. What a killed writer left is swept.
    pub fn open(directory: Option<&Path>) -> Result<Arc<Self>> {
        let (root, temporary) = match directory {
            Some(directory) => (std::path::absolute(directory)?, None),
            None => {
                let temporary = Temporary::try_new()?;
                (temporary.root(), Some(temporary))
            }
        };
        let database = Self {
            root,
            _temporary: temporary,
            writing: Arc::default(),
        };
        database
            .prepare()
            .map_err(|error| error.context(format!("{}", database.root.display())))?;
        Ok(Arc::new(database))
    }

    fn prepare(&self) -> Result<()> {
        let marker = self.root.join("voxql.json");
        if marker.exists() {
            check_layout(&marker)?;
        } else {
            fs::create_dir_all(&self.root)?;
            if fs::read_dir(&self.root)?.next().is_some() {
                return exec_err!(
                    "not a VoxQL database, and not empty; name a new or empty directory"
                );
            }
            for directory in [
                "tables",
                "views",
                "external",
                "models",
                "indexes",
                staging::STAGING,
            ] {
                fs::create_dir_all(self.root.join(directory))?;
            }
            // Last: a database is one when the marker is there.
            let partial = self.root.join(".voxql.json");
            fs::write(&partial, format!("{{\"layout\": {LAYOUT}}}\n"))?;
            fs::rename(partial, marker)?;
        }
        staging::sweep_if_idle(self)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn check_layout(marker: &Path) -> Result<()> {
    let text = fs::read_to_string(marker)?;
    let layout = serde_json::from_str::<serde_json::Value>(&text)
        .map_err(|error| DataFusionError::Execution(format!("voxql.json: {error}")))?
        .get("layout")
        .and_then(|layout| layout.as_u64());
    match layout {
        Some(layout) if layout == u64::from(LAYOUT) => Ok(()),
        Some(layout) => {
            exec_err!("made by another version of VoxQL (layout {layout}; this one reads {LAYOUT})")
        }
        None => exec_err!("voxql.json does not say the layout; it is damaged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_things_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.tex"), "x").unwrap();
        let error = Database::open(Some(directory.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("not empty"), "{error}");
    }

    #[test]
    fn another_layout_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        Database::open(Some(directory.path())).unwrap();
        fs::write(directory.path().join("voxql.json"), "{\"layout\": 99}").unwrap();
        let error = Database::open(Some(directory.path()))
            .unwrap_err()
            .to_string();
        assert!(error.contains("layout 99"), "{error}");
    }

    #[test]
    fn without_a_directory_it_is_gone_afterwards() {
        let database = Database::open(None).unwrap();
        let root = database.root().to_path_buf();
        assert!(root.join("tables").is_dir());
        drop(database);
        assert!(!root.exists());
    }
}
