//! Mel spectrograms, filters and decibels against librosa's (golden/mel).

use std::sync::Arc;

use crate::common;
use arrow::array::{ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::datatypes::Float32Type;
use common::{Cases, assert_close, load_cases};
use datafusion::prelude::SessionContext;
use realfft::FftNum;
use realfft::num_traits::{AsPrimitive, Float};
use serde_json::Value;
use voxql_udfs::kernels::decibel::{Decibels, Reference};
use voxql_udfs::kernels::mel::{
    MelOptions, MelSpectrogram, Norm, PadMode, Padding, Preset, largest,
};
use voxql_udfs::kernels::window::Window;

fn options(params: &Value) -> MelOptions {
    options_on(MelOptions::default(), params)
}

fn options_on(mut options: MelOptions, params: &Value) -> MelOptions {
    for (name, value) in params.as_object().unwrap() {
        let number = || value.as_f64().unwrap();
        let count = || value.as_u64().unwrap() as usize;
        let flag = || value.as_bool().unwrap();
        match name.as_str() {
            "sr" | "sample_rate" => options.sample_rate = number(),
            "n_fft" => options.n_fft = count(),
            "hop_length" => options.hop_length = count(),
            "win_length" => options.win_length = Some(count()),
            "window" => {
                options.window = match value {
                    Value::Array(kaiser) => Window::Kaiser(kaiser[1].as_f64().unwrap()),
                    name => name.as_str().unwrap().parse().unwrap(),
                }
            }
            "center" => {
                options.padding = match flag() {
                    true => Padding::Center,
                    false => Padding::None,
                }
            }
            "pad_mode" => options.pad_mode = value.as_str().unwrap().parse::<PadMode>().unwrap(),
            "power" => options.power = number(),
            "n_mels" => options.n_mels = count(),
            "fmin" => options.fmin = number(),
            "fmax" => options.fmax = Some(number()),
            "htk" => options.htk = flag(),
            "norm" => {
                options.norm = match value {
                    Value::Null => Norm::None,
                    Value::Number(_) => Norm::L1,
                    name => name.as_str().unwrap().parse().unwrap(),
                }
            }
            "mel_scale" => options.htk = value == "htk",
            "dtype" => (),
            other => panic!("parameter {other} is not known"),
        }
    }
    options
}

/// The sound of a case: an array, or a file of 16-bit mono.
fn samples(cases: &Cases, inputs: &Value) -> Vec<f64> {
    let Some(file) = inputs["wav"]["file"].as_str() else {
        return cases.array(&inputs["y"]).1;
    };
    let bytes = std::fs::read(cases.folder.join(file)).unwrap();
    let data = bytes.windows(4).position(|w| w == b"data").unwrap() + 8;
    let pairs = bytes[data..].chunks_exact(2);
    pairs
        .map(|b| f64::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0)
        .collect()
}

/// The spectrogram as librosa lays it out, bands by frames; fed in pieces.
fn spectrogram<T>(options: &MelOptions, samples: &[f64], piece: usize) -> Vec<f64>
where
    T: FftNum + Float + AsPrimitive<f64>,
{
    let samples: Vec<T> = samples.iter().map(|&x| T::from_f64(x).unwrap()).collect();
    let mut mel = MelSpectrogram::<T>::new(options).unwrap();
    let mut frames = Vec::new();
    for piece in samples.chunks(piece) {
        mel.push(piece, &mut frames);
    }
    mel.finish(&mut frames).unwrap();
    let count = frames.len() / options.n_mels;
    assert_eq!(options.frames(samples.len() as u64), count as u64);
    (0..options.n_mels)
        .flat_map(|band| (0..count).map(move |frame| (band, frame)))
        .map(|(band, frame)| frames[frame * options.n_mels + band].as_())
        .collect()
}

#[test]
fn melspectrogram() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("melspectrogram") {
        let options = options(&case["params"]);
        let samples = samples(&cases, &case["inputs"]);
        let output = &case["outputs"]["S"];
        let (_, want) = cases.array(output);
        for piece in [samples.len(), 1000, 97] {
            let got = if cases.is_f32(output) {
                spectrogram::<f32>(&options, &samples, piece)
            } else {
                spectrogram::<f64>(&options, &samples, piece)
            };
            assert_close(&got, &want, case);
        }
        tested += 1;
    }
    assert_eq!(tested, 32);
}

