//! The clips of tests/data/video beside what ffmpeg, ffprobe and Pillow make of them.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use datafusion::prelude::{col, lit};

use super::colour::Colour;
use super::external::External;
use super::paint::{Look, Painter, Picture};
use super::stream::{Coded, Film, Stream};
use super::*;
use crate::readers::bounds::Bounds;
use crate::readers::ffmpeg::{Program, QUIET, input};
use crate::readers::format::Value;
use crate::readers::mp4::Timeline;
use crate::readers::testing::{error, here, project, read, scan};
use crate::readers::trouble::Trouble;

pub fn clip(name: &str) -> PathBuf {
    here("tests/data/video").join(name)
}

pub const IN_PROCESS: [&str; 10] = [
    "ten_bits.mp4",
    "vfr.mp4",
    "vfr.mkv",
    "groups.mp4",
    "groups.mkv",
    "open_groups.mp4",
    "cut.mp4",
    "late.mp4",
    "rotated.mp4",
    "grey.mp4",
];

pub const FOREIGN: [&str; 6] = [
    "lossless.mp4",
    "hevc.mp4",
    "vp9.webm",
    "mpeg4.avi",
    "fragmented.mp4",
    "yuv444.mp4",
];

/// Whether ffmpeg and ffprobe can be asked.
pub fn have_ffmpeg() -> bool {
    let have = Program::Ffmpeg.find().is_some() && Program::Ffprobe.find().is_some();
    if !have {
        note!("skipped: ffmpeg and ffprobe are not on the PATH");
    }
    have
}

/// A clip that is decoded in the process.
pub fn coded(path: &Path) -> (Timeline, Coded) {
    match Stream::in_process(path, None).unwrap().film().unwrap() {
        Film::Indexed(timeline, coded) => (timeline, coded),
        Film::External(_) => panic!("{} is decoded in the process", path.display()),
    }
}

/// What `ffmpeg -i CLIP …` writes.
fn ffmpeg(path: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut all: Vec<_> = QUIET.iter().map(std::ffi::OsString::from).collect();
    all.extend(["-i".into(), input(path)]);
    all.extend(["-fps_mode", "passthrough"].map(Into::into));
    all.extend(arguments.iter().map(Into::into));
    all.push("pipe:1".into());
    let mut bytes = vec![];
    let mut output = Program::Ffmpeg.start("", all).unwrap();
    output.read_to_end(&mut bytes).unwrap();
    bytes
}

/// When each picture is shown by `ffprobe -show_frames`.
fn ffprobe_times(path: &Path) -> Vec<f64> {
    let ask = |entries: &str| {
        let mut all: Vec<_> = QUIET.iter().map(std::ffi::OsString::from).collect();
        all.extend(["-select_streams", "v:0", "-show_entries", entries].map(Into::into));
        all.extend(["-of", "csv=p=0"].map(Into::into));
        all.push(input(path));
        Program::Ffprobe
            .start("", all)
            .unwrap()
            .text(1 << 20)
            .unwrap()
    };
    let base = ask("stream=time_base");
    let first = base.lines().next().unwrap().trim_end_matches(',');
    let (numerator, denominator) = first.split_once('/').unwrap();
    let number = |text: &str| text.parse::<i64>().unwrap();
    ask("frame=best_effort_timestamp")
        .lines()
        .filter_map(|line| line.split(',').next().filter(|time| !time.is_empty()))
        .map(|time| (number(time) * number(numerator)) as f64 / number(denominator) as f64)
        .collect()
}

pub fn times(batch: &RecordBatch) -> Vec<f64> {
    let times = batch["time"].as_primitive::<Float64Type>();
    times.values().to_vec()
}

/// All pictures of a batch as bytes.
fn bytes(batch: &RecordBatch) -> Vec<u8> {
    let frames = batch["frame"].as_fixed_size_list();
    let values = frames.values().as_primitive::<Float32Type>().clone();
    let from = frames.value_offset(0) as usize;
    values.values()[from..from + frames.len() * frames.value_length() as usize]
        .iter()
        .map(|v| (v * 255.0).round() as u8)
        .collect()
}

