//! The files that a reader's paths mean, each with its keys.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use datafusion::common::{Result, exec_err};

use super::arguments::{DERIVATIVES, Wanted};
use super::data_set::{ancestors_within, is_root};
use super::name::{ENTITIES, Name, entities};
use super::pairs::{Pairs, RUN};
use super::walk::{Kind, Scope, Walk};
use crate::readers::files;
use crate::readers::format::{BidsUse, Format, Options, file_error};

/// Suffixes of files that are recordings, so that events may be of them.
const RECORDINGS: [&str; 11] = [
    "bold", "cbv", "asl", "pet", "eeg", "ieeg", "meg", "nirs", "emg", "beh", "motion",
];

/// A file to read, and the entities that are its keys: those of its name, or for
/// inherited events those of the run that they are of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listed {
    pub path: PathBuf,
    /// Columns and values, in BIDS order.
    pub entities: Vec<(&'static str, String)>,
}

impl Listed {
    pub fn new(path: PathBuf) -> Self {
        Self {
            entities: entities(&path),
            path,
        }
    }

    pub fn entity(&self, column: &str) -> Option<&str> {
        let (_, value) = self.entities.iter().find(|(name, _)| *name == column)?;
        Some(value)
    }
}

/// What [`list`] found.
#[derive(Debug)]
pub struct Found {
    pub files: Vec<Listed>,
    /// Whether one of the paths is a directory of a BIDS data set.
    pub in_data_set: bool,
}

/// The files that `paths` mean and that the arguments leave, in order, each once.
///
/// A directory in a BIDS data set is searched as BIDS has it: without `sourcedata`, `code` and, unless
/// asked for, the `derivatives` of a raw data set; run-10 comes after run-9. Other paths are as in
/// [`files::resolve`].
pub fn list(format: &dyn Format, paths: &[String], options: &Options) -> Result<Found> {
    let wanted = Wanted::of(format, options);
    let scope = Scope {
        without_derivatives: !options.boolean(DERIVATIVES.name).unwrap_or(false),
        subjects: wanted.subjects().map(<[String]>::to_vec),
    };
    let mut found = list_within(format, paths, &scope)?;
    found.files.retain(|file| wanted.contains(file));
    if found.files.is_empty() && !wanted.is_empty() {
        // For the error, the other subjects too.
        let all = Scope {
            subjects: None,
            ..scope
        };
        let all = list_within(format, paths, &all)?;
        wanted.check(format.function(), &all.files)?;
    }
    Ok(found)
}

fn list_within(format: &dyn Format, paths: &[String], scope: &Scope) -> Result<Found> {
    let mut seen = HashSet::new();
    let mut found = Found {
        files: vec![],
        in_data_set: false,
    };
    for path in paths {
        let listed = match data_set_directory(format, path)? {
            Some(directory) => {
                found.in_data_set = true;
                search(format, path, &directory, scope)?
            }
            None => {
                let files = format.resolve(path)?.into_iter();
                files.map(Listed::new).collect()
            }
        };
        for file in listed {
            if seen.insert(file.clone()) {
                found.files.push(file);
            }
        }
    }
    Ok(found)
}

/// The directory, without links, that a path means, if it is one of a BIDS data set and the format knows those.
fn data_set_directory(format: &dyn Format, path: &str) -> Result<Option<PathBuf>> {
    if format.bids() == BidsUse::Nothing || !Path::new(files::local_path(path)?).is_dir() {
        return Ok(None);
    }
    let directory = files::directory(path)?;
    let root = ancestors_within(&directory).pop();
    let is_in_one = root.is_some_and(is_root);
    Ok(is_in_one.then_some(directory))
}

