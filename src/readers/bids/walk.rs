//! The files of a BIDS tree, one directory in memory at a time.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::data_set::{DESCRIPTION, ancestors_within, is_derivative};
use super::level::Level;
use super::name::Name;
use crate::access::scope;
use crate::readers::format::file_error;

/// Directories at the root of a data set that hold no files of BIDS, as for the BIDS validator.
const NOT_BIDS: [&str; 2] = ["sourcedata", "code"];

/// Endings of directories that BIDS counts as one file.
const BUNDLES: [&str; 3] = [".ds", ".zarr", ".mefd"];

/// One file of the tree.
#[derive(Debug)]
pub struct Found {
    pub path: PathBuf,
    pub name: String,
    pub kind: Kind,
}

#[derive(Debug, PartialEq)]
pub enum Kind {
    File,
    /// A directory that counts as a file (`sub-01_task-x_meg.ds`).
    Bundle,
    /// A link to nothing.
    Dangling,
    /// Nothing that could be opened: a pipe, a directory without the right to read it.
    Unreadable(String),
}

/// What of a tree is left out besides what never belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The `derivatives` of raw data sets.
    pub without_derivatives: bool,
    /// Directories of other subjects than these.
    pub subjects: Option<Vec<String>>,
}

/// Walks a tree in the order of names, files and directories as they come.
pub struct Walk {
    /// Directories above the root, from that of the data set down.
    above: Vec<Level>,
    /// The directories from the root to where the walk is.
    inside: Vec<Directory>,
    scope: Scope,
}

struct Directory {
    path: PathBuf,
    /// Without links, so that a loop of links is seen.
    real: PathBuf,
    level: Level,
    entries: std::vec::IntoIter<Entry>,
}

/// A name in a directory, and what kind of file it is (a link is not followed).
pub type Entry = (String, fs::FileType);

impl Walk {
    /// `root` is an absolute path without links.
    pub fn new(root: &Path, scope: Scope) -> Result<Self> {
        let mut walk = Self {
            above: above(root)?,
            inside: vec![],
            scope,
        };
        walk.enter(root.to_path_buf(), root.to_path_buf())
            .map_err(|e| file_error(root, e))?;
        Ok(walk)
    }

    /// The directories whose JSON files may describe the file found last, from
    /// the root of its data set (or of the walk, where there is no data set) down.
    pub fn levels(&self) -> impl Iterator<Item = &Level> {
        let inside = self.inside.iter().map(|directory| &directory.level);
        let all: Vec<_> = self.above.iter().chain(inside).collect();
        let root = all.iter().rposition(|level| level.is_data_set);
        all.into_iter().skip(root.unwrap_or(0))
    }

    /// The directory of the file found last, without links.
    pub fn real(&self) -> Option<&Path> {
        Some(&self.inside.last()?.real)
    }

    fn enter(&mut self, path: PathBuf, real: PathBuf) -> io::Result<()> {
        let entries = list(&path)?;
        self.inside.push(Directory {
            level: Level::new(&path, &entries, has_description(&entries)),
            path,
            real,
            entries: entries.into_iter(),
        });
        Ok(())
    }

    /// Whether a link to this directory leads back to where the walk is.
    fn is_loop(&self, target: &Path) -> bool {
        self.inside.iter().any(|d| d.real.starts_with(target))
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let is_root = self.inside.len() == 1;
            let here = self.inside.last_mut()?;
            let Some((name, mut file_type)) = here.entries.next() else {
                self.inside.pop();
                continue;
            };
            let path = here.path.join(&name);
            let found = |kind| {
                Some(Found {
                    path: path.clone(),
                    name: name.clone(),
                    kind,
                })
            };
            let mut real = here.real.join(&name);
            if file_type.is_symlink() {
                let Ok(target) = fs::metadata(&path) else {
                    return found(Kind::Dangling);
                };
                file_type = target.file_type();
            }
            if file_type.is_file() {
                return found(Kind::File);
            }
            if !file_type.is_dir() {
                return found(Kind::Unreadable("neither a file nor a directory".into()));
            }
            if is_bundle(&name) {
                return found(Kind::Bundle);
            }
            if (is_root || here.level.is_data_set) && NOT_BIDS.contains(&name.as_str()) {
                continue;
            }
            if self.scope.exclude(here, &name) {
                continue;
            }
            if path.is_symlink() {
                match path.canonicalize() {
                    Ok(target) => real = target,
                    Err(error) => return found(Kind::Unreadable(error.to_string())),
                }
                if self.is_loop(&real) {
                    log::warn!("{}: a link back up; it is not followed", path.display());
                    continue;
                }
            }
            if let Err(error) = self.enter(path.clone(), real) {
                return found(Kind::Unreadable(error.to_string()));
            }
        }
    }
}

impl Scope {
    fn exclude(&self, within: &Directory, name: &str) -> bool {
        if let (Some(wanted), Some(subject)) = (&self.subjects, name.strip_prefix("sub-")) {
            return !wanted.iter().any(|w| w == subject);
        }
        self.without_derivatives
            && name == "derivatives"
            && within.level.is_data_set
            && !is_derivative(&within.path)
    }
}

/// The levels above `root` from that of the data set down; none where `root` is one itself.
fn above(root: &Path) -> Result<Vec<Level>> {
    let mut levels = vec![];
    for path in ancestors_within(root).into_iter().skip(1).rev() {
        let entries = list(path).map_err(|e| file_error(path, e))?;
        levels.push(Level::new(path, &entries, has_description(&entries)));
    }
    Ok(levels)
}

/// What is in a directory, in the order of names, without what is hidden.
pub fn list(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = vec![];
    for entry in scope::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if !is_hidden(&name) {
            entries.push((name.to_string_lossy().into_owned(), entry.file_type()?));
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

/// A pipe would be waited for without end. A link to nothing counts: reading it says what is wrong.
pub fn is_readable(path: &Path, kind: fs::FileType) -> bool {
    let leads_to_file = || path.metadata().map_or(true, |target| target.is_file());
    kind.is_file() || (kind.is_symlink() && leads_to_file())
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn has_description(entries: &[Entry]) -> bool {
    entries.iter().any(|(name, _)| name == DESCRIPTION)
}

fn is_bundle(name: &str) -> bool {
    BUNDLES.iter().any(|ending| name.ends_with(ending))
        && Name::parse(name).is_some_and(|name| !name.pairs.is_empty())
}
