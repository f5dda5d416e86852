//! The rows of one file: its frames, from a first to a last one.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::{Result, plan_datafusion_err, plan_err};
use voxql_udfs::kernels::mel::{Log, MelOptions, MelSpectrogram};

use super::super::audio::options::WaveformOptions;
use super::super::audio::waveform::Waveform;
use super::super::bounds::Bounds;
use super::super::format::{FileScan, Options, file_error, record_batch};

/// More frames than any file has.
const MAX_FRAMES: usize = 1 << 40;

/// The stretch of time whose frames are wanted, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// None for the first frame, which may have a time before 0.
    start: Option<f64>,
    end: Option<f64>,
}

impl Part {
    /// Reads `start` and `end`.
    ///
    /// # Errors
    /// When one of them makes no sense.
    pub fn new(options: &Options) -> Result<Self> {
        let edge = |name: &str| match options.float(name) {
            // A billion seconds are more than any recording has.
            Some(seconds) if !(0.0..=1e9).contains(&seconds) => plan_err!(
                "read_mel: {name} must be seconds from the start of the file, 0 or more, not {seconds}"
            ),
            seconds => Ok(seconds),
        };
        let (start, end) = (edge("start")?, edge("end")?);
        if let Some(end) = end
            && end <= start.unwrap_or(0.0)
        {
            let start = start.unwrap_or(0.0);
            return plan_err!("read_mel: end ({end}) must be after start ({start})");
        }
        Ok(Self { start, end })
    }

