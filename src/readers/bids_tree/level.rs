//! The JSON files of one directory: which of them describe a file, each read once.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::walk::Entry;
use crate::readers::bids::{self, Name};

/// A directory as inheritance sees it.
pub struct Level {
    pub is_data_set: bool,
    jsons: Vec<Json>,
    by_name: HashMap<String, usize>,
    /// By suffix, then by subject ("" for none), so that a long list of sidecars beside
    /// their files is not searched for every file. The least specific first.
    by_suffix: HashMap<String, HashMap<String, Vec<usize>>>,
}

/// A JSON file, read when first asked for.
pub struct Json {
    pub name: String,
    path: PathBuf,
    pairs: Vec<(String, String)>,
    fields: OnceCell<Result<Map<String, Value>, String>>,
}

impl Json {
    /// Its fields, or what is wrong with it.
    pub fn fields(&self) -> Result<&Map<String, Value>, &str> {
        let read = || bids::read_fields(&self.path);
        self.fields
            .get_or_init(read)
            .as_ref()
            .map_err(String::as_str)
    }

    fn applies_to(&self, file: &Name) -> bool {
        let has = |(key, value): &(String, String)| {
            let pair = (key.as_str(), value.as_str());
            file.pairs.contains(&pair)
        };
        self.pairs.iter().all(has)
    }
}

impl Level {
    pub fn new(directory: &Path, entries: &[Entry], is_data_set: bool) -> Self {
        let mut parsed = vec![];
        for (name, kind) in entries {
            if name.ends_with(".json") && is_readable(&directory.join(name), *kind) {
                parsed.push((name, Name::parse(name)));
            }
        }
        // More entities are more specific, as in `bids::sidecar`.
        parsed.sort_by_key(|(name, parsed)| {
            (parsed.as_ref().map_or(0, |p| p.pairs.len()), name.as_str())
        });
        let mut level = Self {
            is_data_set,
            jsons: Vec::with_capacity(parsed.len()),
            by_name: HashMap::new(),
            by_suffix: HashMap::new(),
        };
        for (index, (name, parsed)) in parsed.into_iter().enumerate() {
            let mut pairs = vec![];
            if let Some(parsed) = parsed {
                let of_suffix = level.by_suffix.entry(parsed.suffix.to_string());
                let subject = subject(&parsed).unwrap_or_default().to_string();
                let of_subject = of_suffix.or_default().entry(subject);
                of_subject.or_default().push(index);
                let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
                pairs = parsed.pairs.iter().map(owned).collect();
            }
            level.by_name.insert(name.clone(), index);
            level.jsons.push(Json {
                path: directory.join(name),
                name: name.clone(),
                pairs,
                fields: OnceCell::new(),
            });
        }
        level
    }

    /// The JSON file of this name.
    pub fn json(&self, name: &str) -> Option<&Json> {
        Some(&self.jsons[*self.by_name.get(name)?])
    }

    /// The JSON files that describe a file of this name, the least specific first.
    pub fn describing<'a>(&'a self, file: &Name, into: &mut Vec<&'a Json>) {
        let Some(of_suffix) = self.by_suffix.get(file.suffix) else {
            return;
        };
        // Those of no subject and those of the file's: each list is in order, but not both in a row.
        let mut found: Vec<usize> = vec![];
        for of_subject in [Some(""), subject(file)].into_iter().flatten() {
            let candidates = of_suffix.get(of_subject).into_iter().flatten();
            found.extend(candidates.filter(|&&i| self.jsons[i].applies_to(file)));
        }
        found.sort_unstable();
        into.extend(found.into_iter().map(|i| &self.jsons[i]));
    }
}

/// A pipe would be waited for without end. A link to nothing counts: reading it says what is wrong.
fn is_readable(path: &Path, kind: FileType) -> bool {
    let leads_to_file = || path.metadata().map_or(true, |target| target.is_file());
    kind.is_file() || (kind.is_symlink() && leads_to_file())
}

fn subject<'a>(name: &Name<'a>) -> Option<&'a str> {
    let (_, value) = name.pairs.iter().find(|(key, _)| *key == "sub")?;
    Some(value)
}
