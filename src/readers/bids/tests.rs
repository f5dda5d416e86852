//! Which files of a made tree are read, and what is paired.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pairs::Pairs;
use super::search::{Found, list};
use super::testing::{files, fmriprep};
use super::*;
use crate::readers::events::Events;
use crate::readers::format::{Format, Options, Value};
use crate::readers::testing::options;

mod sql;

fn bold() -> Arc<dyn Format> {
    crate::readers::by_function("read_bold").unwrap()
}

fn texts(values: &[&str]) -> Value {
    Value::Texts(values.iter().map(|v| (*v).to_owned()).collect())
}

fn found(format: &dyn Format, path: &Path, options: &Options) -> Found {
    list(format, &[path.display().to_string()], options).unwrap()
}

fn error(format: &dyn Format, path: &Path, options: &Options) -> String {
    let error = list(format, &[path.display().to_string()], options).unwrap_err();
    error.to_string()
}

/// Names of the files that are read, without directories.
fn names(format: &dyn Format, path: &Path, given: &[(&str, Value)]) -> Vec<String> {
    let found = found(format, path, &options(given));
    found.files.iter().map(|file| name(&file.path)).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn paired(path: Option<PathBuf>) -> String {
    path.as_deref().map(name).unwrap_or_default()
}

#[test]
fn a_raw_root_is_searched_without_derivatives_and_in_the_order_of_runs() {
    let root = fmriprep();
    let a = |tail: &str| format!("sub-01_ses-A_task-movie_run-{tail}_bold.nii.gz");
    let mut wanted: Vec<String> = (1..=11).map(|run| a(&run.to_string())).collect();
    wanted.extend(
        [
            "sub-01_ses-A_task-rest_bold.nii.gz",
            "sub-01_ses-B_task-movie_run-1_echo-1_bold.nii.gz",
            "sub-01_ses-B_task-movie_run-1_echo-2_bold.nii.gz",
            "sub-02_task-movie_run-01_bold.nii.gz",
            "sub-02_task-rest_bold.nii",
            "sub-03_task-rest_bold.nii.gz",
            "sub-04_task-movie_bold.nii.gz",
            "sub-04_task-rest_bold.nii.gz",
        ]
        .map(String::from),
    );
    assert_eq!(names(&*bold(), root.path(), &[]), wanted);
}

#[test]
fn derivatives_are_read_when_asked_for_or_given() {
    let root = fmriprep();
    let yes = ("derivatives", Value::Boolean(true));
    let derivative = root.path().join("derivatives/fmriprep");
    let of_root = names(&*bold(), root.path(), std::slice::from_ref(&yes));
    let of_derivative = names(&*bold(), &derivative, &[]);
    // 13 of sub-01's session A, 3 echoes, 2 of sub-02, 2 on surfaces: no references, no figures.
    assert_eq!(of_derivative.len(), 20);
    let volumes = of_derivative
        .iter()
        .filter(|n| n.ends_with("_desc-preproc_bold.nii.gz"));
    assert_eq!(volumes.count(), 18);
    assert_eq!(of_root.len(), 19 + 20);
    let fsaverage = ("space", texts(&["fsaverage5"]));
    let left = "sub-01_ses-A_task-movie_run-1_hemi-L_space-fsaverage5_bold.func.gii";
    assert_eq!(names(&*bold(), &derivative, &[fsaverage]), [left]);
    let mni = ("space", texts(&["MNI152NLin2009cAsym"]));
    let first = "sub-01_ses-A_task-movie_run-1_space-MNI152NLin2009cAsym";
    assert_eq!(
        names(&*bold(), root.path(), &[yes, mni.clone()]),
        [
            format!("{first}_desc-preproc_bold.nii.gz"),
            format!("{first}_res-2_desc-preproc_bold.nii.gz")
        ]
    );
    let of_resolution = [mni, ("resolution", texts(&["2"]))];
    assert_eq!(
        names(&*bold(), &derivative, &of_resolution),
        [format!("{first}_res-2_desc-preproc_bold.nii.gz")]
    );
}

#[test]
fn indices_are_numbers_and_other_entities_text() {
    let root = fmriprep();
    let runs = |subject: &str, run: &str| {
        let given = [("subject", texts(&[subject])), ("run", texts(&[run]))];
        names(&*bold(), root.path(), &given)
    };
    let first = "sub-02_task-movie_run-01_bold.nii.gz";
    assert_eq!(runs("02", "1"), [first]);
    assert_eq!(runs("02", "01"), [first]);
    assert_eq!(
        runs("01", "010"),
        ["sub-01_ses-A_task-movie_run-10_bold.nii.gz"]
    );
    let given = options(&[("subject", texts(&["2"]))]);
    let message = error(&*bold(), root.path(), &given);
    assert!(
        message.contains("no file with subject 2; the values of subject here: 01, 02, 03, 04"),
        "{message}"
    );
    let several = [
        ("task", texts(&["rest"])),
        ("subject", texts(&["04", "02"])),
    ];
    assert_eq!(names(&*bold(), root.path(), &several).len(), 2);
}

#[test]
fn where_nothing_is_left_the_error_says_what_there_is() {
    let root = fmriprep();
    let message = |given: &[(&str, Value)]| error(&*bold(), root.path(), &options(given));
    let of_two = ("subject", texts(&["02"]));
    let text = message(&[of_two.clone(), ("task", texts(&["nback", "stroop"]))]);
    assert!(
        text.contains(
            "read_bold: there is no file with task nback or stroop among those with subject 02; \
             the values of task here: movie, rest"
        ),
        "{text}"
    );
    let text = message(&[of_two, ("space", texts(&["T1w"]))]);
    assert!(text.contains("no name here has a space"), "{text}");
    let empty = root.path().join("derivatives/freesurfer");
    let text = error(&*bold(), &empty, &Options::default());
    assert!(text.contains("ending in _bold.nii.gz"), "{text}");
    let only_derived = files(&[
        ("dataset_description.json", "{}"),
        ("derivatives/a/sub-1_bold.nii", "x"),
    ]);
    let text = error(&*bold(), only_derived.path(), &Options::default());
    assert!(
        text.contains("derivatives => true searches them too"),
        "{text}"
    );
}

#[test]
fn a_directory_outside_of_data_sets_is_searched_as_it_was() {
    let root = files(&[
        ("a/derivatives/x/sub-1_run-2_bold.nii", "x"),
        ("a/code/sub-1_run-10_bold.nii", "x"),
        ("a/sub-1_run-9_events.tsv", "x"),
        ("a/run-9_events.tsv", "x"),
    ]);
    let read = found(&*bold(), root.path(), &Options::default());
    assert!(!read.in_data_set);
    assert_eq!(read.files.len(), 2);
    let given = [("run", texts(&["02"]))];
    assert_eq!(
        names(&*bold(), root.path(), &given),
        ["sub-1_run-2_bold.nii"]
    );
    assert_eq!(names(&Events, root.path(), &[]).len(), 2);
}

#[cfg(unix)]
#[test]
fn links_keep_their_names_and_count_once() {
    use std::os::unix::fs::symlink;
    let root = files(&[
        ("ds/dataset_description.json", "{}"),
        ("ds/task-x_events.tsv", "onset\tduration\n"),
        ("store/abc/func/sub-1_task-x_bold.nii", "x"),
        ("store/key", "x"),
    ]);
    let at = |name: &str| root.path().join(name);
    symlink(at("store/abc"), at("ds/sub-1")).unwrap();
    symlink(at("store/abc"), at("ds/sub-1-again")).unwrap();
    symlink("..", at("store/abc/func/up")).unwrap();
    symlink(at("store/key"), at("store/abc/func/sub-1_task-y_bold.nii")).unwrap();
    let read = found(&*bold(), &at("ds"), &Options::default()).files;
    let real = root.path().canonicalize().unwrap();
    let under = |file: &search::Listed| file.path.strip_prefix(&real).unwrap().to_owned();
    assert_eq!(
        read.iter().map(under).collect::<Vec<_>>(),
        [
            Path::new("ds/sub-1/func/sub-1_task-x_bold.nii"),
            Path::new("ds/sub-1/func/sub-1_task-y_bold.nii"),
        ]
    );
    let own = Pairs::default().events(&read[0].path).unwrap().own;
    assert_eq!(paired(own), "task-x_events.tsv");
    assert_eq!(
        found(&Events, &at("ds"), &Options::default()).files.len(),
        1
    );
}

#[test]
fn a_mask_is_of_the_same_run_space_and_resolution() {
    let root = fmriprep();
    let func = root.path().join("derivatives/fmriprep/sub-01/ses-A/func");
    let mask = |name: &str| paired(Pairs::default().brain_mask(&func.join(name)).unwrap());
    let first = "sub-01_ses-A_task-movie_run-1";
    let mni = "space-MNI152NLin2009cAsym";
    for (image, found) in [
        (
            format!("{mni}_desc-preproc_bold.nii.gz"),
            format!("{first}_{mni}_desc-brain_mask.nii.gz"),
        ),
        (
            format!("{mni}_res-2_desc-preproc_bold.nii.gz"),
            format!("{first}_{mni}_res-2_desc-brain_mask.nii.gz"),
        ),
        (
            "space-T1w_desc-preproc_bold.nii.gz".into(),
            format!("{first}_space-T1w_desc-brain_mask.nii.gz"),
        ),
        (
            "space-T1w_boldref.nii.gz".into(),
            format!("{first}_space-T1w_desc-brain_mask.nii.gz"),
        ),
        (
            "desc-preproc_bold.nii.gz".into(),
            format!("{first}_desc-brain_mask.nii.gz"),
        ),
        (
            format!("{mni}_res-1_desc-preproc_bold.nii.gz"),
            String::new(),
        ),
        ("space-fsLR_den-91k_bold.dtseries.nii".into(), String::new()),
        (
            "hemi-L_space-fsaverage5_bold.func.gii".into(),
            String::new(),
        ),
        (
            "hemi-L_space-T1w_bold.func.gii".into(),
            format!("{first}_space-T1w_desc-brain_mask.nii.gz"),
        ),
    ] {
        assert_eq!(mask(&format!("{first}_{image}")), found, "{image}");
    }
    assert_eq!(
        mask("sub-01_ses-A_task-movie_run-5_space-T1w_desc-preproc_bold.nii.gz"),
        ""
    );
    // Not that of run 1 or 10, and not that of run 01 where there is run 1.
    assert_eq!(
        mask("sub-01_ses-A_task-movie_run-12_space-T1w_desc-preproc_bold.nii.gz"),
        ""
    );
    assert_eq!(
        mask("sub-01_ses-A_task-movie_run-01_space-T1w_desc-preproc_bold.nii.gz"),
        format!("{first}_space-T1w_desc-brain_mask.nii.gz")
    );
    for echo in ["", "_echo-1", "_echo-2"] {
        let name = format!(
            "../../ses-B/func/sub-01_ses-B_task-movie_run-1{echo}_desc-preproc_bold.nii.gz"
        );
        assert_eq!(
            mask(&name),
            "sub-01_ses-B_task-movie_run-1_desc-brain_mask.nii.gz"
        );
    }
    // A raw run has none of its own.
    let raw = root
        .path()
        .join("sub-01/ses-A/func")
        .join(format!("{first}_bold.nii.gz"));
    assert_eq!(Pairs::default().brain_mask(&raw).unwrap(), None);
    assert_eq!(
        Pairs::default()
            .brain_mask(Path::new("/nowhere/at/all.nii"))
            .unwrap(),
        None
    );
}

#[test]
fn of_two_that_fit_none_is_chosen() {
    let root = fmriprep();
    let two = root.path().join("derivatives/fmriprep/sub-02/func");
    let image = two.join("sub-02_task-rest_space-T1w_desc-preproc_bold.nii.gz");
    let text = Pairs::default().brain_mask(&image).unwrap_err().to_string();
    for name in [
        "desc-brain_mask.nii.gz",
        "desc-brain_mask.nii and ",
        "sub-02_task-rest",
    ] {
        assert!(text.contains(name), "{text}");
    }
    let root = files(&[
        ("dataset_description.json", "{}"),
        ("acq-x_events.tsv", ""),
        ("task-a_events.tsv", ""),
        ("sub-1/func/sub-1_task-a_acq-x_bold.nii", ""),
        ("sub-1/func/sub-1_task-b_acq-x_run-1_bold.nii", ""),
        ("sub-1/func/sub-1_task-b_run-1_events.tsv", ""),
        ("sub-1/func/sub-1_task-b_run-01_events.tsv", ""),
        ("sub-1/func/sub-1_task-b_acq-x_run-001_bold.nii", ""),
    ]);
    let func = root.path().join("sub-1/func");
    let mut pairs = Pairs::default();
    let mut events = |name: &str| pairs.events(&func.join(name));
    let text = events("sub-1_task-a_acq-x_bold.nii")
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("acq-x_events.tsv and task-a_events.tsv"),
        "{text}"
    );
    // Written as in the run's name wins over the same number.
    for run in ["1", "01"] {
        let own = events(&format!("sub-1_task-b_acq-x_run-{run}_bold.nii"))
            .unwrap()
            .own;
        assert_eq!(paired(own), format!("sub-1_task-b_run-{run}_events.tsv"));
    }
    assert!(events("sub-1_task-b_acq-x_run-001_bold.nii").is_err());
}

