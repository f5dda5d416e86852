//! Embedding pictures: an encoder by name, and the vectors it gives.

mod preprocess;
#[cfg(test)]
mod tests;
pub mod udf;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use ndarray::{ArrayD, ArrayViewD};
use sha2::{Digest, Sha256};

use super::backend::{Backend, SignalNetwork};
use super::graphs::external_data;
use super::kept::Kept;
use super::locate::{self, Kind, Shelf};
use preprocess::Preprocessor;

/// How a user gets an encoder, for messages.
const HOW_TO_GET: &str = "An encoder of pictures is a folder with `preprocessor_config.json` and a graph from pixels [N, 3, height, width] \
     to vectors: `onnx/vision_model.onnx`, `vision_model.onnx`, `onnx/model.onnx` or `model.onnx`";

/// Encoders of pictures, which `embed_image` takes.
pub const KIND: Kind = Kind {
    name: "image embedding",
    built_in: &[],
    is_in: |folder| folder.join(CONFIG).is_file(),
    how_to_get: HOW_TO_GET,
};

/// Where the graph is: exports of CLIP have one for pictures alone.
const GRAPHS: [&str; 4] = [
    "onnx/vision_model.onnx",
    "vision_model.onnx",
    "onnx/model.onnx",
    "model.onnx",
];

/// Names of the output that holds a picture's vector, best first.
const OUTPUTS: [&str; 4] = ["image_embeds", "embedding", "embeddings", "pooler_output"];

const CONFIG: &str = "preprocessor_config.json";

/// Pictures that go through the graph at once.
const BATCH: usize = 16;

/// An encoder of pictures.
pub struct Encoder {
    name: String,
    hash: String,
    preprocessor: Preprocessor,
    graph: PathBuf,
    network: Box<dyn SignalNetwork>,
    /// Pictures of one run, at most; 1 where the graph takes no more.
    batch: usize,
    dimension: usize,
}

/// Numbers from 0 to 1: height, width, channels, and row by row the pixels.
pub struct Pixels<'a> {
    pub shape: (usize, usize, usize),
    pub values: &'a [f32],
}

impl Encoder {
    /// The encoder called `name`: the path of its folder, or the name of one in the places where
    /// `embed` finds its models. It is kept for the life of the process, and read again when its files change.
    ///
    /// # Errors
    /// When there is none, its configuration says what is not known, or its graph cannot be run.
    pub fn find(name: &str, shelf: &Shelf) -> Result<Arc<Self>> {
        static KEPT: LazyLock<Kept<Encoder>> = LazyLock::new(Kept::default);
        let place = locate::find(name, shelf, &KIND)?;
        KEPT.get(&place.path, |path| {
            Self::open(&place.name, path, Backend::chosen()?)
        })
    }

    fn open(name: &str, folder: &Path, backend: Backend) -> Result<Self> {
        let config = folder.join(CONFIG);
        let mut graphs = GRAPHS.iter().map(|graph| folder.join(graph));
        let graph = graphs.find(|graph| graph.is_file());
        let (true, Some(graph)) = (config.is_file(), graph) else {
            return exec_err!(
                "'{}' is not an encoder of pictures. {HOW_TO_GET}",
                folder.display()
            );
        };
        let preprocessor = Preprocessor::read(&config)?;
        let (height, width) = preprocessor.size();
        let open = |batch: usize| -> Result<(Box<dyn SignalNetwork>, ArrayD<f32>)> {
            let shape = [batch, 3, height, width];
            let network = backend.open_signal(&graph, &shape, &OUTPUTS)?;
            // What it gives for black pictures says how long its vectors are.
            let output = network.run(ArrayD::zeros(&shape[..]).view())?;
            Ok((network, output))
        };
        // tract has a plan for one number of pictures. A graph may have been exported for one picture, too.
        let (batch, (network, output)) = match backend {
            Backend::Tract => (1, open(1)?),
            Backend::OnnxRuntime => match open(2) {
                Ok((network, output)) if output.shape().first() == Some(&2) => {
                    (BATCH, (network, output))
                }
                _ => (1, open(1)?),
            },
        };
        if !OUTPUTS.contains(&network.output()) {
            return exec_err!(
                "the graph '{}' gives '{}', and a picture's vector is one of {}",
                graph.display(),
                network.output(),
                OUTPUTS.join(", ")
            );
        }
        let dimension = output.len() / output.shape().first().copied().unwrap_or(1).max(1);
        let is_vector = output.shape().iter().skip(2).all(|&length| length == 1);
        if dimension == 0 || !is_vector {
            return exec_err!(
                "the graph '{}' gives a tensor of shape {:?} as '{}', and not a vector for each picture",
                graph.display(),
                output.shape(),
                network.output()
            );
        }
        let mut files = vec![graph.clone(), config];
        files.extend(external_data(&graph));
        Ok(Self {
            name: name.to_string(),
            hash: content_hash(&files)?,
            preprocessor,
            graph,
            network,
            batch,
            dimension,
        })
    }

    /// Elements of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Which model made a column, as its field metadata says it: the name without its organisation and
    /// the first 12 digits of the SHA-256 over graph and configuration.
    pub fn identity(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        format!("{name}@{}", &self.hash[..12])
    }

    /// The vectors of pictures in their order, one after the other, with zeros where there is no picture.
    ///
    /// # Errors
    /// When a picture cannot be prepared, or the graph fails.
    pub fn embed(&self, pictures: &[Option<Pixels>]) -> Result<Vec<f32>> {
        let mut vectors = vec![0.0; pictures.len() * self.dimension];
        let rows = vectors.chunks_exact_mut(self.dimension);
        let mut given: Vec<_> = rows
            .zip(pictures)
            .filter_map(|(row, picture)| Some((row, picture.as_ref()?)))
            .collect();
        let mut input = Vec::new();
        for batch in given.chunks_mut(self.batch) {
            input.clear();
            for (_, picture) in batch.iter() {
                let appended = self
                    .preprocessor
                    .append(picture.values, picture.shape, &mut input);
                appended
                    .map_err(|e| exec_datafusion_err!("embed_image with {}: {e}", self.name))?;
            }
            let output = self.run(batch.len(), &input)?;
            for ((row, _), vector) in batch.iter_mut().zip(output.chunks_exact(self.dimension)) {
                row.copy_from_slice(vector);
            }
        }
        Ok(vectors)
    }

    fn run(&self, count: usize, input: &[f32]) -> Result<Vec<f32>> {
        let (height, width) = self.preprocessor.size();
        let shape = [count, 3, height, width];
        let input = ArrayViewD::from_shape(&shape[..], input)
            .map_err(|e| exec_datafusion_err!("embed_image: {e}"))?;
        let output = self.network.run(input)?;
        if output.len() != count * self.dimension {
            return exec_err!(
                "the graph '{}' gave a tensor of shape {:?} for {count} pictures, where vectors have {} elements",
                self.graph.display(),
                output.shape(),
                self.dimension
            );
        }
        Ok(output.iter().copied().collect())
    }
}

/// SHA-256, in hexadecimal, over the content of files.
fn content_hash(files: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for path in files {
        let failed = |e| exec_datafusion_err!("cannot read '{}': {e}", path.display());
        let bytes = std::fs::read(path).map_err(failed)?;
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(super::hexadecimal(&hash.finalize()))
}
