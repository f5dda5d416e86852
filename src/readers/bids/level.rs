//! The JSON files of one directory on a walk, each read once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::name::Name;
use super::names::Names;
use super::read_fields;
use super::walk::{Entry, is_readable};

/// A directory as inheritance sees it.
pub struct Level {
    pub is_data_set: bool,
    names: Names,
    /// In the order of `names`.
    jsons: Vec<Json>,
}

/// A JSON file, read when first asked for.
pub struct Json {
    pub path: PathBuf,
    fields: OnceCell<Result<Map<String, Value>, String>>,
}

impl Json {
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Its fields, or what is wrong with it.
    pub fn fields(&self) -> Result<&Map<String, Value>, &str> {
        let read = || read_fields(&self.path);
        self.fields
            .get_or_init(read)
            .as_ref()
            .map_err(String::as_str)
    }
}

impl Level {
    pub fn new(directory: &Path, entries: &[Entry], is_data_set: bool) -> Self {
        let is_json = |(name, kind): &&Entry| {
            name.ends_with(".json") && is_readable(&directory.join(name), *kind)
        };
        let jsons = entries.iter().filter(is_json).map(|(name, _)| name.clone());
        let names = Names::new(jsons);
        let jsons = names.iter().map(|file| Json {
            path: directory.join(&file.name),
            fields: OnceCell::new(),
        });
        Self {
            is_data_set,
            jsons: jsons.collect(),
            names,
        }
    }

    /// The JSON file of this name.
    pub fn json(&self, name: &str) -> Option<&Json> {
        Some(&self.jsons[self.names.position(name)?])
    }

    /// The JSON files that describe a file of this name, the least specific first.
    pub fn describing<'a>(&'a self, file: &Name, into: &mut Vec<&'a Json>) {
        let found = self.names.positions_describing(file);
        into.extend(found.into_iter().map(|i| &self.jsons[i]));
    }
}
