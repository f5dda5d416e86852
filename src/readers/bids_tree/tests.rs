use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};

use super::*;
use crate::readers::bids;
use crate::readers::testing::{self, project, shared};

/// Writes files into a new directory.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn real(root: &tempfile::TempDir) -> PathBuf {
    root.path().canonicalize().unwrap()
}

fn rows(root: &Path) -> RecordBatch {
    testing::read(&BidsTree, root, &[]).unwrap()
}

fn text<'a>(batch: &'a RecordBatch, column: &str) -> &'a StringArray {
    batch.column_by_name(column).unwrap().as_string::<i32>()
}

/// The row of the file whose path ends so.
fn at(batch: &RecordBatch, name: &str) -> usize {
    let paths = text(batch, "path");
    let mut found = (0..paths.len()).filter(|&i| paths.value(i).ends_with(name));
    let row = found.next().unwrap_or_else(|| panic!("no row for {name}"));
    assert_eq!(found.next(), None, "{name}");
    row
}

/// A text column of the file whose path ends so; "" for NULL.
fn cell<'a>(batch: &'a RecordBatch, name: &str, column: &str) -> &'a str {
    let (values, row) = (text(batch, column), at(batch, name));
    if values.is_null(row) {
        ""
    } else {
        values.value(row)
    }
}

fn seconds(batch: &RecordBatch, name: &str, column: &str) -> Option<f64> {
    let values = batch.column_by_name(column).unwrap();
    let (values, row) = (values.as_primitive::<Float64Type>(), at(batch, name));
    values.is_valid(row).then(|| values.value(row))
}

/// Paths below the root, in the table's order.
fn names(batch: &RecordBatch, root: &Path) -> Vec<String> {
    let paths = text(batch, "path").iter().flatten();
    paths
        .map(|p| Path::new(p).strip_prefix(root).unwrap())
        .map(|p| p.to_string_lossy().into_owned())
        .collect()
}

const RAW: &str = "sub-1/func/sub-1_task-x_run-1_bold.nii.gz";

fn data_set() -> tempfile::TempDir {
    tree(&[
        ("dataset_description.json", "{}"),
        ("README", "words"),
        (
            "task-x_bold.json",
            r#"{"RepetitionTime": 2, "TaskName": "x", "SliceTiming": [0, 1.5], "Extra": {"a": 1}}"#,
        ),
        (
            "sub-1/sub-1_task-x_bold.json",
            r#"{"RepetitionTime": 1.49, "StartTime": 0.5}"#,
        ),
        (RAW, "\x1f\u{8b}"),
        (
            "sub-1/func/sub-1_task-x_run-1_events.tsv",
            "onset\tduration\n",
        ),
        ("sub-1/anat/sub-1_T1w.nii", "n"),
        ("sub-2/func/sub-2_task-x_bold.nii", "n"),
        (".git/config", "hidden"),
        ("sourcedata/sub-1/scan.dcm", "raw"),
        ("code/run.py", "code"),
        ("stimuli/code/film.mp4", "film"),
        ("derivatives/fmriprep/dataset_description.json", "{}"),
        (
            "derivatives/fmriprep/sub-1/func/sub-1_task-x_space-T1w_desc-preproc_bold.nii",
            "n",
        ),
        (
            "derivatives/fmriprep/sub-1/anat/sub-1_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.h5",
            "h",
        ),
        (
            "derivatives/plain/sub-1/func/sub-1_task-x_desc-brain_mask.nii",
            "n",
        ),
        (
            "derivatives/plain/sub-1/func/sub-1_task-x_desc-smooth_bold.nii",
            "n",
        ),
    ])
}

