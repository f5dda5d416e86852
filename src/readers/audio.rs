//! `read_audio`: the sound of WAV, FLAC and MP4 files in stretches of time.

mod decode;
mod movie;
mod resample;
pub(super) mod waveform;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, RecordBatchOptions,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, plan_err};
use voxql_udfs::vectors::vector_type;

use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, file_error,
};
pub use decode::SAMPLE_RATES;
use waveform::Waveform;

/// Sound in WAV (PCM and float), FLAC, and MP4, M4A and MOV files (their first sound
/// track, AAC-LC in mono or stereo).
///
/// | column | type | |
/// | --- | --- | --- |
/// | `time` | Float64 | seconds from the start of the file to the row's first sample |
/// | `duration` | Float64 | seconds that the row lasts |
/// | `sample_rate` | Int32 | samples per second |
/// | `samples` | List<Float32> | the mean of the channels; full scale is -1 to 1 |
///
/// A row is `chunk_duration` seconds, the last one of a file what is left; 0 puts the
/// whole file into one row. Row `k` begins with the first sample at or after
/// `k * chunk_duration`, in integer arithmetic on nanoseconds, so that rows never drift,
/// `tr_index(time, tr => chunk_duration)` is `k`, and the rows together are the file,
/// sample by sample.
///
/// An MP4's time is that of its film: what the edit list cuts away (the AAC encoder's
/// priming, the padding at its end) is not there, and a sound that begins after the
/// picture has silence before it.
///
/// Where a file has another rate than `sample_rate`, it is resampled by a linear-phase
/// filter without delay: flat up to 0.9 of the lower Nyquist frequency with errors under
/// -100 dB. The result has `ceil(n * sample_rate / own rate)` samples, as librosa's has.
#[derive(Debug)]
pub struct Audio;

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "sample_rate",
        kind: ParameterKind::Integer,
        default: "the file's own",
        description: "Samples per second, from 100 to 768000.",
    },
    Parameter {
        name: "chunk_duration",
        kind: ParameterKind::Float,
        default: "1.0",
        description: "Seconds in a row; 0 for the whole file in one row, which is then held in memory.",
    },
];

/// Rows of a batch without samples.
const PLAIN_ROWS: usize = 8_192;

impl Format for Audio {
    fn function(&self) -> &'static str {
        "read_audio"
    }

    fn stored_as(&self) -> &'static str {
        "AUDIO"
    }

    fn description(&self) -> &'static str {
        "Sound in WAV, FLAC and MP4 (its first sound track, AAC-LC in mono or stereo), a row every `chunk_duration` \
         seconds: `time` (of the row's first sample, in seconds), `duration`, `sample_rate`, and `samples`, the mean of \
         the channels from -1 to 1. Row k begins with the first sample at or after k * `chunk_duration`, so rows never \
         drift, and together they are the file. An MP4's edit list is applied. Empty files are left out with a warning."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".wav", ".flac", ".mp4", ".m4a", ".mov"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let sample_rate = waveform::sample_rate(self.function(), options)?;
        let duration = chunk_nanoseconds(options)?;
        let mut kept = Vec::with_capacity(files.len());
        for path in files {
            if waveform::is_empty(&path) {
                continue;
            }
            let own = waveform::own_rate(&path)?;
            let rate = sample_rate.unwrap_or(own);
            if duration > 0 && u128::from(duration) * u128::from(rate) < SECOND {
                return plan_err!(
                    "read_audio: chunk_duration {} is shorter than a sample of {} ({rate} Hz); \
                     give at least {}",
                    options.float("chunk_duration").unwrap_or_default(),
                    path.display(),
                    1.0 / f64::from(rate)
                );
            }
            kept.push(path);
        }
        let schema = Schema::new(vec![
            Field::new("time", DataType::Float64, false),
            Field::new("duration", DataType::Float64, false),
            Field::new("sample_rate", DataType::Int32, false),
            Field::new("samples", vector_type(None), false),
        ]);
        Ok(Description {
            schema: Arc::new(schema),
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let sample_rate = waveform::sample_rate(self.function(), &scan.options)?;
        Ok(Box::new(Chunks {
            waveform: Waveform::open(&scan.path, sample_rate)?,
            duration: chunk_nanoseconds(&scan.options)?,
            with_samples: scan.schema.column_with_name("samples").is_some(),
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            rows_left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
            row: 0,
            start: 0,
            waiting: Vec::new(),
            done: false,
        }))
    }
}

