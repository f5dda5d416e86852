//! DataFusion's end of a COPY: batches, one after the other, to the image's file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::common::{Result, exec_err};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;

use super::columns::Rows;
use super::image::Image;
use super::settings::is_time;
use super::volume_image::VolumeImage;
use super::voxel_image::VoxelImage;
use crate::writers::format::blocking;

/// Writes one image.
#[derive(Debug)]
pub struct ImageSink {
    image: Arc<Image>,
    schema: SchemaRef,
}

impl ImageSink {
    pub fn new(image: Image, schema: SchemaRef) -> Self {
        ImageSink {
            image: Arc::new(image),
            schema,
        }
    }
}

impl DisplayAs for ImageSink {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "ImageSink({})", self.image.path.display())
    }
}

#[async_trait]
impl DataSink for ImageSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        mut data: SendableRecordBatchStream,
        context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let memory = MemoryConsumer::new(format!("COPY TO '{}'", self.image.path.display()))
            .register(context.memory_pool());
        let image = Arc::clone(&self.image);
        let mut writer = blocking(move || Writer::start(image, memory)).await?;
        while let Some(batch) = data.next().await {
            let batch = batch?;
            writer = blocking(move || writer.write(&batch)).await?;
        }
        blocking(move || writer.finish()).await
    }
}

enum Writer {
    Voxels(Box<VoxelImage>),
    Volumes(Box<VolumeImage>),
}

impl Writer {
    fn start(image: Arc<Image>, memory: MemoryReservation) -> Result<Self> {
        Ok(match image.columns.rows {
            Rows::Voxels { .. } => Writer::Voxels(Box::new(VoxelImage::start(image, memory)?)),
            Rows::Volumes { .. } => Writer::Volumes(Box::new(VolumeImage::start(image, memory)?)),
        })
    }

    fn write(mut self, batch: &RecordBatch) -> Result<Self> {
        match &mut self {
            Writer::Voxels(writer) => writer.write(batch)?,
            Writer::Volumes(writer) => writer.write(batch)?,
        }
        Ok(self)
    }

    fn finish(self) -> Result<u64> {
        match self {
            Writer::Voxels(writer) => writer.finish(),
            Writer::Volumes(writer) => writer.finish(),
        }
    }
}

/// The time between volumes: the option's, else the column's, else what is usual.
#[derive(Debug)]
pub struct Times {
    path: PathBuf,
    given: Option<f64>,
    column: Option<usize>,
    found: Option<f64>,
    usual: Option<f64>,
}

impl Times {
    pub fn new(image: &Image) -> Self {
        Times {
            path: image.path.clone(),
            given: image.given_time,
            column: image.columns.repetition_time,
            found: None,
            usual: image.usual_time,
        }
    }

    /// Errors where the column is no time, or not the same in all rows; NULL says nothing.
    pub fn look(&mut self, batch: &RecordBatch) -> Result<()> {
        let (Some(column), None) = (self.column, self.given) else {
            return Ok(());
        };
        let times = cast(batch.column(column), &DataType::Float64)?;
        for seconds in times.as_primitive::<Float64Type>().iter().flatten() {
            let path = self.path.display();
            if !is_time(seconds) {
                return exec_err!(
                    "COPY TO '{path}': repetition_time is {seconds} in a row; it must be a \
                     positive number of seconds"
                );
            }
            match self.found {
                Some(first) if first != seconds => {
                    return exec_err!(
                        "COPY TO '{path}': repetition_time is {first} and {seconds}; an image is \
                         of one run: choose it with WHERE, or say the time, OPTIONS (tr {first})"
                    );
                }
                _ => self.found = Some(seconds),
            }
        }
        Ok(())
    }

    pub fn seconds(&self) -> Option<f64> {
        self.given.or(self.found).or(self.usual)
    }
}

/// The error for a NULL where the image's type has no NaN.
pub fn refuse_null<T>(path: &Path, what: &str) -> Result<T> {
    exec_err!(
        "COPY TO '{}': {what} is NULL, which an image of integers cannot say; \
         fill it with coalesce, or CAST the numbers to REAL, whose NaN says it",
        path.display()
    )
}
