//! Models that were read from a folder, kept for the life of the process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use datafusion::common::{Result, exec_datafusion_err};

/// Models of one kind, by their folders.
pub struct Kept<T>(Mutex<HashMap<PathBuf, (Stamp, Arc<T>)>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// The model in `folder`; it is read if it is not known, or if its files have changed since.
    pub fn get(&self, folder: &Path, read: impl FnOnce(&Path) -> Result<T>) -> Result<Arc<T>> {
        let path = folder.canonicalize().map_err(|e| {
            exec_datafusion_err!("cannot read model folder '{}': {e}", folder.display())
        })?;
        let stamp = stamp(&path);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, model)) = kept.get(&path)
            && *known == stamp
        {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(read(&path)?);
        kept.insert(path, (stamp, Arc::clone(&model)));
        Ok(model)
    }
}

/// Size and time of the files that decide a model, to see whether it has changed.
type Stamp = Vec<Option<(u64, SystemTime)>>;

fn stamp(folder: &Path) -> Stamp {
    [
        "onnx/model.onnx",
        "model.onnx",
        "onnx/vision_model.onnx",
        "vision_model.onnx",
        "preprocessor_config.json",
        "tokenizer.json",
        "modules.json",
        "config.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ]
    .iter()
    .map(|file| {
        let file = folder.join(file).metadata().ok()?;
        Some((file.len(), file.modified().ok()?))
    })
    .collect()
}
