//! The streams of one file, from its headers.

use std::path::Path;

use super::super::audio::container::{Container, NAMES, recognise};
use super::super::audio::{configured_as, heard, listing};
use super::super::matroska;
use super::super::mp4::{Movie, Track};
use super::names;

/// One stream; see [`MediaStreams`](super::MediaStreams).
#[derive(Debug, Default)]
pub struct Stream {
    pub kind: &'static str,
    pub codec: Option<String>,
    pub language: Option<String>,
    pub title: Option<String>,
    pub is_default: bool,
    pub start_time: Option<f64>,
    pub duration: Option<f64>,
    pub sample_rate: Option<i32>,
    pub channels: Option<i32>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub frame_rate: Option<f64>,
    pub frames: Option<i64>,
}

/// The streams of a file that holds something.
///
/// # Errors
/// Say what is wrong, without the file's name.
pub fn streams(path: &Path) -> Result<Vec<Stream>, String> {
    match recognise(path)? {
        None => Err(format!("this is not a {NAMES} file")),
        Some((Container::Movie, _)) => of_movie(&Movie::open(path)?),
        Some((Container::Matroska, _)) => of_matroska(path),
        Some(found) => {
            let sounds = listing::sound_streams(path, found)?;
            let streams = sounds.into_iter().map(|sound| Stream {
                kind: "audio",
                codec: sound.codec,
                start_time: Some(0.0),
                duration: sound.duration,
                sample_rate: sound.sample_rate.and_then(|n| n.try_into().ok()),
                channels: sound.channels.and_then(|n| n.try_into().ok()),
                ..Stream::default()
            });
            Ok(streams.collect())
        }
    }
}

fn of_matroska(path: &Path) -> Result<Vec<Stream>, String> {
    let header = matroska::Header::read(path)?;
    let times = header.first_times(path)?;
    let streams = header.tracks.iter().zip(times).map(|(track, start_time)| {
        let integer = |n: Option<u64>| n.and_then(|n| i32::try_from(n).ok());
        let kind = match track.kind {
            1 => "video",
            2 => "audio",
            17 => "subtitle",
            _ => "data",
        };
        Stream {
            kind,
            codec: names::of_matroska(&track.codec, track.bits),
            language: track.language.clone(),
            title: track.name.clone(),
            is_default: track.is_default,
            start_time,
            duration: header.duration,
            sample_rate: track.sample_rate.map(|rate| rate.round() as i32),
            channels: integer(track.channels),
            width: integer(track.width),
            height: integer(track.height),
            frame_rate: match track.frame_duration {
                Some(nanoseconds) if kind == "video" => Some(1e9 / nanoseconds as f64),
                _ => None,
            },
            frames: None,
        }
    });
    Ok(streams.collect())
}

fn of_movie(movie: &Movie) -> Result<Vec<Stream>, String> {
    movie
        .tracks
        .iter()
        .map(|track| of_track(movie, track))
        .collect()
}

fn of_track(movie: &Movie, track: &Track) -> Result<Stream, String> {
    let mut stream = Stream {
        kind: match &track.handler {
            b"vide" => "video",
            b"soun" => "audio",
            b"sbtl" | b"text" | b"subt" | b"clcp" => "subtitle",
            _ => "data",
        },
        codec: names::of_four_letters(&track.codec),
        language: track.language.clone(),
        is_default: track.enabled,
        ..Stream::default()
    };
    let description = &track.description;
    let number = |at: usize| match description.get(at..at + 2) {
        Some(&[high, low]) => i32::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let positive = |n: i32| (n > 0).then_some(n);
    if stream.kind == "audio" {
        let end = movie.sound_end(track)?;
        // An edit list that plays parts in another order is for those who decode it.
        let ticks = track.timescale;
        if let Ok((silence, heard)) = heard(&track.edits, (end, ticks), movie.timescale, ticks) {
            stream.start_time = Some(silence as f64 / f64::from(ticks));
            stream.duration = Some((heard.end - heard.start) as f64 / f64::from(ticks));
        }
        stream.channels = positive(number(16));
        stream.sample_rate = positive(number(24));
        let configured = configured_as(track);
        stream.codec = configured.codec.or(stream.codec);
        stream.sample_rate = configured.sample_rate.or(stream.sample_rate);
        stream.channels = configured.channels.or(stream.channels);
        return Ok(stream);
    }
    let samples = movie.samples(track)?;
    if let Ok(timeline) = movie.timeline(track, &samples)
        && let (Some(first), Some(last)) = (timeline.shown.first(), timeline.shown.last())
    {
        let duration = timeline.seconds(last.end) - timeline.seconds(first.start);
        stream.start_time = Some(timeline.seconds(first.start));
        stream.duration = Some(duration);
        if stream.kind == "video" && duration > 0.0 {
            stream.frame_rate = Some(timeline.shown.len() as f64 / duration);
        }
    }
    if stream.kind == "video" {
        stream.frames = i64::try_from(samples.len()).ok();
        stream.width = positive(number(24));
        stream.height = positive(number(26));
    }
    Ok(stream)
}
