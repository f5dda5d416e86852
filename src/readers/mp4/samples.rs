//! The sample tables: where each sample lies and when it is due.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::boxes::{be32, be64, boxes, damaged, entries, find, require, table, u32_at};
use super::{Movie, Track};

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

/// Samples of one size, without a table that grows with them, that are listed.
const MOST_OF_ONE_SIZE: usize = 1 << 24;

impl Movie {
    /// Where the last sample of a sound track ends, in ticks of the track before edit lists; 0 without any.
    /// The samples, which of PCM are as many as are heard, are not listed.
    pub fn sound_end(&self, track: &Track) -> Result<i64, String> {
        let stbl = boxes(&track.tables)?;
        let count = u64::from(u32_at(require(&stbl, b"stsz")?, 8)?);
        let mut left = count;
        let mut end = 0i128;
        for entry in table(require(&stbl, b"stts")?, 8)? {
            let n = left.min(u64::from(be32(entry)));
            end += i128::from(n) * i128::from(be32(&entry[4..]));
            left -= n;
        }
        if left > 0 {
            return Err(damaged("stts is too short"));
        }
        let mut shift = 0;
        if count > 0
            && let Some(ctts) = find(&stbl, b"ctts")
        {
            let mut before = count - 1;
            let holds_last = |entry: &&[u8]| {
                let n = u64::from(be32(entry));
                let is_in = before < n;
                before = before.saturating_sub(n);
                is_in
            };
            let last = table(ctts, 8)?.find(holds_last);
            let last = last.ok_or_else(|| damaged("ctts is too short"))?;
            // Signed in practice, as in `samples`.
            shift = be32(&last[4..]) as i32;
        }
        i64::try_from(end + i128::from(shift)).map_err(|_| damaged("a time is out of range"))
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
        // PCM has an entry for each sample of the sound; nothing that is decoded here has as many.
        if constant > 0 && count > MOST_OF_ONE_SIZE {
            return Err(format!(
                "a track has {count} samples of {constant} bytes, more than are read one by one"
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
