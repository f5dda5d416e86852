//! `read_video` through the program: with and without ffmpeg on the PATH, into Parquet and back, and
//! what EXPLAIN says.

use std::path::{Path, PathBuf};

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

/// ffmpeg, where it and ffprobe are on the PATH.
fn ffmpeg() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| {
        let mut files = std::env::split_paths(&path).map(|dir| dir.join(name));
        files.find(|file| file.is_file())
    };
    let found = find("ffprobe").and(find("ffmpeg"));
    if found.is_none() {
        note!("skipped: ffmpeg and ffprobe are not on the PATH");
    }
    found
}

#[test]
fn with_ffmpeg_they_are_films_like_others() {
    if ffmpeg().is_none() {
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

/// An ffmpeg that is killed in the middle of a film.
#[cfg(unix)]
#[test]
fn a_film_that_breaks_off_is_an_error_after_its_rows() {
    use std::os::unix::fs::PermissionsExt;

    let Some(ffmpeg) = ffmpeg() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("ffmpeg");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *-version*) exec {0} \"$@\";; esac\n{0} \"$@\" | head -c 100000\nkill -9 $$\n",
        ffmpeg.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(folder.path().to_path_buf()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).unwrap();

    // A picture has 9,216 bytes.
    let film = "read_video('tests/data/video/hevc_groups.mp4')";
    voxql(&format!(
        "SELECT frame_index, frame[1] >= 0 FROM {film} LIMIT 8"
    ))
    .env("PATH", &path)
    .assert()
    .success()
    .stdout(contains("\n7,true"));
    voxql(&format!("SELECT count(frame) FROM {film}"))
        .env("PATH", &path)
        .assert()
        .failure()
        .stderr(contains("hevc_groups.mp4").and(contains("ffmpeg failed")));
}

/// A query that nobody waits for leaves no ffmpeg behind, though not a row of it was due.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_query_ends_ffmpeg() {
    use std::time::Duration;

    use futures::StreamExt;
    use voxql::session::{Session, Settings};

    let Some(ffmpeg) = ffmpeg() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let film = folder.path().join("long.mp4");
    let done = std::process::Command::new(ffmpeg)
        .args(["-loglevel", "error", "-stream_loop", "999", "-i"])
        .arg("tests/data/video/hevc_groups.mp4")
        .args(["-c", "copy"])
        .arg(&film)
        .status();
    assert!(done.unwrap().success());
    let name = film.display().to_string();
    let are_running = async |wanted: bool| {
        for _ in 0..500 {
            let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
            let is_on = |process: std::fs::DirEntry| {
                let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&arguments).into_owned();
                arguments.contains(&name) && arguments.contains("framecrc")
            };
            if processes.any(is_on) == wanted {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    };
    for columns in ["max(time)", "count(frame)"] {
        let sql = format!("SELECT {columns} FROM read_video('{name}', fps => 0.001)");
        let running = tokio::spawn(async move {
            let session = Session::open(Settings::default()).await.unwrap();
            let mut answer = session.sql(&sql).await.unwrap();
            while answer.stream.next().await.is_some() {}
        });
        assert!(are_running(true).await, "{columns}: it did not begin");
        running.abort();
        assert!(are_running(false).await, "{columns}: it goes on");
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
