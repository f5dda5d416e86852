//! The models in folders of this machine, for `voxql models list`.

use std::path::{Path, PathBuf};

use super::embedding::folder::Folder;
use super::embedding::{self, hashing};
use super::graphs::{external_data, graphs};
use super::locate::{Place, available, kind_of};

/// A model, without its weights.
pub struct Listed {
    /// The name by which SQL finds it.
    pub name: String,
    /// What it is for, as `SHOW MODELS` calls it.
    pub kind: &'static str,
    /// Its folder; None for what is built in.
    pub folder: Option<PathBuf>,
    /// Elements of a text's vector; None for other kinds, and where the folder cannot be used.
    pub dimension: Option<usize>,
    /// Of weights and vocabulary.
    pub bytes: u64,
}

/// The models that SQL finds by name, `hashing` first. `shelf` is a database's.
pub fn listed(shelf: Option<&Path>) -> Vec<Listed> {
    let hashing = Listed {
        name: "hashing".to_string(),
        kind: embedding::KIND.name,
        folder: None,
        dimension: Some(hashing::DIMENSION),
        bytes: 0,
    };
    let folders = available(shelf).into_iter().map(of_folder);
    [hashing].into_iter().chain(folders).collect()
}

fn of_folder(place: Place) -> Listed {
    let kind = kind_of(&place.path).map_or("unknown", |kind| kind.name);
    let text = match kind == embedding::KIND.name {
        true => text_model(&place.path),
        false => None,
    };
    let files = match &text {
        Some(folder) => folder.files(),
        None => all_graphs(&place.path),
    };
    let size = |file: PathBuf| file.metadata().map_or(0, |known| known.len());
    Listed {
        name: place.name,
        kind,
        folder: Some(place.path),
        dimension: text.as_ref().map(Folder::dimension),
        bytes: files.into_iter().map(size).sum(),
    }
}

/// With its usual graph, or another where it has not that.
fn text_model(folder: &Path) -> Option<Folder> {
    let usual = Folder::read(folder, None);
    let other = || Folder::read(folder, graphs(folder).first().map(String::as_str));
    usual.or_else(|_| other()).ok()
}

fn all_graphs(folder: &Path) -> Vec<PathBuf> {
    let graphs = graphs(folder).into_iter().map(|graph| folder.join(graph));
    let with_weights = graphs.flat_map(|graph| {
        let beside = external_data(&graph);
        [graph].into_iter().chain(beside)
    });
    with_weights.collect()
}
