//! `COPY (…) TO 'x.nii.gz' STORED AS NIFTI`: rows as an image.
//!
//! ```text
//!   NiftiFactory     what the session knows as NIFTI
//!     Settings         the OPTIONS, checked
//!     Columns          what the columns of the query are: voxels or volumes
//!     Image            the two, and the grid, which files or field metadata say
//!   ImageSink        DataFusion's sink: batches, on blocking threads, to
//!     VoxelImage       one row per voxel, in any order: a dense image in memory
//!     VolumeImage      one row per volume: to the file as they come
//!       Staged           the file, which appears when it is whole
//! ```

mod columns;
mod elements;
mod header;
mod image;
mod placement;
mod settings;
mod sink;
mod staged;
#[cfg(test)]
mod tests;
mod volume_image;
mod voxel_image;
mod waiting;

use std::collections::HashMap;
use std::fmt::Debug;
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
use datafusion::datasource::sink::DataSinkExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::{ObjectMeta, ObjectStore};

use self::columns::Columns;
use self::image::Image;
use self::settings::Settings;
use self::sink::ImageSink;

/// The name after `STORED AS`, in lower case.
pub const NAME: &str = "nifti";

/// `STORED AS NIFTI` of COPY.
#[derive(Debug, Default)]
pub struct NiftiFactory;

impl GetExt for NiftiFactory {
    fn get_ext(&self) -> String {
        NAME.to_owned()
    }
}

impl FileFormatFactory for NiftiFactory {
    fn create(
        &self,
        _state: &dyn Session,
        format_options: &HashMap<String, String>,
    ) -> Result<Arc<dyn FileFormat>> {
        Ok(Arc::new(NiftiImages {
            settings: Settings::parse(format_options)?,
        }))
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        Arc::new(NiftiImages::default())
    }
}

/// NIfTI as DataFusion's COPY knows formats: it is written this way, and read by `read_bold`
/// and `read_voxels`.
#[derive(Debug, Default)]
struct NiftiImages {
    settings: Settings,
}

#[async_trait]
impl FileFormat for NiftiImages {
    fn get_ext(&self) -> String {
        NAME.to_owned()
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
        plan_err!("NIfTI images are read by read_bold('…') and read_voxels('…')")
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
        not_impl_err!("NIfTI images are read by read_bold('…') and read_voxels('…')")
    }

    /// Volumes are put in order on the way to the file, so that no order is asked for: a sort
    /// would hold the run.
    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        _state: &dyn Session,
        conf: FileSinkConfig,
        _order_requirements: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !conf.table_partition_cols.is_empty() {
            return plan_err!(
                "COPY TO '{}': STORED AS NIFTI writes one image, not a folder PARTITIONED BY \
                 something; write one image at a time, with WHERE",
                conf.original_url
            );
        }
        let path = target(&conf.original_url)?;
        let schema = Arc::clone(conf.output_schema());
        let settings = self.settings.clone();
        let look = move || {
            let columns = Columns::of(&path, &schema)?;
            Image::plan(path, columns, &schema, &settings)
        };
        let image = tokio::task::spawn_blocking(look)
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))??;
        let sink = ImageSink::new(image, Arc::clone(conf.output_schema()));
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }

    /// Never asked for, since no schema is inferred: there is no source without one.
    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(CsvSource::new(table_schema))
    }
}

/// The image's file, of this machine.
fn target(url: &str) -> Result<PathBuf> {
    let path = url.strip_prefix("file://").unwrap_or(url);
    if path.contains("://") {
        return plan_err!("COPY TO '{url}': NIfTI is written to local disks only");
    }
    if ![".nii", ".nii.gz"]
        .iter()
        .any(|ending| path.ends_with(ending))
    {
        return plan_err!(
            "COPY TO '{url}': STORED AS NIFTI writes one file, named .nii or .nii.gz"
        );
    }
    let path = PathBuf::from(path);
    match path.is_dir() {
        true => plan_err!("COPY TO '{url}': this is a folder; name a file"),
        false => Ok(path),
    }
}