/// The largest difference between two pictures.
fn difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn true_times() {
    // make.sh keeps the pictures of 25 a second whose number 5 or 7 divides.
    let shown = (0..).filter(|n| n % 5 == 0 || n % 7 == 0).take(20);
    let want: Vec<f64> = shown.map(|n| f64::from(n) / 25.0).collect();
    for name in ["vfr.mp4", "vfr.mkv", "rotated.mp4"] {
        assert_eq!(
            times(&read(&Video, &clip(name), &[]).unwrap()),
            want,
            "{name}"
        );
    }
    // The edit list hides the pictures before 0.52 s, and that is the new 0.
    let cut = times(&read(&Video, &clip("cut.mp4"), &[]).unwrap());
    assert_eq!(cut[..3], [0.0, 0.04, 0.08]);
    assert_eq!(cut.len(), 47);
    // Before 0.5 s: the picture of 0.48 s is on screen for 0.02 s yet. ffmpeg 5.1 leaves it out and
    // shows all others 0.02 s early, so that they no longer fit the sound.
    let within = times(&read(&Video, &clip("within.mp4"), &[]).unwrap());
    assert_eq!(within[..3], [0.0, 0.02, 0.06]);
    // An edit that shows nothing for 0.3 s.
    let late = times(&read(&Video, &clip("late.mp4"), &[]).unwrap());
    assert_eq!(late[..3], [0.3, 0.34, 0.38]);
}

#[test]
fn times_are_those_of_ffprobe() {
    if !have_ffmpeg() {
        return;
    }
    for name in IN_PROCESS.into_iter().chain(FOREIGN) {
        let scan = project(scan(&Video, &clip(name), &[]).unwrap(), &["time"]);
        let batches: Vec<_> = Video.open(&scan).unwrap().map(Result::unwrap).collect();
        let batch = concat_batches(&scan.schema, &batches).unwrap();
        assert_eq!(times(&batch), ffprobe_times(&clip(name)), "{name}");
    }
}

#[test]
fn decoded_bytes_are_those_of_ffmpeg() {
    if !have_ffmpeg() {
        return;
    }
    for name in IN_PROCESS {
        let path = clip(name);
        let (timeline, coded) = coded(&path);
        let mut decoder = coded.start().unwrap();
        let mut ours = vec![];
        for shown in &timeline.shown {
            let frame = decoder.picture(shown.sample).unwrap();
            ours.extend_from_slice(&frame.y);
            ours.extend_from_slice(&frame.u);
            ours.extend_from_slice(&frame.v);
        }
        let theirs = ffmpeg(&path, &["-f", "rawvideo"]);
        match name {
            // Turned by ffmpeg.
            "rotated.mp4" => assert_eq!(ours.len(), theirs.len()),
            _ => assert!(ours == theirs, "{name}"),
        }
    }
}

#[test]
fn colours_are_those_of_ffmpeg() {
    if !have_ffmpeg() {
        return;
    }
    let rgb = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-sws_flags",
        "accurate_rnd+full_chroma_int+neighbor",
    ];
    for name in IN_PROCESS.into_iter().chain(FOREIGN) {
        let ours = bytes(&read(&Video, &clip(name), &[]).unwrap());
        let worst = difference(&ours, &ffmpeg(&clip(name), &rgb));
        assert!(worst <= 1, "{name}: {worst}");
    }
}

#[test]
fn both_ways_give_the_same_rows() {
    if !have_ffmpeg() {
        return;
    }
    for name in IN_PROCESS {
        let path = clip(name);
        let (timeline, _) = coded(&path);
        let ours = timeline.shown.iter();
        let ours: Vec<f64> = ours.map(|s| timeline.seconds(s.start)).collect();
        let external = External::open(&path, None, "for a test").unwrap();
        let mut run = external.play(None, None).unwrap();
        let theirs = std::iter::from_fn(|| run.next(vec![]).unwrap());
        let theirs: Vec<f64> = theirs.map(|s| external.seconds(s.start)).collect();
        assert_eq!(ours, theirs, "{name}");
        let stream = Stream::in_process(&path, None).unwrap();
        assert_eq!(external.turns, stream.turns, "{name}");
    }
}

