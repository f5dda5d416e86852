use std::path::PathBuf;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use proptest::prelude::*;

use super::super::format::Value;
use super::super::testing::{error, file, here, options, project, read, scan, shared};
use super::rows::Rows;
use super::stream::Stream;
use super::wanted::fraction;
use super::*;
use crate::readers::mp4::Timeline;
use crate::readers::trouble::Trouble;

/// 25 pictures of 64 x 48 at 25 per second with B-frames (decoded as 0, 4, 2, 1,
/// 3, …) and an edit list that begins after 0.08 s. Picture k has luma 16 + 8k;
/// Cb, Cr are 128, 128 in the left quarter and 90, 200 right of it; BT.709.
fn ramp() -> PathBuf {
    here("tests/data/ramp.mp4")
}

/// Of the same, grey all over, only pictures 0, 1, 2, 3, 9, 10, 17 and 24, at their own times.
fn ramp_vfr() -> PathBuf {
    here("tests/data/ramp_vfr.mp4")
}

/// A copy of a clip in which bytes found once after `after` are replaced.
fn patched(after: &[u8], from: &[u8], to: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let mut bytes = std::fs::read(ramp()).unwrap();
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|w| w == what);
    let start = find(&bytes, after).unwrap();
    let at = start + find(&bytes[start..], from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    file("patched.mp4", bytes)
}

fn times(batch: &RecordBatch) -> Vec<f64> {
    batch["time"]
        .as_primitive::<Float64Type>()
        .values()
        .to_vec()
}

/// The picture in a row.
fn picture(batch: &RecordBatch, row: usize) -> Vec<f32> {
    let frames = batch["frame"].as_fixed_size_list();
    frames
        .value(row)
        .as_primitive::<Float32Type>()
        .values()
        .to_vec()
}

/// Which picture of the ramp a row holds, by its left edge's grey.
fn which(batch: &RecordBatch, row: usize) -> i64 {
    let pixel = &picture(batch, row)[..3];
    assert!(
        pixel.iter().all(|v| (v - pixel[0]).abs() < 0.02),
        "grey: {pixel:?}"
    );
    // Limited range: 8 steps of luma are 8/219.
    (pixel[0] as f64 * 219.0 / 8.0).round() as i64
}

#[test]
fn every_picture_at_its_own_time() {
    let batch = read(&Video, &ramp(), &[]).unwrap();
    assert_eq!(
        times(&batch),
        (0..25).map(|k| k as f64 / 25.0).collect::<Vec<_>>()
    );
    assert_eq!(
        batch["frame_index"]
            .as_primitive::<Int64Type>()
            .values()
            .to_vec(),
        (0..25).collect::<Vec<_>>()
    );
    for row in 0..25 {
        assert_eq!(which(&batch, row), row as i64);
    }
    let field = batch.schema().field_with_name("frame").unwrap().clone();
    let tensor = field.try_extension_type::<FixedShapeTensor>().unwrap();
    assert_eq!(tensor.list_size(), 48 * 64 * 3);
    assert_eq!(
        tensor.dimension_names().unwrap(),
        ["height", "width", "channel"]
    );
}

#[test]
fn variable_rate_keeps_its_times_and_fps_holds_the_picture_on_screen() {
    let shown = [0, 1, 2, 3, 9, 10, 17, 24];
    let batch = read(&Video, &ramp_vfr(), &[]).unwrap();
    assert_eq!(times(&batch), shown.map(|k| k as f64 / 25.0));
    for (row, k) in shown.iter().enumerate() {
        assert_eq!(which(&batch, row), *k);
    }

    let batch = read(&Video, &ramp_vfr(), &[("fps", Value::Integer(10))]).unwrap();
    assert_eq!(
        times(&batch),
        (0..10).map(|k| k as f64 / 10.0).collect::<Vec<_>>()
    );
    let held: Vec<_> = (0..10).map(|row| which(&batch, row)).collect();
    assert_eq!(held, [0, 2, 3, 3, 10, 10, 10, 17, 17, 17]);

    let batch = read(&Video, &ramp_vfr(), &[("fps", Value::Float(50.0))]).unwrap();
    let want: Vec<_> = (0..50)
        .map(|k| *shown.iter().rfind(|s| **s * 2 <= k).unwrap())
        .collect();
    assert_eq!(
        (0..50).map(|row| which(&batch, row)).collect::<Vec<_>>(),
        want
    );
}

