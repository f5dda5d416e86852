//! `read_mel` beside the kernel on the whole sound at once.

use super::super::audio::tests::wav;
use super::super::audio::waveform::Waveform;
use super::super::bounds::Bounds;
use super::super::format::Value;
use super::super::testing::{error, file, here, project, read, scan, shared};
use super::*;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use rstest::rstest;
use std::path::Path;
use voxql_udfs::kernels::mel::Preset;
use voxql_udfs::kernels::mel::{Log, MelSpectrogram};

fn mels(batch: &RecordBatch) -> Vec<f32> {
    let list = batch.column_by_name("mel").unwrap().as_fixed_size_list();
    list.values()
        .as_primitive::<Float32Type>()
        .values()
        .to_vec()
}

fn times(batch: &RecordBatch) -> Vec<f64> {
    let column = batch.column_by_name("time").unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

/// The frames of the whole sound at once.
fn whole(path: &Path, options: &MelOptions) -> Vec<f32> {
    let mut samples = Vec::new();
    let sound = WaveformOptions {
        sample_rate: Some(options.sample_rate as u32),
        ..Default::default()
    };
    let mut waveform = Waveform::open(path, &sound).unwrap();
    while waveform.read(&mut samples).unwrap() {}
    let mut frames = Vec::new();
    let mut mel = MelSpectrogram::new(options).unwrap();
    mel.push(&samples, &mut frames);
    mel.finish(&mut frames).unwrap();
    let peak = Log::peak(&frames, 0.0);
    options.log.apply(&mut frames, options.log_floor, peak);
    frames
}

#[rstest]
#[case("speech/jfk.flac", 474)]
#[case("av/nasa_13013.mp4", 563)]
#[case("speech/lj/LJ001-0012.wav", 355)]
fn a_stream_gives_the_frames_of_the_whole(#[case] name: &str, #[case] rows: usize) {
    let Some(path) = shared(name) else { return };
    let batch = read(&Mel, &path, &[]).unwrap();
    assert_eq!(batch.num_rows(), rows);
    assert_eq!(mels(&batch), whole(&path, &MelOptions::default()));
    let frames = batch.column_by_name("frame").unwrap();
    let frames = frames.as_primitive::<Int64Type>();
    assert_eq!(frames.value(rows - 1), rows as i64 - 1);
    assert_eq!(times(&batch)[100], 100.0 * 512.0 / 22050.0);
}

#[test]
fn options_reach_the_kernel() {
    let samples: Vec<f32> = (0..30_000).map(|i| (i as f32 * 0.05).sin()).collect();
    let (_directory, path) = file("a.wav", wav(16_000, 1, &samples));
    let options = MelOptions {
        sample_rate: 16_000.0,
        n_fft: 400,
        hop_length: 160,
        win_length: Some(300),
        window: "hamming".parse().unwrap(),
        center: false,
        pad_mode: "edge".parse().unwrap(),
        power: 1.0,
        n_mels: 20,
        fmin: 50.0,
        fmax: Some(7000.0),
        htk: true,
        norm: "none".parse().unwrap(),
        pad: Some(3),
        epsilon: 1e-3,
        log: Log::Log10,
        log_floor: 0.5,
        drop_last: true,
    };
    let text = |t: &str| Value::Text(t.to_string());
    let given = [
        ("sample_rate", Value::Integer(16_000)),
        ("n_fft", Value::Integer(400)),
        ("hop_length", Value::Integer(160)),
        ("win_length", Value::Integer(300)),
        ("window", text("hamming")),
        ("center", Value::Boolean(false)),
        ("pad_mode", text("edge")),
        ("power", Value::Float(1.0)),
        ("n_mels", Value::Integer(20)),
        ("fmin", Value::Float(50.0)),
        ("fmax", Value::Integer(7000)),
        ("htk", Value::Boolean(true)),
        ("norm", text("none")),
        ("pad", Value::Integer(3)),
        ("epsilon", Value::Float(1e-3)),
        ("log", text("log10")),
        ("log_floor", Value::Float(0.5)),
        ("drop_last", Value::Boolean(true)),
    ];
    let batch = read(&Mel, &path, &given).unwrap();
    assert_eq!(mels(&batch), whole(&path, &options));
    assert_eq!(times(&batch)[..2], [197.0 / 16_000.0, 357.0 / 16_000.0]);
    let schema = batch.schema();
    let field = schema.field_with_name("mel").unwrap();
    assert_eq!(field.metadata()[MEL_METADATA], options.describe());
}

#[rstest]
fn presets(#[values("librosa", "hifigan", "torchaudio", "whisper")] name: &str) {
    let samples: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.05).sin()).collect();
    let (_directory, path) = file("a.wav", wav(22_050, 1, &samples));
    let options = name.parse::<Preset>().unwrap().options();
    let given = [("preset", Value::Text(name.to_string()))];
    let mut scan = scan(&Mel, &path, &given).unwrap();
    scan.batch_bytes = 1 << 14;
    let batches: Result<Vec<_>> = Mel.open(&scan).unwrap().collect();
    let got: Vec<f32> = batches.unwrap().iter().flat_map(mels).collect();
    assert_eq!(got, whole(&path, &options));
    let counted: usize = Mel
        .open(&project(scan, &["time"]))
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    assert_eq!(counted, got.len() / options.n_mels);
}

