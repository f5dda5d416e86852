//! Models that were read from a folder, kept for the life of the process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use datafusion::common::{Result, exec_datafusion_err};

/// Models of one kind.
pub struct Kept<T>(Mutex<HashMap<Key, (Stamp, Arc<T>)>>);

/// The folder of a model, and its file where the folder holds several.
type Key = (PathBuf, String);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Kept<T> {
    /// The model in `folder`; it is read if it is not known, or if its files have changed since.
    pub fn get(&self, folder: &Path, read: impl FnOnce(&Path) -> Result<T>) -> Result<Arc<T>> {
        self.get_one_of(folder, "", read)
    }

    /// The same where the folder holds several models: that of `file`.
    pub fn get_one_of(
        &self,
        folder: &Path,
        file: &str,
        read: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<Arc<T>> {
        let path = folder.canonicalize().map_err(|e| {
            exec_datafusion_err!("cannot read model folder '{}': {e}", folder.display())
        })?;
        let stamp = stamp(&path);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path, file.to_string());
        if let Some((known, model)) = kept.get(&key)
            && *known == stamp
        {
            return Ok(Arc::clone(model));
        }
        let model = Arc::new(read(&key.0)?);
        kept.insert(key, (stamp, Arc::clone(&model)));
        Ok(model)
    }
}

/// Names, sizes and times of the files that may decide a model, to see whether it has changed.
type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Of the folder and the folders in it: `onnx`, `1_Pooling`, `2_Dense`.
fn stamp(folder: &Path) -> Stamp {
    let mut files = Vec::new();
    for path in entries(folder) {
        match path.is_dir() {
            true => files.extend(entries(&path)),
            false => files.push(path),
        }
    }
    let decides = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        name.is_some_and(|name| {
            [".json", ".onnx", "data", ".safetensors"]
                .iter()
                .any(|end| name.ends_with(end))
        })
    };
    files.retain(decides);
    files.sort();
    let stamped = files.into_iter().filter_map(|file| {
        let known = file.metadata().ok()?;
        Some((file, known.len(), known.modified().ok()))
    });
    stamped.collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_again_when_a_file_of_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let dense = folder.path().join("2_Dense");
        std::fs::create_dir(&dense).unwrap();
        std::fs::write(dense.join("config.json"), "1").unwrap();
        let kept: Kept<usize> = Kept::default();
        let get = |file: &str, value: usize| {
            *kept.get_one_of(folder.path(), file, |_| Ok(value)).unwrap()
        };
        assert_eq!((get("", 1), get("", 2), get("b.onnx", 3)), (1, 1, 3));
        std::fs::write(folder.path().join("README.md"), "words").unwrap();
        assert_eq!(get("", 4), 1);
        std::fs::write(dense.join("config.json"), "22").unwrap();
        assert_eq!((get("", 5), get("b.onnx", 6)), (5, 6));
    }
}
