//! Indexes from disk, once their hashes are right.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use sha2::{Digest, Sha256};
use voxql_udfs::kernels::hnsw::{Codes, Graph, Hnsw, Nearness};
use voxql_udfs::kernels::metric::Metric;

use super::manifest::{GRAPH, Manifest, VECTORS, damaged, hexadecimal};
use super::search::{Loaded, RowsOfVectors, prepare};
use crate::database::{Database, ObjectKind};
use crate::memory::of_all;
use crate::writers::format::blocking;

/// The indexes of a database. What is read of them stays in memory while the session lives.
#[derive(Debug)]
pub struct Indexes {
    database: Arc<Database>,
    loaded: tokio::sync::Mutex<HashMap<PathBuf, Arc<Loaded>>>,
}

impl Indexes {
    pub fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            loaded: tokio::sync::Mutex::default(),
        }
    }

    pub fn database(&self) -> &Database {
        &self.database
    }

    pub fn names(&self) -> Result<Vec<String>> {
        self.database.names(ObjectKind::Index)
    }

    /// Where the index lies, whether or not it exists.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.database.place(ObjectKind::Index, name)
    }

    /// The index that this is the manifest of.
    ///
    /// # Errors
    /// Where its files are not as they were written, or the pool has no memory for it.
    pub async fn load(
        &self,
        manifest: &Manifest,
        pool: &Arc<dyn MemoryPool>,
    ) -> Result<Arc<Loaded>> {
        let directory = self.directory(&manifest.name);
        // Held while it is read: another query wants the same.
        let mut loaded = self.loaded.lock().await;
        if let Some(known) = loaded.get(&directory)
            && known.manifest == *manifest
        {
            return Ok(Arc::clone(known));
        }
        loaded.remove(&directory);
        let consumer = MemoryConsumer::new(format!("index {}", manifest.name));
        // It stays when the query has ended.
        let memory = consumer.register(of_all(pool));
        memory.try_grow(manifest.memory())?;
        let (manifest, place) = (manifest.clone(), directory.clone());
        let read = Arc::new(blocking(move || read(manifest, place, memory)).await?);
        loaded.insert(directory, Arc::clone(&read));
        Ok(read)
    }

    /// What was read of an index that is gone.
    pub async fn forget(&self, name: &str) {
        self.loaded.lock().await.remove(&self.directory(name));
    }

    /// The error for a name that no index has.
    pub fn missing<T>(&self, name: &str) -> Result<T> {
        let names = self.names()?;
        match names.is_empty() {
            true => plan_err!("there is no index {name}; CREATE INDEX makes one"),
            false => plan_err!("there is no index {name}; there are {}", names.join(", ")),
        }
    }
}

/// The nearness of vectors as [`prepare`] makes them.
pub fn nearness(metric: Metric) -> Nearness {
    match metric {
        Metric::InnerProduct => Nearness::InnerProduct,
        _ => Nearness::Euclidean,
    }
}

fn read(manifest: Manifest, directory: PathBuf, memory: MemoryReservation) -> Result<Loaded> {
    let metric = manifest.metric()?;
    let path = directory.join(GRAPH);
    let bytes = fs::read(&path).map_err(|error| damaged(&path, error))?;
    if hexadecimal(&Sha256::digest(&bytes)) != manifest.graph_hash {
        return Err(damaged(&path, "its hash is wrong"));
    }
    let numbers = manifest.dimension + manifest.rows();
    let Some((head, graph)) = bytes.split_at_checked(4 * numbers) else {
        return Err(damaged(&path, "it is cut off"));
    };
    let (mean, of_row) = head.as_chunks::<4>().0.split_at(manifest.dimension);
    let mean = mean
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let of_row = of_row
        .iter()
        .map(|bytes| u32::from_le_bytes(*bytes))
        .collect();
    let Some(rows) = RowsOfVectors::new(of_row, manifest.vectors) else {
        return Err(damaged(&path, "a row has no vector"));
    };
    let graph = Graph::from_bytes(graph).map_err(|error| damaged(&path, error.0))?;
    let codes = Codes::new(nearness(metric), mean, manifest.vectors);
    let (codes, hash) = encode(&directory.join(VECTORS), metric, codes)?;
    if hash != manifest.vectors_hash {
        return Err(damaged(&directory.join(VECTORS), "its hash is wrong"));
    }
    let hnsw = Hnsw::new(codes, graph).map_err(|error| damaged(&path, error.0))?;
    Ok(Loaded {
        vectors: File::open(directory.join(VECTORS))?,
        manifest,
        directory,
        metric,
        hnsw,
        rows,
        _memory: memory,
    })
}

/// Adds all vectors of the file to the codes; gives its hash too.
pub fn encode(path: &Path, metric: Metric, mut codes: Codes) -> Result<(Codes, String)> {
    /// How many vectors are read at once.
    const AT_ONCE: usize = 256;
    let dimension = codes.dimension();
    let mut file = File::open(path).map_err(|error| damaged(path, error))?;
    let mut bytes = vec![0; 4 * dimension.max(1) * AT_ONCE];
    let (mut vector, mut prepared) = (vec![0f32; dimension], Vec::new());
    let mut hash = Sha256::new();
    loop {
        let length = read_full(&mut file, &mut bytes).map_err(|error| damaged(path, error))?;
        if length == 0 {
            return Ok((codes, hexadecimal(&hash.finalize())));
        }
        hash.update(&bytes[..length]);
        for of_vector in bytes[..length].chunks_exact(4 * dimension.max(1)) {
            for (x, bytes) in vector.iter_mut().zip(of_vector.as_chunks::<4>().0) {
                *x = f32::from_le_bytes(*bytes);
            }
            if !prepare(metric, &vector, &mut prepared) {
                return Err(damaged(path, "a vector is no vector"));
            }
            codes.push(&prepared);
        }
    }
}

/// Fills `bytes`, but at the end of the file.
fn read_full(file: &mut File, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
