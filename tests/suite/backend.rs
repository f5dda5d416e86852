//! Which library runs a model: what happens where onnxruntime is missing or broken.

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

const MODEL: &str = "../shared/golden/sentence/files/tiny";

/// `voxql` on a machine whose Python has no onnxruntime.
fn voxql() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxql"));
    for variable in [
        "VOXQL_BACKEND",
        "ORT_DYLIB_PATH",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "HOME",
    ] {
        command.env_remove(variable);
    }
    command
        .env("PATH", "")
        .timeout(std::time::Duration::from_secs(60));
    command
}

fn embed(command: &mut Command) -> assert_cmd::assert::Assert {
    let sql = format!("SELECT embed('the cat', model => '{MODEL}')[1] BETWEEN -9 AND 9 AS works");
    command.args(["-c", &sql]).assert()
}

fn model_is_here() -> bool {
    let here = Path::new(MODEL).is_dir();
    if !here {
        note!("skipped: '{MODEL}' is not on this machine");
    }
    here
}

#[test]
fn a_file_that_is_no_library_is_a_warning() {
    if !model_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    std::fs::write(&library, "not a library").unwrap();
    embed(voxql().env("ORT_DYLIB_PATH", &library))
        .success()
        .stdout(contains("true"))
        .stderr(contains("libonnxruntime.so' is of no use"));
}

#[test]
#[cfg(unix)]
fn what_is_not_a_regular_file_is_not_opened() {
    if !model_is_here() {
        return;
    }
    // Opening a terminal or a pipe could wait for ever.
    for path in ["/dev/tty", "/nowhere/libonnxruntime.so", "/dev/zero"] {
        embed(voxql().env("ORT_DYLIB_PATH", path))
            .success()
            .stdout(contains("true"))
            .stderr(contains(path).and(contains("which is not a file")));
    }
}

#[test]
fn the_backend_can_be_forced() {
    if !model_is_here() {
        return;
    }
    embed(voxql().env("VOXQL_BACKEND", "tract"))
        .success()
        .stdout(contains("true"));
    embed(voxql().env("VOXQL_BACKEND", "tensorflow"))
        .failure()
        .stderr(contains("it can be 'onnxruntime' or 'tract'"));
}

#[test]
fn the_version_says_which_backend_is_in_use() {
    voxql()
        .env("VOXQL_BACKEND", "tract")
        .arg("--version")
        .assert()
        .success()
        .stdout(contains("tract 0."));
}
