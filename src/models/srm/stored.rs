//! A shared response model's files.
//!
//! ```text
//! subjects.parquet  subject, voxels, weights, mean, rho2: one row per subject
//! shared.parquet    the shared response: one row per TR
//! sigma.parquet     its covariance, of srm: one row per feature
//! ```

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion::common::Result;
use faer::{Mat, MatRef};
use parquet::arrow::ArrowWriter;

use crate::models::store::{self, Columns, Description, Loaded, Models};

const SUBJECTS: &str = "subjects.parquet";
const SHARED: &str = "shared.parquet";
const SIGMA: &str = "sigma.parquet";

/// What a model knows of one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectMap {
    pub name: String,
    pub voxels: usize,
    /// W: voxels × features, column-major, orthonormal columns.
    pub weights: Vec<f64>,
    /// Each voxel's mean over the fitted TRs; zero where the model does not ask for it.
    pub mean: Vec<f64>,
    /// Variance of the noise, where the model has one.
    pub rho2: Option<f64>,
}

impl SubjectMap {
    pub fn features(&self) -> usize {
        self.weights.len() / self.voxels.max(1)
    }

    pub fn w(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.weights, self.voxels, self.features())
    }
}

/// The subjects' maps, read once.
pub fn subjects(
    models: &Models,
    description: &Description,
) -> Result<Arc<Loaded<Vec<SubjectMap>>>> {
    models.load(description, |directory| {
        let path = directory.join(SUBJECTS);
        let mut subjects = Vec::new();
        for columns in store::read(&path)? {
            for i in 0..columns.batch.num_rows() {
                subjects.push(subject(&columns, i, &path)?);
            }
        }
        Ok(subjects)
    })
}

fn subject(columns: &Columns, i: usize, path: &Path) -> Result<SubjectMap> {
    let rho2 = columns.numbers("rho2")?;
    let subject = SubjectMap {
        name: columns.texts("subject")?.value(i).to_string(),
        voxels: usize::try_from(columns.integers("voxels")?.value(i))
            .map_err(|e| store::damaged(path, e))?,
        weights: columns.list("weights", i)?,
        mean: columns.list("mean", i)?,
        rho2: rho2.is_valid(i).then(|| rho2.value(i)),
    };
    let (voxels, weights) = (subject.voxels, subject.weights.len());
    match voxels > 0 && weights.is_multiple_of(voxels) && subject.mean.len() == voxels {
        true => Ok(subject),
        false => Err(store::damaged(
            path,
            "weights and means are not of one size",
        )),
    }
}

/// The shared response, features × TRs.
pub fn shared(models: &Models, description: &Description) -> Result<Mat<f64>> {
    let path = models.whole(description)?.join(SHARED);
    rows_of(&path, "shared", description.features)
}

/// The covariance of the shared response, features × features.
pub fn sigma(models: &Models, description: &Description) -> Result<Mat<f64>> {
    let path = models.whole(description)?.join(SIGMA);
    rows_of(&path, "sigma", description.features)
}

/// A file of one list per row, as the columns of a matrix.
fn rows_of(path: &Path, column: &str, width: usize) -> Result<Mat<f64>> {
    let mut values = Vec::new();
    for columns in store::read(path)? {
        for i in 0..columns.batch.num_rows() {
            let row = columns.list(column, i)?;
            if row.len() != width {
                return Err(store::damaged(
                    path,
                    format!("a row has {} numbers", row.len()),
                ));
            }
            values.extend(row);
        }
    }
    let rows = values.len() / width.max(1);
    Ok(MatRef::from_column_major_slice(&values, width, rows).to_owned())
}

/// Writes `shared.parquet`.
pub fn write_shared(directory: &Path, shared: MatRef<'_, f64>) -> Result<()> {
    write_rows(&directory.join(SHARED), "shared", shared)
}

/// Writes `sigma.parquet`.
pub fn write_sigma(directory: &Path, sigma: MatRef<'_, f64>) -> Result<()> {
    write_rows(&directory.join(SIGMA), "sigma", sigma)
}

fn write_rows(path: &Path, name: &str, columns: MatRef<'_, f64>) -> Result<()> {
    let rows = columns.col_iter();
    let rows = rows.map(|column| Some(column.iter().map(|v| Some(*v)).collect::<Vec<_>>()));
    let list = ListArray::from_iter_primitive::<Float64Type, _, _>(rows);
    let list: ArrayRef = Arc::new(list);
    store::write(path, &RecordBatch::try_from_iter([(name, list)])?)
}

/// Writes `subjects.parquet`, a subject at a time.
pub struct SubjectsWriter(ArrowWriter<File>);

impl SubjectsWriter {
    pub fn create(directory: &Path) -> Result<Self> {
        Ok(Self(store::writer(&directory.join(SUBJECTS), schema())?))
    }

    pub fn write(&mut self, subject: SubjectMap) -> Result<()> {
        let list = |values: Vec<f64>| -> ArrayRef {
            let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
            let values = Arc::new(Float64Array::from(values));
            Arc::new(ListArray::new(item(), offsets, values, None))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values([&subject.name])),
            Arc::new(Int64Array::from(vec![subject.voxels as i64])),
            list(subject.weights),
            list(subject.mean),
            Arc::new(Float64Array::from(vec![subject.rho2])),
        ];
        self.0.write(&RecordBatch::try_new(schema(), columns)?)?;
        // One row group a subject: what is written is not held.
        self.0.flush()?;
        Ok(())
    }

    /// Writes a map (voxels x features) that has no noise variance.
    pub fn write_map(&mut self, name: &str, w: MatRef<'_, f64>, mean: Vec<f64>) -> Result<()> {
        let columns = w.col_iter();
        self.write(SubjectMap {
            name: name.to_string(),
            voxels: w.nrows(),
            weights: columns.flat_map(|c| c.iter().copied()).collect(),
            mean,
            rho2: None,
        })
    }

    pub fn finish(self) -> Result<()> {
        self.0.close()?;
        Ok(())
    }
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float64, true))
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("subject", DataType::Utf8, false),
        Field::new("voxels", DataType::Int64, false),
        Field::new("weights", DataType::List(item()), false),
        Field::new("mean", DataType::List(item()), false),
        Field::new("rho2", DataType::Float64, true),
    ]))
}
