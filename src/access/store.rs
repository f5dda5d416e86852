//! The files of this machine as DataFusion's formats read and write them: CSV, Parquet, JSON, Arrow.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::DataFusionError;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::Access;
use crate::database::Database;

/// From now on DataFusion reads and writes what `access` allows, and the tables of the database.
pub fn install(runtime: &RuntimeEnv, access: Access, database: &Database) {
    if !access.is_limited() {
        return;
    }
    let files = Files(Arc::new(Inner {
        disk: LocalFileSystem::new(),
        access,
        tables: database.tables(),
        staging: database.staging(),
    }));
    let url = ObjectStoreUrl::local_filesystem();
    runtime.register_object_store(url.as_ref(), Arc::new(files));
}

#[derive(Debug, Clone)]
struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: LocalFileSystem,
    access: Access,
    /// Folders of the database, which its tables are read from and written to. That they are not named by a
    /// statement itself, [`super::sql`] sees to.
    tables: PathBuf,
    staging: PathBuf,
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.disk)
    }
}

impl Inner {
    fn readable(&self, location: &Path) -> Result<()> {
        self.allowed(location, &[&self.tables, &self.staging])
    }

    fn writable(&self, location: &Path) -> Result<()> {
        self.allowed(location, &[&self.staging])
    }

    fn allowed(&self, location: &Path, own: &[&FilePath]) -> Result<()> {
        let path = self.disk.path_to_filesystem(location)?;
        if own.iter().any(|folder| path.starts_with(folder)) {
            return Ok(());
        }
        let refused = |error: DataFusionError| Error::PermissionDenied {
            path: location.to_string(),
            source: Box::new(error),
        };
        self.access.check(&path).map_err(refused)
    }
}

#[async_trait]
impl ObjectStore for Files {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.0.writable(location)?;
        self.0.disk.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.writable(location)?;
        self.0.disk.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.readable(location)?;
        self.0.disk.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let inner = Arc::clone(&self.0);
        let checked = locations.and_then(move |location| {
            let may = inner.writable(&location);
            futures::future::ready(may.map(|()| location))
        });
        self.0.disk.delete_stream(checked.boxed())
    }

    /// A link in a folder may lead out of it: every file is looked at.
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let root = Path::default();
        if let Err(error) = self.0.readable(prefix.unwrap_or(&root)) {
            return futures::stream::iter([Err(error)]).boxed();
        }
        let inner = Arc::clone(&self.0);
        let listed = self.0.disk.list(prefix).and_then(move |file| {
            let may = inner.readable(&file.location);
            futures::future::ready(may.map(|()| file))
        });
        listed.boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        self.0.readable(prefix.unwrap_or(&root))?;
        let listed = self.0.disk.list_with_delimiter(prefix).await?;
        for file in &listed.objects {
            self.0.readable(&file.location)?;
        }
        for folder in &listed.common_prefixes {
            self.0.readable(folder)?;
        }
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.readable(from)?;
        self.0.writable(to)?;
        self.0.disk.copy_opts(from, to, options).await
    }
}
