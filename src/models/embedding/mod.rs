//! Text embedding: a model by name, and the vectors it gives.

mod dense;
pub(in crate::models) mod folder;
mod functions;
#[cfg(test)]
mod golden;
pub(in crate::models) mod hashing;
mod json;
mod layers;
#[cfg(test)]
mod layouts;
mod modules;
mod pooling;
mod prompts;
pub mod pull;
mod recent;
mod safetensors;
mod span_udf;
mod tokenizer;
mod tokens_udf;
mod transformer;
mod udf;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use datafusion::common::{Result, plan_err};
use sha2::{Digest, Sha256};

use folder::{Folder, Step};
use prompts::Prompts;
use recent::Recent;
use transformer::Transformer;

use crate::cancel::Cancelled;
use crate::models::backend;
use crate::models::kept::Kept;
use crate::models::locate::{self, Kind as FolderKind, Place, Shelf};

pub use functions::all as functions;

/// Sentence-transformers models, which `embed` takes.
pub const KIND: FolderKind = FolderKind {
    name: "embedding",
    built_in: &["hashing"],
    is_in: is_text_model,
    how_to_get: "To get one: `voxql models pull all-MiniLM-L6-v2`, or ORGANISATION/NAME of any \
        sentence-transformers model on Hugging Face that has an ONNX graph; or give the path of a model's \
        folder; or use model => 'hashing', which needs no files and knows spelling, not meaning",
};

fn is_text_model(folder: &Path) -> bool {
    let says = [
        "modules.json",
        "tokenizer.json",
        "0_Transformer/tokenizer.json",
    ];
    says.iter().any(|file| folder.join(file).is_file())
}

/// The models that SQL finds by name, besides `hashing`. `shelf` is a database's.
pub fn available(shelf: Option<&Path>) -> Vec<Place> {
    let mut places = locate::available(shelf);
    places.retain(|place| is_text_model(&place.path));
    places
}

/// An embedding model.
pub struct Embedder {
    name: String,
    hash: String,
    kind: Kind,
}

enum Kind {
    Hashing,
    Transformer(Box<Loadable>),
}

/// A transformer in its folder.
struct Loadable {
    folder: Folder,
    /// By the graph's output, None for the last layer. Loaded when the first text comes, not at planning.
    loaded: Mutex<HashMap<Option<String>, Arc<Transformer>>>,
    recent: Mutex<Recent>,
}

/// How the texts of one call are embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What stands before every text.
    pub prompt: String,
    /// Whether vectors are scaled to length 1.
    pub normalize: bool,
}

impl Embedder {
    /// The model called `name`: `hashing`, the path of a model folder, or the name of
    /// one in the places that [`available`] lists, of which `shelf` is the database's. `file_name` is the
    /// graph in the folder, where it is not the usual one.
    ///
    /// Models are kept for the life of the process. A folder whose files have changed
    /// since is read again.
    pub fn find(
        name: &str,
        file_name: Option<&str>,
        shelf: Option<&Path>,
    ) -> Result<Arc<Embedder>> {
        Self::find_on(&Shelf::from(shelf), name, file_name)
    }

    /// The same where a session looks for models.
    fn find_on(shelf: &Shelf, name: &str, file_name: Option<&str>) -> Result<Arc<Embedder>> {
        if name == "hashing" {
            if let Some(file_name) = file_name {
                return plan_err!(
                    "the model hashing has no files, so file_name => '{file_name}' is none of its"
                );
            }
            static HASHING: OnceLock<Arc<Embedder>> = OnceLock::new();
            return Ok(Arc::clone(
                HASHING.get_or_init(|| Arc::new(Self::hashing())),
            ));
        }
        Self::cached(&locate::find(name, shelf, &KIND)?, file_name)
    }

    fn cached(place: &Place, file_name: Option<&str>) -> Result<Arc<Embedder>> {
        static KEPT: LazyLock<Kept<Embedder>> = LazyLock::new(Kept::default);
        KEPT.get_one_of(&place.path, file_name.unwrap_or_default(), |path| {
            Self::of_folder(&place.name, Folder::read(path, file_name)?)
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
            kind: Kind::Transformer(Box::new(Loadable {
                folder,
                loaded: Mutex::default(),
                recent: Mutex::default(),
            })),
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
            Kind::Transformer(model) => model.folder.dimension(),
        }
    }

    /// SHA-256, in hexadecimal, over everything that decides the vectors: weights,
    /// tokenizer, pooling. It is that of the content, not of the name.
    pub fn content_hash(&self) -> &str {
        &self.hash
    }

    /// How texts are embedded where a call says so much: see [`Prompts::choose`] for the prompt; without
    /// `normalize`, as the folder says.
    pub fn settings(
        &self,
        prompt: Option<&str>,
        prompt_name: Option<&str>,
        normalize: Option<bool>,
    ) -> Result<Settings> {
        let none = Prompts::default();
        let (prompts, usual) = match &self.kind {
            Kind::Hashing => (&none, true),
            Kind::Transformer(model) => (&model.folder.prompts, model.folder.normalizes()),
        };
        Ok(Settings {
            prompt: prompts.choose(&self.name, prompt, prompt_name)?,
            normalize: normalize.unwrap_or(usual),
        })
    }

    /// Which model made a column, and how, as its field metadata says it (see
    /// [`voxql_udfs::identity`]): the name without its organisation, the first 12 digits of the
    /// [content hash](Self::content_hash), and what was done with the tokens' vectors:
    /// `all-MiniLM-L6-v2@9f2c… pooling=mean normalize=true`.
    pub fn identity(&self, settings: &Settings) -> String {
        let pooling = match &self.kind {
            Kind::Hashing => "sum".to_string(),
            Kind::Transformer(model) => model.folder.pooling.to_string(),
        };
        self.identity_with(&format!(
            "pooling={pooling} normalize={}",
            settings.normalize
        ))
    }

    /// An identity with other steps.
    fn identity_with(&self, steps: &str) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        format!("{name}@{} {steps}", &self.hash[..12])
    }