#[test]
fn colours_follow_the_matrix_of_the_stream() {
    let batch = read(&Video, &ramp(), &[]).unwrap();
    let frame = picture(&batch, 12);
    let at = 3 * (24 * 64 + 40);
    let (y, cb, cr) = (
        (16.0 + 96.0 - 16.0) / 219.0,
        (90.0 - 128.0) / 224.0,
        (200.0 - 128.0) / 224.0,
    );
    // BT.709: R = Y + 1.5748 Cr, B = Y + 1.8556 Cb, G from Y = .2126 R + .7152 G + .0722 B.
    let (red, blue) = (y + 1.5748 * cr, y + 1.8556 * cb);
    let green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152;
    for (got, want) in frame[at..at + 3].iter().zip([red, green, blue]) {
        assert!((f64::from(*got) - want).abs() < 0.015, "{got} for {want}");
    }
}

#[test]
fn sizes() {
    let size = |given: &[(&str, Value)]| {
        let batch = read(&Video, &ramp(), given).unwrap();
        batch["frame"].as_fixed_size_list().value_length()
    };
    let (width, height) = ("width", "height");
    assert_eq!(size(&[(width, Value::Integer(32))]), 32 * 24 * 3);
    assert_eq!(size(&[(height, Value::Integer(12))]), 16 * 12 * 3);
    assert_eq!(
        size(&[(width, Value::Integer(10)), (height, Value::Integer(20))]),
        600
    );
    assert_eq!(size(&[(width, Value::Integer(1))]), 3);
    // The left quarter stays grey of the same level when shrunk.
    let batch = read(&Video, &ramp(), &[(width, Value::Integer(16))]).unwrap();
    assert_eq!(which(&batch, 20), 20);
}

#[test]
fn rotation_is_applied() {
    // The display matrix of a film taken with the telephone upright: 90° clockwise.
    let one = |v: i32| (v << 16).to_be_bytes();
    let unit: Vec<u8> = [one(1), one(0), [0; 4], one(0), one(1), [0; 4]].concat();
    let turned: Vec<u8> = [one(0), one(1), [0; 4], one(-1), one(0), [0; 4]].concat();
    let (_dir, path) = patched(b"tkhd", &unit, &turned);
    let (stored, shown) = (
        read(&Video, &ramp(), &[]).unwrap(),
        read(&Video, &path, &[]).unwrap(),
    );
    let (stored, shown) = (picture(&stored, 7), picture(&shown, 7));
    // Stored 64 x 48, shown 48 x 64: the stored left edge is the upper edge.
    for (sx, sy) in [(0, 0), (63, 0), (3, 40), (50, 47)] {
        let (x, y) = (47 - sy, sx);
        assert_eq!(
            stored[3 * (sy * 64 + sx)..][..3],
            shown[3 * (y * 48 + x)..][..3]
        );
    }
}

#[test]
fn times_need_no_decoding_and_limits_stop() {
    let all = read(&Video, &ramp(), &[]).unwrap();
    // A copy whose pictures are all noise still has its times …
    let (_dir, path) = {
        let mut bytes = std::fs::read(ramp()).unwrap();
        let at = bytes.windows(4).position(|w| w == b"mdat").unwrap() + 4;
        let end = bytes.windows(4).position(|w| w == b"moov").unwrap() - 4;
        bytes[at..end].fill(0xA5);
        file("noise.mp4", bytes)
    };
    let plain = project(scan(&Video, &path, &[]).unwrap(), &["time"]);
    let batches: Vec<_> = Video.open(&plain).unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(times(&batches[0]), times(&all));
    // … and its pictures are an error, not a panic.
    let message = error(&Video, &path, &[]);
    assert!(
        message.contains("noise.mp4") && message.contains("picture at 0 s"),
        "{message}"
    );

    let mut few = scan(&Video, &ramp(), &[]).unwrap();
    few.limit = Some(3);
    few.batch_bytes = 2 * 64 * 48 * 12;
    let rows: Vec<_> = Video
        .open(&few)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .collect();
    assert_eq!(rows, [2, 1]);

    let count = project(scan(&Video, &ramp(), &[]).unwrap(), &[]);
    let rows: usize = Video
        .open(&count)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 25);
}

#[test]
fn bad_arguments() {
    for (name, value, part) in [
        ("fps", Value::Integer(0), "fps => 0"),
        ("fps", Value::Float(-25.0), "fps => -25"),
        ("fps", Value::Float(f64::NAN), "fps => NaN"),
        ("fps", Value::Float(f64::INFINITY), "fps => inf"),
        ("width", Value::Integer(0), "width => 0"),
        ("height", Value::Integer(-1), "height => -1"),
        ("width", Value::Integer(1 << 40), "width => "),
    ] {
        let message = error(&Video, &ramp(), &[(name, value)]);
        assert!(
            message.contains("read_video") && message.contains(part),
            "{message}"
        );
    }
}

