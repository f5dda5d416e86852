//! The headers of Matroska and WebM files (RFC 9559): which streams there are.
//!
//! The packets are symphonia's business; it drops some of what the headers say about them.
//!
//! Functions give `Result<_, String>`; the message says what is wrong and what to do, and
//! the caller puts the file's name before it.

pub mod samples;
mod track;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::audio::choose;
use super::ebml::{self, damaged, elements, float, id, unsigned};
use crate::access::scope;
pub use track::{SOUND, Track, VIDEO};

/// What the headers say.
#[derive(Debug, Default)]
pub struct Header {
    pub tracks: Vec<Track>,
    /// Of the longest stream, in seconds.
    pub duration: Option<f64>,
    /// Whether the file ends before its headers say so.
    pub truncated: bool,
    /// Seconds in a tick of time stamps.
    tick: f64,
    /// Where the element after Tracks begins.
    after: u64,
}

/// More headers than any file has.
const MAX_HEADER: u64 = 16 << 20;

impl Header {
    /// Reads them.
    ///
    /// # Errors
    /// When there are none, or they are damaged.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut file = scope::open(path).map_err(|e| e.to_string())?;
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let mut header = Self {
            tick: 1e-3,
            ..Self::default()
        };
        let mut at = 0;
        let mut has_tracks = false;
        while at < length && !has_tracks {
            let element = Element::read(&mut file, at)?;
            let end = element.size.map(|size| element.body.saturating_add(size));
            let body = |file: &mut File| -> Result<Vec<u8>, String> {
                let size = element.size.filter(|&n| n <= MAX_HEADER);
                let size = size.ok_or_else(|| damaged("an element of it is too long"))?;
                let mut body = vec![0; size as usize];
                file.seek(SeekFrom::Start(element.body))
                    .and_then(|_| file.read_exact(&mut body))
                    .map_err(|_| damaged("it is cut off"))?;
                Ok(body)
            };
            match element.id {
                id::EBML => (),
                id::SEGMENT => {
                    header.truncated = end.is_some_and(|end| end > length);
                    at = element.body; // into it
                    continue;
                }
                id::INFO => (header.duration, header.tick) = duration(&body(&mut file)?)?,
                id::TRACKS => {
                    for (id, body) in elements(&body(&mut file)?)? {
                        if id == id::TRACK_ENTRY {
                            header.tracks.push(Track::parse(body)?);
                        }
                    }
                    has_tracks = true;
                }
                _ => (),
            }
            // A live recording's clusters have no length: headers do not come after them.
            at = end.ok_or_else(|| damaged("it does not say which tracks there are"))?;
            header.after = at;
        }
        if !has_tracks {
            return Err(damaged("it does not say which tracks there are"));
        }
        Ok(header)
    }

    /// The sound stream that is meant, as its number among them and its id.
    ///
    /// # Errors
    /// When there is no such stream.
    pub fn choose_sound(&self, wanted: Option<usize>) -> Result<(usize, u64), String> {
        let sounds: Vec<_> = self.sounds().collect();
        let default = sounds.iter().position(|track| track.is_default);
        let number = choose(wanted, sounds.len(), default)?;
        Ok((number, sounds[number].id))
    }

    /// The name of a sound stream's coding.
    pub fn codec_of_sound(&self, number: usize) -> Option<String> {
        Some(self.sounds().nth(number)?.codec.clone())
    }

    /// The encoder's delay of a sound stream, in seconds.
    pub fn delay_of_sound(&self, number: usize) -> f64 {
        let delay = self.sounds().nth(number).map_or(0, |t| t.codec_delay);
        delay as f64 / 1e9
    }

    /// When the first block of each track is due, in seconds, in the order of the tracks; None
    /// for one without blocks near the begin of the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn first_times(&self, path: &Path) -> Result<Vec<Option<f64>>, String> {
        let mut file = scope::open(path).map_err(|e| e.to_string())?;
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let mut clusters = Vec::new();
        for_each(&mut file, self.after..length, |_, element, end| {
            if element.id == id::CLUSTER && clusters.len() < 4 {
                clusters.push(element.body..end);
            }
            Ok(())
        })?;
        let mut times = vec![None; self.tracks.len()];
        for cluster in clusters {
            let mut time = 0;
            for_each(&mut file, cluster, |file, element, end| {
                let mut start = Vec::new();
                let size = (end - element.body).min(64);
                file.seek(SeekFrom::Start(element.body))
                    .and_then(|_| file.take(size).read_to_end(&mut start))
                    .map_err(|e| e.to_string())?;
                let block = match element.id {
                    id::TIMESTAMP => {
                        time = unsigned(&start)?;
                        None
                    }
                    id::SIMPLE_BLOCK => ebml::block(&start),
                    // The block comes first in its group.
                    id::BLOCK_GROUP => match ebml::header(&start) {
                        Some((id::BLOCK, _, used)) => start.get(used..).and_then(ebml::block),
                        _ => None,
                    },
                    _ => None,
                };
                let Some((id, at, _)) = block else {
                    return Ok(());
                };
                for (track, first) in self.tracks.iter().zip(&mut times) {
                    if Some(track.id) == id {
                        let delay = track.codec_delay as f64 / 1e9;
                        first.get_or_insert((time as f64 + f64::from(at)) * self.tick - delay);
                    }
                }
                Ok(())
            })?;
        }
        Ok(times)
    }

    /// Where the last block of track `id` begins that ends with padding, and how much of that
    /// there is; in seconds.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn padding(&self, path: &Path, id: u64) -> Result<Option<(f64, f64)>, String> {
        let mut file = scope::open(path).map_err(|e| e.to_string())?;
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let mut clusters = Vec::new();
        for_each(&mut file, self.after..length, |_, element, end| {
            if element.id == id::CLUSTER {
                clusters.push(element.body..end);
            }
            Ok(())
        })?;
        // The sound may end a little before the film.
        for cluster in clusters.into_iter().rev().take(4) {
            let (mut time, mut found) = (0, None);
            for_each(&mut file, cluster, |file, element, end| {
                let short = element.id == id::TIMESTAMP || element.id == id::BLOCK_GROUP;
                if !short || end - element.body > MAX_HEADER {
                    return Ok(());
                }
                let mut body = vec![0; (end - element.body) as usize];
                file.seek(SeekFrom::Start(element.body))
                    .and_then(|_| file.read_exact(&mut body))
                    .map_err(|e| e.to_string())?;
                if element.id == id::TIMESTAMP {
                    time = unsigned(&body)?;
                } else if let Some((at, nanoseconds)) = padded(&body, id) {
                    let ticks = time as f64 + f64::from(at);
                    found = Some((ticks * self.tick, nanoseconds as f64 / 1e9));
                }
                Ok(())
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn sounds(&self) -> impl Iterator<Item = &Track> {
        self.tracks.iter().filter(|track| track.kind == SOUND)
    }
}

/// Seconds, and those of a tick, from the body of Info.
fn duration(info: &[u8]) -> Result<(Option<f64>, f64), String> {
    let (mut scale, mut ticks) = (1_000_000, None);
    for (id, body) in elements(info)? {
        match id {
            id::TIMESTAMP_SCALE => scale = unsigned(body)?,
            id::DURATION => ticks = Some(float(body)?),
            _ => (),
        }
    }
    let tick = scale as f64 / 1e9;
    let seconds = ticks.map(|ticks: f64| ticks * tick);
    Ok((seconds.filter(|s| s.is_finite() && *s >= 0.0), tick))
}

/// An element of a file.
struct Element {
    id: u32,
    /// Where its body begins, in bytes.
    body: u64,
    /// None if it does not say.
    size: Option<u64>,
}

impl Element {
    fn read(file: &mut File, at: u64) -> Result<Self, String> {
        let mut start = Vec::with_capacity(12);
        file.seek(SeekFrom::Start(at))
            .and_then(|_| Read::by_ref(file).take(12).read_to_end(&mut start))
            .map_err(|e| e.to_string())?;
        let (id, size, used) = ebml::header(&start).ok_or_else(|| damaged("it is cut off"))?;
        Ok(Self {
            id,
            body: at + used as u64,
            size,
        })
    }
}

/// Goes through the elements of a part of a file, with the end of each; stops at one that
/// does not say how long it is, or is not wholly there.
fn for_each(
    file: &mut File,
    part: Range<u64>,
    mut each: impl FnMut(&mut File, &Element, u64) -> Result<(), String>,
) -> Result<(), String> {
    let mut at = part.start;
    while at < part.end {
        let Ok(element) = Element::read(file, at) else {
            break;
        };
        let end = element.size.and_then(|n| element.body.checked_add(n));
        let Some(end) = end.filter(|&end| end <= part.end) else {
            break;
        };
        each(file, &element, end)?;
        at = end;
    }
    Ok(())
}

/// When a block group of track `id` begins after its cluster, in ticks, and the nanoseconds
/// at its end that are not heard.
fn padded(group: &[u8], id: u64) -> Option<(i16, u64)> {
    let (mut time, mut padding) = (None, 0);
    for (kind, body) in elements(group).ok()? {
        match kind {
            id::BLOCK => {
                let (track, at, _) = ebml::block(body)?;
                time = (track == Some(id)).then_some(at);
            }
            // Signed; what is negative would be put in.
            id::DISCARD_PADDING if body.first()? & 0x80 == 0 => padding = unsigned(body).ok()?,
            _ => (),
        }
    }
    (padding > 0).then_some((time?, padding))
}
