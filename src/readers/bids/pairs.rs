//! Files that belong to a run: its brain mask, its events, its confounds. From names alone:
//! none of them is opened.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};

use super::data_set::{self, Place};
use super::directory;
use super::name::{Name, same_value};
use super::names::{File, Names};
use crate::readers::format::file_error;

/// The entities that tell one run from another, by key. Others (`space`, `desc`, `echo`, …) tell
/// files of one run apart.
pub const RUN: [&str; 11] = [
    "sub", "ses", "sample", "task", "acq", "ce", "trc", "rec", "dir", "run", "mod",
];

/// Columns of runs in a BIDS data set.
pub const PAIRED: [&str; 3] = ["mask_path", "events_path", "confounds_path"];

/// Entities that one mask or one table of confounds may be for all values of.
const MERGED: [&str; 3] = ["echo", "part", "hemi"];

/// What a run has beside it. A directory is listed once, however many runs ask.
#[derive(Debug, Default)]
pub struct Pairs {
    listed: HashMap<PathBuf, Option<Arc<Names>>>,
    /// Of a tree: its raw data set.
    raw: HashMap<PathBuf, Option<PathBuf>>,
    /// Of a raw data set: its fMRIPrep derivative.
    fmriprep: HashMap<PathBuf, Option<PathBuf>>,
}

/// The events files that may describe a run.
#[derive(Debug, Default, PartialEq)]
pub struct Events {
    /// The one that does: the nearest, and there the one with the most entities.
    pub own: Option<PathBuf>,
    /// All whose entities are among the run's, `own` with them.
    pub all: Vec<PathBuf>,
}

/// What [`PAIRED`] has of a run.
#[derive(Debug, Default)]
pub struct Paired {
    pub paths: [Option<String>; 3],
    /// Columns that are NULL because two files fit, and the error that says so: it is for who
    /// asks for them, not for who reads voxels.
    pub ambiguous: Vec<(&'static str, String)>,
}

impl Pairs {
    pub fn columns(&mut self, path: &Path) -> Paired {
        let found = [
            self.brain_mask(path),
            self.events(path).map(|events| events.own),
            self.confounds(path),
        ];
        let mut paired = Paired::default();
        for ((column, found), into) in PAIRED.into_iter().zip(found).zip(&mut paired.paths) {
            match found {
                Ok(path) => *into = path.map(|path| path.display().to_string()),
                Err(error) => paired
                    .ambiguous
                    .push((column, error.message().into_owned())),
            }
        }
        paired
    }

    /// `*_desc-brain_mask.nii[.gz]` in the image's directory, of the same subject, session, task, run,
    /// space, resolution, density and so on. `echo`, `part` and `hemi` may be missing in its name.
    ///
    /// A mask of another space or resolution, or of one that only one of both names, is none. Two that fit
    /// are an error that names them.
    pub fn brain_mask(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        let Some(run) = RunFile::of(path)? else {
            return Ok(None);
        };
        let Some(names) = self.names(&run.directory) else {
            return Ok(None);
        };
        let mut required = run.name.pairs.clone();
        required.retain(|(key, _)| *key != "desc");
        let is_mask = |file: &&File| {
            let volume = [".nii", ".nii.gz"].iter().any(|e| has_ending(file, e));
            volume && file.value("desc") == Some("brain") && matches(file, &required, &MERGED)
        };
        let masks = names.with_suffix("mask", &run.name);
        let masks = masks.into_iter().filter(is_mask).collect();
        run.one_of("brain mask", &run.directory, masks)
    }

    /// `*_desc-confounds_timeseries.tsv`, or the older `_regressors.tsv`, of the run: beside it in a derivative; for
    /// a raw run in `derivatives/fmriprep*` where there is exactly one such pipeline.
    pub fn confounds(&mut self, path: &Path) -> Result<Option<PathBuf>> {
        let Some(run) = RunFile::of(path)? else {
            return Ok(None);
        };
        let mut directory = run.directory.clone();
        if let Some(place) = run.place()
            && self.raw_of(&place.tree).as_ref() == Some(&place.tree)
        {
            let find = || data_set::fmriprep_of(&place.tree);
            let pipeline = self.fmriprep.entry(place.tree.clone()).or_insert_with(find);
            let Some(pipeline) = pipeline else {
                return Ok(None);
            };
            directory = pipeline.join(&place.within);
        }
        let Some(names) = self.names(&directory) else {
            return Ok(None);
        };
        let mut required = run.name.pairs.clone();
        required.retain(|(key, _)| RUN.contains(key) || MERGED.contains(key));
        let is_of_run = |file: &&File| {
            has_ending(file, ".tsv")
                && file.value("desc") == Some("confounds")
                && matches(file, &required, &MERGED)
        };
        let mut found = names.with_suffix("timeseries", &run.name);
        found.extend(names.with_suffix("regressors", &run.name));
        let found = found.into_iter().filter(is_of_run).collect();
        run.one_of("table of confounds", &directory, found)
    }

