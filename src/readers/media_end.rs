//! When a recording ends.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use datafusion::common::Result;

use super::audio::Audio;
use super::bounds::Bounds;
use super::format::{FileScan, Format, Options, file_error};
use super::mp4::{Movie, is_movie};

/// The bytes of a batch of times.
const BATCH_BYTES: usize = 1 << 20;

/// The end of a recording in seconds from its beginning: of an MP4 or MOV the moment at which
/// the last picture and the last sound of all tracks are over, edit lists applied (subtitles do
/// not count); of other files that of the sound, by the number of samples.
///
/// # Errors
/// When the file cannot be read, is empty, or has neither sound nor pictures.
pub fn media_end(path: &Path) -> Result<f64> {
    let fail = |message: String| file_error(path, message);
    let mut start = Vec::new();
    File::open(path)
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

/// The end of the last row of `read_audio`, which decodes only where no header says how many
/// samples there are.
fn of_sound(path: &Path) -> Result<f64> {
    let options = Options::default();
    let described = Audio.describe(vec![path.to_owned()], &options)?;
    let columns = ["time", "duration"].map(|name| described.schema.index_of(name));
    let columns = columns.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rows = Audio.open(&FileScan {
        path: path.to_owned(),
        options,
        schema: Arc::new(described.schema.project(&columns)?),
        limit: None,
        bounds: Bounds::default(),
        batch_bytes: BATCH_BYTES,
    })?;
    let mut end = 0.0;
    for batch in rows {
        let batch = batch?;
        if let Some(last) = batch.num_rows().checked_sub(1) {
            let [time, duration] = [0, 1].map(|column| {
                let column = batch.column(column).as_primitive::<Float64Type>();
                column.value(last)
            });
            end = time + duration;
        }
    }
    Ok(end)
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
