//! What ffmpeg decodes: parts of a film are those of the whole, wherever it begins.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::prelude::{Expr, col, lit};

use super::asked::Asked;
use super::batches::Step;
use super::colour::Colour;
use super::external::{External, LEAD};
use super::films::{FOREIGN, IN_PROCESS, clip, have_ffmpeg, times};
use super::paint::Painter;
use super::run::Shown;
use super::streamed::Streamed;
use super::*;
use crate::readers::bounds::Bounds;
use crate::readers::ffmpeg::{Program, QUIET, input};
use crate::readers::format::Value;
use crate::readers::testing::{options, project, read, scan};

/// Clips with several groups of pictures, and copies of them in other formats: cut within a group, so
/// that an edit list hides pictures or what they refer to is not there; late; in fragments.
fn groups(folder: &Path) -> Vec<PathBuf> {
    let copy = |before: &[&str], from: &str, after: &[&str], to: &str| {
        let to = folder.join(to);
        let mut all: Vec<std::ffi::OsString> = QUIET.map(Into::into).to_vec();
        all.extend(before.iter().map(Into::into));
        all.extend(["-i".into(), input(&clip(from))]);
        all.extend(["-c", "copy"].iter().chain(after).map(Into::into));
        all.push(input(&to));
        let done = Program::Ffmpeg.start("", all).unwrap().text(1000).unwrap();
        assert_eq!(done, "");
        to
    };
    let fragments = ["-movflags", "frag_keyframe+empty_moov"];
    let hevc = "hevc_groups.mp4";
    vec![
        clip(hevc),
        clip("vp9_groups.webm"),
        clip("mpeg4_groups.avi"),
        copy(&[], hevc, &[], "hevc.mkv"),
        copy(&[], hevc, &[], "hevc.ts"),
        copy(&["-ss", "0.6"], hevc, &[], "cut.mp4"),
        copy(&["-ss", "0.6"], hevc, &[], "cut.mkv"),
        copy(&["-itsoffset", "2.3"], hevc, &[], "late.mkv"),
        copy(&["-itsoffset", "0.3"], hevc, &[], "late.mp4"),
        copy(&[], "groups.mp4", &fragments, "fragments.mp4"),
        copy(&[], "open_groups.mp4", &fragments, "open_fragments.mp4"),
        copy(&["-stream_loop", "4"], "mpeg4.avi", &[], "mpeg4.mkv"),
    ]
}

fn open(path: &Path) -> External {
    External::open(path, None, "for a test").unwrap()
}

fn asked(given: &[(&str, Value)], conditions: &[Expr]) -> Asked {
    let wanted = Wanted::new(&options(given)).unwrap();
    let bounds = Bounds::of(conditions, &["frame_index", "time"]);
    Asked::new(&wanted, &bounds)
}

/// Number, time and picture of each row.
type Rows = Vec<(i64, f64, Vec<f32>)>;

fn rows(external: &External, asked: Asked, has_numbers: bool, has_pictures: bool) -> Rows {
    let (width, height) = external.size;
    let look = Wanted::new(&options(&[])).unwrap().look;
    let painter = Painter::new(Colour::of_h264(None), 0, width, height, look);
    let painter = has_pictures.then_some(painter);
    let mut streamed = Streamed::new(external.clone(), asked, has_numbers, painter);
    let mut rows: Rows = vec![];
    loop {
        let until = Instant::now() + Duration::from_secs(60);
        match streamed.step(until).unwrap() {
            Step::Row(row) => {
                let mut picture = vec![];
                if has_pictures {
                    streamed.append(&mut picture).unwrap();
                }
                let number = if has_numbers { row.number } else { 0 };
                rows.push((number, row.time, picture));
            }
            Step::NotYet => panic!("it takes too long"),
            Step::End => return rows,
        }
    }
}

/// Rows by time and by number against those of the whole film.
fn stretches_are_those_of_the_whole(path: &Path, fps: Option<f64>, times: &[(f64, f64)]) {
    let external = open(path);
    let given: Vec<_> = fps
        .map(|fps| ("fps", Value::Float(fps)))
        .into_iter()
        .collect();
    let whole = rows(&external, asked(&given, &[]), true, true);
    assert!(whole.len() > 2, "{}", path.display());
    for (from, to) in times.iter().copied() {
        let name = format!("{} {fps:?} {from} {to}", path.display());
        let mut want: Rows = whole.clone();
        want.retain(|(_, time, _)| (from..=to).contains(time));
        let part = asked(&given, &[col("time").between(lit(from), lit(to))]);
        assert!(rows(&external, part, true, true) == want, "{name}");
        if fps.is_none() {
            // Without their numbers, and without pictures.
            want.iter_mut().for_each(|row| row.0 = 0);
            assert!(rows(&external, part, false, true) == want, "{name}");
            want.iter_mut().for_each(|row| row.2.clear());
            assert!(rows(&external, part, false, false) == want, "{name}");
        }
    }
    let mut want: Rows = whole;
    want.retain(|(number, ..)| (31..=33).contains(number));
    let part = asked(
        &given,
        &[col("frame_index").between(lit(31i64), lit(33i64))],
    );
    assert!(
        rows(&external, part, true, true) == want,
        "{} {fps:?}",
        path.display()
    );
}

