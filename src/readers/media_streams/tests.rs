use std::path::Path;
use std::process::Command;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use rstest::rstest;
use serde_json::Value as Json;

use super::*;
use crate::readers::testing::{error, file, here, project, read, scan, shared};

fn fixture(name: &str) -> std::path::PathBuf {
    here("tests/data/audio").join(name)
}

fn ffprobe(path: &Path) -> Option<Vec<Json>> {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-of", "json"])
        .arg(path)
        .output();
    let Ok(run) = run else {
        note!("skipped: no ffprobe to compare with");
        return None;
    };
    let mut said: Json = serde_json::from_slice(&run.stdout).unwrap();
    match said["streams"].take() {
        Json::Array(streams) => Some(streams),
        _ => None,
    }
}

/// A number of ffprobe's, which writes some of them as text, and `10/1`.
fn number(value: &Json) -> Option<f64> {
    let text = match value {
        Json::String(text) => text,
        value => return value.as_f64(),
    };
    match text.split_once('/') {
        Some((a, b)) => {
            let ratio = a.parse::<f64>().ok()? / b.parse::<f64>().ok()?;
            ratio.is_finite().then_some(ratio)
        }
        None => text.parse().ok(),
    }
}

#[test]
fn as_ffprobe_has_it() {
    let mut paths: Vec<_> = std::fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| container::recognise(path).unwrap().is_some())
        .collect();
    paths.sort();
    paths.extend(shared("av/nasa_13013.mp4"));
    assert!(paths.len() > 20);
    for path in paths {
        let Some(want) = ffprobe(&path) else { return };
        let got = read(&MediaStreams, &path, &[]).unwrap();
        println!(
            "{}\n{}",
            path.display(),
            pretty_format_batches(std::slice::from_ref(&got)).unwrap()
        );
        assert_eq!(got.num_rows(), want.len(), "{}", path.display());
        for (i, want) in want.iter().enumerate() {
            let column = |name: &str| got.column_by_name(name).unwrap();
            let text = |name: &str| {
                let column = column(name).as_string::<i32>();
                (!arrow::array::Array::is_null(column, i)).then(|| column.value(i).to_owned())
            };
            let same_text = |name: &str, value: &Json, none: &str| {
                let value = value.as_str().filter(|text| *text != none);
                assert_eq!(text(name).as_deref(), value, "{} {name}", path.display());
            };
            same_text("kind", &want["codec_type"], "");
            same_text("codec", &want["codec_name"], "");
            same_text("language", &want["tags"]["language"], "und");
            let integer = |name: &str| {
                let column = column(name).as_primitive::<Int32Type>();
                (!arrow::array::Array::is_null(column, i)).then(|| f64::from(column.value(i)))
            };
            for name in ["sample_rate", "channels", "width", "height"] {
                assert_eq!(
                    integer(name),
                    number(&want[name]),
                    "{} {name}",
                    path.display()
                );
            }
            let float = |name: &str| {
                let column = column(name).as_primitive::<Float64Type>();
                (!arrow::array::Array::is_null(column, i)).then(|| column.value(i))
            };
            let is_mpeg = path.extension().is_some_and(|e| e == "mp3");
            for (name, field) in [
                ("start_time", "start_time"),
                ("duration", "duration"),
                ("frame_rate", "avg_frame_rate"),
            ] {
                // ffprobe's times of MP3 and Opus count what is not heard; a stream that does
                // not say its duration has that of the file here.
                let is_theirs = is_mpeg || want["codec_name"] == "opus";
                if let (Some(got), Some(want)) = (float(name), number(&want[field]))
                    && !is_theirs
                {
                    assert!(
                        (got - want).abs() < 2e-3 * want.max(1.0),
                        "{} {name}: {got} {want}",
                        path.display()
                    );
                }
            }
            let frames = column("frames").as_primitive::<Int64Type>();
            if want["codec_type"] == "video" && number(&want["nb_frames"]).is_some() {
                assert_eq!(Some(frames.value(i) as f64), number(&want["nb_frames"]));
            }
        }
    }
}

#[test]
fn two_languages() {
    let rows = read(&MediaStreams, &fixture("two.mkv"), &[]).unwrap();
    let text = |name: &str| {
        let column = rows.column_by_name(name).unwrap().as_string::<i32>();
        column
            .iter()
            .map(|t| t.map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        text("kind"),
        ["video", "audio", "audio"].map(|t| Some(t.to_owned()))
    );
    assert_eq!(text("title")[2].as_deref(), Some("Kommentar"));
    let numbers = rows.column_by_name("number").unwrap();
    assert_eq!(numbers.as_primitive::<Int32Type>().values(), &[0, 0, 1]);
    let default = rows.column_by_name("is_default").unwrap().as_boolean();
    assert!(!default.value(1) && default.value(2));
}

#[test]
fn some_columns_and_rows() {
    let mut scan = project(
        scan(&MediaStreams, &fixture("two.mp4"), &[]).unwrap(),
        &["number", "kind"],
    );
    scan.limit = Some(2);
    let rows: Vec<_> = MediaStreams.open(&scan).unwrap().collect();
    let rows = rows[0].as_ref().unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (2, 2));
}

#[rstest]
#[case(b"not a film".to_vec(), "a.mp4: this is not a WAV")]
#[case(b"\x1a\x45\xdf\xa3\x80".to_vec(), "a.mp4: its Matroska structure is damaged")]
fn damaged(#[case] bytes: Vec<u8>, #[case] message: &str) {
    let (_directory, path) = file("a.mp4", bytes);
    let got = error(&MediaStreams, &path, &[]);
    assert!(got.contains(message), "{got}");
}
