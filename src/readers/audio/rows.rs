//! The rows of one file: its sound cut at whole multiples of a duration.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::{Result, plan_err};

use super::super::bounds::Bounds;
use super::super::format::{FileScan, Options, file_error, record_batch};
use super::options::WaveformOptions;
use super::waveform::Waveform;

/// A second in nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// Rows of a batch without samples.
const PLAIN_ROWS: usize = 8_192;

/// More rows than any file has.
const MAX_ROWS: usize = 1 << 40;

/// Which part of a file is read, and where it is cut, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Cuts {
    /// From one cut to the next; 0 for none.
    duration: u64,
    start: u64,
    /// `u64::MAX` for the end of the file.
    end: u64,
}

impl Cuts {
    /// Reads `chunk_duration`, `start` and `end`.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn new(options: &Options) -> Result<Self> {
        // A billion seconds are more than any recording has, and fit.
        let nanoseconds = |seconds: f64| {
            let ok = (0.0..=1e9).contains(&seconds);
            ok.then(|| (seconds * 1e9).round() as u64)
        };
        let seconds = options.float("chunk_duration").unwrap_or(1.0);
        let Some(duration) = nanoseconds(seconds).filter(|&n| n > 0 || seconds == 0.0) else {
            return plan_err!(
                "read_audio: chunk_duration must be a number of seconds, or 0 for the whole file, not {seconds}"
            );
        };
        let edge = |name: &str, default: u64| match options.float(name) {
            None => Ok(default),
            Some(seconds) => match nanoseconds(seconds) {
                Some(n) => Ok(n),
                None => plan_err!(
                    "read_audio: {name} must be seconds from the start of the file, 0 or more, not {seconds}"
                ),
            },
        };
        let (start, end) = (edge("start", 0)?, edge("end", u64::MAX)?);
        if end <= start {
            return plan_err!(
                "read_audio: end ({}) must be after start ({})",
                options.float("end").unwrap_or_default(),
                options.float("start").unwrap_or_default()
            );
        }
        Ok(Self {
            duration,
            start,
            end,
        })
    }

    /// Whether a row has a sample at all.
    pub fn is_longer_than_a_sample(&self, sample_rate: u32) -> bool {
        self.duration == 0 || u128::from(self.duration) * u128::from(sample_rate) >= SECOND
    }

    /// The samples of the longest row; None where it is the whole file.
    pub fn longest(&self, sample_rate: u32) -> Option<u64> {
        let next = (self.duration > 0).then(|| self.first(1, sample_rate));
        // Rows differ by a sample.
        next.map(|samples| samples + 1)
    }

    /// The first sample that is not before row `row` of the file.
    fn first(&self, row: u64, sample_rate: u32) -> u64 {
        match (row, self.duration) {
            (0, _) => 0,
            (_, 0) => u64::MAX,
            _ => first_sample(u128::from(row) * u128::from(self.duration), sample_rate),
        }
    }

    /// The samples between start and end.
    fn samples(&self, sample_rate: u32) -> Range<u64> {
        let first = |nanoseconds: u64| match nanoseconds {
            u64::MAX => u64::MAX,
            n => first_sample(u128::from(n), sample_rate),
        };
        first(self.start)..first(self.end)
    }

    /// The rows that have some of these samples and a time within the bounds.
    fn rows(&self, samples: &Range<u64>, sample_rate: u32, bounds: &Bounds) -> Range<u64> {
        if self.duration == 0 {
            return 0..1;
        }
        let mut from = self.start / self.duration;
        while self.first(from + 1, sample_rate) <= samples.start {
            from += 1;
        }
        let time = |i: usize| {
            let sample = self.first(from + i as u64, sample_rate);
            sample.max(samples.start) as f64 / f64::from(sample_rate)
        };
        let rows = bounds.rows("time", MAX_ROWS, time);
        from + rows.start as u64..from + rows.end as u64
    }
}

