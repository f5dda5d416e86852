//! The embedding models of this machine, for `voxql models list`.

use std::path::{Path, PathBuf};

use super::folder::{Folder, graphs};
use super::{available, hashing};

/// A model, without its weights.
pub struct Listed {
    /// The name by which SQL finds it.
    pub name: String,
    /// Its folder; None for what is built in.
    pub folder: Option<PathBuf>,
    /// Elements of a vector; None where the folder cannot be used.
    pub dimension: Option<usize>,
    /// Of weights and vocabulary.
    pub bytes: u64,
}

/// The models that SQL finds by name, `hashing` first. `shelf` is a database's.
pub fn listed(shelf: Option<&Path>) -> Vec<Listed> {
    let hashing = Listed {
        name: "hashing".to_string(),
        folder: None,
        dimension: Some(hashing::DIMENSION),
        bytes: 0,
    };
    let folders = available(shelf).into_iter().map(|place| {
        let usual = Folder::read(&place.path, None);
        let other = || Folder::read(&place.path, graphs(&place.path).first().map(String::as_str));
        let folder = usual.or_else(|_| other()).ok();
        let files = folder.as_ref().map(Folder::files).unwrap_or_default();
        let size = |file: PathBuf| file.metadata().map_or(0, |known| known.len());
        Listed {
            name: place.name,
            folder: Some(place.path),
            dimension: folder.as_ref().map(Folder::dimension),
            bytes: files.into_iter().map(size).sum(),
        }
    });
    [hashing].into_iter().chain(folders).collect()
}
