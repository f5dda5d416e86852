//! Decoding ahead gives what decoding in place gives.

use super::super::options::WaveformOptions;
use super::super::waveform::Waveform;
use super::*;

const OPTIONS: fn() -> WaveformOptions = || WaveformOptions {
    sample_rate: Some(12_345),
    ..WaveformOptions::default()
};

/// All samples, or the error at their end.
fn read_to_end(path: &Path) -> (Vec<f32>, Option<String>) {
    let mut waveform = Waveform::open(path, &OPTIONS()).unwrap();
    let mut samples = Vec::new();
    loop {
        match waveform.read(&mut samples) {
            Ok(true) => (),
            Ok(false) => return (samples, None),
            Err(error) => return (samples, Some(error.to_string())),
        }
    }
}

fn with_a_runtime<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    runtime
        .block_on(runtime.spawn_blocking(run))
        .expect("no panic")
}

#[test]
fn it_is_the_same_sound() {
    for name in [
        "tone.mp3",
        "tone.ogg",
        "tone.flac",
        "two.mkv",
        "pcm_s16le.wav",
    ] {
        let path = here("tests/data/audio").join(name);
        let in_place = read_to_end(&path);
        assert!(in_place.0.len() > 1000 && in_place.1.is_none(), "{name}");
        assert!(
            with_a_runtime(move || read_to_end(&path)) == in_place,
            "{name}"
        );
    }
}

/// The error comes where it belongs, after the same samples.
#[test]
fn it_is_the_same_error() {
    let bytes = std::fs::read(here("tests/data/audio/tone.mp3")).unwrap();
    let (_directory, path) = file("cut.mp3", &bytes[..bytes.len() / 2]);
    let in_place = read_to_end(&path);
    assert!(in_place.1.as_ref().unwrap().contains("cut off"));
    let ahead = with_a_runtime(move || read_to_end(&path));
    assert_eq!(ahead.1, in_place.1);
}

/// Whoever has enough leaves; the task then ends too, or the runtime would not.
#[test]
fn nobody_has_to_read_to_the_end() {
    let half_a_minute = vec![0.0; 44_100 * 30];
    let (_directory, path) = file("long.wav", wav(44_100, 1, &half_a_minute));
    let some = with_a_runtime(move || {
        let mut waveform = Waveform::open(&path, &OPTIONS()).unwrap();
        let mut samples = Vec::new();
        while samples.is_empty() {
            waveform.read(&mut samples).unwrap();
        }
        samples.len()
    });
    assert!(some > 0);
}