/// Not only close: the weights are librosa's to the last bit.
#[test]
fn filters() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("filters.mel") {
        let options = options(&case["params"]);
        let (shape, want) = cases.array(&case["outputs"]["M"]);
        let mut got = vec![0.0; shape[0] * shape[1]];
        for (row, (first, weights)) in got.chunks_mut(shape[1]).zip(options.filters()) {
            for (slot, weight) in row[first..].iter_mut().zip(weights) {
                *slot = f64::from(weight);
            }
        }
        assert_eq!(got, want, "{}", case["id"]);
        tested += 1;
    }
    assert_eq!(tested, 6);
}

#[test]
fn power_to_db() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("power_to_db") {
        let params = &case["params"];
        let decibels = Decibels {
            reference: match params["ref"].as_str() {
                Some("max") => Reference::Max,
                Some("median") => Reference::Median,
                _ => Reference::Level(params["ref"].as_f64().unwrap()),
            },
            amin: params["amin"].as_f64().unwrap_or(1e-10),
            top_db: match params.get("top_db") {
                None => Some(80.0),
                Some(given) => given.as_f64(),
            },
        };
        let (_, mut values) = cases.array(&case["inputs"]["S"]);
        decibels.convert(&mut values);
        let (_, want) = cases.array(&case["outputs"]["dB"]);
        assert_close(&values, &want, case);
        tested += 1;
    }
    assert_eq!(tested, 17);
}

/// Not only librosa's: torchaudio's defaults are the preset, and what a case gives goes over them.
#[test]
fn torchaudio() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("torchaudio.MelSpectrogram") {
        let params = &case["params"];
        let count = |name: &str| params[name].as_u64().map(|n| n as usize);
        let preset = Preset::Torchaudio.options(count("n_fft"), count("win_length"));
        let options = options_on(preset, params);
        let samples = samples(&cases, &case["inputs"]);
        let (_, want) = cases.array(&case["outputs"]["S"]);
        assert_close(&spectrogram::<f32>(&options, &samples, 1000), &want, case);
        tested += 1;
    }
    for case in cases.of("torchaudio.AmplitudeToDB") {
        let decibels = Decibels {
            reference: Reference::Level(1.0),
            amin: 1e-10,
            top_db: case["params"]["top_db"].as_f64(),
        };
        let (_, mut values) = cases.array(&case["inputs"]["S"]);
        decibels.convert(&mut values);
        assert_close(&values, &cases.array(&case["outputs"]["dB"]).1, case);
        tested += 1;
    }
    assert_eq!(tested, 4);
}

/// The magnitudes before the filters are `|librosa.stft|`.
#[test]
fn stft_magnitude() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("stft_magnitude") {
        let options = MelOptions {
            power: 1.0,
            n_mels: 1,
            ..options(&case["params"])
        };
        let samples: Vec<f32> = samples(&cases, &case["inputs"])
            .into_iter()
            .map(|x| x as f32)
            .collect();
        let (shape, want) = cases.array(&case["outputs"]["A"]);
        // The sound with its padding, a frame at a time.
        let pad = vec![0.0; options.n_fft / 2];
        let padded = [&pad[..], &samples, &pad].concat();
        let whole = MelOptions {
            padding: Padding::None,
            ..options
        };
        let mut mel = MelSpectrogram::<f32>::new(&whole).unwrap();
        let mut got = vec![0.0; want.len()];
        let mut frames = Vec::new();
        for frame in 0..shape[1] {
            let start = frame * whole.hop_length;
            mel.push(&padded[start..start + whole.n_fft], &mut frames);
            mel.finish(&mut frames).unwrap();
            for (bin, magnitude) in mel.magnitudes().iter().enumerate() {
                got[bin * shape[1] + frame] = f64::from(*magnitude);
            }
        }
        assert_close(&got, &want, case);
        tested += 1;
    }
    assert_eq!(tested, 1);
}

#[test]
fn amplitude_to_db() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("amplitude_to_db") {
        let params = &case["params"];
        let decibels = Decibels {
            reference: match params["ref"].as_str() {
                Some(_) => Reference::Max,
                None => Reference::Level(params["ref"].as_f64().unwrap()),
            },
            amin: 1e-5,
            top_db: match params.get("top_db") {
                None => Some(80.0),
                Some(given) => given.as_f64(),
            },
        };
        let (_, mut values) = cases.array(&case["inputs"]["A"]);
        decibels.convert_amplitudes(&mut values);
        assert_close(&values, &cases.array(&case["outputs"]["dB"]).1, case);
        tested += 1;
    }
    assert_eq!(tested, 4);
}