/// Twenty minutes: many batches, each small, and the frames of the whole.
#[test]
fn long_files_come_in_small_batches() {
    let mut state = 1u32;
    let noise: Vec<f32> = (0..1200 * 8000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as i32 as f32 / i32::MAX as f32
        })
        .collect();
    let (_directory, path) = file("long.wav", wav(8000, 1, &noise));
    let given = [
        ("sample_rate", Value::Integer(8000)),
        ("n_mels", Value::Integer(32)),
    ];
    let mut scan = scan(&Mel, &path, &given).unwrap();
    scan.batch_bytes = 1 << 16;
    let batches: Result<Vec<_>> = Mel.open(&scan).unwrap().collect();
    let batches = batches.unwrap();
    let rows = (1 << 16) / (4 * 32 + 16);
    let (last, full) = batches.split_last().unwrap();
    assert!(full.iter().all(|b| b.num_rows() == rows) && last.num_rows() <= rows);
    let options = MelOptions {
        sample_rate: 8000.0,
        n_mels: 32,
        ..Default::default()
    };
    let got: Vec<f32> = batches.iter().flat_map(mels).collect();
    assert_eq!(got, whole(&path, &options));

    let counted: usize = Mel
        .open(&project(scan.clone(), &[]))
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .sum();
    assert_eq!(counted, got.len() / 32);
    scan.limit = Some(rows + 1);
    let limited: Vec<usize> = Mel
        .open(&scan)
        .unwrap()
        .map(|b| b.unwrap().num_rows())
        .collect();
    assert_eq!(limited, [rows, 1]);
}

#[rstest]
#[case("sample_rate", Value::Integer(0), "sample_rate must be from 100")]
#[case("n_fft", Value::Integer(0), "n_fft must be from 1")]
#[case("n_fft", Value::Integer(-4), "n_fft must be zero or more, got -4")]
#[case("hop_length", Value::Integer(0), "hop_length must be from 1")]
#[case(
    "win_length",
    Value::Integer(4096),
    "win_length must be from 1 to n_fft (2048), not 4096"
)]
#[case("window", Value::Text("hanning".into()), "window 'hanning' is not known")]
#[case("pad_mode", Value::Text("wrap".into()), "pad_mode 'wrap' is not known")]
#[case("power", Value::Float(f64::NAN), "power must be a positive number")]
#[case("n_mels", Value::Integer(0), "n_mels must be from 1")]
#[case("fmin", Value::Float(-1.0), "fmin must be 0 or more")]
#[case("fmax", Value::Float(0.0), "fmax must lie above fmin (0), not at 0")]
#[case("norm", Value::Text("l2".into()), "norm 'l2' is not known")]
#[case("log", Value::Text("db".into()), "log 'db' is not known")]
#[case("log_floor", Value::Float(0.0), "log_floor must be a positive number")]
#[case("pad", Value::Integer(4), "pad => 4 goes with center => false")]
#[case("preset", Value::Text("kaldi".into()), "preset 'kaldi' is not known")]
fn arguments_that_make_no_sense(#[case] name: &str, #[case] value: Value, #[case] message: &str) {
    let (_directory, path) = file("a.wav", wav(1000, 1, &[0.0; 10]));
    let got = error(&Mel, &path, &[(name, value)]);
    assert!(got.contains(message) && got.contains("read_mel"), "{got}");
}

