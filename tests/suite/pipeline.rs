//! The scripts in `sql/` run as they are, and `voxql demo`, on the demonstration's data.

use std::fs;
use std::path::Path;

use assert_cmd::Command;

/// The repository.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn voxql(folder: &Path, arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_voxql"))
        .current_dir(folder)
        .args(arguments)
        .assert()
        .success();
    String::from_utf8(done.get_output().stdout.clone()).unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => drop(fs::copy(&path, target).unwrap()),
        }
    }
}

/// The lines of a CSV answer after its header, as numbers where they are numbers.
fn csv(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().skip(1);
    rows.map(|row| row.split(',').map(str::to_string).collect())
        .collect()
}

#[test]
fn scripts_align_a_film_as_they_are() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path();
    // The scripts' paths are relative: a folder that looks like the repository's root.
    for part in ["sql", "examples/demo"] {
        copy_folder(&Path::new(ROOT).join(part), &folder.join(part));
    }
    let study = ["--db", "study", "--format", "csv"];
    let run = |arguments: &[&str]| voxql(folder, &[&study, arguments].concat());

    run(&["-f", "sql/align_movie.sql"]);
    let shapes = run(&[
        "-c",
        "SELECT count(*) AS rows, count(DISTINCT tr) AS trs, sum(held_out::INT) AS held_out,
                min(array_length(video)) AS video, min(array_length(audio)) AS audio,
                min(array_length(embedding)) AS embedding, min(array_length(brain)) AS brain
         FROM 'target/demo/aligned/' WHERE subject = '03'",
    ]);
    assert_eq!(
        csv(&shapes),
        [["78", "78", "32", "2304", "80", "256", "10"]]
    );

    // `make.py --check` has the same correlations from NumPy: 0.073 and 0.566 on average.
    let correlations = csv(&run(&["-f", "sql/held_out_isc.sql"]));
    let number = |row: usize, column: usize| correlations[row][column].parse::<f64>().unwrap();
    assert_eq!(correlations.len(), 4);
    let voxels = [0.104, 0.061, 0.067, 0.061];
    for (subject, voxels) in voxels.iter().enumerate() {
        assert!(
            (number(subject, 1) - voxels).abs() < 0.0011,
            "{correlations:?}"
        );
        assert!(number(subject, 2) > 0.4, "{correlations:?}");
    }

    let found = run(&["-f", "sql/find_sentence.sql"]);
    assert!(
        found.contains("77,77"),
        "each TR's embedding gives back its sentence:\n{found}"
    );
    let nearest = found.lines().nth(3).unwrap_or_default();
    assert!(
        nearest.contains("a dark cloud appears") || nearest.contains("clouds"),
        "{found}"
    );
}

#[test]
fn the_demonstration_shows_what_it_promises() {
    let scratch = tempfile::tempdir().unwrap();
    // Run elsewhere than in the repository: the data is found where VoxQL was built.
    let text = voxql(scratch.path(), &["demo", "--dir", "out"]);
    for promised in [
        "1. Seen",
        "8. Together",
        "×2304",
        "subject 02 at TR 60",
        "features_after",
        "right_sentence",
        "'hashing'",
        "subject=04",
        "pandas.read_parquet('out/aligned')",
    ] {
        assert!(text.contains(promised), "{promised} is missing in:\n{text}");
    }
    // A second time over the first one's results, and never over anything else.
    voxql(scratch.path(), &["demo", "--dir", "out"]);
    fs::create_dir_all(scratch.path().join("mine/study")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_voxql"))
        .current_dir(scratch.path())
        .args(["demo", "--dir", "mine"])
        .assert()
        .failure()
        .code(1);
}
