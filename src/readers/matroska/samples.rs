//! Where each block of a track of a Matroska file lies (RFC 9559; WebM is such a file).
//!
//! The file is walked once from block to block without reading what is in them, which
//! gives the same table of samples that an MP4 carries in its index. symphonia's reader of
//! the format says neither where a block lies nor whether decoding can begin there, and has to
//! read all of the file to say when its pictures are shown.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::track::Track;
use crate::access::scope;
use crate::readers::ebml::{self, damaged, elements, id, identifier, number, unsigned};
use crate::readers::mp4::{Sample, Shown, Timeline};
use crate::readers::trouble::Trouble;

/// What a Matroska file begins with.
pub const MAGIC: [u8; 4] = id::EBML.to_be_bytes();

const NANOSECONDS: i64 = 1_000_000_000;

/// The largest header elements that are read into memory (a `CodecPrivate` may hold fonts).
const MAX_HEADER: u64 = 64 << 20;

/// An open Matroska file and its tracks.
#[derive(Debug)]
pub struct Matroska {
    file: BufReader<File>,
    length: u64,
    /// Nanoseconds of a tick.
    scale: u64,
    pub tracks: Vec<Track>,
}

impl Matroska {
    /// Reads the headers, as far as the first block.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let file = scope::open(path).map_err(|e| e.to_string())?;
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let mut this = Self {
            // Small, for most of what is between two headers is skipped.
            file: BufReader::with_capacity(4096, file),
            length,
            scale: 1_000_000,
            tracks: vec![],
        };
        let mut at = 0;
        while let Some(element) = this.element(at)? {
            at = match element.id {
                id::SEGMENT => {
                    this.check_end(&element)?;
                    element.body
                }
                id::CLUSTER => break,
                id::INFO | id::TRACKS => {
                    let body = this.body(&element)?;
                    match element.id {
                        id::INFO => this.read_info(&body)?,
                        _ => this.read_tracks(&body)?,
                    }
                    element.end()?
                }
                _ => element.end()?,
            };
        }
        if this.tracks.is_empty() {
            return Err(damaged("it has no track before its first cluster").into());
        }
        Ok(this)
    }

    /// A Segment says how long it is, unless the file was written as a stream.
    fn check_end(&self, segment: &Element) -> Result<(), String> {
        match segment.size {
            Some(size) if segment.body.saturating_add(size) > self.length => Err(format!(
                "the file is cut off: it ends at byte {} and says that it has {}; get the file \
                 again, or save what is there with `ffmpeg -i in.mkv -c copy out.mkv`",
                self.length,
                segment.body.saturating_add(size)
            )),
            _ => Ok(()),
        }
    }

    fn read_info(&mut self, info: &[u8]) -> Result<(), String> {
        for (kind, body) in elements(info)? {
            if kind == id::TIMESTAMP_SCALE {
                self.scale = unsigned(body)?;
            }
        }
        // A tick of a second at most: then times of years stay in range.
        match (1..=NANOSECONDS as u64).contains(&self.scale) {
            true => Ok(()),
            false => Err(damaged("its time scale is out of range")),
        }
    }

    fn read_tracks(&mut self, tracks: &[u8]) -> Result<(), String> {
        for (kind, entry) in elements(tracks)? {
            if kind == id::TRACK_ENTRY {
                self.tracks.push(Track::parse(entry)?);
            }
        }
        Ok(())
    }

    /// The blocks of a track in the order in which they stand, which is that of decoding.
    /// Times are nanoseconds.
    pub fn samples(&mut self, track: usize) -> Result<Vec<Sample>, Trouble> {
        let Some(track) = self.tracks.get(track) else {
            return Err("it has no such track".into());
        };
        let number = track.id;
        let scale = self.scale as i64;
        let nanoseconds = |ticks: i64| {
            ticks
                .checked_mul(scale)
                .ok_or_else(|| damaged("a time is out of range"))
        };
        let default_duration = track.frame_duration.and_then(|d| u32::try_from(d).ok());
        let mut samples: Vec<Sample> = vec![];
        let mut cluster = 0i64;
        // The sample whose group of block and attributes is being read.
        let mut group: Option<usize> = None;
        let mut at = 0;
        while let Some(element) = self.element(at)? {
            at = match element.id {
                // Their children follow like the rest: where they end is of no interest.
                id::SEGMENT | id::CLUSTER | id::BLOCK_GROUP => {
                    group = None;
                    element.body
                }
                id::TIMESTAMP => {
                    cluster = i64::try_from(unsigned(&self.body(&element)?)?)
                        .map_err(|_| damaged("a time is out of range"))?;
                    element.end()?
                }
                id::SIMPLE_BLOCK | id::BLOCK => {
                    let end = element.end()?;
                    if end > self.length {
                        break; // A stream that was cut off: its last block is not whole.
                    }
                    let block = self.block(&element)?;
                    if block.track == number {
                        if block.is_laced {
                            return Err(Trouble::Foreign(
                                "several pictures share a block (lacing)".to_string(),
                            ));
                        }
                        let ticks = cluster.saturating_add(i64::from(block.ticks));
                        group = (element.id == id::BLOCK).then_some(samples.len());
                        samples.push(Sample {
                            offset: block.offset,
                            size: u32::try_from(end - block.offset)
                                .map_err(|_| damaged("a block is too large"))?,
                            composition: nanoseconds(ticks)?,
                            duration: default_duration.unwrap_or(0),
                            is_sync: block.is_sync || element.id == id::BLOCK,
                        });
                    }
                    end
                }
                id::REFERENCE_BLOCK => {
                    if let Some(sample) = group {
                        samples[sample].is_sync = false;
                    }
                    element.end()?
                }
                id::BLOCK_DURATION => {
                    let ticks = i64::try_from(unsigned(&self.body(&element)?)?)
                        .map_err(|_| damaged("a time is out of range"))?;
                    if let Some(sample) = group {
                        samples[sample].duration =
                            u32::try_from(nanoseconds(ticks)?).unwrap_or(u32::MAX);
                    }
                    element.end()?
                }
                _ => element.end()?,
            };
        }
        Ok(samples)
    }

    /// The file, from which [`read_sample`](crate::readers::mp4::read_sample) reads, and its length.
    pub fn into_file(self) -> (File, u64) {
        (self.file.into_inner(), self.length)
    }

    /// The header of the element at a byte; `None` at the end of the file.
    fn element(&mut self, at: u64) -> Result<Option<Element>, String> {
        let mut header = [0; 12];
        let have = self.length.saturating_sub(at).min(12) as usize;
        if have < 2 {
            return Ok(None);
        }
        self.read(at, &mut header[..have])?;
        let Some((id, id_width)) = identifier(&header[..have]) else {
            return Err(damaged(&format!("no element begins at byte {at}")));
        };
        match number(&header[id_width..have]) {
            Some((size, width)) => Ok(Some(Element {
                id,
                body: at + (id_width + width) as u64,
                size,
            })),
            // Cut off within the header.
            None if have < 12 => Ok(None),
            None => Err(damaged(&format!("the element at byte {at} has no length"))),
        }
    }

    fn body(&mut self, element: &Element) -> Result<Vec<u8>, String> {
        let size = element.size.unwrap_or(u64::MAX);
        if size > MAX_HEADER || element.end()? > self.length {
            return Err(damaged(&format!(
                "the element at byte {} claims {size} bytes",
                element.body
            )));
        }
        let mut body = vec![0; size as usize];
        self.read(element.body, &mut body)?;
        Ok(body)
    }

    /// What stands before the data of a block.
    fn block(&mut self, element: &Element) -> Result<Block, String> {
        let mut head = [0; 11];
        let have = element.size.unwrap_or(0).min(11) as usize;
        self.read(element.body, &mut head[..have])?;
        let short = || damaged(&format!("the block at byte {} is too short", element.body));
        let (track, ticks, rest) = ebml::block(&head[..have]).ok_or_else(short)?;
        let &flags = rest.first().ok_or_else(short)?;
        Ok(Block {
            track: track.unwrap_or(u64::MAX),
            ticks,
            is_sync: flags & 0x80 != 0,
            is_laced: flags & 0x06 != 0,
            offset: element.body + (have - rest.len()) as u64 + 1,
        })
    }

    fn read(&mut self, at: u64, buffer: &mut [u8]) -> Result<(), String> {
        let here = self.file.stream_position().map_err(|e| e.to_string())?;
        // Within what is buffered already this reads nothing.
        let moved = match i64::try_from(i128::from(at) - i128::from(here)) {
            Ok(by) => self.file.seek_relative(by),
            Err(_) => self.file.seek(SeekFrom::Start(at)).map(|_| ()),
        };
        moved
            .and_then(|()| self.file.read_exact(buffer))
            .map_err(|e| format!("cannot read {} bytes at {at}: {e}", buffer.len()))
    }
}