/// In SQL, from the sound on: what librosa's `mfcc` does in one call.
#[tokio::test]
async fn mfcc() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let context = SessionContext::new();
    voxql_udfs::register_all(&context);
    let mut tested = 0;
    for case in cases.of("mfcc") {
        let params = &case["params"];
        let sound = samples(&cases, &case["inputs"]);
        let sound = ListArray::from_iter_primitive::<Float32Type, _, _>([Some(
            sound.iter().map(|&x| Some(x as f32)),
        )]);
        let batch = RecordBatch::try_from_iter([("samples", Arc::new(sound) as ArrayRef)]).unwrap();
        context.deregister_table("sound").unwrap();
        context.register_batch("sound", batch).unwrap();
        let sql = format!(
            "SELECT mfcc(power_to_db(mel_spectrogram(samples)), {}, {}, '{}', {}) FROM sound",
            params["n_mfcc"].as_u64().unwrap_or(20),
            params["dct_type"].as_u64().unwrap_or(2),
            match params.get("norm") {
                Some(Value::Null) => "none",
                _ => "ortho",
            },
            params["lifter"].as_u64().unwrap_or(0),
        );
        let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let frames = batches[0].column(0).as_list::<i32>().value(0);
        let frames = frames.as_fixed_size_list();
        let n_mfcc = frames.value_length() as usize;
        let values = frames.values().as_primitive::<Float32Type>().values();
        let got: Vec<f64> = (0..n_mfcc)
            .flat_map(|k| values.iter().skip(k).step_by(n_mfcc))
            .map(|&v| f64::from(v))
            .collect();
        assert_close(&got, &cases.array(&case["outputs"]["C"]).1, case);
        tested += 1;
    }
    assert_eq!(tested, 5);
}

/// What other systems make of a sound (`tests/data/make_mel_presets.py`).
#[test]
fn presets() {
    let json = include_str!("../data/mel_presets.json");
    let references: Value = serde_json::from_str(json).unwrap();
    let sound: Vec<f64> = (0..3000)
        .map(|i| {
            let (i, tau) = (f64::from(i), std::f64::consts::TAU);
            let tone = 0.5 * (tau * 220.0 * i / 16000.0).sin();
            tone + 0.25 * (tau * (300.0 + 0.2 * i) * i / 16000.0).sin()
        })
        .collect();
    for name in ["hifigan", "whisper"] {
        let options = name.parse::<Preset>().unwrap().options(None, None);
        let want = references[name].as_array().unwrap().iter();
        let want: Vec<f64> = want
            .flat_map(|frame| frame.as_array().unwrap())
            .map(|v| v.as_f64().unwrap())
            .collect();
        assert_eq!(options.frames(sound.len() as u64), want.len() as u64 / 80);
        for piece in [sound.len(), 700, 97] {
            // In single precision the logarithm of a soft band is less certain.
            let double = preset_frames::<f64>(&options, &sound, piece);
            let single = preset_frames::<f32>(&options, &sound, piece);
            assert_eq!((double.len(), single.len()), (want.len(), want.len()));
            for (at, want) in want.iter().enumerate() {
                let (double, single) = (double[at], single[at]);
                assert!(
                    (double - want).abs() < 2e-5,
                    "{name} {at}: {double}, not {want}"
                );
                assert!(
                    (single - want).abs() < 2e-3,
                    "{name} {at}: {single}, not {want}"
                );
            }
        }
    }
}

/// Finished frames, one after the other.
fn preset_frames<T>(options: &MelOptions, sound: &[f64], piece: usize) -> Vec<f64>
where
    T: FftNum + Float + AsPrimitive<f64>,
{
    let sound: Vec<T> = sound.iter().map(|&x| T::from_f64(x).unwrap()).collect();
    let mut mel = MelSpectrogram::<T>::new(options).unwrap();
    let mut frames = Vec::new();
    for piece in sound.chunks(piece) {
        mel.push(piece, &mut frames);
    }
    mel.finish(&mut frames).unwrap();
    let most = largest(&frames, T::neg_infinity());
    options.compression.finish(&mut frames, most);
    frames.into_iter().map(|v| v.as_()).collect()
}