#[test]
fn too_short_without_padding() {
    let (_directory, path) = file("a.wav", wav(22_050, 1, &[0.0; 10]));
    let got = error(&Mel, &path, &[("center", Value::Boolean(false))]);
    assert!(
        got.contains("a.wav: 10 samples are fewer than one frame"),
        "{got}"
    );
}

/// librosa only warns of bands above half of the sample rate: they are 0.
#[test]
fn fmax_beyond_nyquist() {
    let (_directory, path) = file("a.wav", wav(22_050, 1, &[0.5; 3000]));
    let batch = read(&Mel, &path, &[("fmax", Value::Float(20_000.0))]).unwrap();
    assert_eq!(mels(&batch)[127], 0.0);
}

/// Rows of `all` from a time on until before another.
fn rows_of(all: &RecordBatch, start: f64, end: f64) -> RecordBatch {
    let times = times(all);
    let first = times.partition_point(|&t| t < start);
    let last = times.partition_point(|&t| t < end);
    all.slice(first, last - first)
}

/// With `start` and `end`, and with conditions on time, the rows are those of the whole file.
#[rstest]
#[case("tone.flac")]
#[case("tone.mp3")]
#[case("tone.ogg")]
#[case("tone.m4a")]
#[case("two.mkv")]
fn parts_are_parts_of_the_whole(#[case] name: &str) {
    let path = here("tests/data/audio").join(name);
    for (preset, sample_rate) in [("librosa", 22_050), ("hifigan", 16_000), ("whisper", 8000)] {
        let given = [
            ("preset", Value::Text(preset.to_owned())),
            ("sample_rate", Value::Integer(sample_rate)),
        ];
        let all = read(&Mel, &path, &given).unwrap();
        for (start, end) in [
            (0.0, 0.1),
            (0.01, 0.3),
            (0.5, 0.75),
            (0.9, 9.0),
            (1.1, 1.2),
            (8.0, 9.0),
        ] {
            let want = rows_of(&all, start, end);
            let range = [("start", Value::Float(start)), ("end", Value::Float(end))];
            let part = read(&Mel, &path, &[&given[..], &range[..]].concat()).unwrap();
            assert_eq!(part, want, "{name} {preset} {start} {end}");

            let mut scan = scan(&Mel, &path, &given).unwrap();
            let column = || datafusion::prelude::col("time");
            let is_within = column()
                .gt_eq(datafusion::prelude::lit(start))
                .and(column().lt(datafusion::prelude::lit(end)));
            scan.bounds = Bounds::of(&[is_within], Mel.bounded());
            for scan in [scan.clone(), project(scan, &["time"])] {
                let batches: Result<Vec<_>> = Mel.open(&scan).unwrap().collect();
                let rows = arrow::compute::concat_batches(&scan.schema, &batches.unwrap()).unwrap();
                // The frame at `end` itself may be there: the condition is looked at again.
                let kept = rows_of(&rows, start, end);
                assert_eq!(kept.num_rows(), want.num_rows());
                assert!(rows.num_rows() <= want.num_rows() + 1);
                assert_eq!(times(&kept), times(&want));
                if scan.schema.column_with_name("mel").is_some() {
                    assert_eq!(mels(&kept), mels(&want), "{name} {preset} {start} {end}");
                }
            }
        }
    }
}

/// What lies behind the end is not read: it may even be damaged.
#[test]
fn no_more_is_read_than_needed() {
    let bytes = std::fs::read(here("tests/data/audio/tone.mp3")).unwrap();
    let (_directory, path) = file("cut.mp3", &bytes[..bytes.len() / 2]);
    assert!(error(&Mel, &path, &[]).contains("cut off"));
    let part = read(&Mel, &path, &[("end", Value::Float(0.5))]).unwrap();
    assert_eq!(part.num_rows(), 22);
}

#[rstest]
#[case(-1.0, 2.0, "start must be seconds")]
#[case(0.0, f64::NAN, "end must be seconds")]
#[case(2.0, 2.0, "end (2) must be after start (2)")]
fn ranges_that_make_no_sense(#[case] start: f64, #[case] end: f64, #[case] message: &str) {
    let (_directory, path) = file("a.wav", wav(22_050, 1, &[0.0; 3000]));
    let range = [("start", Value::Float(start)), ("end", Value::Float(end))];
    let got = error(&Mel, &path, &range);
    assert!(got.contains(message) && got.contains("read_mel"), "{got}");
}
