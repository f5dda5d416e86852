//! `read_audio` on the reference data, real files, and made ones that are wrong.

use std::path::Path;
use std::process::Command;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type};
use rstest::rstest;

use super::*;
use crate::readers::format::Value;
use crate::readers::testing::{error, file, here, project, read, scan, shared};

mod ahead;
mod damage;
mod formats;
mod golden;
mod ranges;

/// A WAV file of float samples, interleaved.
pub(in crate::readers) fn wav(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    let bytes = 4 * samples.len() as u32;
    let frame = 4 * channels;
    let mut file = Vec::with_capacity(44 + bytes as usize);
    file.extend(b"RIFF");
    file.extend((36 + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend(3u16.to_le_bytes()); // IEEE float
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(frame)).to_le_bytes());
    file.extend(frame.to_le_bytes());
    file.extend(32u16.to_le_bytes());
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    file
}

fn ramp(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32 / n as f32).collect()
}

fn samples(batch: &RecordBatch) -> Vec<f32> {
    let list = batch.column_by_name("samples").unwrap().as_list::<i32>();
    list.iter()
        .flat_map(|row| row.unwrap().as_primitive::<Float32Type>().values().to_vec())
        .collect()
}

fn floats(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn rate(batch: &RecordBatch) -> i32 {
    let column = batch.column_by_name("sample_rate").unwrap();
    column.as_primitive::<Int32Type>().value(0)
}

const WHOLE: (&str, Value) = ("chunk_duration", Value::Float(0.0));

fn whole(path: &Path) -> Vec<f32> {
    samples(&read(&Audio, path, &[WHOLE]).unwrap())
}

fn at_rate(path: &Path, rate: i64) -> Vec<f32> {
    samples(
        &read(
            &Audio,
            path,
            &[WHOLE, ("sample_rate", Value::Integer(rate))],
        )
        .unwrap(),
    )
}

/// What ffmpeg decodes, as the mean of the channels.
fn ffmpeg(path: &Path, channels: usize) -> Option<Vec<f32>> {
    let input = ["-v", "error", "-i", path.to_str()?];
    let output = ["-map", "0:a:0", "-f", "f32le", "-"];
    let Ok(run) = Command::new("ffmpeg").args(input).args(output).output() else {
        note!("skipped: no ffmpeg to compare with");
        return None;
    };
    let samples: Vec<f32> = run
        .stdout
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let mean = |c: &[f32]| c.iter().sum::<f32>() / channels as f32;
    Some(samples.chunks_exact(channels).map(mean).collect())
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

/// The film's edit list takes off the 1,024 samples of the encoder's priming.
#[test]
fn aac_of_a_film() {
    let Some(path) = shared("av/nasa_13013.mp4") else {
        return;
    };
    let rows = read(&Audio, &path, &[]).unwrap();
    assert_eq!(rows.num_rows(), 14);
    assert_eq!(rate(&rows), 8000);
    assert_eq!(floats(&rows, "time")[13], 13.0);
    assert_eq!(floats(&rows, "duration")[13], 0.056);
    assert_eq!(samples(&rows).len(), 104_448);
    if let Some(want) = ffmpeg(&path, 2) {
        assert!(largest_difference(&samples(&rows), &want) < 1e-6);
    }
}

#[rstest]
#[case("speech/jfk.flac", 2, 44_100, 485_100)]
#[case("speech/lj/LJ001-0012.wav", 1, 22_050, 181_661)]
fn lossless_speech(
    #[case] name: &str,
    #[case] channels: usize,
    #[case] sample_rate: i32,
    #[case] length: usize,
) {
    let Some(path) = shared(name) else { return };
    let rows = read(&Audio, &path, &[WHOLE]).unwrap();
    assert_eq!((rows.num_rows(), rate(&rows)), (1, sample_rate));
    assert_eq!(samples(&rows).len(), length);
    if let Some(want) = ffmpeg(&path, channels) {
        assert!(largest_difference(&samples(&rows), &want) < 1e-7);
    }
}

#[rstest]
#[case(1.0)]
#[case(1.49)]
#[case(0.72)]
#[case(0.01)]
#[case(0.000_123)]
#[case(100.0)]
fn rows_are_the_file_without_drift(#[case] duration: f64) {
    let all = ramp(22_050 * 3 + 17);
    let (_directory, path) = file("a.wav", wav(22_050, 1, &all));
    let rows = read(&Audio, &path, &[("chunk_duration", Value::Float(duration))]).unwrap();
    assert_eq!(samples(&rows), all);
    let nanoseconds = (duration * 1e9).round() as u128;
    let mut next = 0.0;
    for (k, (time, lasts)) in floats(&rows, "time")
        .iter()
        .zip(floats(&rows, "duration"))
        .enumerate()
    {
        // The first sample that is not before k * duration.
        let first = (k as u128 * nanoseconds * 22_050).div_ceil(1_000_000_000);
        assert_eq!(*time, first as f64 / 22_050.0);
        assert!((time - next).abs() < 1e-9);
        next = time + lasts;
    }
    assert!((next - all.len() as f64 / 22_050.0).abs() < 1e-9);
}

#[test]
fn batches_stay_near_their_bytes() {
    let (_directory, path) = file("a.wav", wav(1000, 1, &ramp(10_500)));
    let mut scan = scan(&Audio, &path, &[]).unwrap();
    scan.batch_bytes = 9000;
    let rows: Vec<usize> = Audio
        .open(&scan)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .collect();
    assert_eq!(rows, [3, 3, 3, 2]);
    scan.limit = Some(4);
    let rows: Vec<usize> = Audio
        .open(&scan)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .collect();
    assert_eq!(rows, [3, 1]);
}

#[test]
fn times_need_no_decoding() {
    // The sound is cut off, which only who decodes it can see.
    let mut bytes = wav(1000, 1, &ramp(2500));
    bytes.truncate(3000);
    let (_directory, path) = file("a.wav", bytes);
    let all = scan(&Audio, &path, &[]).unwrap();
    let rows = |columns: &[&str]| {
        let batches: Result<Vec<_>> = Audio
            .open(&project(all.clone(), columns))
            .unwrap()
            .collect();
        batches
    };
    let times = rows(&["duration", "time"]).unwrap();
    assert_eq!(floats(&times[0], "time"), [0.0, 1.0, 2.0]);
    assert_eq!(floats(&times[0], "duration"), [1.0, 1.0, 0.5]);
    let count = rows(&[]).unwrap();
    assert_eq!((count[0].num_rows(), count[0].num_columns()), (3, 0));
    assert!(rows(&["samples"]).is_err());
}

#[test]
fn channels_become_their_mean() {
    let (_directory, path) = file("a.wav", wav(8000, 3, &[0.0, 0.5, 1.0, -1.0, 0.0, 0.25]));
    assert_eq!(whole(&path), [0.5, -0.25]);
}

#[rstest]
#[case(44_100, 22_050)]
#[case(16_000, 22_050)]
#[case(48_000, 16_000)]
#[case(8_000, 22_050)]
#[case(22_050, 16_000)]
fn a_resampled_sweep_is_the_sweep(#[case] from: u32, #[case] to: u32) {
    let seconds = 2.0;
    let top = 0.9 * f64::from(from.min(to)) / 2.0;
    let sweep = |rate: u32, i: usize| {
        let t = i as f64 / f64::from(rate);
        let phase = 20.0 * t + (top - 20.0) * t * t / (2.0 * seconds);
        0.5 * (std::f64::consts::TAU * phase).sin()
    };
    let n = (seconds * f64::from(from)) as usize;
    let input: Vec<f32> = (0..n).map(|i| sweep(from, i) as f32).collect();
    let (_directory, path) = file("a.wav", wav(from, 1, &input));
    let output = at_rate(&path, i64::from(to));
    assert_eq!(output.len(), (n * to as usize).div_ceil(from as usize));
    // Any delay, even of a hundredth of a sample, would be an error of -40 dB.
    let edge = to as usize / 10;
    let (mut signal, mut noise) = (0.0, 0.0);
    for (i, &sample) in output
        .iter()
        .enumerate()
        .take(output.len() - edge)
        .skip(edge)
    {
        let want = sweep(to, i);
        signal += want * want;
        noise += (f64::from(sample) - want).powi(2);
    }
    let decibels = 10.0 * (signal / noise).log10();
    assert!(decibels > 130.0, "{from} to {to}: {decibels} dB");
}

#[rstest]
#[case(44_100, 22_050, 1)]
#[case(44_100, 22_050, 3)]
#[case(16_000, 44_100, 5)]
#[case(44_100, 44_101, 1000)]
#[case(192_000, 100, 100_000)]
fn resampled_lengths(#[case] from: u32, #[case] to: u32, #[case] n: usize) {
    let (_directory, path) = file("a.wav", wav(from, 1, &ramp(n)));
    let want = (n * to as usize).div_ceil(from as usize);
    assert_eq!(at_rate(&path, i64::from(to)).len(), want);
    let scan = scan(
        &Audio,
        &path,
        &[WHOLE, ("sample_rate", Value::Integer(to.into()))],
    )
    .unwrap();
    let times = Audio.open(&project(scan, &["duration"])).unwrap().next();
    let duration = floats(&times.unwrap().unwrap(), "duration")[0];
    assert_eq!(duration, want as f64 / f64::from(to));
}

#[rstest]
#[case(
    "sample_rate",
    Value::Integer(0),
    "sample_rate must be from 100 to 768000 Hz, not 0"
)]
#[case("sample_rate", Value::Integer(-5), "not -5")]
#[case("sample_rate", Value::Integer(1 << 40), "not 1099511627776")]
#[case("chunk_duration", Value::Float(-1.0), "chunk_duration must be a number of seconds")]
#[case("chunk_duration", Value::Float(f64::NAN), "not NaN")]
#[case("chunk_duration", Value::Float(1e300), "chunk_duration")]
#[case("chunk_duration", Value::Float(1e-5), "is shorter than a sample")]
fn arguments_that_make_no_sense(#[case] name: &str, #[case] value: Value, #[case] message: &str) {
    let (_directory, path) = file("a.wav", wav(1000, 1, &ramp(10)));
    let got = error(&Audio, &path, &[(name, value)]);
    assert!(got.contains(message) && got.contains("read_audio"), "{got}");
}

