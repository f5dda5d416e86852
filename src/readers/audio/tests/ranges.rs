//! `start`, `end` and conditions on `time` give the samples of the whole file.

use super::*;
use crate::readers::bounds::Bounds;
use datafusion::prelude::{col, lit};

const NAMES: [&str; 15] = [
    "pcm_s24le.wav",
    "tone.flac",
    "tone.mp3",
    "vbr.mp3",
    "plain.mp3",
    "tone.ogg",
    "tone.m4a",
    "alac.m4a",
    "flac.mp4",
    "mp3.mp4",
    "vorbis.webm",
    "vorbis_padded.webm",
    "aac.mkv",
    "two.mp4",
    "two.mkv",
];

fn fixture(name: &str) -> std::path::PathBuf {
    here("tests/data/audio").join(name)
}

fn part(path: &Path, start: f64, end: f64, more: &[(&str, Value)]) -> RecordBatch {
    let range = [("start", Value::Float(start)), ("end", Value::Float(end))];
    read(&Audio, path, &[&range[..], more].concat()).unwrap()
}

#[test]
fn parts_are_parts_of_the_whole() {
    for name in NAMES {
        for (stream, sample_rate) in [(0, None), (0, Some(12_345)), (0, Some(16_000))] {
            let path = fixture(name);
            let mut more = vec![WHOLE, ("stream", Value::Integer(stream))];
            more.extend(sample_rate.map(|rate| ("sample_rate", Value::Integer(rate))));
            let all = read(&Audio, &path, &more).unwrap();
            let (rate, all) = (f64::from(rate(&all)), samples(&all));
            let seconds = all.len() as f64 / rate;
            for (from, to) in [
                (0.0, 0.3),
                (0.31, 0.5),
                (0.7, 2.0),
                (0.95, 0.96),
                (0.0, 1.0),
            ] {
                // Whole milliseconds, so that it can be told which sample is the first.
                let [from, to] = [from, to].map(|part| (part * seconds * 1000.0) as usize);
                let (start, end) = (from as f64 / 1000.0, to as f64 / 1000.0);
                let rows = part(&path, start, end, &more);
                let sample = |ms: usize| (ms * rate as usize).div_ceil(1000).min(all.len());
                let (first, last) = (sample(from), sample(to));
                if first == last {
                    continue;
                }
                assert_eq!(floats(&rows, "time")[0], first as f64 / rate);
                let same = samples(&rows) == all[first..last];
                assert!(same, "{name} at {sample_rate:?} Hz from {start} to {end}");
            }
        }
    }
}

#[test]
fn rows_keep_their_times() {
    let (_directory, path) = file("a.wav", wav(1000, 1, &ramp(5300)));
    let rows = part(&path, 1.25, 4.1, &[]);
    assert_eq!(floats(&rows, "time"), [1.25, 2.0, 3.0, 4.0]);
    assert_eq!(floats(&rows, "duration"), [0.75, 1.0, 1.0, 0.1]);
    assert_eq!(samples(&rows), ramp(5300)[1250..4100]);
    // From cut to cut, rows are those of the whole file.
    let rows = part(&path, 2.0, 9.0, &[]);
    assert_eq!(floats(&rows, "time"), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(samples(&rows), ramp(5300)[2000..]);
    // Nothing is there after the end.
    assert_eq!(part(&path, 6.0, 9.0, &[]).num_rows(), 0);
}

#[test]
fn conditions_on_time_read_only_what_they_leave() {
    let mut bytes = wav(1000, 1, &ramp(10_000));
    bytes[44..52].fill(0xff); // not a number, in the first row
    bytes.truncate(44 + 4 * 9000); // and the last one is not there
    let (_directory, path) = file("a.wav", bytes);
    for (filter, want) in [
        (col("time").between(lit(2.5), lit(5.0)), vec![3.0, 4.0, 5.0]),
        (col("time").eq(lit(7.0)), vec![7.0]),
        (col("time").lt(lit(-1.0)), vec![]),
        (col("time").gt(lit(1e12)), vec![]),
    ] {
        let mut scan = scan(&Audio, &path, &[]).unwrap();
        scan.bounds = Bounds::of(&[filter], Audio.bounded());
        let rows: Result<Vec<_>> = Audio.open(&scan).unwrap().collect();
        let times: Vec<f64> = rows
            .unwrap()
            .iter()
            .flat_map(|b| floats(b, "time"))
            .collect();
        assert_eq!(times, want);
    }
}

#[rstest]
#[case(-1.0, 2.0, "start must be seconds from the start of the file")]
#[case(2.0, 2.0, "end (2) must be after start (2)")]
#[case(0.0, f64::NAN, "end must be seconds")]
fn ranges_that_make_no_sense(#[case] start: f64, #[case] end: f64, #[case] message: &str) {
    let (_directory, path) = file("a.wav", wav(1000, 1, &ramp(10)));
    let range = [("start", Value::Float(start)), ("end", Value::Float(end))];
    let got = error(&Audio, &path, &range);
    assert!(got.contains(message) && got.contains("read_audio"), "{got}");
}
