//! The text tracks of an MP4.

use std::path::Path;

use super::super::mp4::{Movie, Sample, Timeline, Track, boxes, find, name};
use super::{Cue, markup};

/// The cues of an MP4's text track.
pub struct Captions {
    movie: Movie,
    language: Option<String>,
    samples: Vec<Sample>,
    timeline: Timeline,
    next: usize,
    text_of: fn(&[u8]) -> Result<String, String>,
    buffer: Vec<u8>,
}

impl Captions {
    /// Of the text tracks the `stream`th from 0, or the first that can be read.
    pub fn open(path: &Path, stream: Option<usize>) -> Result<Self, String> {
        let movie = Movie::open(path)?;
        let (track, text_of) = text_track(&movie, stream)?;
        let samples = movie.samples(track)?;
        let timeline = movie.timeline(track, &samples)?;
        Ok(Self {
            language: track.language.clone(),
            movie,
            samples,
            timeline,
            next: 0,
            text_of,
            buffer: Vec::new(),
        })
    }

    /// As the track names it.
    pub fn language(&self) -> Option<&str> {
        self.language.as_deref()
    }
}

impl Iterator for Captions {
    type Item = Result<Cue, String>;

    fn next(&mut self) -> Option<Self::Item> {
        // Samples follow each other without a gap: silence is a sample without text.
        while let Some(shown) = self.timeline.shown.get(self.next).copied() {
            self.next += 1;
            let onset = self.timeline.seconds(shown.start);
            let text = self
                .movie
                .read(&self.samples[shown.sample], &mut self.buffer)
                .and_then(|()| (self.text_of)(&self.buffer))
                .map_err(|e| format!("subtitle at {onset} s: {e}"));
            match text {
                Err(e) => return Some(Err(e)),
                Ok(text) => {
                    if !text.is_empty() {
                        let duration = self.timeline.seconds(shown.end - shown.start);
                        return Some(Ok(Cue {
                            onset,
                            duration,
                            text,
                        }));
                    }
                }
            }
        }
        None
    }
}

/// A track, and what its samples say.
type Texts<'a> = (&'a Track, fn(&[u8]) -> Result<String, String>);

fn text_track(movie: &Movie, stream: Option<usize>) -> Result<Texts<'_>, String> {
    let is_text = |t: &&Track| matches!(&t.handler, b"sbtl" | b"text" | b"subt" | b"clcp");
    let tracks: Vec<&Track> = movie.tracks.iter().filter(is_text).collect();
    let Some(first) = tracks.first() else {
        let others: Vec<_> = movie.tracks.iter().map(|t| name(&t.codec)).collect();
        return Err(format!(
            "it has no subtitle track; its tracks are {}",
            others.join(", ")
        ));
    };
    let coded_as = |track: &Track| {
        format!(
            "its subtitles are coded as {}, and only 'tx3g' and 'wvtt' are read; \
             `ffmpeg -i in.mp4 -map 0:s:{} out.srt` converts them",
            name(&track.codec),
            stream.unwrap_or(0)
        )
    };
    match stream {
        Some(stream) => match tracks.get(stream) {
            Some(track) => readable(track).ok_or_else(|| coded_as(track)),
            None => Err(format!(
                "there is no subtitle stream {stream}: it has {}, numbered from 0",
                tracks.len()
            )),
        },
        None => {
            let mut readable = tracks.iter().filter_map(|track| readable(track));
            readable.next().ok_or_else(|| coded_as(first))
        }
    }
}

fn readable(track: &Track) -> Option<Texts<'_>> {
    match &track.codec {
        b"tx3g" | b"text" => Some((track, timed_text)),
        b"wvtt" => Some((track, webvtt_cues)),
        _ => None,
    }
}

/// The text of one `tx3g` sample: a length, the text, and boxes about style.
pub fn timed_text(sample: &[u8]) -> Result<String, String> {
    let text = match sample {
        [] => &[],
        [high, low, rest @ ..] => rest
            .get(..u16::from_be_bytes([*high, *low]) as usize)
            .ok_or("it claims more text than it holds")?,
        [_] => return Err("it is one byte long".to_string()),
    };
    let text = match text {
        [0xFE, 0xFF, utf16 @ ..] => {
            let units = utf16
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]));
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .map_err(|_| "its text is not UTF-16".to_string())?
        }
        _ => String::from_utf8(text.to_vec()).map_err(|_| "its text is not UTF-8".to_string())?,
    };
    Ok(markup::plain(&text))
}

/// The text of one `wvtt` sample (ISO/IEC 14496-30): a `vttc` box for each cue, whose `payl` has
/// its text, or `vtte` for none.
pub fn webvtt_cues(sample: &[u8]) -> Result<String, String> {
    let mut texts = Vec::new();
    for (kind, body) in boxes(sample)? {
        if &kind == b"vttc"
            && let Some(text) = find(&boxes(body)?, b"payl")
        {
            let text = str::from_utf8(text).map_err(|_| "its text is not UTF-8".to_string())?;
            texts.push(markup::webvtt(text));
        }
    }
    Ok(markup::plain(&texts.join(" ")))
}