/// A second in nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// The parameter `chunk_duration` in nanoseconds; 0 is the whole file.
fn chunk_nanoseconds(options: &Options) -> Result<u64> {
    let seconds = options.float("chunk_duration").unwrap_or(1.0);
    // A billion seconds are more than any recording has, and fit.
    if !(0.0..=1e9).contains(&seconds) || (seconds > 0.0 && seconds < 1e-9) {
        return plan_err!(
            "read_audio: chunk_duration must be a number of seconds, or 0 for the whole file, not {seconds}"
        );
    }
    Ok((seconds * 1e9).round() as u64)
}

/// The rows of one file.
struct Chunks {
    waveform: Waveform,
    /// In nanoseconds; 0 is the whole file.
    duration: u64,
    with_samples: bool,
    path: PathBuf,
    schema: SchemaRef,
    rows_left: usize,
    batch_bytes: usize,
    /// The next row, and its first sample.
    row: u64,
    start: u64,
    /// Samples from `start` on.
    waiting: Vec<f32>,
    done: bool,
}

impl Chunks {
    /// The sample with which the next row ends: the first that is not before
    /// `(row + 1) * duration`.
    fn end(&self) -> u64 {
        if self.duration == 0 {
            return u64::MAX;
        }
        let nanoseconds = u128::from(self.row + 1) * u128::from(self.duration);
        let samples = nanoseconds.saturating_mul(u128::from(self.waveform.sample_rate()));
        u64::try_from(samples.div_ceil(SECOND)).unwrap_or(u64::MAX)
    }

    /// The number of samples of the next row; 0 after the last. They are then waiting, if
    /// samples are asked for.
    fn next_row(&mut self) -> Result<usize> {
        let wanted = usize::try_from(self.end() - self.start).unwrap_or(usize::MAX);
        if !self.with_samples
            && let Some(length) = self.waveform.length()
        {
            let left = usize::try_from(length.saturating_sub(self.start)).unwrap_or(usize::MAX);
            return Ok(wanted.min(left));
        }
        while self.waiting.len() < wanted && self.waveform.read(&mut self.waiting)? {}
        Ok(wanted.min(self.waiting.len()))
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let sample_rate = self.waveform.sample_rate();
        let seconds = |samples: u64| samples as f64 / f64::from(sample_rate);
        let (mut times, mut durations) = (Vec::new(), Vec::new());
        let mut samples: Vec<f32> = Vec::new();
        let mut lengths = Vec::new();
        while self.rows_left > 0 && times.len() < PLAIN_ROWS && 4 * samples.len() < self.batch_bytes
        {
            let n = self.next_row()?;
            if n == 0 {
                break;
            }
            if self.with_samples {
                if i32::try_from(samples.len() + n).is_err() {
                    if samples.is_empty() {
                        return Err(file_error(
                            &self.path,
                            format!(
                                "{n} samples are too many for one row; give a chunk_duration such as 60"
                            ),
                        ));
                    }
                    break;
                }
                samples.extend_from_slice(&self.waiting[..n]);
                lengths.push(n);
            }
            // Without samples and with a known length nothing was decoded.
            self.waiting.drain(..n.min(self.waiting.len()));
            times.push(seconds(self.start));
            durations.push(seconds(n as u64));
            self.start += n as u64;
            self.row += 1;
            self.rows_left -= 1;
        }
        let rows = times.len();
        if rows == 0 {
            return Ok(None);
        }
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| -> Result<ArrayRef> {
                Ok(match field.name().as_str() {
                    "time" => Arc::new(Float64Array::from(std::mem::take(&mut times))),
                    "duration" => Arc::new(Float64Array::from(std::mem::take(&mut durations))),
                    "sample_rate" => Arc::new(Int32Array::from(vec![sample_rate as i32; rows])),
                    _ => Arc::new(ListArray::try_new(
                        Arc::new(Field::new_list_field(DataType::Float32, true)),
                        OffsetBuffer::from_lengths(lengths.iter().copied()),
                        Arc::new(Float32Array::from(std::mem::take(&mut samples))),
                        None,
                    )?),
                })
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let schema = Arc::clone(&self.schema);
        Ok(Some(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?))
    }
}

impl Iterator for Chunks {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.next_batch().transpose();
        self.done = !matches!(batch, Some(Ok(_)));
        batch
    }
}

#[cfg(test)]
pub(super) mod tests;
