//! A ridge model's files.
//!
//! ```text
//! weights.parquet  subject, target, alpha, score, gammas, mean, intercept, coefficients: one row per
//!                  subject and target; those of like gammas stand together
//! means.parquet    subject, the means of its features: one row per subject
//! ```

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray,
};
use arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Int64Type, Schema, SchemaRef,
};
use datafusion::common::{Result, exec_datafusion_err};
use faer::Mat;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use voxql_udfs::kernels::ridge::{Selection, Weights};

use super::options::Settings;
use crate::models::store::{self, Description, damaged};

const WEIGHTS: &str = "weights.parquet";
const MEANS: &str = "means.parquet";

/// A row group is written when it has so many bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Writes `weights.parquet`, block by block, and `means.parquet`.
pub struct Writer {
    weights: ArrowWriter<File>,
    schema: SchemaRef,
    item: FieldRef,
    features: i32,
    names: Vec<String>,
    means: Vec<Vec<f64>>,
}

impl Writer {
    /// For models of so many features.
    pub fn create(directory: &Path, features: usize) -> Result<Self> {
        let features = i32::try_from(features)
            .map_err(|_| exec_datafusion_err!("CREATE MODEL: {features} features are too many"))?;
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let gamma = Arc::new(Field::new_list_field(DataType::Float64, true));
        let coefficients = DataType::FixedSizeList(Arc::clone(&item), features);
        let schema = Arc::new(Schema::new(vec![
            Field::new("subject", DataType::Utf8, false),
            Field::new("target", DataType::Int64, false),
            Field::new("alpha", DataType::Float64, false),
            Field::new("score", DataType::Float64, false),
            Field::new("gammas", DataType::List(gamma), false),
            Field::new("mean", DataType::Float64, false),
            Field::new("intercept", DataType::Float64, false),
            Field::new("coefficients", coefficients, false),
        ]));
        Ok(Self {
            weights: store::writer(&directory.join(WEIGHTS), Arc::clone(&schema))?,
            schema,
            item,
            features,
            names: Vec::new(),
            means: Vec::new(),
        })
    }

    /// The weights of some targets of a subject.
    pub fn weights(
        &mut self,
        subject: &str,
        selection: &Selection,
        gammas: &[Vec<f64>],
        weights: &Weights,
    ) -> Result<()> {
        let targets = &weights.targets;
        let number = |of: &dyn Fn(usize) -> f64| -> ArrayRef {
            let values = targets.iter().map(|&t| of(t));
            Arc::new(Float64Array::from_iter_values(values))
        };
        let gamma = targets
            .iter()
            .map(|&t| Some(gammas[selection.gammas[t]].iter().copied().map(Some)));
        let coefficients: Vec<f32> = (0..targets.len())
            .flat_map(|j| weights.coefficients.col_as_slice(j))
            .map(|v| *v as f32)
            .collect();
        let batch = RecordBatch::try_new(
            Arc::clone(&self.schema),
            vec![
                Arc::new(StringArray::from(vec![subject; targets.len()])),
                Arc::new(Int64Array::from_iter_values(
                    targets.iter().map(|&t| t as i64),
                )),
                number(&|t| selection.alphas[t]),
                number(&|t| selection.scores[t]),
                Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(gamma)),
                Arc::new(Float64Array::from(weights.means.clone())),
                Arc::new(Float64Array::from(weights.intercepts.clone())),
                Arc::new(FixedSizeListArray::try_new(
                    Arc::clone(&self.item),
                    self.features,
                    Arc::new(Float32Array::from(coefficients)),
                    None,
                )?),
            ],
        )?;
        self.weights.write(&batch)?;
        if self.weights.in_progress_size() > ROW_GROUP_BYTES {
            self.weights.flush()?;
        }
        Ok(())
    }

    /// The means of a subject's features.
    pub fn means(&mut self, subject: &str, means: &[f64]) {
        self.names.push(subject.to_string());
        self.means.push(means.to_vec());
    }

    pub fn finish(self, directory: &Path) -> Result<()> {
        self.weights.close()?;
        let means = self.means.iter();
        let means = means.map(|means| Some(means.iter().copied().map(Some)));
        let means: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(means));
        let names: ArrayRef = Arc::new(StringArray::from(self.names));
        let batch = RecordBatch::try_from_iter([("subject", names), ("means", means)])?;
        store::write(&directory.join(MEANS), &batch)
    }
}

