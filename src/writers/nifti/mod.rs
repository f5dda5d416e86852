//! `COPY (…) TO 'x.nii.gz' STORED AS NIFTI`: rows as an image.
//!
//! ```text
//!   Settings         the OPTIONS, checked
//!   Columns          what the columns of the query are: voxels or volumes
//!   Image            the two, and the grid, which files or field metadata say
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
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::datasource::sink::DataSink;

use self::columns::Columns;
use self::image::Image;
pub use self::settings::Settings;
use self::sink::ImageSink;
use super::format::OneFile;

/// Volumes are put in order on the way to the file.
impl OneFile for Settings {
    const NAME: &'static str = "nifti";
    const ENDINGS: &'static [&'static str] = &[".nii", ".nii.gz"];
    const READ_BY: &'static str = "NIfTI images are read by read_bold('…') and read_voxels('…')";

    fn parse(options: &HashMap<String, String>) -> Result<Self> {
        Settings::read(options)
    }

    fn sink(&self, target: PathBuf, schema: SchemaRef) -> Result<Arc<dyn DataSink>> {
        let columns = Columns::of(&target, &schema)?;
        let image = Image::plan(target, columns, &schema, self)?;
        Ok(Arc::new(ImageSink::new(image, schema)))
    }
}
