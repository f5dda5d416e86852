//! Files of every kind, cut off and written over: errors that name the file, and no panics.

use super::*;
use crate::readers::media_streams::MediaStreams;

/// What is decoded in the process.
const NAMES: [&str; 17] = [
    "pcm_u8.wav",
    "pcm_s24le.wav",
    "pcm_f64le.wav",
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
    "flac.mkv",
    "two.mkv",
];

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(here("tests/data/audio").join(name)).unwrap()
}

/// Reads all there is; gives the error.
fn attempt(name: &str, bytes: &[u8]) -> Option<String> {
    let (_directory, path) = file(name, bytes);
    if let Err(error) = read(&MediaStreams, &path, &[]) {
        assert!(error.to_string().contains(name), "{error}");
    }
    let error = read(&Audio, &path, &[]).err()?.to_string();
    assert!(error.contains(name), "{error}");
    Some(error)
}

#[test]
fn cut_off_in_the_middle() {
    for name in NAMES {
        let bytes = fixture(name);
        for part in [0.5, 0.9] {
            let length = (part * bytes.len() as f64) as usize;
            let error = attempt(name, &bytes[..length]);
            println!("{name} cut at {length}: {error:?}");
            // An MP3 without LAME's tag does not say how long it is.
            if name != "plain.mp3" {
                let error = error.expect(name);
                let says = ["cut off", "damaged", "ends at byte"];
                assert!(says.iter().any(|what| error.contains(what)), "{error}");
            }
        }
    }
}

#[test]
fn written_over_at_random() {
    let mut state = 11u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below.max(1)
    };
    let mut errors = 0;
    for name in NAMES {
        let bytes = fixture(name);
        for round in 0..16 {
            let mut wrong = bytes.clone();
            // Headers are at either end.
            let span = [bytes.len(), 600, bytes.len(), 3000][round % 4].min(bytes.len());
            let from = if round % 8 < 4 { 0 } else { bytes.len() - span };
            for _ in 0..=random(6) {
                wrong[from + random(span)] = random(256) as u8;
            }
            if round % 5 == 4 {
                wrong.truncate(random(bytes.len()));
            }
            errors += usize::from(!wrong.is_empty() && attempt(name, &wrong).is_some());
        }
    }
    println!("{errors} of {} could not be read", 16 * NAMES.len());
}