#[test]
fn a_stretch_is_that_of_the_whole_film() {
    if !have_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let times = [(1.28, 1.41), (2.31, 9.0), (5.0, 9.0)];
    std::thread::scope(|scope| {
        for path in groups(folder.path()) {
            scope.spawn(move || {
                stretches_are_those_of_the_whole(&path, None, &times);
                stretches_are_those_of_the_whole(&path, Some(7.0), &times);
            });
        }
    });
    for name in FOREIGN {
        stretches_are_those_of_the_whole(&clip(name), None, &[(0.1, 0.3)]);
    }
}

#[test]
fn it_begins_in_the_middle_where_it_can() {
    if !have_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for path in groups(folder.path()) {
        let external = open(&path);
        let first = |from: Option<i64>| -> Shown {
            let mut run = external.play(from, None).unwrap();
            run.next(vec![]).unwrap().unwrap()
        };
        let name = path.display();
        let is_seekable = !path.ends_with("hevc.ts") && !path.ends_with("mpeg4_groups.avi");
        let is_countable = is_seekable && !path.ends_with("mpeg4.mkv");
        assert_eq!(external.is_seekable, is_seekable, "{name}");
        assert_eq!(external.is_countable, is_countable, "{name}");
        if is_seekable {
            let begin = external.seconds(first(None).start);
            let wanted = begin + 2.2;
            let middle = external.seconds(first(Some(external.stamp(wanted))).start);
            // Groups have up to 12 pictures of 0.04 s.
            let early = wanted - f64::from(LEAD) - 0.64;
            assert!((early..=wanted).contains(&middle), "{name}: {middle}");
        }
    }
}

/// The same rows as in the process, whatever is asked for.
#[test]
fn both_ways_give_the_same_stretches() {
    if !have_ffmpeg() {
        return;
    }
    for name in IN_PROCESS {
        let external = open(&clip(name));
        for fps in [None, Some(7.0)] {
            let given: Vec<_> = fps
                .map(|fps| ("fps", Value::Float(fps)))
                .into_iter()
                .collect();
            let ours = read(&Video, &clip(name), &given).unwrap();
            let ours = times(&ours).into_iter().enumerate();
            for from in [0.0, 1.21] {
                let ours: Rows = ours
                    .clone()
                    .filter(|(_, time)| *time >= from)
                    .map(|(number, time)| (number as i64, time, vec![]))
                    .collect();
                let part = asked(&given, &[col("time").gt_eq(lit(from))]);
                let theirs = rows(&external, part, true, false);
                assert_eq!(ours, theirs, "{name} {fps:?} {from}");
            }
        }
    }
}

#[test]
fn rows_come_through_the_scan() {
    if !have_ffmpeg() {
        return;
    }
    let path = clip("hevc_groups.mp4");
    let all = read(&Video, &path, &[]).unwrap();
    assert_eq!(all.num_rows(), 60);
    let mut scan = scan(&Video, &path, &[]).unwrap();
    let batches = |scan: &FileScan| -> Vec<RecordBatch> {
        let batches = Video.open(scan).unwrap();
        batches
            .map(Result::unwrap)
            .filter(|b| b.num_rows() > 0)
            .collect()
    };
    let together = |scan: &FileScan| concat_batches(&scan.schema, &batches(scan)).unwrap();
    scan.batch_bytes = 5 * 64 * 48 * 12;
    assert_eq!(batches(&scan).len(), 12);
    assert_eq!(together(&scan), all);
    scan.limit = Some(7);
    assert_eq!(together(&scan), all.slice(0, 7));
    scan.bounds = Bounds::of(&[col("time").gt(lit(1.5))], &["time"]);
    assert_eq!(together(&scan), all.slice(38, 7));
    scan.limit = Some(0);
    assert!(batches(&scan).is_empty());

    scan.limit = None;
    scan.bounds = Bounds::default();
    let none = project(scan, &[]);
    let rows: usize = batches(&none).iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 60);
}

/// Processes that were started with this path among their arguments.
#[cfg(target_os = "linux")]
fn programs_on(path: &Path) -> usize {
    let name = path.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = processes.map(|p| std::fs::read(p.path().join("cmdline")).unwrap_or_default());
    arguments
        .filter(|a| String::from_utf8_lossy(a).contains(name))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_runs_on_for_nobody() {
    if !have_ffmpeg() {
        return;
    }
    let bytes = std::fs::read(clip("hevc_groups.mp4")).unwrap();
    let (_folder, path) = crate::readers::testing::file("nobody.mp4", bytes);
    for columns in [&["frame"][..], &["frame_index", "frame"], &["time"], &[]] {
        for conditions in [vec![], vec![col("time").gt(lit(0.5))]] {
            let mut scan = project(scan(&Video, &path, &[]).unwrap(), columns);
            scan.batch_bytes = 0;
            scan.bounds = Bounds::of(&conditions, &["time"]);
            let mut batches = Video.open(&scan).unwrap();
            assert!(batches.next().unwrap().is_ok());
            if columns.contains(&"frame") {
                // More than 60 pictures are never on their way: it is running, or was until now.
                assert_eq!(programs_on(&path), 1);
            }
            drop(batches);
            assert_eq!(programs_on(&path), 0);

            scan.limit = Some(1);
            let mut batches = Video.open(&scan).unwrap();
            assert!(batches.next().unwrap().is_ok());
            // Nor while the last rows are on their way.
            assert_eq!(programs_on(&path), 0);
        }
    }
}
