//! Models on disk: `model.json` says what it is, Parquet files hold the numbers.
//!
//! ```text
//! models/NAME/
//!   model.json      kind, options, source query, input columns, hash of the rest
//!   times.parquet   the times that it was fitted on, where they are the same for all
//!   ….parquet       what a model of its kind knows
//! ```

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::AsArray;
use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::{Float64Type, Int64Type, SchemaRef};
use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use voxql_udfs::named_arguments::closest;

use crate::database::{Database, ObjectKind, PRETRAINED};

const DESCRIPTION: &str = "model.json";

/// What `model.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    pub kind: String,
    /// The kind's own.
    pub options: Value,
    /// Elements of the vectors that the model gives.
    pub features: usize,
    /// Rows per subject in the fit.
    pub trs: usize,
    pub subjects: Vec<String>,
    /// Each subject's number of voxels.
    pub voxels: Vec<usize>,
    /// The statement that made it.
    pub query: String,
    /// Names and types of the columns it was fitted on.
    pub input_schema: Vec<(String, String)>,
    /// What `history` is: `log_likelihood` or `objective`.
    pub history_of: String,
    /// One value per iteration of the fit.
    pub history: Vec<f64>,
    /// SHA-256 of the Parquet files.
    pub content_hash: String,
}

impl Description {
    /// Whether it knows its subjects by name: an encoding model may have been fitted without.
    pub fn has_subjects(&self) -> bool {
        self.subjects.iter().any(|name| !name.is_empty())
    }

    /// The number of voxels, where all subjects have the same.
    pub fn same_voxels(&self) -> Option<usize> {
        let (first, rest) = self.voxels.split_first()?;
        rest.iter().all(|n| n == first).then_some(*first)
    }

    /// The kind's options.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_value(self.options.clone()).map_err(|error| {
            DataFusionError::Execution(format!(
                "model {}: its options cannot be read: {error}; the model is damaged, \
                 CREATE OR REPLACE MODEL makes it anew",
                self.name
            ))
        })
    }
}

/// What was read of a model's files, and the memory that it takes for as long as anybody has it.
#[derive(Debug)]
pub struct Loaded<T> {
    value: T,
    _memory: MemoryReservation,
}

impl<T> Deref for Loaded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A [`Loaded`] of any type, and the hash of the files.
#[derive(Debug)]
struct Kept {
    content_hash: String,
    loaded: Arc<dyn Any + Send + Sync>,
}

/// The models of a database.
#[derive(Debug)]
pub struct Models {
    database: Arc<Database>,
    /// The memory of all queries: what one of them reads stays for the others.
    pool: Arc<dyn MemoryPool>,
    /// By name.
    kept: Mutex<HashMap<String, Kept>>,
    /// Directories and hashes of models whose files were looked at.
    seen_whole: Mutex<HashSet<(PathBuf, String)>>,
}

impl Models {
    /// The models of `database`; what is read of them is held in `pool`.
    pub fn new(database: Arc<Database>, pool: Arc<dyn MemoryPool>) -> Self {
        Self {
            database,
            pool,
            kept: Mutex::default(),
            seen_whole: Mutex::default(),
        }
    }

    /// The database's folder of embedding models: one folder each, as `voxql models pull --db` puts them.
    pub fn shelf(&self) -> PathBuf {
        self.database.root().join(PRETRAINED)
    }

    pub fn names(&self) -> Result<Vec<String>> {
        self.database.names(ObjectKind::Model)
    }

    /// What the model is, without its numbers.
    pub fn describe(&self, name: &str) -> Result<Description> {
        if !self.database.exists(ObjectKind::Model, name) {
            return self.missing(name);
        }
        let path = self.directory(name).join(DESCRIPTION);
        let text = fs::read_to_string(&path).map_err(|e| damaged(&path, e))?;
        serde_json::from_str(&text).map_err(|e| damaged(&path, e))
    }

