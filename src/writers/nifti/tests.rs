//! Images written by COPY and read back.

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::TryStreamExt;
use tempfile::TempDir;

use crate::readers::nifti::raw::Raw;
use crate::readers::nifti::testing::Image;
use crate::readers::nifti::volumes::{Volumes, header_bytes};
use crate::session::{Session, Settings};

mod errors;
mod golden;
mod images;
mod properties;

/// A session and a folder of its own; `$` in SQL stands for the folder.
struct Place {
    session: Session,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        let settings = Settings {
            threads: Some(2),
            ..Settings::default()
        };
        Place {
            session: Session::open(settings).await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a made image.
    fn make(&self, name: &str, image: &Image) {
        image.write(self.folder.path(), name);
    }

    async fn try_ask(&self, sql: &str) -> datafusion::common::Result<RecordBatch> {
        let sql = sql.replace('$', self.folder.path().to_str().unwrap());
        let answer = self.session.sql(&sql).await?;
        let schema = answer.stream.schema();
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
        Ok(concat_batches(&schema, &batches)?)
    }

    async fn ask(&self, sql: &str) -> RecordBatch {
        self.try_ask(sql).await.unwrap()
    }

    /// `COPY (query) TO '$/out' …`: the number of rows.
    async fn copy(&self, query: &str, out: &str, options: &str) -> u64 {
        let done = self.ask(&copy_sql(query, out, options)).await;
        use arrow::array::AsArray;
        use arrow::datatypes::UInt64Type;
        done.column(0).as_primitive::<UInt64Type>().value(0)
    }

    /// The message of a COPY to `out.nii.gz`, which must leave nothing.
    async fn refusal(&self, query: &str, options: &str) -> String {
        let before = self.names();
        let sql = copy_sql(query, "out.nii.gz", options);
        let message = match self.try_ask(&sql).await {
            Ok(_) => panic!("this must be refused: {query}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(self.names(), before, "{message}");
        message
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn raw(&self, name: &str) -> Raw {
        Raw::parse(&header_bytes(&self.at(name)).unwrap().1).unwrap()
    }

    /// All voxels of all volumes, x fastest.
    fn floats(&self, name: &str) -> Vec<f32> {
        floats(&self.at(name))
    }
}

fn copy_sql(query: &str, out: &str, options: &str) -> String {
    let options = match options {
        "" => String::new(),
        options => format!("OPTIONS ({options})"),
    };
    format!("COPY ({query}) TO '$/{out}' STORED AS NIFTI {options}")
}

fn floats(path: &Path) -> Vec<f32> {
    let mut image = Volumes::open(path).unwrap();
    let voxels: Vec<u32> = (0..image.header.voxels() as u32).collect();
    let mut values = vec![];
    for _ in 0..image.header.volumes {
        image.read(&voxels, &mut values).unwrap();
    }
    values
}

/// A run of 6 volumes of 4 × 3 × 5 voxels, and a mask of a third of them.
fn run_and_mask(place: &Place) -> (Vec<f32>, Vec<f64>) {
    let run = Image::new([4, 3, 5], 6, 0.72);
    let mask: Vec<f64> = (0..60).map(|at| f64::from(at % 3 == 1)).collect();
    place.make("run.nii.gz", &run);
    place.make("mask.nii", &Image::mask([4, 3, 5], &mask));
    (run.values().iter().map(|&v| v as f32).collect(), mask)
}