#[test]
fn without_ffmpeg_it_says_so() {
    for name in FOREIGN {
        let Err(Trouble::Foreign(why)) = Stream::in_process(&clip(name), None) else {
            panic!("{name} is not read in the process");
        };
        let message = Program::Ffmpeg.absent(&why);
        assert!(message.contains("not on the PATH"), "{message}");
    }
}

#[test]
fn conditions_on_time_give_the_same_rows() {
    for name in [
        "groups.mp4",
        "open_groups.mp4",
        "groups.mkv",
        "cut.mp4",
        "vfr.mp4",
    ] {
        for fps in [None, Some(("fps", Value::Float(7.0)))] {
            let given: Vec<_> = fps.into_iter().collect();
            let all = read(&Video, &clip(name), &given).unwrap();
            let all_times = times(&all);
            for (from, to) in [(0.5, 0.9), (1.0, 1.0), (1.7, 9.0), (-1.0, 0.1), (5.0, 6.0)] {
                let rows: Range<usize> = all_times.partition_point(|t| *t < from)
                    ..all_times.partition_point(|t| *t <= to);
                let mut part = scan(&Video, &clip(name), &given).unwrap();
                part.bounds = Bounds::of(&[col("time").between(lit(from), lit(to))], &["time"]);
                let batches: Vec<_> = Video.open(&part).unwrap().map(Result::unwrap).collect();
                let got = concat_batches(&part.schema, &batches).unwrap();
                assert_eq!(got, all.slice(rows.start, rows.len()), "{name} {from} {to}");
            }
            // The same by arguments; the end is left out.
            let mut half: Vec<_> = given.clone();
            half.push(("start", Value::Float(0.5)));
            half.push(("end", Value::Float(1.0)));
            let rows =
                all_times.partition_point(|t| *t < 0.5)..all_times.partition_point(|t| *t < 1.0);
            let got = read(&Video, &clip(name), &half).unwrap();
            assert_eq!(got, all.slice(rows.start, rows.len()), "{name}");
        }
    }
}

#[test]
fn rare_rows_skip_whole_groups_of_pictures() {
    for name in ["groups.mp4", "open_groups.mp4", "groups.mkv"] {
        let all = read(&Video, &clip(name), &[]).unwrap();
        let rare = read(&Video, &clip(name), &[("fps", Value::Float(1.25))]).unwrap();
        // Every 20th picture of 25 a second.
        let all_frames = all["frame"].as_fixed_size_list();
        let frames = rare["frame"].as_fixed_size_list();
        assert_eq!(frames.len(), 3);
        for row in 0..3 {
            assert_eq!(
                &frames.value(row),
                &all_frames.value(20 * row),
                "{name} {row}"
            );
        }
    }
}

#[test]
fn frame_indices_are_those_of_the_file() {
    let given = [("start", Value::Float(1.0)), ("end", Value::Float(1.1))];
    let batch = read(&Video, &clip("groups.mp4"), &given).unwrap();
    let indices = batch["frame_index"].as_primitive::<Int64Type>();
    assert_eq!(indices.values().to_vec(), [25, 26, 27]);
}

#[test]
fn streams_are_numbered() {
    assert!(read(&Video, &clip("vfr.mp4"), &[("stream", Value::Integer(0))]).is_ok());
    for name in ["vfr.mp4", "vfr.mkv"] {
        let message = error(&Video, &clip(name), &[("stream", Value::Integer(1))]);
        assert!(message.contains("no video stream 1"), "{message}");
    }
    let message = error(&Video, &clip("vfr.mp4"), &[("stream", Value::Integer(-1))]);
    assert!(message.contains("stream => -1"), "{message}");
}

