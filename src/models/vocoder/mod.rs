//! Vocoders: a mel spectrogram back to sound, by a neural network.

mod aggregate;
mod config;
mod windows;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use datafusion::common::{Result, exec_err};
use ndarray::Array3;

use super::backend::{Backend, SignalNetwork};
use super::kept::Kept;
use super::locate::{self, Kind, Shelf};

pub use aggregate::{planner, vocode};
use config::Config;
use windows::windows;

/// How a user gets a vocoder, for messages.
const HOW_TO_GET: &str = "A vocoder is a folder with `model.onnx`, a generator from mel [1, n_mels, frames] to samples, and \
     `config.json`, which has \"kind\": \"vocoder\" and says which mel it wants";

/// Vocoders, which `vocode` takes.
pub const KIND: Kind = Kind {
    name: "vocoder",
    built_in: &[],
    is_in: is_vocoder,
    how_to_get: HOW_TO_GET,
};

/// The frames of one run. All runs have the same number, unless the sound is shorter: tract makes
/// a plan for it, and memory does not grow with the sound.
const WINDOW: usize = 256;

/// A vocoder: its configuration, and its network once it is needed.
pub struct Vocoder {
    name: String,
    graph: PathBuf,
    config: Config,
    backend: Backend,
    network: Mutex<Option<Arc<dyn SignalNetwork>>>,
}

impl Vocoder {
    /// The vocoder called `name`: the path of its folder, or the name of one in the places where
    /// `embed` finds its models. It is kept, so that every group of a query has one network.
    ///
    /// # Errors
    /// When there is none, or it is no vocoder, or its configuration says what is not known.
    pub fn find(name: &str, shelf: &Shelf) -> Result<Arc<Self>> {
        static KEPT: LazyLock<Kept<Vocoder>> = LazyLock::new(Kept::default);
        let place = locate::find(name, shelf, &KIND)?;
        KEPT.get(&place.path, |path| {
            Self::open(&place.name, path, Backend::chosen()?)
        })
    }

    fn open(name: &str, folder: &Path, backend: Backend) -> Result<Self> {
        let Some(config) = Config::read(folder)? else {
            return exec_err!(
                "'{}' is not a vocoder: it has no config.json with \"kind\": \"vocoder\". {HOW_TO_GET}",
                folder.display()
            );
        };
        let graph = folder.join("model.onnx");
        if !graph.is_file() {
            return exec_err!(
                "the vocoder '{}' has no model.onnx. {HOW_TO_GET}",
                folder.display()
            );
        }
        Ok(Self {
            name: name.to_string(),
            graph,
            config,
            backend,
            network: Mutex::new(None),
        })
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> f64 {
        self.config.mel.sample_rate
    }

    /// Checks that a mel made as `description` (of [`voxql_udfs::mel_options::MEL_METADATA`]) is what
    /// the network was trained on.
    ///
    /// # Errors
    /// Name the presets of both, and what differs.
    pub fn check(&self, description: &str) -> Result<()> {
        config::compare(&self.name, &self.config.mel, description)
    }

    /// The samples of `frames`, one frame of `n_mels` values after the other: `hop_length` samples
    /// a frame, full scale -1 to 1.
    ///
    /// A long sound goes through the network in windows that overlap by what the network sees of a
    /// frame's neighbours, so that the samples are those of one run.
    ///
    /// # Errors
    /// When the network fails, or gives another number of samples.
    pub fn samples(&self, frames: &[f32]) -> Result<Vec<f32>> {
        self.samples_by(frames, WINDOW)
    }

    fn samples_by(&self, frames: &[f32], window: usize) -> Result<Vec<f32>> {
        let (n_mels, hop) = (self.config.mel.n_mels, self.config.mel.hop_length);
        let count = frames.len() / n_mels;
        let mut samples = Vec::with_capacity(count * hop);
        for window in windows(count, window, self.config.context) {
            let length = window.frames.len();
            let input = Array3::from_shape_fn((1, n_mels, length), |(_, band, i)| {
                frames[(window.frames.start + i) * n_mels + band]
            });
            let network = self.network(&[1, n_mels, length])?;
            let output = network.run(input.view().into_dyn())?;
            if output.len() != length * hop {
                return exec_err!(
                    "the vocoder {} gave {} samples for {length} frames, where hop_length is {hop}; its config.json is \
                     not that of its model.onnx",
                    self.name,
                    output.len()
                );
            }
            let from = (window.keep.start - window.frames.start) * hop;
            samples.extend(output.iter().skip(from).take(window.keep.len() * hop));
        }
        Ok(samples)
    }

    /// The network, loaded for inputs of that shape.
    fn network(&self, shape: &[usize]) -> Result<Arc<dyn SignalNetwork>> {
        let mut loaded = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some(network) if network.takes(shape) => Ok(Arc::clone(network)),
            _ => {
                let network = Arc::from(self.backend.open_signal(&self.graph, shape, &[])?);
                Ok(Arc::clone(loaded.insert(network)))
            }
        }
    }
}

/// Also where its configuration says what is not known.
fn is_vocoder(folder: &Path) -> bool {
    !matches!(Config::read(folder), Ok(None))
}