#[test]
fn one_row_per_file_but_not_of_hidden_source_and_code() {
    let root = data_set();
    let root = real(&root);
    assert_eq!(
        names(&rows(&root), &root),
        [
            "README",
            "dataset_description.json",
            "derivatives/fmriprep/dataset_description.json",
            "derivatives/fmriprep/sub-1/anat/sub-1_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.h5",
            "derivatives/fmriprep/sub-1/func/sub-1_task-x_space-T1w_desc-preproc_bold.nii",
            "derivatives/plain/sub-1/func/sub-1_task-x_desc-brain_mask.nii",
            "derivatives/plain/sub-1/func/sub-1_task-x_desc-smooth_bold.nii",
            "stimuli/code/film.mp4",
            "sub-1/anat/sub-1_T1w.nii",
            RAW,
            "sub-1/func/sub-1_task-x_run-1_events.tsv",
            "sub-1/sub-1_task-x_bold.json",
            "sub-2/func/sub-2_task-x_bold.nii",
            "task-x_bold.json",
        ]
    );
}

#[test]
fn names_are_columns() {
    let root = data_set();
    let batch = rows(&real(&root));
    let of = |name: &str| {
        let columns = ["subject", "task", "run", "datatype", "suffix", "extension"];
        columns.map(|column| cell(&batch, name, column).to_string())
    };
    assert_eq!(of(RAW), ["1", "x", "1", "func", "bold", ".nii.gz"]);
    assert_eq!(of("README"), ["", "", "", "", "", ""]);
    assert_eq!(of("film.mp4"), ["", "", "", "", "film", ".mp4"]);
    assert_eq!(of("/task-x_bold.json"), ["", "x", "", "", "bold", ".json"]);
    let transform = "mode-image_xfm.h5";
    assert_eq!(of(transform), ["1", "", "", "anat", "xfm", ".h5"]);
    assert_eq!(cell(&batch, transform, "from"), "T1w");
    assert_eq!(cell(&batch, transform, "to"), "MNI152NLin6Asym");
    assert_eq!(cell(&batch, "preproc_bold.nii", "space"), "T1w");
    assert_eq!(cell(&batch, "preproc_bold.nii", "desc"), "preproc");
    let sizes = batch.column_by_name("size").unwrap();
    assert_eq!(
        sizes
            .as_primitive::<Int64Type>()
            .value(at(&batch, "README")),
        5
    );
    for (_, column) in bids::ENTITIES {
        assert!(batch.column_by_name(column).is_some(), "{column}");
    }
}

#[test]
fn sidecars_are_inherited() {
    let root = data_set();
    let batch = rows(&real(&root));
    assert_eq!(seconds(&batch, RAW, "repetition_time"), Some(1.49));
    assert_eq!(seconds(&batch, RAW, "start_time"), Some(0.5));
    assert_eq!(cell(&batch, RAW, "task_name"), "x");
    let timing = batch.column_by_name("slice_timing").unwrap();
    let timing = timing.as_list::<i32>().value(at(&batch, RAW));
    assert_eq!(timing.as_primitive::<Float64Type>().values(), &[0.0, 1.5]);
    assert_eq!(
        cell(&batch, RAW, "sidecar"),
        r#"{"RepetitionTime":1.49,"TaskName":"x","SliceTiming":[0,1.5],"Extra":{"a":1},"StartTime":0.5}"#
    );
    // No override for the other subject; other suffixes inherit nothing.
    let other = "sub-2_task-x_bold.nii";
    assert_eq!(seconds(&batch, other, "repetition_time"), Some(2.0));
    assert_eq!(seconds(&batch, other, "start_time"), None);
    for name in [
        "events.tsv",
        "T1w.nii",
        "/task-x_bold.json",
        "brain_mask.nii",
    ] {
        assert_eq!(cell(&batch, name, "sidecar"), "", "{name}");
    }
    // Derivatives with a description of their own are another data set; without one they are of the raw one.
    assert_eq!(seconds(&batch, "preproc_bold.nii", "repetition_time"), None);
    assert_eq!(
        seconds(&batch, "smooth_bold.nii", "repetition_time"),
        Some(2.0)
    );
}