#[test]
fn bad_files() {
    let whole = std::fs::read(ramp()).unwrap();
    let moov = whole.windows(4).position(|w| w == b"moov").unwrap();
    let mdat = whole.windows(4).position(|w| w == b"mdat").unwrap();

    // The index lies behind the pictures: a cut copy has lost it.
    let cases = [
        (whole[..moov - 4].to_vec(), "moov box) is missing"),
        (whole[..mdat + 300].to_vec(), "moov box) is missing"),
        (whole[..moov + 300].to_vec(), "moov box) is missing"),
        (b"onset\tduration\n1\t2\n".to_vec(), "not an MP4"),
        (b"abc".to_vec(), "not an MP4"),
        (vec![0; 100], "not an MP4"),
    ];
    for (bytes, part) in cases {
        let (_dir, path) = file("bad.mp4", bytes);
        let message = error(&Video, &path, &[]);
        assert!(
            message.contains("bad.mp4: ") && message.contains(part),
            "{message}"
        );
    }

    let (_dir, path) = patched(b"stsd", b"avc1", b"hvc1");
    let refused = Stream::in_process(&path, None).err().unwrap();
    let Trouble::Foreign(why) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("'hvc1' (H.265)"), "{why}");

    let (_dir, path) = patched(b"hdlr", b"vide", b"soun");
    let message = error(&Video, &path, &[]);
    assert!(
        message.contains("no video track; its tracks are 'avc1', 'tx3g'"),
        "{message}"
    );
}

#[test]
fn cut_media_names_the_time() {
    // With the index in front, a cut copy has its index and lacks pictures.
    let whole = std::fs::read(ramp()).unwrap();
    let moov = whole.windows(4).position(|w| w == b"moov").unwrap() - 4;
    let mdat = whole.windows(4).position(|w| w == b"mdat").unwrap() - 4;
    let index = whole[moov..].to_vec();
    let mut fast = whole[..mdat].to_vec();
    fast.extend(&index);
    fast.extend(&whole[mdat..moov]);
    // Chunk offsets move by the index's length.
    let mut at = 0;
    while let Some(found) = fast[at..].windows(4).position(|w| w == b"stco") {
        at += found + 8;
        let count = u32::from_be_bytes(fast[at..at + 4].try_into().unwrap()) as usize;
        for entry in fast[at + 4..at + 4 + 4 * count].chunks_exact_mut(4) {
            let offset = u32::from_be_bytes(entry.try_into().unwrap()) + index.len() as u32;
            entry.copy_from_slice(&offset.to_be_bytes());
        }
    }
    let (_dir, path) = file("fast.mp4", &fast);
    assert_eq!(read(&Video, &path, &[]).unwrap().num_rows(), 25);
    let (_dir, path) = file("cut.mp4", &fast[..fast.len() - 60]);
    let message = error(&Video, &path, &[]);
    assert!(
        message.contains("cut.mp4: the file is cut off") && message.contains(" s on"),
        "{message}"
    );
}

#[test]
fn several_files() {
    let none = options(&[]);
    let (_dir, empty) = file("empty.mp4", b"");
    let found = Video
        .describe(vec![ramp(), empty.clone(), ramp_vfr()], &none)
        .unwrap();
    assert_eq!(found.files, [ramp(), ramp_vfr()]);
    let message = Video.describe(vec![empty], &none).unwrap_err().to_string();
    assert!(message.contains("every file given is empty"), "{message}");

    let one = |v: i32| (v << 16).to_be_bytes();
    let unit: Vec<u8> = [one(1), one(0), [0; 4], one(0), one(1), [0; 4]].concat();
    let turned: Vec<u8> = [one(0), one(1), [0; 4], one(-1), one(0), [0; 4]].concat();
    let (_dir, other) = patched(b"tkhd", &unit, &turned);
    let files = vec![ramp(), other];
    let message = Video
        .describe(files.clone(), &none)
        .unwrap_err()
        .to_string();
    assert!(message.contains("width => 64, height => 48"), "{message}");
    let both = options(&[("width", Value::Integer(8)), ("height", Value::Integer(8))]);
    assert_eq!(Video.describe(files, &both).unwrap().files.len(), 2);
}

#[test]
fn damaged_files_never_panic() {
    // Every byte of the index and some of the pictures, changed one at a time.
    let whole = std::fs::read(ramp()).unwrap();
    let moov = whole.windows(4).position(|w| w == b"moov").unwrap();
    let (_dir, path) = file("damaged.mp4", b"");
    for at in (0..whole.len()).filter(|at| *at >= moov || at % 7 == 0) {
        for flip in [0xFF, 0x01] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            std::fs::write(&path, bytes).unwrap();
            let small = [("width", Value::Integer(8)), ("height", Value::Integer(8))];
            let Ok(mut scan) = scan(&Video, &path, &small) else {
                continue;
            };
            scan.limit = Some(30);
            scan.batch_bytes = 0;
            for batch in Video.open(&scan).into_iter().flatten() {
                if batch.is_err() {
                    break;
                }
            }
        }
    }
}

