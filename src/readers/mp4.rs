//! The MP4 container (ISO/IEC 14496-12, QuickTime): tracks, sample tables, edit lists.
//!
//! Only the index (`moov`) is read into memory, never the media data: a sample
//! is fetched by its offset when it is wanted. The boxes are read here and not
//! by a crate because the ones there are either ignore edit lists or panic, loop or
//! allocate without bound on a damaged index.
//!
//! Functions give `Result<_, String>`; the message says what is wrong and what
//! to do, and the caller puts the file's name before it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::trouble::Trouble;
use crate::access::scope;

/// A four-character code such as `avc1`.
pub type FourCc = [u8; 4];

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

/// Where one sample (a coded picture, a caption) lies and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub offset: u64,
    pub size: u32,
    /// Composition time in ticks of the track, before edit lists.
    pub composition: i64,
    /// In ticks of the track.
    pub duration: u32,
    /// Whether decoding can begin here.
    pub is_sync: bool,
}

/// When the samples of a track are shown, edit list applied; the movie starts at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    pub ticks_per_second: i64,
    /// In order of presentation. A sample may stand here twice in a row (an
    /// edit cut through it) or not at all (cut away).
    pub shown: Vec<Shown>,
}

/// One sample on screen, in ticks of its [`Timeline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Index into the track's samples, which are in order of decoding.
    pub sample: usize,
    pub start: i64,
    pub end: i64,
}

