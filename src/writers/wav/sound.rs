//! The file of a sound, which appears at its place when it is whole.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result, exec_err};
use hound::{SampleFormat, WavSpec, WavWriter};
use tempfile::NamedTempFile;

use super::settings::Depth;
use crate::readers::format::file_error;
use crate::writers::staged_file::beside;

/// The sizes in a WAV file are 32 bits, and count the header.
const MOST_BYTES: u64 = u32::MAX as u64 - 1024;

/// A sound on its way to `target`, of one channel. Dropped before [`Sound::publish`], it leaves
/// nothing.
pub struct Sound {
    target: PathBuf,
    /// Keeps the name, and removes the file.
    file: NamedTempFile,
    writer: WavWriter<BufWriter<File>>,
    depth: Depth,
    sample_rate: u32,
    samples: u64,
    clipped: u64,
}

impl Sound {
    pub fn create(target: &Path, sample_rate: u32, depth: Depth) -> Result<Self> {
        let spec = WavSpec {
            channels: 1,
            sample_rate,
            bits_per_sample: depth.bits(),
            sample_format: match depth {
                Depth::Float32 => SampleFormat::Float,
                _ => SampleFormat::Int,
            },
        };
        let failed = |error: std::io::Error| failed(target, &error);
        let file = beside(target).map_err(failed)?;
        let output = BufWriter::with_capacity(1 << 18, file.reopen().map_err(failed)?);
        let writer = WavWriter::new(output, spec).map_err(|e| self::failed(target, &e))?;
        Ok(Sound {
            target: target.to_owned(),
            file,
            writer,
            depth,
            sample_rate,
            samples: 0,
            clipped: 0,
        })
    }

    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples written so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Appends samples, 1.0 being full scale; `row`, from 0, is for messages.
    ///
    /// # Errors
    /// A sample that is no number, a file that gets too long, and those of the disk.
    pub fn append<T: Copy + Into<f64>>(&mut self, samples: &[T], row: u64) -> Result<()> {
        let bytes = u64::from(self.depth.bits() / 8);
        if (self.samples + samples.len() as u64) * bytes > MOST_BYTES {
            return exec_err!(
                "COPY TO '{}': a WAV file holds 4 GB, and this sound is longer than that ({:.0} s); \
                 write it in parts, with WHERE time BETWEEN …, or with a smaller bit_depth",
                self.target.display(),
                (MOST_BYTES / bytes) as f64 / f64::from(self.sample_rate)
            );
        }
        let full_scale = match self.depth {
            Depth::Float32 => return self.append_floats(samples, row),
            depth => f64::from(1u32 << (depth.bits() - 1)),
        };
        for &sample in samples {
            let sample = self.number(sample.into(), row)?;
            let level = (sample * full_scale).round();
            let kept = level.clamp(-full_scale, full_scale - 1.0);
            // Full scale itself is one step more than there is, which nobody hears.
            self.clipped += u64::from(level.abs() > full_scale);
            let written = self.writer.write_sample(kept as i32);
            written.map_err(|error| failed(&self.target, &error))?;
        }
        self.samples += samples.len() as u64;
        Ok(())
    }

    fn append_floats<T: Copy + Into<f64>>(&mut self, samples: &[T], row: u64) -> Result<()> {
        for &sample in samples {
            let sample = self.number(sample.into(), row)?;
            let written = self.writer.write_sample(sample as f32);
            written.map_err(|error| failed(&self.target, &error))?;
        }
        self.samples += samples.len() as u64;
        Ok(())
    }

    fn number(&self, sample: f64, row: u64) -> Result<f64> {
        match sample.is_finite() {
            true => Ok(sample),
            false => exec_err!(
                "COPY TO '{}': a sample is {sample}, in row {}; a sound has numbers from -1 to 1",
                self.target.display(),
                row + 1
            ),
        }
    }

    /// Writes the header, forces all to the disk, and gives the file its name, in place of a
    /// file that has it.
    pub fn publish(self) -> Result<()> {
        if self.clipped > 0 {
            log::warn!(
                "COPY TO '{}': {} of {} samples were beyond -1 to 1 and were cut off, which is heard as \
                 distortion; divide the samples by their largest, or use OPTIONS (bit_depth 'float32')",
                self.target.display(),
                self.clipped,
                self.samples
            );
        }
        let target = self.target;
        let finished = self.writer.finalize();
        finished.map_err(|error| failed(&target, &error))?;
        let stored = self.file.as_file().sync_all();
        stored.map_err(|error| failed(&target, &error))?;
        match self.file.persist(&target) {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&target, &error.error)),
        }
    }
}

fn failed(target: &Path, error: &dyn std::fmt::Display) -> DataFusionError {
    file_error(target, format!("cannot be written: {error}"))
}
