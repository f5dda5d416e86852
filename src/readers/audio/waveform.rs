//! A file's sound at the sample rate that is wanted.

use std::path::{Path, PathBuf};

use datafusion::common::Result;
use voxql_udfs::kernels::resample::{Resampler, resampled_length};

use super::super::format::file_error;
use super::ahead::Ahead;
use super::decode::Decoder;
use super::options::{Choice, WaveformOptions};

/// Mono samples of one file, as a stream.
pub struct Waveform {
    path: PathBuf,
    choice: Choice,
    source: Source,
    /// Samples per second of the file.
    own: u32,
    /// Samples of the whole file at that rate, if they are known.
    own_length: Option<u64>,
    resampler: Option<Resampler>,
    sample_rate: u32,
    decoded: Vec<f32>,
    /// Samples to drop before the next one that is given.
    skip: u64,
    ended: bool,
    /// The number of samples, once they were counted.
    counted: Option<u64>,
}

enum Source {
    Decoder(Box<Decoder>),
    /// From the first samples on, where there is work besides decoding.
    Ahead(Ahead),
    /// While one becomes the other.
    Moving,
}

impl Source {
    /// As [`Decoder::read`].
    fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        match self {
            Self::Decoder(decoder) => decoder.read(out),
            Self::Ahead(ahead) => ahead.read(out),
            Self::Moving => Ok(false),
        }
    }

    /// Lets the decoder work ahead.
    fn hurry(&mut self) {
        *self = match std::mem::replace(self, Self::Moving) {
            Self::Decoder(decoder) => Self::Ahead(Ahead::start(*decoder)),
            other => other,
        };
    }
}

impl Waveform {
    /// Opens a file that holds something.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn open(path: &Path, options: &WaveformOptions) -> Result<Self> {
        let decoder = Decoder::open(path, &options.choice)?;
        let own = decoder.sample_rate();
        let sample_rate = options.sample_rate.unwrap_or(own);
        let resampler = if own == sample_rate {
            None
        } else {
            Some(Resampler::new(own, sample_rate).map_err(|e| file_error(path, e))?)
        };
        Ok(Self {
            path: path.to_owned(),
            choice: options.choice.clone(),
            own,
            own_length: decoder.length(),
            source: Source::Decoder(Box::new(decoder)),
            resampler,
            sample_rate,
            decoded: Vec::new(),
            skip: 0,
            ended: false,
            counted: None,
        })
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The number of samples of the whole file; None if only decoding can tell.
    pub fn length(&self) -> Option<u64> {
        Some(self.resampled(self.own_length?))
    }

    /// The number of samples of the whole file, which is decoded where only that can tell: it
    /// must not have been read, and cannot be read after.
    ///
    /// # Errors
    /// As [`Decoder::read`].
    pub fn count(&mut self) -> Result<u64> {
        if let Some(known) = self.length().or(self.counted) {
            return Ok(known);
        }
        let (mut count, mut samples) = (0, Vec::new());
        while self.source.read(&mut samples)? {
            count += samples.len() as u64;
            samples.clear();
        }
        let count = self.resampled(count);
        self.counted = Some(count);
        Ok(count)
    }

    /// How many samples as many of the file's own become.
    fn resampled(&self, own_samples: u64) -> u64 {
        resampled_length(own_samples, self.own, self.sample_rate)
    }

    /// Lets the next sample read be sample `sample` of the whole file, which it equals
    /// exactly. To be called before the first [`read`](Self::read).
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn seek(&mut self, sample: u64) -> Result<()> {
        let (own, skip) = match &mut self.resampler {
            None => (sample, 0),
            Some(resampler) => resampler.seek(sample),
        };
        self.skip = skip;
        if own > 0
            && let Source::Decoder(decoder) = &mut self.source
            && !decoder.seek(own)
        {
            **decoder = Decoder::open(&self.path, &self.choice)?;
            decoder.drop_before(own);
        }
        Ok(())
    }

    /// Appends the next samples to `out`, possibly none; false at the end.
    ///
    /// # Errors
    /// As [`Decoder::read`].
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let Some(resampler) = &mut self.resampler else {
            return self.source.read(out);
        };
        self.source.hurry();
        if self.ended {
            return Ok(false);
        }
        let before = out.len();
        self.decoded.clear();
        if self.source.read(&mut self.decoded)? {
            resampler.push(&self.decoded, out);
        } else {
            self.ended = true;
            resampler.finish(out);
        }
        if self.skip > 0 {
            let n = self.skip.min((out.len() - before) as u64);
            out.drain(before..before + n as usize);
            self.skip -= n;
        }
        Ok(true)
    }
}

/// Checks a file's header; gives its own sample rate.
///
/// # Errors
/// As [`Decoder::open`].
pub fn own_rate(path: &Path, options: &WaveformOptions) -> Result<u32> {
    Ok(Decoder::open(path, &options.choice)?.sample_rate())
}

/// Whether a file holds nothing; if so it is said, as it will be left out.
pub fn is_empty(path: &Path) -> bool {
    let empty = std::fs::metadata(path).is_ok_and(|m| m.len() == 0);
    if empty {
        log::warn!(
            "{}: the file is empty (0 bytes); it is left out",
            path.display()
        );
    }
    empty
}