    /// The frames whose time is in the part, and within the bounds.
    fn frames(self, bounds: &Bounds, options: &MelOptions) -> Range<u64> {
        let time = |i: usize| options.frame_time(i as u64);
        let not_before = |seconds: f64| {
            let (mut low, mut high) = (0, MAX_FRAMES);
            while low < high {
                let middle = low + (high - low) / 2;
                match time(middle) < seconds {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            low
        };
        let parts = [
            self.start.map_or(0, not_before)..self.end.map_or(MAX_FRAMES, not_before),
            bounds.rows("time", MAX_FRAMES, time),
            bounds.rows("frame", MAX_FRAMES, |i| i as f64),
        ];
        let start = parts.iter().map(|part| part.start).max().unwrap_or(0);
        let end = parts.iter().map(|part| part.end).min().unwrap_or(0);
        start as u64..end.max(start) as u64
    }
}

/// The rows of one file.
pub struct Frames {
    waveform: Waveform,
    /// None if the column is not asked for.
    mel: Option<MelSpectrogram<f32>>,
    options: MelOptions,
    /// The largest value of the file, where the logarithm asks for it.
    peak: f32,
    path: PathBuf,
    schema: SchemaRef,
    rows_left: usize,
    batch_rows: usize,
    /// The next row.
    frame: u64,
    /// The row before which to stop.
    end: u64,
    samples: Vec<f32>,
    /// Frames ready, from `frame` on.
    frames: Vec<f32>,
    ended: bool,
}

impl Frames {
    /// Opens the file at the first frame that is wanted.
    ///
    /// # Errors
    /// As [`Waveform::open`].
    pub fn open(scan: &FileScan, sound: &WaveformOptions, options: MelOptions) -> Result<Self> {
        let with_mel = scan.schema.column_with_name("mel").is_some();
        let row_bytes = if with_mel {
            4 * options.n_mels + 16
        } else {
            16
        };
        let fail = |e: String| plan_datafusion_err!("read_mel: {e}");
        let mel = with_mel.then(|| MelSpectrogram::new(&options)).transpose();
        let mut mel = mel.map_err(fail)?;
        let peak = match with_mel && options.log.needs_peak() {
            true => loudest(scan, sound, &options)?,
            false => 0.0,
        };
        let mut waveform = Waveform::open(&scan.path, sound)?;
        let wanted = Part::new(&scan.options)?.frames(&scan.bounds, &options);
        if let Some(mel) = &mut mel
            && !wanted.is_empty()
        {
            let sample = mel.enter(wanted.start);
            if sample > 0 {
                waveform.seek(sample)?;
            }
        }
        Ok(Self {
            waveform,
            mel,
            options,
            peak,
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            rows_left: scan.limit.unwrap_or(usize::MAX),
            batch_rows: (scan.batch_bytes / row_bytes).max(1),
            frame: wanted.start,
            end: wanted.end,
            samples: Vec::new(),
            frames: Vec::new(),
            ended: false,
        })
    }

    /// Gets up to `rows` further frames ready; gives how many there are.
    fn fill(&mut self, rows: usize) -> Result<usize> {
        let Some(mel) = &mut self.mel else {
            return self.count(rows);
        };
        let wanted = rows * self.options.n_mels;
        while self.frames.len() < wanted && !self.ended {
            self.samples.clear();
            self.ended = !self.waveform.read(&mut self.samples)?;
            let before = self.frames.len();
            mel.push(&self.samples, &mut self.frames);
            if self.ended {
                let end = mel.finish(&mut self.frames);
                end.map_err(|e| file_error(&self.path, e))?;
            }
            let MelOptions { log, log_floor, .. } = self.options;
            log.apply(&mut self.frames[before..], log_floor, self.peak);
        }
        Ok(rows.min(self.frames.len() / self.options.n_mels))
    }

    /// As [`fill`](Self::fill), of frames without content.
    fn count(&mut self, rows: usize) -> Result<usize> {
        let left = self
            .options
            .frames(self.waveform.count()?)
            .saturating_sub(self.frame);
        Ok(usize::try_from(left).map_or(rows, |left| left.min(rows)))
    }

    /// The next rows, if there are any.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let left = usize::try_from(self.end.saturating_sub(self.frame)).unwrap_or(usize::MAX);
        let rows = self.fill(self.batch_rows.min(self.rows_left).min(left))?;
        if rows == 0 {
            return Ok(None);
        }
        let numbers = self.frame..self.frame + rows as u64;
        let n_mels = self.options.n_mels;
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| -> Result<ArrayRef> {
                Ok(match field.name().as_str() {
                    "time" => {
                        let times = numbers.clone().map(|i| self.options.frame_time(i));
                        Arc::new(Float64Array::from_iter_values(times))
                    }
                    "frame" => Arc::new(Int64Array::from_iter_values(
                        numbers.clone().map(|i| i as i64),
                    )),
                    _ => {
                        let rest = self.frames.split_off(rows * n_mels);
                        let frames = std::mem::replace(&mut self.frames, rest);
                        Arc::new(FixedSizeListArray::try_new(
                            Arc::new(Field::new_list_field(DataType::Float32, true)),
                            i32::try_from(n_mels).unwrap_or(i32::MAX),
                            Arc::new(Float32Array::from(frames)),
                            None,
                        )?)
                    }
                })
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        self.frame += rows as u64;
        self.rows_left -= rows;
        Ok(Some(record_batch(&self.schema, columns, rows)?))
    }
}

/// The largest value of a file before the logarithm, found by going through all of it.
fn loudest(scan: &FileScan, sound: &WaveformOptions, options: &MelOptions) -> Result<f32> {
    let mut waveform = Waveform::open(&scan.path, sound)?;
    let fail = |e: String| file_error(&scan.path, e);
    let mut mel = MelSpectrogram::new(options).map_err(fail)?;
    let (mut samples, mut frames, mut peak) = (Vec::new(), Vec::new(), 0.0);
    while waveform.read(&mut samples)? {
        mel.push(&samples, &mut frames);
        peak = Log::peak(&frames, peak);
        samples.clear();
        frames.clear();
    }
    mel.finish(&mut frames).map_err(fail)?;
    Ok(Log::peak(&frames, peak))
}