    /// The events of a run: the nearest `*_events.tsv` whose entities are among the run's, from its directory
    /// up to the root of its raw data set. For a run of a derivative, its place in the raw data set counts.
    pub fn events(&mut self, path: &Path) -> Result<Events> {
        let mut events = Events::default();
        let Some(run) = RunFile::of(path)? else {
            return Ok(events);
        };
        let levels = match run.place() {
            // Outside of any data set only the file's own directory counts.
            None => vec![run.directory.clone()],
            Some(place) => {
                let Some(raw) = self.raw_of(&place.tree) else {
                    return Ok(events);
                };
                let levels = place.within.ancestors().map(|within| raw.join(within));
                levels.collect()
            }
        };
        for level in levels {
            let Some(names) = self.names(&level) else {
                continue;
            };
            let applies = |file: &&File| {
                let has = |(key, value): &(&'static str, String)| {
                    let own = run.name.value(key);
                    own.is_some_and(|own| same_value(key, own, value))
                };
                has_ending(file, ".tsv") && file.pairs.iter().all(has)
            };
            let found = names.with_suffix("events", &run.name);
            let found: Vec<_> = found.into_iter().filter(applies).collect();
            events.all.extend(found.iter().map(|f| level.join(&f.name)));
            if events.own.is_none() {
                events.own = run.one_of("events file", &level, found)?;
            }
        }
        Ok(events)
    }

    /// `None` where there is no such directory: then nothing is in it.
    fn names(&mut self, directory: &Path) -> Option<Arc<Names>> {
        if let Some(known) = self.listed.get(directory) {
            return known.clone();
        }
        let names = directory::names(directory).ok();
        self.listed.insert(directory.to_owned(), names.clone());
        names
    }

    fn raw_of(&mut self, tree: &Path) -> Option<PathBuf> {
        if let Some(known) = self.raw.get(tree) {
            return known.clone();
        }
        let raw = data_set::raw_of(tree);
        self.raw.insert(tree.to_owned(), raw.clone());
        raw
    }
}

/// A file of a run.
struct RunFile<'a> {
    path: &'a Path,
    directory: PathBuf,
    name: Name<'a>,
}

impl<'a> RunFile<'a> {
    /// `None` for a name without entities, which nothing can be paired with.
    fn of(path: &'a Path) -> Result<Option<Self>> {
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.and_then(Name::parse).filter(|n| !n.pairs.is_empty()) else {
            return Ok(None);
        };
        // Links are not followed: what belongs to a DataLad file is beside the link.
        let absolute = std::path::absolute(path).map_err(|e| file_error(path, e))?;
        let directory = absolute.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Some(Self {
            path,
            directory,
            name,
        }))
    }

    fn place(&self) -> Option<Place> {
        Place::of(&self.directory, self.name.value("sub"))
    }

    /// The one candidate that is meant: the one that has the entities of all others and more; of
    /// those that differ in padding (`run-1`, `run-01`), the one written as in the run's name.
    fn one_of(&self, what: &str, at: &Path, found: Vec<&File>) -> Result<Option<PathBuf>> {
        let keys_within =
            |a: &File, b: &File| a.pairs.iter().all(|(key, _)| b.value(key).is_some());
        let is_overridden = |file: &&File| {
            let by =
                |other: &&File| other.pairs.len() > file.pairs.len() && keys_within(file, other);
            found.iter().any(by)
        };
        let mut left: Vec<&File> = found
            .iter()
            .copied()
            .filter(|f| !is_overridden(f))
            .collect();
        if left.len() > 1 {
            let is_written_so = |file: &&File| {
                let same = |(key, value): &(&'static str, String)| {
                    let own = self.name.value(key);
                    *key == "desc" || own == Some(value)
                };
                file.pairs.iter().all(same)
            };
            let exact: Vec<&File> = left.iter().copied().filter(is_written_so).collect();
            if !exact.is_empty() {
                left = exact;
            }
        }
        match left.as_slice() {
            [] => Ok(None),
            [file] => Ok(Some(at.join(&file.name))),
            [a, b, ..] => Err(self.ambiguous(what, at, a, b)),
        }
    }

    fn ambiguous(&self, what: &str, at: &Path, a: &File, b: &File) -> DataFusionError {
        let message = format!(
            "two files in {} may be its {what}: {} and {}; rename or remove one",
            at.display(),
            a.name,
            b.name
        );
        file_error(self.path, message)
    }
}

/// Whether a file has the `required` entities and, beside `desc`, no others. Those that are
/// `optional` it may lack.
fn matches(file: &File, required: &[(&'static str, &str)], optional: &[&str]) -> bool {
    let has = |(key, value): &(&'static str, &str)| match file.value(key) {
        Some(own) => same_value(key, own, value),
        None => optional.contains(key),
    };
    let is_required = |(key, _): &(&'static str, String)| {
        *key == "desc" || required.iter().any(|(k, _)| k == key)
    };
    required.iter().all(has) && file.pairs.iter().all(is_required)
}

fn has_ending(file: &File, ending: &str) -> bool {
    let start = file.name.len() - super::stem(&file.name).len();
    let extension = &file.name[file.name.len() - start..];
    extension.eq_ignore_ascii_case(ending)
}