#[test]
fn an_empty_file_is_left_out() {
    let (_directory, path) = file("a.wav", "");
    let described = Audio.describe(vec![path], &Options::default()).unwrap();
    assert!(described.files.is_empty());
    // A header without sound has no rows.
    let (_directory, path) = file("a.wav", wav(1000, 1, &[]));
    assert!(
        Audio
            .open(&scan(&Audio, &path, &[]).unwrap())
            .unwrap()
            .next()
            .is_none()
    );
}

#[rstest]
#[case(b"not a sound".to_vec(), "not a WAV, FLAC, MP3, Ogg, MP4 or Matroska file; `ffmpeg -i a.wav -vn out.wav`")]
#[case(b"R".to_vec(), "not a WAV, FLAC, MP3, Ogg, MP4 or Matroska file")]
#[case(b"OggS\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "its header is damaged")]
#[case(b"\x1a\x45\xdf\xa3\x80".to_vec(), "its Matroska structure is damaged")]
#[case(vec![0xff, 0xfb, 0x90, 0x00, 0, 0], "its header is damaged")]
#[case(b"RIFF".to_vec(), "its header is damaged: it is cut off")]
#[case(b"fLaC".to_vec(), "its header is damaged: it is cut off")]
#[case(wav(0, 1, &[0.5]), "its header is damaged: a sample rate of 0 Hz")]
#[case(wav(4_000_000, 1, &[0.5]), "a sample rate of 4000000 Hz")]
#[case(wav(1000, 0, &[0.5]), "a.wav")]
#[case(wav(1000, 1, &ramp(100))[..30].to_vec(), "a.wav: its header is damaged")]
#[case(wav(1000, 1, &ramp(2500))[..6044].to_vec(), "a.wav: the sound is cut off: it ends at 1.500 s where the header promises 2.500 s")]
fn damaged_files(#[case] bytes: Vec<u8>, #[case] message: &str) {
    let (_directory, path) = file("a.wav", bytes);
    let got = error(&Audio, &path, &[]);
    assert!(got.contains(message), "{got}");
}

