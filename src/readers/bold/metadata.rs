//! What several files say of the elements of their rows: only what all say can stand for the column.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The metadata of the files so far.
#[derive(Debug, Default)]
pub struct Metadata {
    files: usize,
    /// For each key the first file that has it, its value, and how many files have it so.
    known: BTreeMap<String, (PathBuf, String, usize)>,
}

impl Metadata {
    pub fn add(&mut self, path: &Path, metadata: HashMap<String, String>) {
        self.files += 1;
        for (key, value) in metadata {
            match self.known.get_mut(&key) {
                Some((_, known, count)) if *known == value => *count += 1,
                Some(_) => {}
                None => {
                    self.known.insert(key, (path.to_owned(), value, 1));
                }
            }
        }
    }

    /// What all files have the same, with a warning for the rest.
    pub fn common(self) -> HashMap<String, String> {
        let mut common = HashMap::new();
        for (key, (path, value, count)) in self.known {
            if count == self.files {
                common.insert(key, value);
                continue;
            }
            log::warn!(
                "{key} is not the same in all files ({count} of {} have it as {}), so bold does not say it; \
                 an element of one file may be another place in another",
                self.files,
                path.display()
            );
        }
        common
    }
}