/// What predictions need of one subject.
#[derive(Debug)]
pub struct SubjectWeights {
    /// Empty where the model was not fitted per subject.
    pub name: String,
    /// Per feature the mean that is subtracted.
    pub feature_means: Vec<f32>,
    /// Features × targets.
    pub coefficients: Mat<f32>,
    /// Per target what is added.
    pub target_means: Vec<f32>,
}

/// Reads the weights of all subjects.
///
/// # Errors
/// When a file is missing or damaged.
pub fn read_weights(
    directory: &Path,
    description: &Description,
    settings: &Settings,
) -> Result<Vec<SubjectWeights>> {
    let path = directory.join(MEANS);
    let mut subjects = Vec::new();
    for columns in store::read(&path)? {
        for i in 0..columns.batch.num_rows() {
            let targets = description.voxels.get(subjects.len()).copied();
            let means = columns.list("means", i)?;
            if means.len() != settings.features() {
                return Err(damaged(&path, "the features are not those of the model"));
            }
            subjects.push(SubjectWeights {
                name: columns.texts("subject")?.value(i).to_string(),
                feature_means: means.iter().map(|v| *v as f32).collect(),
                coefficients: Mat::zeros(means.len(), targets.unwrap_or(0)),
                target_means: vec![0.0; targets.unwrap_or(0)],
            });
        }
    }
    let path = directory.join(WEIGHTS);
    let mut at = 0;
    for batch in reader(&path)?.build()? {
        let batch = batch.map_err(|e| damaged(&path, e))?;
        place(&batch, &mut subjects, &mut at)
            .ok_or_else(|| damaged(&path, "its rows do not fit the model"))?;
    }
    Ok(subjects)
}

/// Puts rows of `weights.parquet` where they belong; None where they do not fit.
fn place(batch: &RecordBatch, subjects: &mut [SubjectWeights], at: &mut usize) -> Option<()> {
    let names: &StringArray = batch.column_by_name("subject")?.as_string_opt()?;
    let targets = batch
        .column_by_name("target")?
        .as_primitive_opt::<Int64Type>()?;
    let means = batch
        .column_by_name("mean")?
        .as_primitive_opt::<Float64Type>()?;
    let lists = batch
        .column_by_name("coefficients")?
        .as_fixed_size_list_opt()?;
    let values = lists.values().as_primitive_opt::<Float32Type>()?.values();
    let width = usize::try_from(lists.value_length()).ok()?;
    for i in 0..batch.num_rows() {
        while subjects.get(*at)?.name != names.value(i) {
            *at += 1;
        }
        let subject = &mut subjects[*at];
        let target = usize::try_from(targets.value(i)).ok()?;
        *subject.target_means.get_mut(target)? = means.value(i) as f32;
        if width != subject.coefficients.nrows() {
            return None;
        }
        let row = values.get(i * width..(i + 1) * width)?;
        subject
            .coefficients
            .col_as_slice_mut(target)
            .copy_from_slice(row);
    }
    Some(())
}

/// The columns of `weights.parquet` that say how well each target was predicted, and its intercept: subject,
/// target, alpha, score, gammas, intercept.
pub fn read_scores(directory: &Path) -> Result<Vec<RecordBatch>> {
    let path = directory.join(WEIGHTS);
    let builder = reader(&path)?;
    let names = ["subject", "target", "alpha", "score", "gammas", "intercept"];
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let batches = builder.with_projection(mask).build()?;
    batches
        .map(|batch| batch.map_err(|e| damaged(&path, e)))
        .collect()
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|e| damaged(path, e))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(path, e))
}
