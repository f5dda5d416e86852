//! The JSON sidecars that belong to a file.

use std::path::{Path, PathBuf};

use datafusion::common::Result;
use serde_json::{Map, Value};

use super::data_set::ancestors_within;
use super::directory;
use super::name::{Name, stem};
use crate::access::scope;
use crate::readers::format::file_error;

/// The metadata of a file after BIDS inheritance, or `None` where no sidecar applies.
///
/// Looks in every directory from the root of the data set (the nearest ancestor
/// with a `dataset_description.json`; the file's own directory if there is none)
/// down to the file. A JSON file applies when its suffix is the file's and its
/// entities are among the file's. Fields of deeper files win; in one directory
/// those of the name with more entities. For a name that is not BIDS-like, only the JSON
/// of the same name beside it applies.
///
/// A sidecar that is not a JSON object is an error that names it and the line.
pub fn sidecar(path: &Path) -> Result<Option<Map<String, Value>>> {
    let mut merged = None;
    for json in applicable(path)? {
        let fields = read_object(&json)?;
        merged.get_or_insert_with(Map::new).extend(fields);
    }
    Ok(merged)
}

/// The JSON files that apply, the least specific first.
fn applicable(path: &Path) -> Result<Vec<PathBuf>> {
    let Some(file_name) = path.file_name().and_then(|n| n.to_str()) else {
        return Ok(vec![]);
    };
    // Made absolute without following links: in a DataLad data set the file is
    // a link into .git/annex, and its sidecars are beside the link.
    let path = std::path::absolute(path).map_err(|e| file_error(path, e))?;
    let Some(own) = path.parent() else {
        return Ok(vec![]);
    };
    let Some(name) = Name::parse(file_name).filter(|name| !name.pairs.is_empty()) else {
        let json = own.join(format!("{}.json", stem(file_name)));
        return Ok(if json.is_file() { vec![json] } else { vec![] });
    };
    let mut found = vec![];
    for level in ancestors_within(own).into_iter().rev() {
        let names = directory::names(level).map_err(|e| file_error(level, e))?;
        let here = names.describing(&name).into_iter();
        found.extend(here.map(|json| level.join(&json.name)));
    }
    Ok(found)
}

fn read_object(path: &Path) -> Result<Map<String, Value>> {
    read_fields(path).map_err(|message| file_error(path, message))
}

/// The fields of a JSON file, or what is wrong with it (without its name).
pub fn read_fields(path: &Path) -> std::result::Result<Map<String, Value>, String> {
    let bytes = scope::read(path).map_err(|e| e.to_string())?;
    // A byte order mark is not JSON, but Windows editors write it.
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    match serde_json::from_slice(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(
            "line 1: a BIDS sidecar must be a JSON object, such as {\"RepetitionTime\": 2.0}"
                .to_string(),
        ),
        // serde_json says what is wrong "at line L column C".
        Err(e) => Err(format!("not valid JSON: {e}; correct this sidecar")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::readers::bids::entities;

    /// Writes files into a new directory.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn field(dir: &tempfile::TempDir, file: &str, name: &str) -> Option<f64> {
        sidecar(&dir.path().join(file))
            .unwrap()?
            .get(name)?
            .as_f64()
    }

    #[test]
    fn deeper_and_more_specific_sidecars_win() {
        let dir = tree(&[
            ("task-x_bold.json", r#"{"Outside": 1}"#),
            ("ds/dataset_description.json", "{}"),
            ("ds/bold.json", r#"{"RepetitionTime": 9, "All": 1}"#),
            (
                "ds/task-x_bold.json",
                r#"{"RepetitionTime": 2, "EchoTime": 0.03}"#,
            ),
            ("ds/task-y_bold.json", r#"{"RepetitionTime": 7}"#),
            ("ds/task-x_events.json", r#"{"RepetitionTime": 8}"#),
            ("ds/sub-1/sub-1_bold.json", r#"{"RepetitionTime": 1.5}"#),
            (
                "ds/sub-1/func/sub-1_task-x_run-2_bold.json",
                r#"{"Own": 4}"#,
            ),
        ]);
        let file = "ds/sub-1/func/sub-1_task-x_run-1_bold.nii.gz";
        assert_eq!(field(&dir, file, "RepetitionTime"), Some(1.5));
        assert_eq!(field(&dir, file, "EchoTime"), Some(0.03));
        assert_eq!(field(&dir, file, "All"), Some(1.0));
        assert_eq!(field(&dir, file, "Own"), None);
        assert_eq!(field(&dir, file, "Outside"), None);
        let file = "ds/sub-1/func/sub-1_task-x_run-2_bold.nii.gz";
        assert_eq!(field(&dir, file, "Own"), Some(4.0));
    }

    #[test]
    fn without_a_data_set_only_the_own_directory_counts() {
        let dir = tree(&[
            ("sub-1_bold.json", r#"{"RepetitionTime": 3}"#),
            ("func/task-x_bold.json", "\u{feff}{\"EchoTime\": 1}"),
            ("func/scan12.json", r#"{"RepetitionTime": 0.8}"#),
        ]);
        let file = "func/sub-1_task-x_bold.nii.gz";
        assert_eq!(field(&dir, file, "RepetitionTime"), None);
        assert_eq!(field(&dir, file, "EchoTime"), Some(1.0));
        assert_eq!(field(&dir, "func/scan12.nii", "RepetitionTime"), Some(0.8));
        assert_eq!(sidecar(&dir.path().join("func/other.nii")).unwrap(), None);
    }

    #[test]
    fn a_bad_sidecar_is_named_with_its_line() {
        let dir = tree(&[
            ("sub-1_bold.json", "{\n  \"RepetitionTime\": 2.5,\n}"),
            ("sub-2_bold.json", "[1]"),
            ("sub-3_bold.json", ""),
        ]);
        let message = |name: &str| sidecar(&dir.path().join(name)).unwrap_err().to_string();
        let text = message("sub-1_bold.nii.gz");
        assert!(
            text.contains("sub-1_bold.json") && text.contains("line 3"),
            "{text}"
        );
        assert!(message("sub-2_bold.nii").contains("JSON object"));
        assert!(message("sub-3_bold.nii").contains("sub-3_bold.json"));
    }

    #[test]
    fn ds114_inherits_from_its_root() {
        let root = Path::new("../shared/data/bids/ds114");
        if !root.exists() {
            note!("skipped: ../shared/data/bids/ds114 is absent");
            return;
        }
        let file = root.join("sub-01/ses-test/func/sub-01_ses-test_task-linebisection_bold.nii.gz");
        assert_eq!(
            entities(&file),
            [
                ("subject", "01".to_owned()),
                ("session", "test".to_owned()),
                ("task", "linebisection".to_owned())
            ]
        );
        let fields = sidecar(&file).unwrap().unwrap();
        assert_eq!(fields["RepetitionTime"].as_f64(), Some(2.5));
        assert_eq!(fields["TaskName"].as_str(), Some("line_bisection"));
        let t1 = root.join("sub-01/ses-test/anat/sub-01_ses-test_T1w.nii.gz");
        assert_eq!(sidecar(&t1).unwrap(), None);
    }
}