#[test]
fn confounds_are_beside_a_derived_run_and_in_the_one_pipeline_for_a_raw_one() {
    let root = fmriprep();
    let a = "sub-01/ses-A/func/sub-01_ses-A_task-movie";
    let derived = "derivatives/fmriprep";
    let mut pairs = Pairs::default();
    let mut confounds = |name: &str| paired(pairs.confounds(&root.path().join(name)).unwrap());
    let of = |run: &str| format!("sub-01_ses-A_task-movie_run-{run}_desc-confounds_timeseries.tsv");
    for name in [
        format!("{derived}/{a}_run-1_space-T1w_desc-preproc_bold.nii.gz"),
        format!("{derived}/{a}_run-1_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz"),
        format!("{derived}/{a}_run-1_space-fsLR_den-91k_bold.dtseries.nii"),
        format!("{derived}/{a}_run-1_hemi-L_space-fsaverage5_bold.func.gii"),
        format!("{a}_run-1_bold.nii.gz"),
    ] {
        assert_eq!(confounds(&name), of("1"), "{name}");
    }
    for tree in ["", "derivatives/fmriprep/"] {
        let mut of_run = |run: u8| {
            confounds(&format!(
                "{tree}{a}_run-{run}_space-T1w_desc-preproc_bold.nii.gz"
            ))
        };
        assert_eq!(of_run(10), of("10"));
        assert_eq!(
            of_run(6),
            "sub-01_ses-A_task-movie_run-6_desc-confounds_regressors.tsv"
        );
        assert_eq!(of_run(7), "");
    }
    let echo = "sub-01/ses-B/func/sub-01_ses-B_task-movie_run-1_echo-2_bold.nii.gz";
    assert_eq!(
        confounds(echo),
        "sub-01_ses-B_task-movie_run-1_desc-confounds_timeseries.tsv"
    );
    // fMRIPrep called it run-1.
    let padded = "sub-02/func/sub-02_task-movie_run-01_bold.nii.gz";
    assert_eq!(
        confounds(padded),
        "sub-02_task-movie_run-1_desc-confounds_timeseries.tsv"
    );
    assert_eq!(confounds("sub-04/func/sub-04_task-movie_bold.nii.gz"), "");
    // A second pipeline, and it is not known whose confounds are meant.
    std::fs::create_dir(root.path().join("derivatives/fmriprep-old")).unwrap();
    let raw = root.path().join(format!("{a}_run-1_bold.nii.gz"));
    assert_eq!(Pairs::default().confounds(&raw).unwrap(), None);
}

