//! Models on disk: `model.json` says what it is, Parquet files hold the numbers.
//!
//! ```text
//! models/NAME/
//!   model.json        kind, options, source query, input columns, hash of the rest
//!   subjects.parquet  subject, voxels, weights, mean, rho2: one row per subject
//!   shared.parquet    the shared response: one row per TR
//! ```

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::{Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use voxql_udfs::named_arguments::closest;

use super::srm::{Options, SrmModel, SubjectMap};
use crate::database::{Database, ObjectKind};

const SUBJECTS: &str = "subjects.parquet";
const SHARED: &str = "shared.parquet";

/// What `model.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    pub kind: String,
    pub features: usize,
    pub iterations: usize,
    pub seed: u32,
    pub demean: bool,
    pub trs: usize,
    pub subjects: Vec<String>,
    pub voxels: Vec<usize>,
    /// The statement that made it.
    pub query: String,
    /// Names and types of the columns it was fitted on.
    pub input_schema: Vec<(String, String)>,
    pub log_likelihood: Vec<f64>,
    /// features × features, column-major.
    pub sigma: Vec<f64>,
    /// SHA-256 of the Parquet files.
    pub content_hash: String,
}

/// The models of a database.
#[derive(Debug)]
pub struct Models {
    database: Arc<Database>,
    /// Loaded weights by content hash.
    loaded: Mutex<HashMap<String, Arc<Vec<SubjectMap>>>>,
}

impl Models {
    pub fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            loaded: Mutex::default(),
        }
    }

    pub fn names(&self) -> Result<Vec<String>> {
        self.database.names(ObjectKind::Model)
    }

    /// A model's kind, and where its files are.
    pub fn find(&self, name: &str) -> Result<(String, PathBuf)> {
        if !self.database.exists(ObjectKind::Model, name) {
            return self.missing(name);
        }
        #[derive(Deserialize)]
        struct OfKind {
            kind: String,
        }
        let directory = self.directory(name);
        let path = directory.join("model.json");
        let text = fs::read_to_string(&path).map_err(|e| damaged(&path, e))?;
        let model: OfKind = serde_json::from_str(&text).map_err(|e| damaged(&path, e))?;
        Ok((model.kind, directory))
    }

    /// What the model is, without its numbers.
    pub fn describe(&self, name: &str) -> Result<Description> {
        let (kind, directory) = self.find(name)?;
        if kind != "srm" {
            return plan_err!("{name} is a model of kind {kind}, not srm");
        }
        let path = directory.join("model.json");
        let text = fs::read_to_string(&path).map_err(|e| damaged(&path, e))?;
        serde_json::from_str(&text).map_err(|e| damaged(&path, e))
    }

    /// The subjects' maps, read once per content.
    pub fn subjects(&self, description: &Description) -> Result<Arc<Vec<SubjectMap>>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(subjects) = loaded.get(&description.content_hash) {
            return Ok(Arc::clone(subjects));
        }
        let directory = self.directory(&description.name);
        let hash = content_hash(&directory)?;
        if hash != description.content_hash {
            return exec_err!(
                "model {}: its files were changed or damaged (hash {hash}, expected {}); CREATE OR REPLACE MODEL makes it anew",
                description.name,
                description.content_hash
            );
        }
        let subjects = Arc::new(read_subjects(&directory.join(SUBJECTS))?);
        loaded.insert(hash, Arc::clone(&subjects));
        Ok(subjects)
    }

    /// The error for a name that no model has.
    pub fn missing<T>(&self, name: &str) -> Result<T> {
        let names = self.names()?;
        match closest(name, names.iter().map(String::as_str)) {
            Some(near) => plan_err!("there is no model {name}; did you mean {near}?"),
            None if names.is_empty() => {
                plan_err!("there is no model {name}; CREATE MODEL makes one")
            }
            None => plan_err!("there is no model {name}; there are {}", names.join(", ")),
        }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.database.place(ObjectKind::Model, name)
    }
}

