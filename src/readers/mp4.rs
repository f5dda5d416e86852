//! The MP4 container (ISO/IEC 14496-12, QuickTime): tracks, sample tables, edit lists.
//!
//! Only the index (`moov`) is read into memory, never the media data: a sample
//! is fetched by its offset when it is wanted. The boxes are read here and not
//! by a crate because the ones there are either ignore edit lists or panic, loop or
//! allocate without bound on a damaged index.
//!
//! Functions give `Result<_, String>`; the message says what is wrong and what
//! to do, and the caller puts the file's name before it.

mod boxes;
mod samples;
mod timeline;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::trouble::Trouble;
use crate::access::scope;
pub use boxes::{FourCc, boxes, find, name};
use boxes::{be32, be64, damaged, fourcc_at, require, table, u32_at, version};
pub use samples::{Sample, read_sample};
pub use timeline::{Shown, Timeline};

/// An open MP4 file and its index.
#[derive(Debug)]
pub struct Movie {
    file: File,
    length: u64,
    /// Ticks per second of the edit lists' durations.
    pub timescale: u32,
    pub tracks: Vec<Track>,
}

/// One track of a movie, as its headers describe it.
#[derive(Debug)]
pub struct Track {
    /// What the track holds: `vide`, `soun`, `sbtl`, `text`, …
    pub handler: FourCc,
    /// The coding of its first sample description, such as `avc1`.
    pub codec: FourCc,
    /// The body of that sample description.
    pub description: Vec<u8>,
    /// Whether it is meant to be played; of several languages often only one is.
    pub enabled: bool,
    /// ISO 639-2, such as `eng`; None where the file does not say.
    pub language: Option<String>,
    /// The linear part of the display matrix, `[a, b, c, d]` in 16.16 fixed
    /// point: (x, y) is shown at (a·x + c·y, b·x + d·y).
    pub matrix: [i32; 4],
    /// Ticks per second of the sample times.
    pub timescale: u32,
    pub edits: Vec<Edit>,
    tables: Vec<u8>,
}

/// One entry of an edit list: what is shown next, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// In ticks of the movie; 0 means to the end of the media.
    pub duration: u64,
    /// In ticks of the track; `None` shows nothing.
    pub media_time: Option<i64>,
}