/// When samples with their own time stamps are shown: each until the next one, the last for
/// its duration, or for that of the one before where it has none.
pub fn timeline(samples: &[Sample]) -> Timeline {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|&i| samples[i].composition);
    let start = |rank: usize| samples[order[rank]].composition;
    let shown = (0..order.len()).map(|rank| {
        let sample = order[rank];
        let end = if rank + 1 < order.len() {
            start(rank + 1)
        } else if samples[sample].duration > 0 || rank == 0 {
            start(rank).saturating_add(i64::from(samples[sample].duration))
        } else {
            start(rank).saturating_add(start(rank).saturating_sub(start(rank - 1)))
        };
        Shown {
            sample,
            start: start(rank),
            end,
        }
    });
    Timeline {
        ticks_per_second: NANOSECONDS,
        shown: shown.collect(),
    }
}

/// Where an element's body lies.
#[derive(Debug, Clone, Copy)]
struct Element {
    id: u32,
    body: u64,
    /// `None`: until an element that cannot be within.
    size: Option<u64>,
}

impl Element {
    fn end(&self) -> Result<u64, String> {
        self.size
            .and_then(|size| self.body.checked_add(size))
            .ok_or_else(|| damaged(&format!("the element at byte {} has no end", self.body)))
    }
}

struct Block {
    track: u64,
    ticks: i16,
    is_sync: bool,
    is_laced: bool,
    offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_picture_has_an_end() {
        let sample = |composition, duration| Sample {
            offset: 0,
            size: 0,
            composition,
            duration,
            is_sync: true,
        };
        let ends = |samples: &[Sample]| -> Vec<i64> {
            timeline(samples).shown.iter().map(|s| s.end).collect()
        };
        assert_eq!(
            ends(&[sample(0, 0), sample(70, 0), sample(40, 0)]),
            [40, 70, 100]
        );
        assert_eq!(ends(&[sample(0, 5), sample(40, 5)]), [40, 45]);
        assert_eq!(ends(&[]), [0i64; 0]);
    }
}
