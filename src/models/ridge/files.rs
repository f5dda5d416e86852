//! A ridge model on disk.
//!
//! ```text
//! models/NAME/
//!   model.json        kind, options, feature spaces, source query, input columns, hash of the rest
//!   weights.parquet   subject, target, alpha, score, gammas, mean, intercept, coefficients
//!   subjects.parquet  subject, means of the features
//! ```

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result, exec_err};
use faer::Mat;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::options::Options;
use super::rows::Space;

const WEIGHTS: &str = "weights.parquet";
const SUBJECTS: &str = "subjects.parquet";

/// A row group is written when it has so many bytes.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// What `model.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    pub kind: String,
    pub options: Options,
    pub spaces: Vec<Space>,
    /// Sorted; empty where the query had no column `subject`.
    pub subjects: Vec<String>,
    /// Per subject.
    pub targets: Vec<usize>,
    /// Per subject.
    pub samples: Vec<usize>,
    /// The statement that made it.
    pub query: String,
    /// Names and types of the columns it was fitted on.
    pub input_schema: Vec<(String, String)>,
    /// SHA-256 of the Parquet files.
    pub content_hash: String,
}

impl Description {
    /// Reads `model.json`.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("model.json");
        let text = fs::read_to_string(&path).map_err(|e| damaged(&path, e))?;
        serde_json::from_str(&text).map_err(|e| damaged(&path, e))
    }

    /// The number of targets, where all subjects have the same.
    pub fn targets(&self) -> Option<usize> {
        let (first, rest) = self.targets.split_first()?;
        rest.iter().all(|n| n == first).then_some(*first)
    }

    /// Features of all spaces.
    pub fn features(&self) -> usize {
        self.spaces.iter().map(|s| s.width).sum()
    }

    /// Says that the files are not those that were written, if so.
    pub fn verify(&self, directory: &Path) -> Result<()> {
        let hash = content_hash(directory)?;
        match hash == self.content_hash {
            true => Ok(()),
            false => exec_err!(
                "model {}: its files were changed or damaged (hash {hash}, expected {}); CREATE OR REPLACE MODEL makes it anew",
                self.name,
                self.content_hash
            ),
        }
    }
}

/// The columns of `weights.parquet`: one row per subject and target.
pub fn weights_schema(features: usize) -> SchemaRef {
    let item = |t| Arc::new(Field::new_list_field(t, true));
    let width = i32::try_from(features).unwrap_or(i32::MAX);
    Arc::new(Schema::new(vec![
        Field::new("subject", DataType::Utf8, true),
        Field::new("target", DataType::Int64, false),
        Field::new("alpha", DataType::Float64, false),
        Field::new("score", DataType::Float64, false),
        Field::new("gammas", DataType::List(item(DataType::Float64)), false),
        Field::new("mean", DataType::Float64, false),
        Field::new("intercept", DataType::Float64, false),
        Field::new(
            "coefficients",
            DataType::FixedSizeList(item(DataType::Float32), width),
            false,
        ),
    ]))
}

/// Writes a model's files.
pub struct Writer {
    directory: PathBuf,
    weights: Option<ArrowWriter<File>>,
    subjects: Vec<(Option<String>, Vec<f64>)>,
}

impl Writer {
    pub fn create(directory: &Path) -> Result<Self> {
        Ok(Self {
            directory: directory.to_path_buf(),
            weights: None,
            subjects: Vec::new(),
        })
    }

    /// Weights of some targets, as [`weights_schema`] says.
    pub fn weights(&mut self, batch: &RecordBatch) -> Result<()> {
        let writer = match &mut self.weights {
            Some(writer) => writer,
            empty => {
                let file = File::create(self.directory.join(WEIGHTS))?;
                empty.insert(ArrowWriter::try_new(
                    file,
                    batch.schema(),
                    Some(properties()),
                )?)
            }
        };
        writer.write(batch)?;
        if writer.in_progress_size() > ROW_GROUP_BYTES {
            writer.flush()?;
        }
        Ok(())
    }

