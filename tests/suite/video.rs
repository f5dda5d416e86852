//! `read_video` through the program: with and without ffmpeg on the PATH, into Parquet and back, and
//! what EXPLAIN says.

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

fn voxql(sql: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_voxql"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("VOXQL_LOG")
        .args(["--format", "csv", "-c", sql]);
    command
}

const FOREIGN: [(&str, usize); 6] = [
    ("hevc.mp4", 20),
    ("vp9.webm", 20),
    ("fragmented.mp4", 20),
    ("mpeg4.avi", 12),
    ("yuv444.mp4", 6),
    ("lossless.mp4", 3),
];

#[test]
fn without_ffmpeg_foreign_films_are_an_error_that_says_so() {
    for (name, _) in FOREIGN {
        let sql = format!("SELECT count(*) FROM read_video('tests/data/video/{name}')");
        voxql(&sql).env("PATH", "").assert().failure().stderr(
            contains(name)
                .and(contains("ffmpeg would do it and is not on the PATH"))
                .and(contains("install")),
        );
    }
    voxql("SELECT count(*) FROM read_video('tests/data/video/vfr.mkv')")
        .env("PATH", "")
        .assert()
        .success()
        .stdout(contains("\n20"));
}

#[test]
fn with_ffmpeg_they_are_films_like_others() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    if !has("ffmpeg") || !has("ffprobe") {
        note!("skipped: ffmpeg and ffprobe are not on the PATH");
        return;
    }
    for (name, rows) in FOREIGN {
        let sql = format!(
            "SELECT count(*), count(frame) FROM read_video('tests/data/video/{name}', width => 8)"
        );
        voxql(&sql)
            .assert()
            .success()
            .stdout(contains(format!("\n{rows},{rows}")));
    }
}

#[test]
fn the_shape_of_frames_survives_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames.parquet");
    let file = file.display();
    voxql(&format!(
        "COPY (SELECT time, frame FROM read_video('tests/data/ramp.mp4', width => 16)) \
         TO '{file}' STORED AS PARQUET"
    ))
    .assert()
    .success();
    assert!(Path::new(&file.to_string()).exists());
    // luminance works only on columns that say their shape.
    voxql(&format!(
        "SELECT count(*), bool_and(luminance(a.frame) = luminance(b.frame)) FROM '{file}' a \
         JOIN read_video('tests/data/ramp.mp4', width => 16) b USING (time)"
    ))
    .assert()
    .success()
    .stdout(contains("\n25,true"));
}

#[test]
fn explain_says_which_times_are_read() {
    voxql("EXPLAIN SELECT time FROM read_video('tests/data/ramp.mp4') WHERE time BETWEEN 0.5 AND 0.75")
        .assert()
        .success()
        .stdout(contains("0.5 <= time <= 0.75"));
}