fn search(format: &dyn Format, path: &str, directory: &Path, scope: &Scope) -> Result<Vec<Listed>> {
    let endings = format.extensions();
    let with_runs = format.bids() == BidsUse::Events;
    let (mut found, mut runs) = (vec![], vec![]);
    let mut seen = HashSet::new();
    let mut walk = Walk::new(directory, scope.clone())?;
    while let Some(file) = walk.next() {
        let name = file.name.to_lowercase();
        let is_wanted = endings.iter().any(|ending| name.ends_with(ending));
        match &file.kind {
            Kind::Unreadable(error) if is_wanted || file.path.is_dir() => {
                return Err(file_error(&file.path, error));
            }
            Kind::Unreadable(_) => {}
            // A file that is reached twice, over a link to a directory, is one file.
            _ if is_wanted => {
                let real = walk.real().unwrap_or(directory).join(&file.name);
                if seen.insert(real) {
                    found.push(file.path);
                }
            }
            _ if with_runs && is_recording(&file.name) => runs.push(file.path),
            _ => {}
        }
    }
    found.sort_by(|a, b| natural(a, b));
    runs.sort_by(|a, b| natural(a, b));
    let listed = match with_runs {
        true => events_of(&runs, found)?,
        false => found.into_iter().map(Listed::new).collect(),
    };
    // Where only some subjects were looked at, `list` says what there is.
    if listed.is_empty() && scope.subjects.is_none() {
        let hint = match scope.without_derivatives && directory.join("derivatives").is_dir() {
            true => "; derivatives are left out, derivatives => true searches them too",
            false => "",
        };
        return exec_err!(
            "{path}: no file here; a directory is searched for names ending in {}{hint}",
            endings.join(", ")
        );
    }
    Ok(listed)
}

/// Each run's events, with the run's keys. An events file that no run could have is itself; one
/// that is overridden for all its runs is left out.
fn events_of(runs: &[PathBuf], files: Vec<PathBuf>) -> Result<Vec<Listed>> {
    let mut pairs = Pairs::default();
    let mut listed = vec![];
    let mut seen = HashSet::new();
    let mut used = HashSet::new();
    for run in runs {
        let events = pairs.events(run)?;
        used.extend(events.all);
        let Some(path) = events.own else {
            continue;
        };
        let mut entities = entities(run);
        entities.retain(|(column, _)| {
            let is_of_run = |(key, name): &(&str, &str)| name == column && RUN.contains(key);
            ENTITIES.iter().any(is_of_run)
        });
        let events = Listed { path, entities };
        if seen.insert(events.clone()) {
            listed.push(events);
        }
    }
    let others = files.into_iter().filter(|path| !used.contains(path));
    listed.extend(others.map(Listed::new));
    Ok(listed)
}

fn is_recording(name: &str) -> bool {
    let Some(parsed) = Name::parse(name).filter(|name| !name.pairs.is_empty()) else {
        return false;
    };
    let described = [".json", ".svg", ".html", ".png", ".txt"];
    RECORDINGS.contains(&parsed.suffix) && !described.iter().any(|end| name.ends_with(end))
}

/// Names in order, with numbers in them by their size: run-9 before run-10.
fn natural(a: &Path, b: &Path) -> Ordering {
    let (mut x, mut y) = (a.components(), b.components());
    loop {
        let order = match (x.next(), y.next()) {
            (Some(x), Some(y)) => natural_name(
                x.as_os_str().as_encoded_bytes(),
                y.as_os_str().as_encoded_bytes(),
            ),
            (None, None) => return a.cmp(b),
            (x, y) => x.is_some().cmp(&y.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn natural_name(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        let (x, y) = (digits(a), digits(b));
        let order = match (x.is_empty(), y.is_empty()) {
            (false, false) => {
                let (m, n) = (without_zeros(x), without_zeros(y));
                (m.len(), m).cmp(&(n.len(), n))
            }
            _ => a.first().cmp(&b.first()),
        };
        if order.is_ne() || a.is_empty() {
            return order;
        }
        a = &a[x.len().max(1)..];
        b = &b[y.len().max(1)..];
    }
}

/// The digits that a name begins with.
fn digits(name: &[u8]) -> &[u8] {
    let count = name.iter().take_while(|b| b.is_ascii_digit()).count();
    &name[..count]
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|&&b| b == b'0').count();
    &digits[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count() {
        let mut names = [
            "sub-10/a_run-1",
            "sub-2/a_run-10",
            "sub-2/a_run-9",
            "sub-2/a",
            "sub-2/a_run-09",
            "sub-2/a_run-x",
        ]
        .map(PathBuf::from);
        names.sort_by(|a, b| natural(a, b));
        let names = names.map(|n| n.display().to_string());
        assert_eq!(
            names,
            [
                "sub-2/a",
                "sub-2/a_run-09",
                "sub-2/a_run-9",
                "sub-2/a_run-10",
                "sub-2/a_run-x",
                "sub-10/a_run-1",
            ]
        );
    }
}