    /// What `read` makes of the model's directory, done once per content. It is held in memory, as much as its
    /// files are, until the model is dropped or replaced.
    ///
    /// # Errors
    /// Those of `read`, files that are not those that were written, and too little memory.
    pub fn load<T: Send + Sync + 'static>(
        &self,
        description: &Description,
        read: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<Arc<Loaded<T>>> {
        let mut kept = self.kept();
        if let Some(known) = kept.get(&description.name)
            && known.content_hash == description.content_hash
            && let Ok(loaded) = Arc::clone(&known.loaded).downcast()
        {
            return Ok(loaded);
        }
        // Of another content: the model was replaced.
        kept.remove(&description.name);
        let directory = self.whole(description)?;
        let memory = MemoryConsumer::new(format!("model {}", description.name));
        let memory = memory.register(&self.pool);
        memory.try_grow(size_of_files(&directory)?)?;
        let loaded = Arc::new(Loaded {
            value: read(&directory)?,
            _memory: memory,
        });
        let new = Kept {
            content_hash: description.content_hash.clone(),
            loaded: Arc::clone(&loaded) as Arc<dyn Any + Send + Sync>,
        };
        kept.insert(description.name.clone(), new);
        Ok(loaded)
    }

    /// Lets go of what was read of a model that is gone, or another one by now.
    pub fn forget(&self, name: &str) {
        self.kept().remove(name);
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model's directory, once its files are known to be those that were written. They are read for
    /// it once in the life of the process.
    pub fn whole(&self, description: &Description) -> Result<PathBuf> {
        let directory = self.directory(&description.name);
        let key = (directory.clone(), description.content_hash.clone());
        let seen = || {
            let seen = self.seen_whole.lock();
            seen.unwrap_or_else(PoisonError::into_inner)
        };
        if seen().contains(&key) {
            return Ok(directory);
        }
        let hash = content_hash(&directory)?;
        if hash != description.content_hash {
            return exec_err!(
                "model {}: its files were changed or damaged (hash {hash}, expected {}); CREATE OR REPLACE MODEL makes it anew",
                description.name,
                description.content_hash
            );
        }
        seen().insert(key);
        Ok(directory)
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

/// Writes `model.json`, the last of a model's files, into `directory`; fills in the hash.
pub fn describe(directory: &Path, mut description: Description) -> Result<()> {
    description.content_hash = content_hash(directory)?;
    let text = serde_json::to_string_pretty(&description)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(fs::write(directory.join(DESCRIPTION), text)?)
}

/// A Parquet file of numbers, written batch by batch. Digits of maps and coefficients do not compress.
pub fn writer(path: &Path, schema: SchemaRef) -> Result<ArrowWriter<File>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    Ok(ArrowWriter::try_new(
        File::create(path)?,
        schema,
        Some(properties),
    )?)
}

/// A Parquet file of one batch.
pub fn write(path: &Path, batch: &RecordBatch) -> Result<()> {
    let mut writer = writer(path, batch.schema())?;
    writer.write(batch)?;
    writer.close()?;
    Ok(())
}

/// The batches of a Parquet file.
pub fn read(path: &Path) -> Result<Vec<Columns>> {
    let file = File::open(path).map_err(|e| damaged(path, e))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(path, e))?;
    let batches = reader.build().map_err(|e| damaged(path, e))?;
    batches
        .map(|batch| {
            Ok(Columns {
                path: path.to_path_buf(),
                batch: batch.map_err(|e| damaged(path, e))?,
            })
        })
        .collect()
}

/// A batch of a model's file, whose columns must be what they are expected to be.
pub struct Columns {
    path: PathBuf,
    pub batch: RecordBatch,
}

impl Columns {
    pub fn texts(&self, name: &str) -> Result<&StringArray> {
        self.typed(name, self.column(name)?.as_string_opt())
    }

    pub fn integers(&self, name: &str) -> Result<&Int64Array> {
        self.typed(name, self.column(name)?.as_primitive_opt::<Int64Type>())
    }

