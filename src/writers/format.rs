//! What DataFusion wants of every format that is only written.

use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DataFusionError, GetExt, Result, Statistics, not_impl_err, plan_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::physical_plan::{
    CsvSource, FileScanConfig, FileSinkConfig, FileSource,
};
use datafusion::datasource::sink::{DataSink, DataSinkExec};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use crate::access::Access;

/// The OPTIONS of a format that writes all rows into one file, and how it does.
pub trait OneFile: Debug + Default + Clone + Send + Sync + 'static {
    /// The name after `STORED AS`, in lower case.
    const NAME: &'static str;
    /// What file names must end with.
    const ENDINGS: &'static [&'static str];
    /// How such files are read, for messages.
    const READ_BY: &'static str;

    /// Takes options as DataFusion has them: all values are text, and `format.` stands before names
    /// without a dot.
    fn parse(options: &HashMap<String, String>) -> Result<Self>;

    /// Looks at the columns and whatever the options name; may block.
    fn sink(&self, target: PathBuf, schema: SchemaRef) -> Result<Arc<dyn DataSink>>;
}

/// A format as a session registers it.
#[derive(Debug)]
pub struct Factory<F>(PhantomData<F>);

impl<F> Factory<F> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<F: OneFile> GetExt for Factory<F> {
    fn get_ext(&self) -> String {
        F::NAME.to_owned()
    }
}

impl<F: OneFile> FileFormatFactory for Factory<F> {
    fn create(
        &self,
        _state: &dyn Session,
        format_options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        Ok(Arc::new(Format(F::parse(format_options)?)))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(Format(F::default()))
    }
}

#[derive(Debug)]
struct Format<F>(F);

#[async_trait]
impl<F: OneFile> FileFormat for Format<F> {
    fn get_ext(&self) -> String {
        F::NAME.to_owned()
    }

    fn get_ext_with_compression(&self, _compression: &FileCompressionType) -> Result<String> {
        Ok(self.get_ext())
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        None
    }

    async fn infer_schema(
        &self,
        _state: &dyn Session,
        _store: &Arc<dyn ObjectStore>,
        _objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        plan_err!("{}", F::READ_BY)
    }

    async fn infer_stats(
        &self,
        _state: &dyn Session,
        _store: &Arc<dyn ObjectStore>,
        table_schema: SchemaRef,
        _object: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&table_schema))
    }

    async fn create_physical_plan(
        &self,
        _state: &dyn Session,
        _conf: FileScanConfig,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        not_impl_err!("{}", F::READ_BY)
    }

    /// No order is asked for: a sort would hold all rows.
    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        conf: FileSinkConfig,
        _order_requirements: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !conf.table_partition_cols.is_empty() {
            return plan_err!(
                "COPY TO '{}': STORED AS {} writes one file, not a folder PARTITIONED BY \
                 something; write one file at a time, with WHERE",
                conf.original_url,
                F::NAME.to_uppercase()
            );
        }
        let path = target::<F>(&conf.original_url)?;
        let schema = Arc::clone(conf.output_schema());
        let settings = self.0.clone();
        let access = Access::of(state.config());
        let sink = move || access.scope(|| settings.sink(path, schema));
        let sink = blocking(sink).await?;
        Ok(Arc::new(DataSinkExec::new(input, sink, None)))
    }

    /// Never asked for, since no schema is inferred: there is no source without one.
    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(CsvSource::new(table_schema))
    }
}

/// The file, of this machine.
fn target<F: OneFile>(url: &str) -> Result<PathBuf> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    if path.contains("://") {
        return plan_err!(
            "COPY TO '{url}': {} is written to local disks only",
            F::NAME.to_uppercase()
        );
    }
    if !F::ENDINGS.iter().any(|ending| path.ends_with(ending)) {
        return plan_err!(
            "COPY TO '{url}': STORED AS {} writes one file, named {}",
            F::NAME.to_uppercase(),
            F::ENDINGS.join(" or ")
        );
    }
    let path = PathBuf::from(path);
    match path.is_dir() {
        true => plan_err!("COPY TO '{url}': this is a folder; name a file"),
        false => Ok(path),
    }
}

/// Compressing and waiting for disks take long: they must not hold up the threads of other work.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(DataFusionError::External(Box::new(error))),
    }
}