#[test]
fn nasa_clip_agrees_with_ffmpeg() {
    let Some(path) = shared("av/nasa_13013.mp4") else {
        return;
    };
    let batch = read(&Video, &path, &[]).unwrap();
    // ffprobe -show_frames: 325 pictures, 0.04 s apart.
    assert_eq!(
        times(&batch),
        (0..325).map(|k| k as f64 / 25.0).collect::<Vec<_>>()
    );
    assert_eq!(
        batch["frame"].as_fixed_size_list().value_length(),
        320 * 180 * 3
    );
    // ffmpeg -pix_fmt rgb24, averages of whole pictures.
    for (row, want) in NASA_MEANS {
        let frame = picture(&batch, row);
        for (channel, want) in want.into_iter().enumerate() {
            let values = frame.iter().skip(channel).step_by(3);
            let mean = values.map(|v| f64::from(*v)).sum::<f64>() / (320.0 * 180.0) * 255.0;
            assert!(
                (mean - want).abs() < 0.6,
                "row {row} channel {channel}: {mean} for {want}"
            );
        }
    }

    let batch = read(
        &Video,
        &path,
        &[
            ("fps", Value::Float(29.97)),
            ("width", Value::Integer(64)),
            ("height", Value::Integer(64)),
        ],
    )
    .unwrap();
    assert_eq!(batch.num_rows(), 390); // k·100/2997 < 13
    assert_eq!(times(&batch)[389], 38900.0 / 2997.0);
}

/// Mean red, green and blue of pictures as ffmpeg decodes them.
const NASA_MEANS: [(usize, [f64; 3]); 3] = [
    (0, [9.38, 9.02, 14.8]),
    (100, [9.54, 9.17, 14.95]),
    (324, [15.9, 13.06, 17.04]),
];

#[test]
fn frame_rates_are_the_simplest_fractions() {
    assert_eq!(fraction(25.0), (25, 1));
    assert_eq!(fraction(29.97), (2997, 100));
    assert_eq!(fraction(30000.0 / 1001.0), (30000, 1001));
    assert_eq!(fraction(23.976), (2997, 125));
    assert_eq!(fraction(1.0 / 1.49), (100, 149));
    assert_eq!(fraction(0.001), (1, 1000));
    assert_eq!(fraction(1000.0), (1000, 1));
}

/// A damaged film may show a picture for a hundred years: 10¹¹ rows, and two samples.
#[test]
fn a_picture_that_stands_for_ever_is_named_once() {
    let shown = [(0, 0, 1), (1, 1, 1 << 32)];
    let timeline = Timeline {
        ticks_per_second: 1,
        shown: shown
            .map(|(sample, start, end)| super::super::mp4::Shown { sample, start, end })
            .to_vec(),
    };
    let mut rows = Rows::new(timeline, Some((25, 1)));
    let count = rows.count();
    assert_eq!(count, 25 << 32);
    assert_eq!(rows.samples(0..count), [0, 1]);
    assert_eq!(rows.samples(0..25), [0]);
    assert_eq!(rows.samples(25..count), [1]);
}

proptest! {
    #[test]
    fn fractions_are_exact(x in 0.001f64..1000.0) {
        let (a, b) = fraction(x);
        prop_assert_eq!(a as f64 / b as f64, x);
    }

    /// Row k of a film is the last picture not later than k/fps, whatever the rate.
    #[test]
    fn rows_hold_what_is_on_screen(
        gaps in prop::collection::vec(1i64..200, 1..40),
        first in 0i64..300,
        (frames, seconds) in (1i128..3000, 1i128..1100),
    ) {
        let mut start = first;
        let shown: Vec<_> = gaps.iter().enumerate().map(|(sample, gap)| {
            let this = super::super::mp4::Shown { sample, start, end: start + gap };
            start += gap;
            this
        }).collect();
        let timeline = Timeline { ticks_per_second: 90, shown: shown.clone() };
        let mut rows = Rows::new(timeline, Some((frames, seconds)));
        // All in units of 1/(90·frames) s.
        let count = rows.count();
        let within = count / 3..count - count / 5;
        let mut ahead = rows.samples(within.clone());
        prop_assert!((count as i128 - 1) * seconds * 90 < start as i128 * frames);
        prop_assert!(count as i128 * seconds * 90 >= start as i128 * frames);
        for row in 0..count {
            let now = row as i128 * seconds * 90;
            let want = shown.iter().rposition(|s| s.start as i128 * frames <= now).unwrap_or(0);
            prop_assert_eq!(rows.sample(row), want);
            if within.contains(&row) && ahead.first() != Some(&want) {
                ahead.remove(0);
                prop_assert_eq!(ahead.first(), Some(&want));
            }
        }
        prop_assert!(ahead.len() <= 1);
    }
}