/// Writes the model's files into `directory`. `query` is the statement that made it.
pub fn write(directory: &Path, model: &SrmModel, name: &str, query: &str) -> Result<()> {
    write_parquet(&directory.join(SUBJECTS), subjects_batch(model)?)?;
    write_parquet(&directory.join(SHARED), shared_batch(model)?)?;
    let Options {
        features,
        iterations,
        seed,
        demean,
    } = model.options;
    let description = Description {
        name: name.to_string(),
        kind: "srm".to_string(),
        features,
        iterations,
        seed,
        demean,
        trs: model.shared.len() / features.max(1),
        subjects: model.subjects.iter().map(|s| s.name.clone()).collect(),
        voxels: model.subjects.iter().map(|s| s.voxels).collect(),
        query: query.to_string(),
        input_schema: model.schema.clone(),
        log_likelihood: model.log_likelihood.clone(),
        sigma: model.sigma.clone(),
        content_hash: content_hash(directory)?,
    };
    let text = serde_json::to_string_pretty(&description)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(fs::write(directory.join("model.json"), text)?)
}

fn subjects_batch(model: &SrmModel) -> Result<RecordBatch> {
    let subjects = &model.subjects;
    let list = |values: fn(&SubjectMap) -> &Vec<f64>| {
        let rows = subjects
            .iter()
            .map(|s| Some(values(s).iter().copied().map(Some)));
        Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows)) as ArrayRef
    };
    let names = StringArray::from_iter_values(subjects.iter().map(|s| &s.name));
    let voxels = Int64Array::from_iter_values(subjects.iter().map(|s| s.voxels as i64));
    let rho2 = Float64Array::from_iter_values(subjects.iter().map(|s| s.rho2));
    Ok(RecordBatch::try_from_iter([
        ("subject", Arc::new(names) as ArrayRef),
        ("voxels", Arc::new(voxels)),
        ("weights", list(|s| &s.weights)),
        ("mean", list(|s| &s.mean)),
        ("rho2", Arc::new(rho2)),
    ])?)
}

fn shared_batch(model: &SrmModel) -> Result<RecordBatch> {
    let rows = model
        .shared
        .chunks_exact(model.options.features.max(1))
        .map(|tr| Some(tr.iter().copied().map(Some)));
    let shared = ListArray::from_iter_primitive::<Float64Type, _, _>(rows);
    Ok(RecordBatch::try_from_iter([(
        "shared",
        Arc::new(shared) as ArrayRef,
    )])?)
}

fn write_parquet(path: &Path, batch: RecordBatch) -> Result<()> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(Default::default()))
        .set_dictionary_enabled(false)
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}

fn read_subjects(path: &Path) -> Result<Vec<SubjectMap>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
    let mut subjects = Vec::new();
    for batch in reader {
        let batch = batch?;
        let column = |name: &str| match batch.column_by_name(name) {
            Some(column) => Ok(column),
            None => exec_err!("{}: the column {name} is missing", path.display()),
        };
        let (Some(names), Some(voxels), Some(weights), Some(mean), Some(rho2)) = (
            column("subject")?.as_string_opt::<i32>(),
            column("voxels")?.as_primitive_opt::<Int64Type>(),
            column("weights")?.as_list_opt::<i32>(),
            column("mean")?.as_list_opt::<i32>(),
            column("rho2")?.as_primitive_opt::<Float64Type>(),
        ) else {
            return exec_err!("{}: the columns have other types", path.display());
        };
        let floats =
            |list: &ListArray, i: usize| match list.value(i).as_primitive_opt::<Float64Type>() {
                Some(values) => Ok(values.values().to_vec()),
                None => exec_err!("{}: the columns have other types", path.display()),
            };
        for i in 0..batch.num_rows() {
            subjects.push(SubjectMap {
                name: names.value(i).to_string(),
                voxels: usize::try_from(voxels.value(i)).map_err(|e| damaged(path, e))?,
                weights: floats(weights, i)?,
                mean: floats(mean, i)?,
                rho2: rho2.value(i),
            });
        }
    }
    Ok(subjects)
}

fn content_hash(directory: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for file in [SUBJECTS, SHARED] {
        let path = directory.join(file);
        hasher.update(fs::read(&path).map_err(|e| damaged(&path, e))?);
    }
    Ok(super::hexadecimal(&hasher.finalize()))
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!(
        "{}: {error}; the model is damaged, CREATE OR REPLACE MODEL makes it anew",
        path.display()
    ))
}
