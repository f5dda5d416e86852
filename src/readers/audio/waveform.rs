//! A file's sound at the sample rate that is wanted.

use std::path::Path;

use datafusion::common::{DataFusionError, Result, plan_err};

use super::super::format::{Options, file_error};
use super::decode::{Decoder, SAMPLE_RATES};
use super::resample::{Resampler, resampled_length};

/// Mono samples of one file, as a stream.
pub struct Waveform {
    decoder: Decoder,
    resampler: Option<Resampler>,
    sample_rate: u32,
    decoded: Vec<f32>,
    fail: Box<dyn Fn(String) -> DataFusionError + Send>,
    ended: bool,
}

impl Waveform {
    /// Opens a file that holds something. Without `sample_rate` it keeps its own.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn open(path: &Path, sample_rate: Option<u32>) -> Result<Self> {
        let decoder = Decoder::open(path)?;
        let own = decoder.sample_rate();
        let sample_rate = sample_rate.unwrap_or(own);
        let path = path.to_owned();
        let fail = Box::new(move |message| file_error(&path, message));
        let resampler = if own == sample_rate {
            None
        } else {
            Some(Resampler::new(own, sample_rate).map_err(&fail)?)
        };
        Ok(Self {
            decoder,
            resampler,
            sample_rate,
            decoded: Vec::new(),
            fail,
            ended: false,
        })
    }

    /// Samples per second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The number of samples; None if only decoding can tell.
    pub fn length(&self) -> Option<u64> {
        let own = self.decoder.sample_rate();
        let length = self.decoder.length()?;
        Some(resampled_length(length, own, self.sample_rate))
    }

    /// Appends the next samples to `out`, possibly none; false at the end.
    ///
    /// # Errors
    /// As [`Decoder::read`].
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let Some(resampler) = &mut self.resampler else {
            return self.decoder.read(out);
        };
        if self.ended {
            return Ok(false);
        }
        self.decoded.clear();
        if self.decoder.read(&mut self.decoded)? {
            resampler.push(&self.decoded, out).map_err(&self.fail)?;
        } else {
            resampler.finish(out).map_err(&self.fail)?;
            self.ended = true;
        }
        Ok(true)
    }
}

/// Checks a file's header; gives its own sample rate.
///
/// # Errors
/// As [`Decoder::open`].
pub fn own_rate(path: &Path) -> Result<u32> {
    Ok(Decoder::open(path)?.sample_rate())
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

/// Reads the parameter `sample_rate` of the table function `function`.
///
/// # Errors
/// When it is not a sample rate that makes sense.
pub fn sample_rate(function: &str, options: &Options) -> Result<Option<u32>> {
    let Some(rate) = options.integer("sample_rate") else {
        return Ok(None);
    };
    match u32::try_from(rate) {
        Ok(rate) if SAMPLE_RATES.contains(&rate) => Ok(Some(rate)),
        _ => plan_err!(
            "{function}: sample_rate must be from {} to {} Hz, not {rate}",
            SAMPLE_RATES.start(),
            SAMPLE_RATES.end()
        ),
    }
}