#[test]
fn filters_and_grey_are_those_of_pillow() {
    let mut rgb = vec![];
    for y in 0..10usize {
        for x in 0..12usize {
            rgb.extend((0..3).map(|c| ((x * 37 + y * 59 + x * y * 11 + c * 83) % 256) as u8));
        }
    }
    let want = std::fs::read(clip("pillow.bin")).unwrap();
    let mut want = &want[..];
    let paint = |width, height, look: Look| -> Vec<u8> {
        let mut painter = Painter::new(Colour::of_h264(None), 0, width, height, look);
        let picture = Picture::Rgb {
            width: 12,
            height: 10,
            rgb: &rgb,
        };
        painter.paint(picture).unwrap().to_vec()
    };
    for name in ["nearest", "bilinear", "bicubic", "lanczos", "area"] {
        for (width, height) in [(5, 4), (17, 13)] {
            let given = [("interpolation", Value::Text(name.to_string()))];
            let look = Wanted::new(&crate::readers::testing::options(&given))
                .unwrap()
                .look;
            let ours = paint(width, height, look);
            let (theirs, rest) = want.split_at(ours.len());
            let worst = difference(&ours, theirs);
            assert!(worst <= 1, "{name} {width} x {height}: {worst}");
            want = rest;
        }
    }
    let given = [("color", Value::Text("grey".to_string()))];
    let look = Wanted::new(&crate::readers::testing::options(&given))
        .unwrap()
        .look;
    assert_eq!(paint(12, 10, look), want);
}

#[test]
fn grey_frames_have_two_dimensions() {
    let grey = [("color", Value::Text("grey".to_string()))];
    let batch = read(&Video, &clip("grey.mp4"), &grey).unwrap();
    let field = batch.schema().field_with_name("frame").unwrap().clone();
    let tensor = field.try_extension_type::<FixedShapeTensor>().unwrap();
    assert_eq!(tensor.dimension_names().unwrap(), ["height", "width"]);
    assert_eq!(tensor.list_size(), 16 * 32);
}

#[test]
fn bad_words() {
    for (name, word) in [("interpolation", "cubic"), ("color", "hsv")] {
        let message = error(
            &Video,
            &clip("vfr.mp4"),
            &[(name, Value::Text(word.to_string()))],
        );
        assert!(
            message.contains(&format!("{name} => '{word}'")),
            "{message}"
        );
    }
    let turned = [("start", Value::Float(2.0)), ("end", Value::Float(1.0))];
    let message = error(&Video, &clip("vfr.mp4"), &turned);
    assert!(message.contains("start => 2 is not before"), "{message}");
}

/// A small generator: the same damage each time.
pub struct Noise(pub u64);

impl Noise {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn damage_is_an_error_or_the_good_part() {
    let mut noise = Noise(5);
    for name in ["vfr.mkv", "groups.mkv", "vfr.mp4", "cut.mp4"] {
        let whole = std::fs::read(clip(name)).unwrap();
        let (_dir, path) = crate::readers::testing::file(name, b"");
        for round in 0..300 {
            let mut bytes = whole.clone();
            if round % 3 == 0 {
                bytes.truncate(noise.below(whole.len()).max(1));
            } else {
                for _ in 0..1 + noise.below(8) {
                    let at = noise.below(bytes.len());
                    bytes[at] = noise.below(256) as u8;
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            // In the process only: what ffmpeg makes of it is its own affair.
            let Ok(stream) = Stream::in_process(&path, None) else {
                continue;
            };
            let Ok(Film::Indexed(timeline, coded)) = stream.film() else {
                continue;
            };
            let Ok(mut decoder) = coded.start() else {
                continue;
            };
            for shown in &timeline.shown {
                if decoder.picture(shown.sample).is_err() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_cut_mkv_says_so() {
    let whole = std::fs::read(clip("vfr.mkv")).unwrap();
    let (_dir, path) = crate::readers::testing::file("cut.mkv", &whole[..whole.len() - 100]);
    let message = error(&Video, &path, &[]);
    assert!(
        message.contains("cut.mkv: the file is cut off"),
        "{message}"
    );
}