/// ffmpeg that was killed leaves a `fact` of 0 samples and sizes that are not known; others leave the sizes
/// of a file without samples.
#[test]
fn counts_that_were_never_filled_in() {
    let good = wav(1000, 1, &ramp(2500));
    let unknown = [0xff; 4];
    let mut streamed = [&b"RIFF"[..], &unknown, &good[8..36]].concat();
    streamed.extend(b"fact\x04\0\0\0\0\0\0\0data");
    streamed.extend(unknown);
    streamed.extend(&good[44..]);
    let (_directory, path) = file("a.wav", streamed);
    assert_eq!(whole(&path), ramp(2500));
    let later = read(&Audio, &path, &[("start", Value::Float(2.0))]).unwrap();
    assert_eq!(samples(&later), ramp(2500)[2000..]);

    let header = wav(1000, 1, &[]);
    let (_directory, path) = file("a.wav", [&header, &good[44..]].concat());
    let got = error(&Audio, &path, &[]);
    assert!(
        got.contains("no samples, but 10000 bytes follow") && got.contains("`ffmpeg -i a.wav"),
        "{got}"
    );

    // What follows may be a chunk.
    let mut noted = [&header[..], b"note\x04\0\0\0abcd"].concat();
    noted[4] += 12;
    let (_directory, path) = file("a.wav", noted);
    assert_eq!(attempt_rows(&path), 0);
}