impl Timeline {
    /// A tick in seconds, correctly rounded.
    pub fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 / self.ticks_per_second as f64
    }
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

    /// The times at which the samples of `track` are shown.
    ///
    /// A sample is shown from its composition time to the next one's; the last
    /// for its own duration. What lies outside the edit list is cut away; a
    /// sample through which an edit begins is shown from the edit's begin.
    pub fn timeline(&self, track: &Track, samples: &[Sample]) -> Result<Timeline, String> {
        let (media, movie) = (i128::from(track.timescale), i128::from(self.timescale));
        let ticks_per_second = media / gcd(media, movie) * movie;
        let per_media = ticks_per_second / media;
        let per_movie = ticks_per_second / movie;

        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|&i| samples[i].composition);
        let begin = |i: usize| i128::from(samples[i].composition) * per_media;
        let end = |rank: usize| match order.get(rank + 1) {
            Some(&next) => begin(next),
            None => begin(order[rank]) + i128::from(samples[order[rank]].duration) * per_media,
        };

        let mut shown = Vec::with_capacity(samples.len());
        let mut show = |sample, start, end| -> Result<(), String> {
            let ticks = |t: i128| i64::try_from(t).map_err(|_| damaged("a time is out of range"));
            shown.push(Shown {
                sample,
                start: ticks(start)?,
                end: ticks(end)?,
            });
            Ok(())
        };
        if track.edits.is_empty() {
            for (rank, &i) in order.iter().enumerate() {
                show(i, begin(i), end(rank))?;
            }
        }
        let mut at = 0; // the movie's clock
        let mut rank = 0; // the first sample that an edit can still show
        let mut played = i128::MIN; // the media's clock
        for edit in &track.edits {
            let duration = i128::from(edit.duration) * per_movie;
            let Some(media_time) = edit.media_time else {
                at += duration;
                continue;
            };
            let from = i128::from(media_time) * per_media;
            let to = if edit.duration == 0 {
                i128::MAX
            } else {
                from + duration
            };
            // Durations are rounded to the movie's ticks, so cuts may overlap by one.
            if from < played.saturating_sub(per_movie.max(per_media)) {
                return Err("its edit list repeats or reorders parts of the track; \
                     `ffmpeg -i in.mp4 out.mp4` writes one that plays straight through"
                    .to_string());
            }
            while rank < order.len() {
                let (i, stop) = (order[rank], end(rank));
                let start = begin(i);
                if start >= to {
                    break;
                }
                if stop > from || start >= from {
                    show(i, at + start.max(from) - from, at + stop.min(to) - from)?;
                }
                if stop > to {
                    break; // the next edit may begin within this sample
                }
                rank += 1;
            }
            played = to;
            at += duration;
        }
        Ok(Timeline {
            ticks_per_second: i64::try_from(ticks_per_second)
                .map_err(|_| damaged("its time scales are out of range"))?,
            shown,
        })
    }

    /// Every sample of a track, in order of decoding.
    pub fn samples(&self, track: &Track) -> Result<Vec<Sample>, String> {
        let stbl = boxes(&track.tables)?;
        let stsz = require(&stbl, b"stsz")?;
        let constant = u32_at(stsz, 4)?;
        let count = u32_at(stsz, 8)? as usize;
        // A constant size is a count without a table: the file's length bounds it.
        if count as u64 * u64::from(constant) > self.length {
            return Err(damaged(
                "a track claims more samples than the file can hold",
            ));
        }
        let sizes = match constant {
            0 => entries(stsz, 12, count, 4)?,
            _ => &[],
        };
        let chunks = match find(&stbl, b"stco") {
            Some(stco) => table(stco, 4)?
                .map(|e| u64::from(be32(e)))
                .collect::<Vec<_>>(),
            None => table(require(&stbl, b"co64")?, 8)?.map(be64).collect(),
        };
        let in_chunk = SamplesPerChunk::new(require(&stbl, b"stsc")?)?;
        let mut durations = Runs::new(require(&stbl, b"stts")?)?;
        let mut offsets = match find(&stbl, b"ctts") {
            Some(ctts) => Some(Runs::new(ctts)?),
            None => None,
        };

        // Without the table all are; its numbers count from 1 and rise.
        let mut sync = match find(&stbl, b"stss") {
            Some(stss) => Some(table(stss, 4)?.map(be32).peekable()),
            None => None,
        };

        let mut samples = Vec::with_capacity(sizes.len() / 4);
        let mut decode = 0i64;
        for (chunk, &offset) in chunks.iter().enumerate() {
            let mut offset = offset;
            for _ in 0..in_chunk.of(chunk)? {
                if samples.len() == count {
                    break;
                }
                let size = match constant {
                    0 => be32(&sizes[4 * samples.len()..]),
                    size => size,
                };
                let duration = durations
                    .next()
                    .ok_or_else(|| damaged("stts is too short"))?;
                // Signed in practice, whatever the version of the box.
                let shift = match &mut offsets {
                    Some(runs) => runs.next().ok_or_else(|| damaged("ctts is too short"))? as i32,
                    None => 0,
                };
                let number = samples.len() as u32 + 1;
                let is_sync = match &mut sync {
                    Some(numbers) => {
                        while numbers.next_if(|n| *n < number).is_some() {}
                        numbers.peek() == Some(&number)
                    }
                    None => true,
                };
                samples.push(Sample {
                    offset,
                    size,
                    composition: decode.saturating_add(i64::from(shift)),
                    duration,
                    is_sync,
                });
                decode = decode
                    .checked_add(i64::from(duration))
                    .ok_or_else(|| damaged("a time is out of range"))?;
                offset = offset
                    .checked_add(u64::from(size))
                    .ok_or_else(|| damaged("a sample lies beyond any file"))?;
            }
        }
        if samples.len() < count {
            return Err(damaged(&format!(
                "a track has {count} samples and its chunks hold {}",
                samples.len()
            )));
        }
        Ok(samples)
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

/// Reads one sample of a file of `length` bytes into `buffer`, replacing what is there.
pub fn read_sample(
    file: &mut File,
    length: u64,
    sample: &Sample,
    buffer: &mut Vec<u8>,
) -> Result<(), String> {
    if sample.offset.saturating_add(u64::from(sample.size)) > length {
        return Err(format!("the file is cut off: it ends at byte {length}"));
    }
    buffer.clear();
    buffer.resize(sample.size as usize, 0);
    file.seek(SeekFrom::Start(sample.offset))
        .and_then(|_| file.read_exact(buffer))
        .map_err(|e| {
            format!(
                "cannot read {} bytes at {}: {e}",
                sample.size, sample.offset
            )
        })
}

/// A table of (count, value) pairs, unrolled.
struct Runs<'a> {
    entries: std::slice::ChunksExact<'a, u8>,
    left: u32,
    value: u32,
}

impl<'a> Runs<'a> {
    fn new(body: &'a [u8]) -> Result<Self, String> {
        Ok(Self {
            entries: table(body, 8)?,
            left: 0,
            value: 0,
        })
    }
}

