//! `index.json`: what an index is, of which data, and what its files must be.
//!
//! ```text
//! indexes/NAME/
//!   index.json    this
//!   graph.bin     the mean of all vectors, the vector of each row, and the graph
//!   vectors.f32   each different vector once, as it is in the table
//! ```

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result, exec_err};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use voxql_udfs::kernels::hnsw;
use voxql_udfs::kernels::metric::Metric;

pub const MANIFEST: &str = "index.json";
pub const GRAPH: &str = "graph.bin";
pub const VECTORS: &str = "vectors.f32";

/// The end of a Parquet file holds its footer: counts, sizes and places of everything else.
const ENDING: u64 = 64 << 10;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub table: String,
    pub column: String,
    pub metric: String,
    pub m: usize,
    pub ef_construction: usize,
    /// Elements of a vector.
    pub dimension: usize,
    /// Different vectors.
    pub vectors: usize,
    /// The files of the table that are in the index, in the order of its rows.
    pub files: Vec<TableFile>,
    /// SHA-256 of the index's files.
    pub graph_hash: String,
    pub vectors_hash: String,
    /// SHA-256 of this file with an empty `hash`.
    pub hash: String,
}

/// A Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableFile {
    /// In the table's directory, with `/`.
    pub path: String,
    pub bytes: u64,
    pub rows: usize,
    /// SHA-256 of its end.
    pub ending_hash: String,
}

impl Manifest {
    /// Reads the manifest of the index in `directory`.
    ///
    /// # Errors
    /// Where it is missing or is not as it was written.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|error| damaged(&path, error))?;
        let manifest: Self = serde_json::from_str(&text).map_err(|error| damaged(&path, error))?;
        match manifest.own_hash()? == manifest.hash {
            true => Ok(manifest),
            false => Err(damaged(&path, "its hash is wrong")),
        }
    }

    /// Writes it, the last of the index's files.
    pub fn write(mut self, directory: &Path) -> Result<()> {
        self.hash = self.own_hash()?;
        let text = serde_json::to_string_pretty(&self).map_err(external)?;
        Ok(fs::write(directory.join(MANIFEST), text)?)
    }

    fn own_hash(&self) -> Result<String> {
        let bare = Self {
            hash: String::new(),
            ..self.clone()
        };
        let bytes = serde_json::to_vec(&bare).map_err(external)?;
        Ok(hexadecimal(&Sha256::digest(bytes)))
    }

    pub fn metric(&self) -> Result<Metric> {
        Metric::parse(&self.metric).map_err(DataFusionError::Execution)
    }

    /// Rows of the table that are in the index.
    pub fn rows(&self) -> usize {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of memory that the index takes when it is used.
    pub fn memory(&self) -> usize {
        memory(self.vectors, self.rows(), self.dimension, self.m)
    }

    /// What has become of the table in `directory` since.
    pub fn compare(&self, directory: &Path) -> Result<Table> {
        let paths = parquet_files(directory)?;
        for file in &self.files {
            let path = directory.join(&file.path);
            if !path.exists() {
                return Ok(Table::Other(format!("its file {} is gone", file.path)));
            }
            if ending(&path)? != (file.bytes, file.ending_hash.clone()) {
                return Ok(Table::Other(format!("its file {} is another", file.path)));
            }
        }
        let indexed = |path: &PathBuf| {
            self.files
                .iter()
                .any(|file| directory.join(&file.path) == *path)
        };
        let tail = paths.into_iter().filter(|path| !indexed(path)).collect();
        Ok(Table::Same { tail })
    }
}

/// A table, as its index sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// Files may have come since.
    Same { tail: Vec<PathBuf> },
    /// The data are not those that the index is of, and why.
    Other(String),
}

/// Bytes for an index of so many different vectors of so many rows.
pub fn memory(vectors: usize, rows: usize, dimension: usize, m: usize) -> usize {
    // Links: on the ground 2 m and a count, above on average m / (m - 1) of a level, and who they are of.
    let links = 4 * (2 * m + 1) + 4 * (m + 1) + 8;
    vectors * (hnsw::bytes(dimension) + links) + rows * 12
}

impl TableFile {
    /// `path` is in `directory`.
    pub fn of(directory: &Path, path: &Path, rows: usize) -> Result<Self> {
        let (bytes, ending_hash) = ending(path)?;
        let parts = path.strip_prefix(directory).unwrap_or(path).iter();
        let parts: Vec<_> = parts.map(|part| part.to_string_lossy()).collect();
        Ok(Self {
            path: parts.join("/"),
            bytes,
            rows,
            ending_hash,
        })
    }
}

/// The Parquet files of a table, at any depth, sorted: each INSERT comes after those before it.
pub fn parquet_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The length of a file, and the hash of its end.
fn ending(path: &Path) -> Result<(u64, String)> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(ENDING)))?;
    let mut end = Vec::new();
    file.take(ENDING).read_to_end(&mut end)?;
    Ok((bytes, hexadecimal(&Sha256::digest(end))))
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn external(error: serde_json::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error for a file of an index that is not as it was written.
pub fn damaged(path: &Path, error: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!(
        "{}: {error}; the index is damaged, DROP INDEX and CREATE INDEX make it anew",
        path.display()
    ))
}

/// The error for a number of rows that no index has.
pub fn too_many<T>(name: &str) -> Result<T> {
    exec_err!("index {name}: more than 4 billion rows cannot be in one index")
}