/// How many batches of rows a file gives.
fn attempt_rows(path: &Path) -> usize {
    let batches = Audio.open(&scan(&Audio, path, &[]).unwrap()).unwrap();
    batches.map(Result::unwrap).count()
}

/// Said by the header's count, not after two billion samples.
#[test]
fn a_sound_that_fits_no_row() {
    let mut bytes = wav(1000, 1, &ramp(100));
    bytes[20] = 1; // whole numbers of 8 bits
    bytes[32] = 1;
    bytes[34] = 8;
    bytes[4..8].copy_from_slice(&2_200_000_036u32.to_le_bytes());
    bytes[40..44].copy_from_slice(&2_200_000_000u32.to_le_bytes());
    let (_directory, path) = file("a.wav", bytes);
    let got = error(&Audio, &path, &[WHOLE]);
    assert!(
        got.contains("a.wav: 2200000000 samples are too many for one row"),
        "{got}"
    );
}

/// A frame without a byte stands for nothing; the sound goes on behind it.
#[test]
fn an_empty_frame_of_matroska() {
    let bytes = std::fs::read(here("tests/data/audio/flac.mkv")).unwrap();
    let cluster = positions(&bytes, b"\x1f\x43\xb6\x75")[0];
    let blocks: Vec<usize> = positions(&bytes, b"\xa3")
        .into_iter()
        .filter(|&at| at > cluster && bytes[at + 3..at + 5] == [0x81, 0])
        .collect();
    // Behind the first block: the track, the time and the flags of the next one, and nothing.
    let at = blocks[1];
    let empty = [&[0xa3, 0x84], &bytes[at + 3..at + 7]].concat();
    let mut longer = [&bytes[..at], &empty, &bytes[at..]].concat();
    // The sizes of the segment (8 bytes) and of the cluster (3 bytes) are in the last of these.
    for size in [0x28 + 4..0x28 + 12, cluster + 4..cluster + 7] {
        let old = longer[size.clone()].iter();
        let new = old.fold(0u64, |n, &byte| n << 8 | u64::from(byte)) + 6;
        let from = 8 - size.len();
        longer[size].copy_from_slice(&new.to_be_bytes()[from..]);
    }
    let (_directory, path) = file("a.mkv", longer);
    let whole_file = whole(&here("tests/data/audio/flac.mkv"));
    assert_eq!(whole(&path), whole_file);
}