    pub fn numbers(&self, name: &str) -> Result<&Float64Array> {
        self.typed(name, self.column(name)?.as_primitive_opt::<Float64Type>())
    }

    pub fn lists(&self, name: &str) -> Result<&ListArray> {
        let lists: Option<&ListArray> = self.column(name)?.as_list_opt();
        let lists = lists.filter(|lists| {
            let values: Option<&Float64Array> = lists.values().as_primitive_opt();
            values.is_some()
        });
        self.typed(name, lists)
    }

    /// The numbers of row `i` of a column of lists.
    pub fn list(&self, name: &str, i: usize) -> Result<Vec<f64>> {
        let row = self.lists(name)?.value(i);
        Ok(row.as_primitive::<Float64Type>().values().to_vec())
    }

    fn column(&self, name: &str) -> Result<&ArrayRef> {
        match self.batch.column_by_name(name) {
            Some(column) => Ok(column),
            None => Err(damaged(&self.path, format!("the column {name} is missing"))),
        }
    }

    fn typed<'a, T>(&self, name: &str, column: Option<&'a T>) -> Result<&'a T> {
        column.ok_or_else(|| damaged(&self.path, format!("the column {name} has another type")))
    }
}

/// All files but the description, by name.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(|e| damaged(directory, e))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != DESCRIPTION) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Bytes of all files but the description. Their numbers are not compressed.
fn size_of_files(directory: &Path) -> Result<usize> {
    let mut bytes = 0_usize;
    for path in files(directory)? {
        let length = fs::metadata(&path).map_err(|e| damaged(&path, e))?.len();
        bytes = bytes.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
    }
    Ok(bytes)
}

/// Of all files but the description, by name.
fn content_hash(directory: &Path) -> Result<String> {
    let mut hasher = Sha256::new();
    for path in files(directory)? {
        if let Some(name) = path.file_name() {
            hasher.update(name.as_encoded_bytes());
        }
        let mut file = File::open(&path).map_err(|e| damaged(&path, e))?;
        std::io::copy(&mut file, &mut Hashing(&mut hasher)).map_err(|e| damaged(&path, e))?;
    }
    Ok(super::hexadecimal(&hasher.finalize()))
}

/// What is written is hashed.
struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The error for a file of a model that is not as it was written.
pub fn damaged(path: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!(
        "{}: {error}; the model is damaged, CREATE OR REPLACE MODEL makes it anew",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use serde_json::json;

    #[test]
    fn what_is_read_is_held_in_the_pool_until_the_model_is_gone() {
        let database = Database::open(None).unwrap();
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let models = Models::new(database, Arc::clone(&pool));
        let written = |bytes: usize| {
            let directory = models.directory("m");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("maps.parquet"), vec![7; bytes]).unwrap();
            let description = json!({
                "name": "m", "kind": "srm", "options": null, "features": 1, "trs": 1, "subjects": [],
                "voxels": [], "query": "", "input_schema": [], "history_of": "", "history": [],
                "content_hash": ""
            });
            describe(&directory, serde_json::from_value(description).unwrap()).unwrap();
            models.describe("m").unwrap()
        };
        let first = written(60);
        assert_eq!(**models.load(&first, |_| Ok(1)).unwrap(), 1);
        assert_eq!(**models.load(&first, |_| Ok(2)).unwrap(), 1);
        assert_eq!(pool.reserved(), 60);
        // Replaced: both do not fit, and the first is not held any longer.
        let second = written(70);
        let in_use = models.load(&second, |_| Ok(3)).unwrap();
        assert_eq!((**in_use, pool.reserved()), (3, 70));
        models.forget("m");
        assert_eq!(pool.reserved(), 70, "a query has it still");
        drop(in_use);
        assert_eq!(pool.reserved(), 0);
        let large = models.load(&written(101), |_| Ok(4)).unwrap_err();
        assert!(large.to_string().contains("model m"), "{large}");
    }
}
