//! Mel spectrograms, filters and decibels against librosa's (golden/mel).

use crate::common;
use common::{Cases, assert_close, load_cases};
use realfft::FftNum;
use realfft::num_traits::{AsPrimitive, Float};
use serde_json::Value;
use voxql_udfs::kernels::decibel::{Decibels, Reference};
use voxql_udfs::kernels::mel::{MelOptions, MelSpectrogram, Norm, PadMode};
use voxql_udfs::kernels::window::Window;

fn options(params: &Value) -> MelOptions {
    let mut options = MelOptions::default();
    for (name, value) in params.as_object().unwrap() {
        let number = || value.as_f64().unwrap();
        let count = || value.as_u64().unwrap() as usize;
        let flag = || value.as_bool().unwrap();
        match name.as_str() {
            "sr" => options.sample_rate = number(),
            "n_fft" => options.n_fft = count(),
            "hop_length" => options.hop_length = count(),
            "win_length" => options.win_length = Some(count()),
            "window" => {
                options.window = match value {
                    Value::Array(kaiser) => Window::Kaiser(kaiser[1].as_f64().unwrap()),
                    name => name.as_str().unwrap().parse().unwrap(),
                }
            }
            "center" => options.center = flag(),
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