#[test]
fn a_flac_cut_off_or_damaged() {
    let Some(path) = shared("speech/jfk.flac") else {
        return;
    };
    let bytes = std::fs::read(path).unwrap();
    let (_directory, path) = file("a.flac", &bytes[..bytes.len() / 2]);
    let got = error(&Audio, &path, &[]);
    assert!(
        got.contains("a.flac: the sound is cut off: it ends at") && got.contains("11.000 s"),
        "{got}"
    );

    // A packet in the middle is unreadable: what follows must not move up.
    let mut holed = bytes.clone();
    let middle = holed.len() / 2;
    holed[middle..middle + 20_000].fill(0);
    let (_directory, path) = file("a.flac", &holed);
    let got = error(&Audio, &path, &[]);
    assert!(got.contains("a.flac: the sound is damaged at"), "{got}");
}

/// The error from the film with some bytes of its index written over.
fn altered(change: impl Fn(&mut Vec<u8>)) -> Option<String> {
    let mut bytes = std::fs::read(shared("av/nasa_13013.mp4")?).unwrap();
    change(&mut bytes);
    let (_directory, path) = file("film.mp4", bytes);
    Some(error(&Audio, &path, &[]))
}

fn positions(bytes: &[u8], word: &[u8]) -> Vec<usize> {
    (0..bytes.len() - word.len())
        .filter(|&i| &bytes[i..i + word.len()] == word)
        .collect()
}

#[test]
fn films_without_a_sound_that_can_be_read() {
    let silent = altered(|bytes| {
        for at in positions(bytes, b"soun") {
            bytes[at..at + 4].copy_from_slice(b"none");
        }
    });
    let Some(silent) = silent else { return };
    assert!(
        silent.contains("film.mp4: it has no sound track"),
        "{silent}"
    );

    let cut = altered(|bytes| bytes.truncate(100_000));
    assert!(cut.clone().unwrap().contains("film.mp4"), "{cut:?}");

    // The last packets of the sound lie beyond the file's end.
    let beyond = altered(|bytes| {
        let sound = positions(bytes, b"smhd")[0];
        let table = positions(&bytes[sound..], b"stco")[0] + sound;
        let count = u32::from_be_bytes(bytes[table + 8..table + 12].try_into().unwrap());
        let last = table + 12 + 4 * (count as usize - 1);
        bytes[last] = 0x7f;
    });
    let beyond = beyond.unwrap();
    assert!(
        beyond.contains("film.mp4: the sound is damaged at 1"),
        "{beyond}"
    );
    assert!(beyond.contains("cut off"), "{beyond}");
}

/// Whatever is wrong with a file, reading it ends, and with no panic.
#[test]
fn any_byte_may_be_wrong() {
    let mut files = vec![wav(8000, 2, &ramp(400))];
    for (name, keep) in [
        ("speech/jfk.flac", 60_000),
        ("av/nasa_13013.mp4", usize::MAX),
    ] {
        if let Some(path) = shared(name) {
            let mut bytes = std::fs::read(path).unwrap();
            bytes.truncate(keep);
            files.push(bytes);
        }
    }
    let mut state = 7u32;
    for bytes in files {
        // Headers at the start of a WAV or FLAC, at the end of this MP4.
        let from = if bytes.len() > 100_000 {
            bytes.len() - 18_169
        } else {
            0
        };
        let span = (bytes.len() - from).min(18_169) as u32;
        for _ in 0..60 {
            let mut wrong = bytes.clone();
            for _ in 0..1 + state % 4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                wrong[from + ((state >> 8) % span) as usize] = state as u8;
            }
            let (_directory, path) = file("wrong", wrong);
            if let Ok(mut scan) = scan(&Audio, &path, &[]) {
                scan.limit = Some(3);
                if let Ok(batches) = Audio.open(&scan) {
                    batches.for_each(drop);
                }
            }
        }
    }
}
