//! When a recording ends.

use std::io::Read;
use std::path::Path;

use datafusion::common::Result;

use super::audio::options::WaveformOptions;
use super::audio::waveform::Waveform;
use super::format::file_error;
use super::mp4::{Movie, is_movie};
use crate::access::scope;

/// The end of a recording in seconds from its beginning: of an MP4 or MOV the moment at which
/// the last picture and the last sound of all tracks are over, edit lists applied (subtitles do
/// not count); of other files that of the sound, by the number of samples.
///
/// # Errors
/// When the file cannot be read, is empty, or has neither sound nor pictures.
pub fn media_end(path: &Path) -> Result<f64> {
    let fail = |message: String| file_error(path, message);
    let mut start = Vec::new();
    scope::open(path)
        .and_then(|file| file.take(12).read_to_end(&mut start))
        .map_err(|e| fail(e.to_string()))?;
    match is_movie(&start) {
        _ if start.is_empty() => Err(fail("the file is empty (0 bytes)".to_owned())),
        true => of_movie(path).map_err(fail),
        false => of_sound(path),
    }
}

fn of_movie(path: &Path) -> Result<f64, String> {
    let movie = Movie::open(path)?;
    let mut end: Option<f64> = None;
    for track in &movie.tracks {
        if !matches!(&track.handler, b"vide" | b"soun") {
            continue;
        }
        let samples = movie.samples(track)?;
        let timeline = movie.timeline(track, &samples)?;
        let of_track = timeline.shown.iter().map(|s| s.end).max();
        let of_track = of_track.map(|ticks| timeline.seconds(ticks));
        end = match (end, of_track) {
            (Some(end), Some(other)) => Some(end.max(other)),
            (end, other) => end.or(other),
        };
    }
    end.ok_or_else(|| "it has neither pictures nor sound".to_owned())
}

fn of_sound(path: &Path) -> Result<f64> {
    let mut sound = Waveform::open(path, &WaveformOptions::default())?;
    Ok(sound.count()? as f64 / f64::from(sound.sample_rate()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{file, here, shared};
    use super::*;

    #[test]
    fn movies() {
        assert_eq!(media_end(&here("tests/data/ramp.mp4")).unwrap(), 1.0);
        if let Some(nasa) = shared("av/nasa_13013.mp4") {
            let end = media_end(&nasa).unwrap();
            assert!((end - 13.056).abs() < 1e-3, "{end}");
        }
    }

    #[test]
    fn sound() {
        if let Some(jfk) = shared("speech/jfk.flac") {
            assert_eq!(media_end(&jfk).unwrap(), 11.0);
        }
    }

    #[test]
    fn what_has_no_end() {
        for (name, content) in [
            ("empty.wav", &b""[..]),
            ("text.txt", b"hello, hello, hello"),
        ] {
            let (_dir, path) = file(name, content);
            let error = media_end(&path).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(media_end(Path::new("nowhere.wav")).is_err());
    }
}