    /// The vectors of `texts` in their order, one after the other, with zeros where
    /// there is no text. Equal texts are run once.
    ///
    /// # Errors
    /// Those of the model, and that the query was cancelled.
    pub fn embed(
        &self,
        texts: &[Option<&str>],
        settings: &Settings,
        cancelled: &Cancelled,
    ) -> Result<Vec<f32>> {
        let mut distinct: Vec<String> = Vec::new();
        let mut index: HashMap<&str, usize> = HashMap::new();
        let mut rows: Vec<Option<usize>> = Vec::with_capacity(texts.len());
        for text in texts {
            rows.push(text.map(|text| {
                *index.entry(text).or_insert_with(|| {
                    distinct.push(format!("{}{text}", settings.prompt));
                    distinct.len() - 1
                })
            }));
        }
        let width = self.dimension();
        let vectors = self.embed_distinct(&distinct, settings, cancelled)?;
        let mut out = vec![0.0; texts.len() * width];
        for (row, vector) in rows.iter().zip(out.chunks_exact_mut(width)) {
            if let Some(row) = row {
                vector.copy_from_slice(&vectors[*row]);
            }
        }
        Ok(out)
    }

    fn embed_distinct(
        &self,
        texts: &[String],
        settings: &Settings,
        cancelled: &Cancelled,
    ) -> Result<Vec<Arc<[f32]>>> {
        let model = match &self.kind {
            Kind::Transformer(model) => model,
            Kind::Hashing => {
                let one = |text: &String| {
                    let mut vector = vec![0.0; hashing::DIMENSION];
                    hashing::embed(text, settings.normalize, &mut vector);
                    vector.into()
                };
                return Ok(texts.iter().map(one).collect());
            }
        };
        let key = |text: &str| format!("{} {}\0{text}", settings.normalize, settings.prompt.len());
        let recent = || model.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut vectors: Vec<Option<Arc<[f32]>>> = {
            let mut recent = recent();
            texts.iter().map(|text| recent.get(&key(text))).collect()
        };
        let missing: Vec<usize> = (0..texts.len()).filter(|&i| vectors[i].is_none()).collect();
        let new: Vec<&str> = missing.iter().map(|&i| texts[i].as_str()).collect();
        let made = model.embed(&new, settings, cancelled)?;
        let mut recent = recent();
        for (i, vector) in missing.into_iter().zip(made) {
            let vector: Arc<[f32]> = vector.into();
            recent.insert(key(&texts[i]), Arc::clone(&vector));
            vectors[i] = Some(vector);
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

impl Loadable {
    /// The transformer that gives the graph's output `layer`.
    fn load(&self, layer: Option<&str>) -> Result<Arc<Transformer>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let layer = layer.map(str::to_string);
        if let Some(known) = loaded.get(&layer) {
            return Ok(Arc::clone(known));
        }
        let new = Arc::new(Transformer::load(
            &self.folder,
            layer.as_deref(),
            backend::open,
        )?);
        loaded.insert(layer, Arc::clone(&new));
        Ok(new)
    }

    fn embed(
        &self,
        texts: &[&str],
        settings: &Settings,
        cancelled: &Cancelled,
    ) -> Result<Vec<Vec<f32>>> {
        match texts.is_empty() {
            true => Ok(Vec::new()),
            false => self
                .load(None)?
                .embed(&self.folder, texts, settings, cancelled),
        }
    }
}

impl Transformer {
    /// The vectors of `texts`, which begin with the prompt, in their order.
    fn embed(
        &self,
        folder: &Folder,
        texts: &[&str],
        settings: &Settings,
        cancelled: &Cancelled,
    ) -> Result<Vec<Vec<f32>>> {
        let prompt = self.tokenizer.prompt_length(&settings.prompt)?;
        let tokens = self.tokenizer.encode(texts)?;
        // The call says whether the vector is normalised at the end.
        let steps = &folder.steps[..folder.steps.len() - usize::from(folder.normalizes())];
        self.run(folder, &tokens, cancelled, |_, hidden| {
            let mut vector = vec![0.0; folder.pooled_width()];
            folder.pooling.pool(hidden, prompt, &mut vector);
            let mut layers = self.layers().iter();
            for step in steps {
                match step {
                    Step::Normalize => pooling::normalize(&mut vector),
                    Step::Dense(_) => {
                        if let Some(layer) = layers.next() {
                            vector = layer.apply(&vector);
                        }
                    }
                }
            }
            if settings.normalize {
                pooling::normalize(&mut vector);
            }
            vector
        })
    }
}