#[test]
fn events_are_the_nearest_of_the_raw_data_set() {
    let root = fmriprep();
    let mut pairs = Pairs::default();
    let mut events = |name: &str| paired(pairs.events(&root.path().join(name)).unwrap().own);
    let a = "sub-01/ses-A/func/sub-01_ses-A_task-movie";
    for tree in ["", "derivatives/fmriprep/"] {
        let mut of_run = |run: u8| events(&format!("{tree}{a}_run-{run}_space-T1w_bold.nii.gz"));
        assert_eq!(of_run(1), "task-movie_events.tsv");
        assert_eq!(of_run(3), "sub-01_ses-A_task-movie_run-3_events.tsv");
        assert_eq!(of_run(4), "sub-01_ses-A_task-movie_run-04_events.tsv");
        assert_eq!(of_run(11), "task-movie_events.tsv");
    }
    assert_eq!(
        events("sub-02/func/sub-02_task-movie_run-01_bold.nii.gz"),
        "sub-02_task-movie_events.tsv"
    );
    assert_eq!(
        events("sub-01/ses-A/func/sub-01_ses-A_task-rest_bold.nii.gz"),
        ""
    );
}

#[test]
fn inherited_events_are_listed_once_for_each_run() {
    let root = fmriprep();
    let listed = |path: &Path| {
        let found = found(&Events, path, &Options::default()).files;
        let line = |file: &search::Listed| {
            let value = |column| file.entity(column).unwrap_or("-");
            format!(
                "{} {} {} {} < {}",
                value("subject"),
                value("session"),
                value("task"),
                value("run"),
                name(&file.path)
            )
        };
        found.iter().map(line).collect::<Vec<_>>()
    };
    let wanted = [
        "01 A movie 1 < task-movie_events.tsv",
        "01 A movie 2 < task-movie_events.tsv",
        "01 A movie 3 < sub-01_ses-A_task-movie_run-3_events.tsv",
        "01 A movie 4 < sub-01_ses-A_task-movie_run-04_events.tsv",
        "01 A movie 5 < task-movie_events.tsv",
        "01 A movie 6 < task-movie_events.tsv",
        "01 A movie 7 < task-movie_events.tsv",
        "01 A movie 8 < task-movie_events.tsv",
        "01 A movie 9 < task-movie_events.tsv",
        "01 A movie 10 < task-movie_events.tsv",
        "01 A movie 11 < task-movie_events.tsv",
        "01 B movie 1 < task-movie_events.tsv",
        "02 - movie 01 < sub-02_task-movie_events.tsv",
        "04 - movie - < task-movie_events.tsv",
    ];
    assert_eq!(listed(root.path()), wanted);
    // A part of the data set inherits from above it; a derivative's runs have the raw events.
    assert_eq!(listed(&root.path().join("sub-01")), wanted[..12]);
    let derived = listed(&root.path().join("derivatives/fmriprep"));
    assert_eq!(derived[..12], wanted[..12]);
    assert_eq!(
        derived[12..],
        ["02 - movie 1 < sub-02_task-movie_events.tsv"]
    );
    // The file given as itself stays itself.
    let file = root.path().join("task-movie_events.tsv");
    assert_eq!(listed(&file), ["- - movie - < task-movie_events.tsv"]);
    // Events of which there is no image are read all the same.
    let alone = files(&[
        ("dataset_description.json", "{}"),
        ("task-x_events.tsv", ""),
        ("sub-1/func/sub-1_task-x_events.tsv", ""),
    ]);
    assert_eq!(
        listed(alone.path()),
        [
            "1 - x - < sub-1_task-x_events.tsv",
            "- - x - < task-x_events.tsv"
        ]
    );
}

#[test]
fn every_entity_is_an_argument() {
    for (_, column) in ENTITIES {
        let parameter = arguments::parameter(&column.to_uppercase()).unwrap();
        assert_eq!(parameter.name, column);
    }
    assert!(arguments::parameter("sub").is_none());
}
