//! Text embedding: a model by name, and the vectors it gives.

mod folder;
#[cfg(test)]
mod golden;
mod hashing;
pub(in crate::models) mod locate;
mod pooling;
mod transformer;
pub mod udf;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use datafusion::common::Result;
use sha2::{Digest, Sha256};

use folder::Folder;
use transformer::Transformer;

use crate::models::backend;
use crate::models::kept::Kept;

pub use locate::available;

/// An embedding model.
pub struct Embedder {
    name: String,
    hash: String,
    kind: Kind,
}

enum Kind {
    Hashing,
    Transformer {
        folder: Folder,
        /// Loaded when the first text comes, not at planning.
        loaded: Mutex<Option<Arc<Transformer>>>,
    },
}

impl Embedder {
    /// The model called `name`: `hashing`, the path of a model folder, or the name of
    /// one in the places that [`available`] lists.
    ///
    /// Models are kept for the life of the process. A folder whose files have changed
    /// since is read again.
    pub fn find(name: &str) -> Result<Arc<Embedder>> {
        if name == "hashing" {
            static HASHING: OnceLock<Arc<Embedder>> = OnceLock::new();
            return Ok(Arc::clone(
                HASHING.get_or_init(|| Arc::new(Self::hashing())),
            ));
        }
        Self::cached(&locate::find(name)?)
    }

    fn cached(place: &locate::Place) -> Result<Arc<Embedder>> {
        static KEPT: LazyLock<Kept<Embedder>> = LazyLock::new(Kept::default);
        KEPT.get(&place.path, |path| {
            Self::of_folder(&place.name, Folder::read(path)?)
        })
    }

    fn hashing() -> Self {
        Self {
            name: "hashing".to_string(),
            hash: super::hexadecimal(&Sha256::digest(hashing::FORMULA)),
            kind: Kind::Hashing,
        }
    }

    fn of_folder(name: &str, folder: Folder) -> Result<Self> {
        Ok(Self {
            name: name.to_string(),
            hash: folder.content_hash()?,
            kind: Kind::Transformer {
                folder,
                loaded: Mutex::new(None),
            },
        })
    }

    /// What SQL calls the model.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Elements of a vector.
    pub fn dimension(&self) -> usize {
        match &self.kind {
            Kind::Hashing => hashing::DIMENSION,
            Kind::Transformer { folder, .. } => folder.dimension,
        }
    }

    /// SHA-256, in hexadecimal, over everything that decides the vectors: weights,
    /// tokenizer, pooling. It is that of the content, not of the name.
    pub fn content_hash(&self) -> &str {
        &self.hash
    }

    /// Which model made a column, as its field metadata says it: the name without
    /// its organisation and the first 12 digits of the
    /// [content hash](Self::content_hash), `all-MiniLM-L6-v2@9f2c…`.
    pub fn identity(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        format!("{name}@{}", &self.hash[..12])
    }

    /// The vectors of `texts` in their order, one after the other, with zeros where
    /// there is no text. Equal texts are run once.
    pub fn embed(&self, texts: &[Option<&str>]) -> Result<Vec<f32>> {
        let mut distinct: Vec<&str> = Vec::new();
        let mut index: HashMap<&str, usize> = HashMap::new();
        let rows: Vec<Option<usize>> = texts
            .iter()
            .map(|text| {
                text.map(|text| {
                    *index.entry(text).or_insert_with(|| {
                        distinct.push(text);
                        distinct.len() - 1
                    })
                })
            })
            .collect();
        let width = self.dimension();
        let vectors = self.embed_distinct(&distinct)?;
        let mut out = vec![0.0; texts.len() * width];
        for (row, vector) in rows.iter().zip(out.chunks_exact_mut(width)) {
            if let Some(row) = row {
                vector.copy_from_slice(&vectors[row * width..][..width]);
            }
        }
        Ok(out)
    }

    fn embed_distinct(&self, texts: &[&str]) -> Result<Vec<f32>> {
        match &self.kind {
            Kind::Hashing => {
                let mut vectors = vec![0.0; texts.len() * hashing::DIMENSION];
                let rows = vectors.chunks_exact_mut(hashing::DIMENSION);
                texts
                    .iter()
                    .zip(rows)
                    .for_each(|(text, row)| hashing::embed(text, row));
                Ok(vectors)
            }
            Kind::Transformer { .. } if texts.is_empty() => Ok(Vec::new()),
            Kind::Transformer { folder, loaded } => {
                let transformer = {
                    let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
                    match &*loaded {
                        Some(transformer) => Arc::clone(transformer),
                        None => {
                            let transformer = Arc::new(Transformer::load(folder, backend::open)?);
                            Arc::clone(loaded.insert(transformer))
                        }
                    }
                };
                transformer.embed(folder, texts)
            }
        }
    }
}
