//! The pictures of an H.264 track, decoded one by one in order of presentation.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rust_h264::decoder::{Frame, OrderedDecoder};
use rust_h264::nal::{AvccConfig, NalUnit, parse_avcc, parse_avcc_config};

use crate::readers::mp4::{Movie, Sample};

/// Reads and decodes samples as far as the picture that is asked for.
pub struct Pictures {
    movie: Movie,
    samples: Vec<Sample>,
    /// Each sample's place in order of presentation.
    rank: Vec<usize>,
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
    /// `avcc` is the body of the track's avcC box.
    pub fn new(movie: Movie, samples: Vec<Sample>, avcc: &[u8]) -> Result<Self, String> {
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
        let config = parse_avcc_config(avcc)?;
        let mut pictures = Self {
            movie,
            samples,
            rank,
            decoder: OrderedDecoder::with_max_depth(depth.unwrap_or(0).clamp(1, 16)),
            length_size: config.length_size,
            next: 0,
            flushed: false,
            ready: VecDeque::new(),
            current: None,
            buffer: Vec::new(),
        };
        let AvccConfig {
            sps_nals, pps_nals, ..
        } = &config;
        for nal in sps_nals.iter().chain(pps_nals) {
            pictures.decode(nal, 0)?;
        }
        Ok(pictures)
    }

    /// The picture of a sample. Samples are asked for in order of presentation,
    /// each as often as one likes.
    pub fn picture(&mut self, sample: usize) -> Result<&Frame, String> {
        let have = self.current.as_ref().map(|(_, have)| *have);
        if have != Some(sample) {
            self.current = Some(self.advance(sample)?);
        }
        match &self.current {
            Some((frame, _)) => Ok(frame),
            None => Err("no picture".to_string()),
        }
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
                self.movie.read(&self.samples[at], &mut buffer)?;
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