#[test]
fn a_directory_within_a_data_set_inherits_from_above() {
    let root = data_set();
    let batch = rows(&real(&root).join("sub-1/func"));
    assert_eq!(batch.num_rows(), 2);
    assert_eq!(seconds(&batch, RAW, "repetition_time"), Some(1.49));
    assert_eq!(cell(&batch, RAW, "task_name"), "x");
    assert_eq!(cell(&batch, RAW, "datatype"), "func");
}

#[test]
fn without_a_description_the_root_given_is_the_data_set() {
    let root = tree(&[
        ("in/bold.json", r#"{"RepetitionTime": 3}"#),
        ("in/sub-1/sub-1_bold.nii", "n"),
        ("bold.json", r#"{"StartTime": 1}"#),
    ]);
    let batch = rows(&real(&root).join("in"));
    assert_eq!(
        seconds(&batch, "sub-1_bold.nii", "repetition_time"),
        Some(3.0)
    );
    assert_eq!(seconds(&batch, "sub-1_bold.nii", "start_time"), None);
}

#[test]
fn what_is_wrong_is_a_problem_not_a_failure() {
    let root = tree(&[
        ("dataset_description.json", "{\n"),
        ("sub-1_bold.nii.gz", ""),
        ("sub-2_bold.nii.gz", "not gzip"),
        ("sub-2_bold.json", "[1]"),
        ("sub-3_bold.nii", "n"),
        ("sub-3_bold.json", "{\n  \"RepetitionTime\": 2,\n}"),
        ("sub-4_bold.nii", "n"),
        (
            "sub-4_bold.json",
            r#"{"RepetitionTime": "2.0", "EchoTime": 1}"#,
        ),
        ("sub-5_bold.nii", "n"),
        ("sub-5_bold.json", r#"{"SliceTiming": [0, "a"]}"#),
        ("sub-6_colour-red_bold.nii", "n"),
        ("sub-7_bold.json", ""),
        ("sub-8_bold.nii.gz", "\x1f"),
        ("sub-9_bold.nii", "n"),
    ]);
    fs::write(root.path().join("sub-9_bold.nii.gz"), b"\x1f\x8b\x08").unwrap();
    let batch = rows(&real(&root));
    let problem = |name: &str| cell(&batch, name, "problem").to_string();
    assert_eq!(problem("sub-1_bold.nii.gz"), "empty file");
    assert!(problem("sub-2_bold.nii.gz").contains("not gzip"));
    assert!(problem("sub-2_bold.json").contains("JSON object"));
    assert!(problem("sub-3_bold.json").starts_with("not valid JSON: "));
    let inherited = problem("sub-3_bold.nii");
    assert!(
        inherited.starts_with("sidecar sub-3_bold.json: not valid JSON"),
        "{inherited}"
    );
    assert!(inherited.contains("line 3"), "{inherited}");
    assert_eq!(seconds(&batch, "sub-3_bold.nii", "repetition_time"), None);
    assert_eq!(
        problem("sub-4_bold.nii"),
        "its sidecar's RepetitionTime is \"2.0\", not a number of seconds"
    );
    assert!(cell(&batch, "sub-4_bold.nii", "sidecar").contains("EchoTime"));
    assert!(problem("sub-5_bold.nii").contains("SliceTiming"));
    assert!(problem("sub-6_colour-red_bold.nii").contains("not a BIDS name"));
    assert_eq!(problem("sub-7_bold.json"), "empty file");
    assert!(problem("sub-8_bold.nii.gz").contains("not gzip"));
    assert_eq!(problem("sub-9_bold.nii"), "");
    assert_eq!(problem("sub-9_bold.nii.gz"), "");
    assert!(problem("dataset_description.json").contains("JSON"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_once() {
    use std::os::unix::fs::symlink;
    let root = tree(&[("a/sub-1_bold.nii", "n"), ("b/sub-2_bold.nii", "n")]);
    let at = |name: &str| root.path().join(name);
    symlink("/nowhere/at/all", at("a/sub-3_bold.nii.gz")).unwrap();
    symlink("sub-1_bold.nii", at("a/sub-4_bold.nii")).unwrap();
    symlink("..", at("a/up")).unwrap();
    symlink("../b", at("a/to-b")).unwrap();
    symlink("../a", at("b/to-a")).unwrap();
    symlink("/dev/zero", at("b/sub-2_bold.json")).unwrap();
    fs::create_dir(at("b/sub-5_task-x_meg.ds")).unwrap();
    fs::write(at("b/sub-5_task-x_meg.ds/part"), "p").unwrap();
    let root = real(&root);
    let batch = rows(&root);
    assert_eq!(
        names(&batch, &root),
        [
            "a/sub-1_bold.nii",
            "a/sub-3_bold.nii.gz",
            "a/sub-4_bold.nii",
            "a/to-b/sub-2_bold.json",
            "a/to-b/sub-2_bold.nii",
            "a/to-b/sub-5_task-x_meg.ds",
            "b/sub-2_bold.json",
            "b/sub-2_bold.nii",
            "b/sub-5_task-x_meg.ds",
            "b/to-a/sub-1_bold.nii",
            "b/to-a/sub-3_bold.nii.gz",
            "b/to-a/sub-4_bold.nii",
        ]
    );
    assert!(cell(&batch, "/b/sub-2_bold.json", "problem").contains("neither a file"));
    assert_eq!(cell(&batch, "/b/sub-2_bold.nii", "problem"), "");
    let dangling = cell(&batch, "/a/sub-3_bold.nii.gz", "problem");
    assert!(dangling.contains("datalad get"), "{dangling}");
}

#[test]
fn limits_and_projections() {
    let root = data_set();
    let all = testing::scan(&BidsTree, &real(&root), &[]).unwrap();
    let mut scan = project(all.clone(), &["suffix", "subject"]);
    scan.limit = Some(3);
    let batches = BidsTree
        .open(&scan)
        .unwrap()
        .collect::<Result<Vec<_>>>()
        .unwrap();
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (3, 2));
    // No columns at all, as for count(*); and batches that stay small.
    let mut scan = project(all, &[]);
    scan.batch_bytes = ROW_BYTES * 5;
    let batches = BidsTree
        .open(&scan)
        .unwrap()
        .collect::<Result<Vec<_>>>()
        .unwrap();
    let rows: Vec<_> = batches.iter().map(RecordBatch::num_rows).collect();
    assert_eq!(rows, [5, 5, 4]);
}

#[test]
fn the_root_must_be_a_directory() {
    let root = data_set();
    let resolve = |name: &str| {
        let path = root.path().join(name).display().to_string();
        BidsTree.resolve(&path).unwrap_err().to_string()
    };
    assert!(resolve("nowhere").contains("no such directory"));
    assert!(resolve("README").contains("this is a file"));
    let error = BidsTree.resolve("s3://bucket/ds").unwrap_err().to_string();
    assert!(error.contains("local disks only"), "{error}");
}

/// The table says of every file what `bids::sidecar` says of it.
fn agrees_with_the_readers(root: &Path) -> usize {
    let batch = rows(root);
    let mut compared = 0;
    for (path, found) in text(&batch, "path").iter().zip(text(&batch, "sidecar")) {
        let path = path.unwrap();
        if path.ends_with(".json") {
            continue;
        }
        let fields = bids::sidecar(Path::new(path)).unwrap();
        let wanted = fields.map(|fields| serde_json::Value::Object(fields).to_string());
        assert_eq!(found, wanted.as_deref(), "{path}");
        compared += usize::from(wanted.is_some());
    }
    compared
}

#[test]
fn sidecars_are_those_of_the_other_readers() {
    let root = data_set();
    assert_eq!(agrees_with_the_readers(&real(&root)), 3);
    if let Some(ds114) = shared("bids/ds114") {
        let compared = agrees_with_the_readers(&ds114.canonicalize().unwrap());
        note!("ds114: {compared} files with sidecars");
        assert!(compared >= 80, "{compared}");
    }
}
