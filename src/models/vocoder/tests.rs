//! The vocoder on real speech. What needs the model or the clips says so where they are not there.

use std::io::Read;
use std::path::{Path, PathBuf};

use voxql_udfs::kernels::mel::{MelSpectrogram, Preset};

use super::*;

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(path);
    if !path.exists() {
        note!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The model of shared/models on a backend, if both are there.
fn vocoder(backend: Backend) -> Option<Vocoder> {
    let folder = shared("models/hifigan-ljspeech-v1")?;
    if !backend.is_available() {
        note!("skipped: {backend}");
        return None;
    }
    Some(Vocoder::open("hifigan-ljspeech-v1", &folder, backend).unwrap())
}

fn clip(path: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().sample_rate, 22050);
    let samples = reader.samples::<i16>();
    samples.map(|x| f32::from(x.unwrap()) / 32768.0).collect()
}

fn mel(samples: &[f32]) -> Vec<f32> {
    let options = Preset::HifiGan.options();
    let mut frames = Vec::new();
    let mut mel = MelSpectrogram::new(&options).unwrap();
    mel.push(samples, &mut frames);
    mel.finish(&mut frames).unwrap();
    options.log.apply(&mut frames, options.log_floor, 0.0);
    frames
}

/// An array of float32 in an .npz: a zip of .npy files.
fn array(npz: &Path, name: &str) -> Vec<f32> {
    let bytes = std::fs::read(npz).unwrap();
    let file = format!("{name}.npy");
    let local = |at: &usize| {
        bytes[*at..].starts_with(b"PK\x03\x04") && bytes[at + 30..].starts_with(file.as_bytes())
    };
    let at = (0..bytes.len() - 64).find(local).unwrap();
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let data = at + 30 + short(at + 26) + short(at + 28);
    let mut npy = Vec::new();
    let mut unpacked = flate2::read::DeflateDecoder::new(&bytes[data..]);
    unpacked.read_to_end(&mut npy).unwrap();
    let header = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let values = npy[10 + header..].chunks_exact(4);
    values
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max)
}

/// The mel of the reference file and what PyTorch's HiFi-GAN made of it.
fn reference() -> Option<(Vec<f32>, Vec<f32>)> {
    let npz = shared("data/hifigan_LJ042-0094_ref.npz")?;
    let bands = array(&npz, "mel");
    let count = bands.len() / 80;
    let frames = (0..count).flat_map(|i| bands[i..].iter().step_by(count).copied());
    Some((frames.collect(), array(&npz, "LJSpeech")))
}

#[test]
fn pytorchs_sound_by_onnxruntime() {
    is_pytorchs_sound(Backend::OnnxRuntime);
}

#[test]
fn pytorchs_sound_by_tract() {
    is_pytorchs_sound(Backend::Tract);
}

/// 300 frames: in two windows, and for onnxruntime in one too.
fn is_pytorchs_sound(backend: Backend) {
    let (Some(vocoder), Some((frames, want))) = (vocoder(backend), reference()) else {
        return;
    };
    let samples = vocoder.samples(&frames).unwrap();
    let off = largest_difference(&samples, &want);
    println!("{backend}: {off:e} from PyTorch");
    assert!(off < 1e-3, "{off}");
    if backend == Backend::OnnxRuntime {
        let whole = vocoder.samples_by(&frames, 300).unwrap();
        let off = largest_difference(&samples, &whole);
        println!("windows: {off:e} from one run");
        assert!(off < 1e-4, "{off}");
    }
}

/// The mel of the clip is that of the reference file, which has the first 300 frames of it.
#[test]
fn the_mel_of_the_clip_is_the_references() {
    let (Some((want, _)), Some(path)) = (reference(), shared("data/speech/lj/LJ042-0094.wav"))
    else {
        return;
    };
    let got = mel(&clip(&path));
    let off = largest_difference(&got[..want.len()], &want);
    println!(
        "preset hifigan: {off:e} from the reference's mel, {} and {} values",
        got.len(),
        want.len()
    );
    assert!(off < 1e-3, "{off}");
}

/// Mel to sound to mel. The mean error of the logarithm stays below a quarter.
#[test]
fn clips_come_back() {
    let Some(vocoder) = vocoder(Backend::chosen().unwrap()) else {
        return;
    };
    let Some(folder) = shared("data/speech/lj") else {
        return;
    };
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "wav") {
            continue;
        }
        let before = mel(&clip(&path));
        let samples = vocoder.samples(&before).unwrap();
        let after = mel(&samples);
        assert_eq!(before.len(), after.len());
        let errors = before
            .iter()
            .zip(&after)
            .map(|(a, b)| f64::from((a - b).abs()));
        let mean = errors.sum::<f64>() / before.len() as f64;
        println!("{}: mean error of the log-mel {mean:.3}", path.display());
        assert!(mean < 0.25, "{mean}");
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn what_is_no_vocoder() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Vocoder::open("x", folder.path(), Backend::Tract).err();
    let error = open().unwrap().to_string();
    assert!(
        error.contains("is not a vocoder: it has no config.json"),
        "{error}"
    );
    let error = Vocoder::find("no-such-voice", &Default::default())
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("there is no vocoder model 'no-such-voice'"),
        "{error}"
    );
}