impl Iterator for Runs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.left == 0 {
            let entry = self.entries.next()?;
            (self.left, self.value) = (be32(entry), be32(&entry[4..]));
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// The `stsc` table: how many samples each chunk holds.
struct SamplesPerChunk(Vec<(u32, u32)>);

impl SamplesPerChunk {
    fn new(body: &[u8]) -> Result<Self, String> {
        let mut runs = Vec::new();
        for entry in table(body, 12)? {
            if be32(&entry[8..]) != 1 {
                return Err(
                    "it changes its coding within a track (several sample descriptions); \
                     `ffmpeg -i in.mp4 out.mp4` writes one coding"
                        .to_string(),
                );
            }
            runs.push((be32(entry), be32(&entry[4..])));
        }
        Ok(Self(runs))
    }

    /// The number of samples in the chunk at a 0-based index.
    fn of(&self, chunk: usize) -> Result<u32, String> {
        let after = self
            .0
            .partition_point(|(first, _)| *first as usize <= chunk + 1);
        match after.checked_sub(1) {
            Some(run) => Ok(self.0[run].1),
            None => Err(damaged("stsc does not begin with the first chunk")),
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

/// The boxes in a stretch of the index.
pub fn boxes(mut data: &[u8]) -> Result<Vec<(FourCc, &[u8])>, String> {
    let mut found = Vec::new();
    while data.len() >= 8 {
        let kind = fourcc_at(data, 4)?;
        let (skip, size) = match be32(data) {
            0 => break, // QuickTime ends some lists so
            1 if data.len() >= 16 => (16, be64(&data[8..])),
            size => (8, u64::from(size)),
        };
        if size < skip || size > data.len() as u64 {
            return Err(damaged(&format!(
                "box {} claims {size} bytes where {} are left",
                name(&kind),
                data.len()
            )));
        }
        let (body, rest) = data.split_at(size as usize);
        found.push((kind, &body[skip as usize..]));
        data = rest;
    }
    Ok(found)
}

/// The body of the first box of a kind.
pub fn find<'a>(boxes: &[(FourCc, &'a [u8])], kind: &FourCc) -> Option<&'a [u8]> {
    boxes.iter().find(|(k, _)| k == kind).map(|(_, body)| *body)
}

fn require<'a>(boxes: &[(FourCc, &'a [u8])], kind: &FourCc) -> Result<&'a [u8], String> {
    find(boxes, kind).ok_or_else(|| damaged(&format!("box {} is missing", name(kind))))
}

/// The entries of a box made of version, flags, a count and that many entries.
fn table(body: &[u8], width: usize) -> Result<std::slice::ChunksExact<'_, u8>, String> {
    let count = u32_at(body, 4)? as usize;
    Ok(entries(body, 8, count, width)?.chunks_exact(width))
}

fn entries(body: &[u8], at: usize, count: usize, width: usize) -> Result<&[u8], String> {
    count
        .checked_mul(width)
        .and_then(|bytes| body.get(at..)?.get(..bytes))
        .ok_or_else(|| {
            damaged(&format!(
                "a table claims {count} entries, more than it holds"
            ))
        })
}

fn version(body: &[u8]) -> Result<u8, String> {
    body.first()
        .copied()
        .ok_or_else(|| damaged("a box is empty"))
}

/// Ticks per second from `mvhd` or `mdhd`, which begin alike.
fn timescale(header: &[u8]) -> Result<u32, String> {
    match u32_at(header, if version(header)? == 1 { 20 } else { 12 })? {
        0 => Err(damaged("a time scale is 0")),
        ticks => Ok(ticks),
    }
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, String> {
    data.get(at..at + 4)
        .map(be32)
        .ok_or_else(|| damaged("a box is too short"))
}

fn fourcc_at(data: &[u8], at: usize) -> Result<FourCc, String> {
    Ok(u32_at(data, at)?.to_be_bytes())
}

/// Big-endian number at the front of a slice that is known to hold it.
fn be32(data: &[u8]) -> u32 {
    u32::from_be_bytes([data[0], data[1], data[2], data[3]])
}

fn be64(data: &[u8]) -> u64 {
    u64::from(be32(data)) << 32 | u64::from(be32(&data[4..]))
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A four-character code for a message.
pub fn name(kind: &FourCc) -> String {
    format!("'{}'", kind.escape_ascii())
}

fn damaged(what: &str) -> String {
    format!("its index (moov box) is damaged: {what}")
}

fn remux(what: &str) -> String {
    format!("{what}; `ffmpeg -i in.mp4 -c copy out.mp4` writes a plain one without loss")
}