/// Whether a file that begins with these 12 bytes is an MP4 or a QuickTime movie.
pub fn is_movie(start: &[u8]) -> bool {
    let kind = start.get(4..8);
    matches!(
        kind,
        Some(b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip")
    )
}

impl Movie {
    /// Reads the index of an MP4, M4V or MOV file.
    pub fn open(path: &Path) -> Result<Self, String> {
        Self::try_open(path).map_err(String::from)
    }

    /// The same, and the error says whether another program may read the file.
    pub fn try_open(path: &Path) -> Result<Self, Trouble> {
        let mut file = scope::open(path).map_err(|e| e.to_string())?;
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let moov = read_moov(&mut file, length)?;
        let children = boxes(&moov)?;
        if find(&children, b"cmov").is_some() {
            return Err(Trouble::Foreign(remux(
                "its index is compressed (QuickTime cmov)",
            )));
        }
        let timescale = timescale(require(&children, b"mvhd")?)?;
        let tracks = children
            .iter()
            .filter(|(kind, _)| kind == b"trak")
            .map(|(_, body)| Track::parse(body))
            .collect::<Result<Vec<_>, _>>()?;
        if find(&children, b"mvex").is_some() {
            return Err(Trouble::Foreign(remux(
                "it is a fragmented MP4, as streams and recorders write it",
            )));
        }
        Ok(Self {
            file,
            length,
            timescale,
            tracks,
        })
    }

    /// The file's length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads one sample into `buffer`, replacing what is there.
    pub fn read(&mut self, sample: &Sample, buffer: &mut Vec<u8>) -> Result<(), String> {
        read_sample(&mut self.file, self.length, sample, buffer)
    }

    /// The file, from which [`read_sample`] reads, and its length in bytes.
    pub fn into_file(self) -> (File, u64) {
        (self.file, self.length)
    }
}

impl Track {
    fn parse(trak: &[u8]) -> Result<Self, String> {
        let children = boxes(trak)?;
        let tkhd = require(&children, b"tkhd")?;
        let at = if version(tkhd)? == 1 { 52 } else { 40 };
        let element = |i: usize| Ok::<_, String>(u32_at(tkhd, at + 4 * i)? as i32);
        let matrix = [element(0)?, element(1)?, element(3)?, element(4)?];
        let edits = match find(&children, b"edts") {
            Some(edts) => match find(&boxes(edts)?, b"elst") {
                Some(elst) => parse_edits(elst)?,
                None => Vec::new(),
            },
            None => Vec::new(),
        };

        let mdia = boxes(require(&children, b"mdia")?)?;
        let mdhd = require(&mdia, b"mdhd")?;
        let timescale = timescale(mdhd)?;
        let language = language(mdhd)?;
        let handler = fourcc_at(require(&mdia, b"hdlr")?, 8)?;
        let minf = boxes(require(&mdia, b"minf")?)?;
        let tables = require(&minf, b"stbl")?.to_vec();
        let stbl = boxes(&tables)?;
        let stsd = require(&stbl, b"stsd")?;
        let descriptions = boxes(stsd.get(8..).ok_or_else(|| damaged("stsd is too short"))?)?;
        let (codec, description) = descriptions
            .first()
            .map(|(codec, body)| (*codec, body.to_vec()))
            .ok_or_else(|| damaged("a track has no sample description"))?;
        Ok(Self {
            handler,
            codec,
            description,
            enabled: tkhd[3] & 1 != 0,
            language,
            matrix,
            timescale,
            edits,
            tables,
        })
    }

    /// A box inside the sample description, whose own fields take `skip` bytes.
    pub fn description_box(&self, skip: usize, kind: &FourCc) -> Result<Option<&[u8]>, String> {
        match self.description.get(skip..) {
            Some(rest) => Ok(find(&boxes(rest)?, kind)),
            None => Err(damaged("a sample description is too short")),
        }
    }
}

fn parse_edits(elst: &[u8]) -> Result<Vec<Edit>, String> {
    let long = version(elst)? == 1;
    table(elst, if long { 20 } else { 12 })?
        .map(|entry| {
            let (duration, media_time, rate) = if long {
                (be64(entry), be64(&entry[8..]) as i64, be32(&entry[16..]))
            } else {
                (
                    u64::from(be32(entry)),
                    i64::from(be32(&entry[4..]) as i32),
                    be32(&entry[8..]),
                )
            };
            let media_time = (media_time >= 0).then_some(media_time);
            if media_time.is_some() && rate != 0x0001_0000 {
                return Err("its edit list changes the speed or freezes a picture; \
                     `ffmpeg -i in.mp4 out.mp4` writes one that plays straight through"
                    .to_string());
            }
            Ok(Edit {
                duration,
                media_time,
            })
        })
        .collect()
}

/// The language of an `mdhd` box: three letters of five bits; `und` is none.
fn language(mdhd: &[u8]) -> Result<Option<String>, String> {
    let at = if version(mdhd)? == 1 { 32 } else { 20 };
    let Some(&[high, low]) = mdhd.get(at..at + 2) else {
        return Err(damaged("mdhd is too short"));
    };
    let bits = u16::from_be_bytes([high, low]);
    let letter = |shift: u16| char::from((bits >> shift & 31) as u8 + 0x60);
    let language: String = [letter(10), letter(5), letter(0)].iter().collect();
    // QuickTime's own numbers, below 0x400, give other letters.
    let says = bits >= 0x400 && bits != 0x7fff && language != "und";
    Ok(says.then_some(language))
}

/// Finds `moov` among the file's outermost boxes and reads it.
fn read_moov(file: &mut File, length: u64) -> Result<Vec<u8>, Trouble> {
    const OUTERMOST: [&FourCc; 13] = [
        b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"uuid",
        b"sidx", b"meta", b"udta",
    ];
    let mut at = 0u64;
    while length - at >= 8 {
        let mut header = [0u8; 16];
        let have = (length - at).min(16) as usize;
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(&mut header[..have]))
            .map_err(|e| e.to_string())?;
        let kind = fourcc_at(&header, 4)?;
        if at == 0 && !OUTERMOST.contains(&&kind) {
            break;
        }
        let (skip, size) = match be32(&header) {
            0 => (8, length - at),
            1 => (16, be64(&header[8..])),
            size => (8, u64::from(size)),
        };
        if size < skip {
            return Err(Trouble::Damaged(damaged(&format!(
                "box {} at byte {at} has no length",
                name(&kind)
            ))));
        }
        if kind == *b"moov" && size <= length - at {
            let mut moov = vec![0; (size - skip) as usize];
            file.seek(SeekFrom::Start(at + skip))
                .and_then(|_| file.read_exact(&mut moov))
                .map_err(|e| e.to_string())?;
            return Ok(moov);
        }
        if size >= length - at {
            return Err(Trouble::Damaged(format!(
                "the index (moov box) is missing: the file ends at byte {length}, within box {} \
                 that begins at byte {at}; the copy or the recording was cut off, get the file again",
                name(&kind)
            )));
        }
        at += size;
    }
    if at == 0 {
        return Err(Trouble::Foreign(
            "this is not an MP4 or MOV file; `ffmpeg -i FILE -c copy out.mp4` converts \
             other containers without loss"
                .to_string(),
        ));
    }
    Err(Trouble::Damaged(
        "the index (moov box) is missing: the copy or the recording was cut off, get the file again"
            .to_string(),
    ))
}

/// Ticks per second from `mvhd` or `mdhd`, which begin alike.
fn timescale(header: &[u8]) -> Result<u32, String> {
    match u32_at(header, if version(header)? == 1 { 20 } else { 12 })? {
        0 => Err(damaged("a time scale is 0")),
        ticks => Ok(ticks),
    }
}

fn remux(what: &str) -> String {
    format!("{what}; `ffmpeg -i in.mp4 -c copy out.mp4` writes a plain one without loss")
}
