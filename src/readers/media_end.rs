//! When a recording ends.

use std::io::Read;
use std::path::Path;

use datafusion::common::Result;

use super::audio::options::WaveformOptions;
use super::audio::waveform::Waveform;
use super::format::file_error;
use super::mp4::{Movie, Sample, is_movie};
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
        let samples = match &track.handler {
            b"soun" => whole(movie.sound_end(track)?),
            _ => movie.samples(track)?,
        };
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

/// A sound of so many ticks as one sample, or two where a sample's duration cannot say them: the first is
/// heard until the second begins. Edit lists cut them as they cut its own.
fn whole(end: i64) -> Vec<Sample> {
    if end <= 0 {
        return vec![];
    }
    let duration = u32::try_from(end).unwrap_or(u32::MAX);
    let mut starts = vec![0, end - i64::from(duration)];
    starts.dedup();
    let sample = |composition| Sample {
        offset: 0,
        size: 0,
        composition,
        duration,
        is_sync: true,
    };
    starts.into_iter().map(sample).collect()
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

    /// By its counts as by its samples; of PCM too.
    #[test]
    fn the_end_of_a_sound_is_that_of_its_last_sample() {
        for name in ["tone.m4a", "alac.m4a", "mp3.mp4", "pcm.mov", "two.mp4"] {
            let movie = Movie::open(&here("tests/data/audio").join(name)).unwrap();
            for track in movie.tracks.iter().filter(|t| &t.handler == b"soun") {
                let samples = movie.samples(track).unwrap();
                let last = samples.last().unwrap();
                let end = movie.sound_end(track).unwrap();
                assert_eq!(end, last.composition + i64::from(last.duration), "{name}");
                let ends = [samples, whole(end)].map(|samples| {
                    let timeline = movie.timeline(track, &samples).unwrap();
                    timeline.shown.iter().map(|s| s.end).max()
                });
                assert_eq!(ends[0], ends[1], "{name}");
            }
        }
        // No damaged count makes them many.
        for end in [(1 << 33) + 5, i64::MAX] {
            let parts = whole(end);
            assert_eq!((parts.len(), parts[0].composition), (2, 0));
            assert_eq!(parts[1].composition + i64::from(parts[1].duration), end);
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
