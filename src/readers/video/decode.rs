//! The pictures of an H.264 track, decoded one by one in order of presentation.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_h264::decoder::{Frame, OrderedDecoder};
use rust_h264::nal::{AvccConfig, NalUnit, parse_avcc, parse_avcc_config};

use crate::readers::mp4::{Sample, read_sample};

/// Reads and decodes samples as far as the picture that is asked for.
///
/// Where pictures before it are not wanted, decoding begins anew at the last instantaneous
/// refresh (IDR) before it: after one no picture refers to anything earlier, so what
/// comes out is the same. A sync sample that is none, as in open groups of pictures, does not do:
/// pictures that are shown before it refer to what was decoded before it.
pub struct Pictures {
    file: File,
    length: u64,
    samples: Vec<Sample>,
    /// Each sample's place in order of presentation.
    rank: Vec<usize>,
    /// The body of the track's avcC box.
    avcc: Vec<u8>,
    /// How many pictures the decoder must hold back.
    depth: usize,
    decoder: OrderedDecoder<usize>,
    length_size: usize,
    /// The next sample to decode.
    next: usize,
    flushed: bool,
    /// Decoded pictures and their samples, in order of presentation.
    ready: VecDeque<(Frame, usize)>,
    current: Option<(Frame, usize)>,
    buffer: Vec<u8>,
}

impl Pictures {
    /// `samples` lie in the file of `length` bytes; `avcc` is the body of the track's avcC box.
    pub fn new(file: File, length: u64, samples: Vec<Sample>, avcc: &[u8]) -> Result<Self, String> {
        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|&i| samples[i].composition);
        let mut rank = vec![0; samples.len()];
        for (place, &i) in order.iter().enumerate() {
            rank[i] = place;
        }
        // How far a picture moves forward is how many the decoder must hold back.
        let depth = rank
            .iter()
            .enumerate()
            .map(|(i, place)| i.saturating_sub(*place))
            .max();
        let depth = depth.unwrap_or(0).clamp(1, 16);
        let mut pictures = Self {
            file,
            length,
            samples,
            rank,
            avcc: avcc.to_vec(),
            depth,
            decoder: OrderedDecoder::with_max_depth(depth),
            length_size: parse_avcc_config(avcc)?.length_size,
            next: 0,
            flushed: false,
            ready: VecDeque::new(),
            current: None,
            buffer: Vec::new(),
        };
        pictures.begin(0)?;
        Ok(pictures)
    }

    /// The picture of a sample. Samples are asked for in order of presentation,
    /// each as often as one likes.
    pub fn picture(&mut self, sample: usize) -> Result<&Frame, String> {
        let have = self.current.as_ref().map(|(_, have)| *have);
        if have != Some(sample) {
            self.current = None;
            if let Some(refresh) = self.refresh_before(sample) {
                self.begin(refresh)?;
            }
            self.current = Some(self.advance(sample)?);
        }
        match &self.current {
            Some((frame, _)) => Ok(frame),
            None => Err("no picture".to_string()),
        }
    }

    /// Whether decoding can begin anew at one of the samples.
    pub fn has_refresh(&mut self, mut samples: Range<usize>) -> bool {
        samples.any(|at| self.samples[at].is_sync && self.is_refresh(at))
    }

    /// The last sample up to this one at which decoding can begin anew, where that skips any.
    fn refresh_before(&mut self, sample: usize) -> Option<usize> {
        let skipped = self.next + 1..sample + 1;
        skipped
            .rev()
            .find(|&at| self.samples[at].is_sync && self.is_refresh(at))
    }

    /// Whether the sample's picture is an IDR picture.
    fn is_refresh(&mut self, at: usize) -> bool {
        const IDR_SLICE: u8 = 5;
        const OTHER_SLICES: std::ops::RangeInclusive<u8> = 1..=4;
        if read_sample(
            &mut self.file,
            self.length,
            &self.samples[at],
            &mut self.buffer,
        )
        .is_err()
        {
            return false;
        }
        let mut rest = &self.buffer[..];
        while let Some((length, unit)) = rest.split_at_checked(self.length_size) {
            let length = length
                .iter()
                .fold(0usize, |all, &byte| all << 8 | usize::from(byte));
            match unit.first().map(|byte| byte & 0x1F) {
                Some(IDR_SLICE) => return true,
                None => return false,
                Some(kind) if OTHER_SLICES.contains(&kind) => return false,
                Some(_) => {}
            }
            rest = unit.get(length..).unwrap_or_default();
        }
        false
    }

    /// Begins decoding at a sample.
    fn begin(&mut self, sample: usize) -> Result<(), String> {
        self.decoder = OrderedDecoder::with_max_depth(self.depth);
        self.ready.clear();
        self.next = sample;
        self.flushed = false;
        let avcc = std::mem::take(&mut self.avcc);
        let AvccConfig {
            sps_nals, pps_nals, ..
        } = &parse_avcc_config(&avcc)?;
        for nal in sps_nals.iter().chain(pps_nals) {
            self.decode(nal, 0)?;
        }
        self.avcc = avcc;
        Ok(())
    }

    fn advance(&mut self, sample: usize) -> Result<(Frame, usize), String> {
        loop {
            while let Some((frame, got)) = self.ready.pop_front() {
                if got == sample {
                    return Ok((frame, got));
                }
                if self.rank[got] > self.rank[sample] {
                    return Err(
                        "the H.264 stream holds no picture for it, or not in the order \
                         of the time stamps; `ffmpeg -i in.mp4 out.mp4` may repair the file"
                            .to_string(),
                    );
                }
            }
            if self.next < self.samples.len() {
                let at = self.next;
                self.next += 1;
                let mut buffer = std::mem::take(&mut self.buffer);
                read_sample(&mut self.file, self.length, &self.samples[at], &mut buffer)?;
                for nal in parse_avcc(&buffer, self.length_size) {
                    self.decode(&nal, at)?;
                }
                self.buffer = buffer;
            } else if !self.flushed {
                self.flushed = true;
                let decoder = &mut self.decoder;
                let rest = guard(|| Ok(decoder.flush_with_meta()))?;
                self.ready.extend(rest);
            } else {
                return Err("the H.264 stream holds no picture for it; \
                     `ffmpeg -i in.mp4 out.mp4` may repair the file"
                    .to_string());
            }
        }
    }

    fn decode(&mut self, nal: &NalUnit, sample: usize) -> Result<(), String> {
        let decoder = &mut self.decoder;
        let frames = guard(|| {
            decoder.decode_nal_with_meta(nal, sample).map_err(|e| {
                format!(
                    "H.264 decoder: {e}; `ffmpeg -i in.mp4 -c:v libx264 -pix_fmt yuv420p out.mp4` \
                     converts what is unsupported and repairs what it can"
                )
            })
        })?;
        self.ready.extend(frames);
        Ok(())
    }
}

/// Turns a panic of the decoder on a damaged stream into an error.
pub fn guard<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err("the H.264 stream is damaged (the decoder gave up); \
             `ffmpeg -i in.mp4 out.mp4` may repair the file"
            .to_string())
    })
}