/// The first sample that is not before a time.
fn first_sample(nanoseconds: u128, sample_rate: u32) -> u64 {
    let samples = nanoseconds.saturating_mul(u128::from(sample_rate));
    u64::try_from(samples.div_ceil(SECOND)).unwrap_or(u64::MAX)
}

/// The rows of one file.
pub struct Chunks {
    waveform: Waveform,
    cuts: Cuts,
    with_samples: bool,
    path: PathBuf,
    schema: SchemaRef,
    rows_left: usize,
    batch_bytes: usize,
    /// The rows still to come, and the first sample of the next one.
    rows: Range<u64>,
    start: u64,
    /// The sample before which the last row ends.
    end: u64,
    /// Samples from `start` on.
    waiting: Vec<f32>,
}

impl Chunks {
    /// Opens the file at the first row that is wanted.
    ///
    /// # Errors
    /// As [`Waveform::open`].
    pub fn open(scan: &FileScan, options: &WaveformOptions, cuts: Cuts) -> Result<Self> {
        let mut waveform = Waveform::open(&scan.path, options)?;
        let rate = waveform.sample_rate();
        let samples = cuts.samples(rate);
        let rows = cuts.rows(&samples, rate, &scan.bounds);
        let start = cuts.first(rows.start, rate).max(samples.start);
        if !rows.is_empty() && start > 0 {
            waveform.seek(start)?;
        }
        Ok(Self {
            waveform,
            cuts,
            with_samples: scan.schema.column_with_name("samples").is_some(),
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            rows_left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
            rows,
            start,
            end: samples.end,
            waiting: Vec::new(),
        })
    }

    /// The number of samples of the next row; 0 after the last. They are then waiting, if
    /// samples are asked for.
    fn next_row(&mut self) -> Result<usize> {
        if self.rows.is_empty() || self.start >= self.end {
            return Ok(0);
        }
        let next = self
            .cuts
            .first(self.rows.start + 1, self.waveform.sample_rate());
        let wanted = usize::try_from(next.min(self.end) - self.start).unwrap_or(usize::MAX);
        if !self.with_samples
            && let Some(length) = self.waveform.length()
        {
            let left = usize::try_from(length.saturating_sub(self.start)).unwrap_or(usize::MAX);
            return Ok(wanted.min(left));
        }
        // Said before a sound is held that does not fit, where its length is known.
        if let Some(length) = self.waveform.length() {
            let left = length.saturating_sub(self.start);
            self.check_row(left.min(wanted as u64))?;
        }
        while self.waiting.len() < wanted && self.waveform.read(&mut self.waiting)? {
            self.check_row(self.waiting.len().min(wanted) as u64)?;
        }
        Ok(wanted.min(self.waiting.len()))
    }

    /// Errors where so many samples do not go into one row: the offsets of a List are `i32`.
    fn check_row(&self, samples: u64) -> Result<()> {
        match self.with_samples && i32::try_from(samples).is_err() {
            false => Ok(()),
            true => Err(file_error(
                &self.path,
                format!(
                    "{samples} samples are too many for one row; give a chunk_duration such as 60"
                ),
            )),
        }
    }

    /// The next rows, if there are any.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
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
                // A row alone fits.
                if i32::try_from(samples.len() + n).is_err() {
                    break;
                }
                lengths.push(n);
            }
            if self.with_samples && samples.is_empty() && n == self.waiting.len() {
                // The whole file in one row is not held twice.
                samples = std::mem::take(&mut self.waiting);
            } else {
                // Without samples and with a known length nothing was decoded.
                let decoded = self.waiting.drain(..n.min(self.waiting.len()));
                if self.with_samples {
                    samples.extend(decoded);
                }
            }
            times.push(seconds(self.start));
            durations.push(seconds(n as u64));
            self.start += n as u64;
            self.rows.start += 1;
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
        Ok(Some(record_batch(&self.schema, columns, rows)?))
    }
}