    /// The means of a subject's features, after its weights.
    pub fn subject(&mut self, name: Option<&str>, means: &[f64]) {
        self.subjects
            .push((name.map(str::to_string), means.to_vec()));
    }

    /// The rest; `description` gets its hash here.
    pub fn finish(self, mut description: Description) -> Result<()> {
        if let Some(weights) = self.weights {
            weights.close()?;
        }
        let names: StringArray = self
            .subjects
            .iter()
            .map(|(name, _)| name.as_deref())
            .collect();
        let means = self.subjects.iter();
        let means = means.map(|(_, means)| Some(means.iter().copied().map(Some)));
        let means = ListArray::from_iter_primitive::<Float64Type, _, _>(means);
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("subject", Arc::new(names) as _, true),
            ("means", Arc::new(means) as _, false),
        ])?;
        let file = File::create(self.directory.join(SUBJECTS))?;
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties()))?;
        writer.write(&batch)?;
        writer.close()?;
        description.content_hash = content_hash(&self.directory)?;
        let text = serde_json::to_string_pretty(&description)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(fs::write(self.directory.join("model.json"), text)?)
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_dictionary_enabled(false)
        .build()
}

/// What predictions need of one subject.
pub struct SubjectWeights {
    pub name: Option<String>,
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
pub fn read_weights(directory: &Path, description: &Description) -> Result<Vec<SubjectWeights>> {
    description.verify(directory)?;
    let path = directory.join(SUBJECTS);
    let mut subjects = Vec::new();
    for batch in reader(&path)?.build()? {
        let batch = batch?;
        let (Some(names), Some(means)) = (
            batch.column(0).as_string_opt::<i32>(),
            batch.column(1).as_list_opt::<i32>(),
        ) else {
            return exec_err!("{}: the columns have other types", path.display());
        };
        for i in 0..batch.num_rows() {
            let targets = description
                .targets
                .get(subjects.len())
                .copied()
                .unwrap_or(0);
            let means = means.value(i);
            let Some(means) = means.as_primitive_opt::<Float64Type>() else {
                return exec_err!("{}: the columns have other types", path.display());
            };
            subjects.push(SubjectWeights {
                name: names.is_valid(i).then(|| names.value(i).to_string()),
                feature_means: means.values().iter().map(|v| *v as f32).collect(),
                coefficients: Mat::zeros(description.features(), targets),
                target_means: vec![0.0; targets],
            });
        }
    }
    let path = directory.join(WEIGHTS);
    let mut at = 0;
    for batch in reader(&path)?.build()? {
        place(&batch?, &mut subjects, &mut at)
            .ok_or_else(|| damaged(&path, "its rows do not fit the model"))?;
    }
    Ok(subjects)
}

/// Puts rows of `weights.parquet` where they belong; None where they do not fit.
fn place(batch: &RecordBatch, subjects: &mut [SubjectWeights], at: &mut usize) -> Option<()> {
    let names = batch.column_by_name("subject")?.as_string_opt::<i32>()?;
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
        let name = names.is_valid(i).then(|| names.value(i));
        while subjects.get(*at)?.name.as_deref() != name {
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

/// The columns of `weights.parquet` that say how well each target was predicted.
pub fn read_scores(directory: &Path, description: &Description) -> Result<Vec<RecordBatch>> {
    description.verify(directory)?;
    let builder = reader(&directory.join(WEIGHTS))?;
    let names = ["subject", "target", "alpha", "score", "gammas"];
    let mask = ProjectionMask::columns(builder.parquet_schema(), names);
    let reader = builder.with_projection(mask).build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).map_err(|e| damaged(path, e))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(path, e))
}

fn content_hash(directory: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    for file in [WEIGHTS, SUBJECTS] {
        let path = directory.join(file);
        let mut file = File::open(&path).map_err(|e| damaged(&path, e))?;
        loop {
            match file.read(&mut buffer).map_err(|e| damaged(&path, e))? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
    }
    Ok(crate::models::hexadecimal(&hasher.finalize()))
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!(
        "{}: {error}; the model is damaged, CREATE OR REPLACE MODEL makes it anew",
        path.display()
    ))
}
