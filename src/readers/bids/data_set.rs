//! Where a data set begins, and which raw data set a derivative is of.

use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::sidecar::read_fields;
use crate::access::scope;

/// What makes a directory the root of a data set, where inheritance begins.
pub const DESCRIPTION: &str = "dataset_description.json";

pub fn is_root(directory: &Path) -> bool {
    directory.join(DESCRIPTION).is_file()
}

/// The directory and those above it up to the root of its data set; itself alone where it is in none.
pub fn ancestors_within(directory: &Path) -> Vec<&Path> {
    let root = directory.ancestors().position(is_root).unwrap_or(0);
    directory.ancestors().take(root + 1).collect()
}

/// Whether what lies under this root was made from another data set: as its description says, or,
/// where that is silent, because it stands under a directory `derivatives`.
pub fn is_derivative(root: &Path) -> bool {
    let described = read_fields(&root.join(DESCRIPTION)).unwrap_or_default();
    match described.get("DatasetType").and_then(Value::as_str) {
        Some(kind) => kind == "derivative",
        // Derivatives of before BIDS 1.4 have this instead.
        None => described.contains_key("PipelineDescription") || is_under_derivatives(root),
    }
}

fn is_under_derivatives(path: &Path) -> bool {
    path.components()
        .any(|c| c == Component::Normal("derivatives".as_ref()))
}

/// The tree that a file belongs to, and where it is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The directory that has the subjects' directories.
    pub tree: PathBuf,
    /// The file's directory below that, such as `sub-01/ses-1/func`.
    pub within: PathBuf,
}

impl Place {
    /// `directory` is that of a file of this subject. `None` where the file stands
    /// neither in a directory of its subject nor in a data set.
    pub fn of(directory: &Path, subject: Option<&str>) -> Option<Self> {
        let of_subject = subject.map(|subject| format!("sub-{subject}"));
        let is_of_subject = |d: &&Path| {
            let name = d.file_name().and_then(|name| name.to_str());
            name.is_some() && name == of_subject.as_deref()
        };
        let above_subject = directory.ancestors().find(is_of_subject);
        let tree = match above_subject.and_then(Path::parent) {
            Some(tree) => tree,
            None => directory.ancestors().find(|d| is_root(d))?,
        };
        Some(Self {
            within: directory.strip_prefix(tree).ok()?.to_owned(),
            tree: tree.to_owned(),
        })
    }
}

/// The raw data set of a tree: itself, or for a derivative the one that it lies in (or, after the
/// layouts that BIDS proposes, the one in its `sourcedata`, or the only one beside `derivatives`).
pub fn raw_of(tree: &Path) -> Option<PathBuf> {
    let is_raw = |d: &Path| is_root(d) && !is_derivative(d);
    if !is_derivative(tree) {
        return Some(tree.to_owned());
    }
    if let Some(around) = tree.ancestors().skip(1).find(|d| is_raw(d)) {
        return Some(around.to_owned());
    }
    let source = tree.join("sourcedata");
    if let Some(source) = [source.join("raw"), source].into_iter().find(|d| is_raw(d)) {
        return Some(source);
    }
    let derivatives = tree.ancestors().find(|d| d.ends_with("derivatives"))?;
    let beside = subdirectories(derivatives.parent()?).into_iter();
    only(beside.filter(|d| d != derivatives && is_raw(d)))
}

/// The derivative that has the confounds of a raw data set: the only one under `derivatives`
/// whose name begins with `fmriprep`.
pub fn fmriprep_of(raw: &Path) -> Option<PathBuf> {
    let is_fmriprep = |d: &PathBuf| {
        let name = d.file_name().unwrap_or_default();
        name.to_string_lossy()
            .to_lowercase()
            .starts_with("fmriprep")
    };
    let pipelines = subdirectories(&raw.join("derivatives")).into_iter();
    only(pipelines.filter(is_fmriprep))
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = scope::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::bids::testing::files;

    const RAW: &str = r#"{"DatasetType": "raw"}"#;
    const DERIVED: &str = r#"{"DatasetType": "derivative"}"#;

    fn place(directory: &Path, subject: &str) -> (PathBuf, String) {
        let place = Place::of(directory, Some(subject)).unwrap();
        (place.tree, place.within.display().to_string())
    }

    #[test]
    fn trees_begin_above_the_subject_or_at_the_description() {
        let root = files(&[("ds/dataset_description.json", RAW)]);
        let at = |name: &str| root.path().join(name);
        assert_eq!(
            place(&at("ds/derivatives/x/sub-1/ses-2/func"), "1"),
            (at("ds/derivatives/x"), "sub-1/ses-2/func".into())
        );
        // Another subject's directory is none of this file's.
        assert_eq!(place(&at("ds/sub-1/func"), "2").0, at("ds"));
        assert_eq!(Place::of(&at("other/func"), Some("1")), None);
    }

    #[test]
    fn the_raw_data_set_of_a_derivative() {
        let root = files(&[
            ("ds/dataset_description.json", "{}"),
            ("ds/derivatives/a/dataset_description.json", DERIVED),
            (
                "ds/derivatives/a/derivatives/b/dataset_description.json",
                "{}",
            ),
            (
                "ds/derivatives/old/dataset_description.json",
                r#"{"PipelineDescription": {}}"#,
            ),
            ("study/rawdata/dataset_description.json", RAW),
            ("study/derivatives/a/dataset_description.json", DERIVED),
            ("study/code/run.py", ""),
            ("two/raw1/dataset_description.json", RAW),
            ("two/raw2/dataset_description.json", RAW),
            ("two/derivatives/a/dataset_description.json", DERIVED),
            ("alone/dataset_description.json", DERIVED),
            ("alone/sourcedata/raw/dataset_description.json", RAW),
        ]);
        let at = |name: &str| root.path().join(name);
        for (tree, raw) in [
            ("ds", Some("ds")),
            ("ds/derivatives/a", Some("ds")),
            ("ds/derivatives/a/derivatives/b", Some("ds")),
            ("ds/derivatives/undescribed", Some("ds")),
            ("ds/derivatives/old", Some("ds")),
            ("study/derivatives/a", Some("study/rawdata")),
            ("two/derivatives/a", None),
            ("alone", Some("alone/sourcedata/raw")),
        ] {
            assert_eq!(raw_of(&at(tree)), raw.map(at), "{tree}");
        }
    }

    #[test]
    fn only_one_pipeline_is_taken() {
        let root = files(&[
            ("a/derivatives/fMRIPrep-23.1/x", ""),
            ("a/derivatives/freesurfer/x", ""),
            ("b/derivatives/fmriprep/x", ""),
            ("b/derivatives/fmriprep-old/x", ""),
        ]);
        let at = |name: &str| root.path().join(name);
        assert_eq!(
            fmriprep_of(&at("a")),
            Some(at("a/derivatives/fMRIPrep-23.1"))
        );
        assert_eq!(fmriprep_of(&at("b")), None);
        assert_eq!(fmriprep_of(&at("nowhere")), None);
    }
}
