//! Mel spectrograms, filters, decibels and MFCCs against librosa's and torchaudio's (golden/mel): all
//! cases but those of `librosa.load`, which the reader of sound is tested against.

use crate::common;
use common::{Cases, assert_close, load_cases};
use realfft::FftNum;
use realfft::num_traits::{AsPrimitive, Float};
use serde_json::Value;
use voxql_udfs::kernels::decibel::{Decibels, Reference};
use voxql_udfs::kernels::mel::{Log, MelOptions, MelSpectrogram, Norm, PadMode, Preset, Window};
use voxql_udfs::kernels::mfcc::{Mfcc, MfccOptions};

fn options(params: &Value) -> MelOptions {
    with_params(MelOptions::default(), params)
}

fn with_params(mut options: MelOptions, params: &Value) -> MelOptions {
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
            "mel_scale" => options.htk = value != "slaney",
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
        passed(case);
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
        passed(case);
        tested += 1;
    }
    assert_eq!(tested, 6);
}

/// Each case's id is in the test's output.
fn passed(case: &Value) {
    println!("golden/mel {}", case["id"].as_str().unwrap());
}

/// The arguments of `power_to_db` and `amplitude_to_db`.
fn decibels(params: &Value, amin: f64) -> Decibels {
    Decibels {
        reference: match params["ref"].as_str() {
            Some("max") => Reference::Max,
            Some("median") => Reference::Median,
            _ => Reference::Level(params["ref"].as_f64().unwrap_or(1.0)),
        },
        amin: params["amin"].as_f64().unwrap_or(amin),
        top_db: match params.get("top_db") {
            None => Some(80.0),
            Some(given) => given.as_f64(),
        },
    }
}

#[test]
fn to_decibels() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    type Convert = fn(&Decibels, &mut [f64]);
    for (function, amin, convert, input) in [
        ("power_to_db", 1e-10, Decibels::convert as Convert, "S"),
        ("amplitude_to_db", 1e-5, Decibels::convert_amplitudes, "A"),
        ("torchaudio.AmplitudeToDB", 1e-10, Decibels::convert, "S"),
    ] {
        for case in cases.of(function) {
            let (_, mut values) = cases.array(&case["inputs"][input]);
            convert(&decibels(&case["params"], amin), &mut values);
            let (_, want) = cases.array(&case["outputs"]["dB"]);
            assert_close(&values, &want, case);
            passed(case);
            tested += 1;
        }
    }
    assert_eq!(tested, 17 + 4 + 1);
}

/// torchaudio's defaults are a preset; a case's parameters go before it, as in SQL.
#[test]
fn torchaudio() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("torchaudio.MelSpectrogram") {
        let options = with_params(Preset::Torchaudio.options(), &case["params"]);
        let samples = samples(&cases, &case["inputs"]);
        let (_, want) = cases.array(&case["outputs"]["S"]);
        let got = spectrogram::<f32>(&options, &samples, 1000);
        assert_close(&got, &want, case);
        passed(case);
        tested += 1;
    }
    assert_eq!(tested, 3);
}

/// What comes before the filters.
#[test]
fn stft_magnitude() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("stft_magnitude") {
        let options = MelOptions {
            power: 1.0,
            ..options(&case["params"])
        };
        let samples = samples(&cases, &case["inputs"]);
        let samples: Vec<f32> = samples.iter().map(|&x| x as f32).collect();
        let mut stft = MelSpectrogram::<f32>::without_filters(&options).unwrap();
        let mut frames = Vec::new();
        stft.push(&samples, &mut frames);
        stft.finish(&mut frames).unwrap();
        let bins = options.n_fft / 2 + 1;
        let got: Vec<f64> = (0..bins)
            .flat_map(|bin| frames[bin..].iter().step_by(bins).map(|&x| f64::from(x)))
            .collect();
        let (_, want) = cases.array(&case["outputs"]["A"]);
        assert_close(&got, &want, case);
        passed(case);
        tested += 1;
    }
    assert_eq!(tested, 1);
}

#[test]
fn mfcc() {
    let Some(cases) = load_cases("mel") else {
        return;
    };
    let mut tested = 0;
    for case in cases.of("mfcc") {
        let params = &case["params"];
        let mel = MelOptions {
            sample_rate: params["sr"].as_f64().unwrap(),
            ..Default::default()
        };
        let options = MfccOptions {
            n_mfcc: params["n_mfcc"].as_u64().unwrap_or(20) as usize,
            dct_type: params["dct_type"].as_i64().unwrap_or(2),
            ortho: params.get("norm").is_none_or(|norm| norm == "ortho"),
            lifter: params["lifter"].as_f64().unwrap_or(0.0),
        };
        let samples = samples(&cases, &case["inputs"]);
        // Bands by frames.
        let mut db = spectrogram::<f32>(&mel, &samples, samples.len());
        decibels(&serde_json::json!({}), 1e-10).convert(&mut db);
        let count = db.len() / mel.n_mels;
        let transform = Mfcc::new(&options, mel.n_mels).unwrap();
        let mut frames = Vec::new();
        for i in 0..count {
            let frame: Vec<f64> = db[i..].iter().step_by(count).copied().collect();
            transform.transform(&frame, &mut frames);
        }
        let n = options.n_mfcc;
        let got: Vec<f64> = (0..n)
            .flat_map(|k| frames[k..].iter().step_by(n).copied())
            .collect();
        let (_, want) = cases.array(&case["outputs"]["C"]);
        assert_close(&got, &want, case);
        passed(case);
        tested += 1;
    }
    assert_eq!(tested, 5);
}

/// The presets that have no golden cases, against numpy (`tests/data/mel/make.py`), to the seven digits
/// that are kept.
#[test]
fn presets() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/mel/presets.json"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    for preset in [Preset::HifiGan, Preset::Whisper] {
        let case = &cases[preset.name()];
        let numbers = |key: &str| -> Vec<f64> {
            let values = case[key].as_array().unwrap();
            values.iter().map(|x| x.as_f64().unwrap()).collect()
        };
        let options = preset.options();
        assert_eq!(options.sample_rate, case["sample_rate"].as_f64().unwrap());
        let mut mel = MelSpectrogram::<f64>::new(&options).unwrap();
        let mut got = Vec::new();
        mel.push(&numbers("samples"), &mut got);
        mel.finish(&mut got).unwrap();
        assert_eq!(got.len() as u64, 80 * case["frames"].as_u64().unwrap());
        let peak = Log::peak(&got, 0.0);
        options.log.apply(&mut got, options.log_floor, peak);
        for (g, w) in got.iter().zip(numbers("mel")) {
            assert!((g - w).abs() < 6e-6, "{}: {g}, not {w}", preset.name());
        }
    }
}
