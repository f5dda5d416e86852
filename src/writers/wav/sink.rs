//! DataFusion's end of a COPY: batches, one after the other, to the sound's file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::datasource::sink::DataSink;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType};
use futures::StreamExt;
use voxql_udfs::vectors::{Vectors, element_type};

use super::columns::{Columns, Samples};
use super::settings::Settings;
use super::sound::Sound;
use crate::readers::audio::SAMPLE_RATES;
use crate::writers::format::blocking;

/// Writes one sound.
#[derive(Debug)]
pub struct SoundSink {
    target: PathBuf,
    schema: SchemaRef,
    columns: Columns,
    settings: Settings,
}

impl SoundSink {
    pub fn new(target: PathBuf, schema: SchemaRef, columns: Columns, settings: Settings) -> Self {
        SoundSink {
            target,
            schema,
            columns,
            settings,
        }
    }
}

impl DisplayAs for SoundSink {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SoundSink({})", self.target.display())
    }
}

#[async_trait]
impl DataSink for SoundSink {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn write_all(
        &self,
        mut data: SendableRecordBatchStream,
        _context: &Arc<TaskContext>,
    ) -> Result<u64> {
        let mut writer = Writer {
            target: self.target.clone(),
            columns: self.columns,
            settings: self.settings,
            rate: self.settings.sample_rate,
            sound: None,
            start: None,
            rows: 0,
        };
        while let Some(batch) = data.next().await {
            let batch = batch?;
            writer = blocking(move || {
                writer.write(&batch)?;
                Ok(writer)
            })
            .await?;
        }
        blocking(move || writer.finish()).await
    }
}

struct Writer {
    target: PathBuf,
    columns: Columns,
    settings: Settings,
    /// What the option, else the rows say.
    rate: Option<u32>,
    /// Open from the first row on, which may say the rate.
    sound: Option<Sound>,
    /// The time of the first sample.
    start: Option<f64>,
    rows: u64,
}

impl Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let numbers = |column: Option<usize>| {
            let column = column.map(|at| cast(batch.column(at), &DataType::Float64));
            Ok::<_, DataFusionError>(column.transpose()?.map(|c| c.as_primitive().clone()))
        };
        let rates: Option<PrimitiveArray<Float64Type>> = numbers(self.columns.sample_rate)?;
        let times: Option<PrimitiveArray<Float64Type>> = numbers(self.columns.time)?;
        let there = |column: &Option<PrimitiveArray<Float64Type>>, row: usize| {
            let column = column.as_ref()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let samples = batch.column(self.columns.samples.column());
        let rows = match self.columns.samples {
            Samples::Single(_) => Rows::single(&cast(samples, &DataType::Float64)?),
            Samples::Stretches(_) => match element_type(samples.data_type()) {
                // What need not be copied is not.
                Some(DataType::Float32) => Rows::Floats(Vectors::try_new("COPY", samples)?),
                _ => Rows::Doubles(Vectors::try_new("COPY", samples)?),
            },
        };
        for row in 0..batch.num_rows() {
            if let Some(rate) = there(&rates, row) {
                self.look_at_rate(rate)?;
            }
            if let Some(time) = there(&times, row) {
                self.look_at_time(time)?;
            }
            match &rows {
                Rows::Floats(stretches) => self.stretch(stretches, row)?,
                Rows::Doubles(stretches) => self.stretch(stretches, row)?,
                Rows::Samples(samples) if samples.is_valid(row) => {
                    let sample = samples.value(row);
                    self.append(&[sample])?;
                }
                Rows::Samples(_) => return self.refuse("sample is NULL"),
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn stretch<T>(&mut self, stretches: &Vectors<T>, row: usize) -> Result<()>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<f64>,
    {
        let Some(samples) = stretches.row(row) else {
            return self.refuse("samples is NULL");
        };
        if stretches.missing(row).is_some() {
            return self.refuse("a sample is NULL");
        }
        self.append(samples)
    }

    fn append<T: Copy + Into<f64>>(&mut self, samples: &[T]) -> Result<()> {
        self.open()?;
        match &mut self.sound {
            Some(sound) => sound.append(samples, self.rows),
            None => Ok(()),
        }
    }

    /// Rows are counted from 1, as people do.
    fn refuse<T>(&self, what: &str) -> Result<T> {
        exec_err!(
            "COPY TO '{}': {what} in row {}; leave such rows out, or fill them with coalesce",
            self.target.display(),
            self.rows + 1
        )
    }

    fn look_at_rate(&mut self, rate: f64) -> Result<()> {
        let target = self.target.display();
        if rate.fract() != 0.0 || !SAMPLE_RATES.contains(&(rate as u32)) {
            return exec_err!(
                "COPY TO '{target}': sample_rate is {rate} in row {}; it must be a whole number from \
                 {} to {}",
                self.rows + 1,
                SAMPLE_RATES.start(),
                SAMPLE_RATES.end()
            );
        }
        match self.rate {
            Some(first) if f64::from(first) != rate => exec_err!(
                "COPY TO '{target}': sample_rate is {first} and, in row {}, {rate}; a sound has one \
                 rate: let read_audio resample with sample_rate => {first}",
                self.rows + 1
            ),
            _ => {
                self.rate = Some(rate as u32);
                Ok(())
            }
        }
    }

    /// Rows follow each other without a gap, to half a sample.
    fn look_at_time(&mut self, time: f64) -> Result<()> {
        self.open()?;
        let Some(sound) = &self.sound else {
            return Ok(());
        };
        let rate = f64::from(sound.sample_rate());
        let before = sound.samples() as f64 / rate;
        // Rows before may have had no time: theirs is that of their samples.
        let start = *self.start.get_or_insert(time - before);
        let expected = start + before;
        let off = time - expected;
        if off.abs() * rate <= 0.5 {
            return Ok(());
        }
        let target = self.target.display();
        exec_err!(
            "COPY TO '{target}': row {} begins at {time} s, but the samples before it end at {expected} s; a WAV \
             file has no gaps and no overlaps. Choose one sound with WHERE, put its rows in order with \
             ORDER BY time, or leave the column time out to write the samples one after the other",
            self.rows + 1
        )
    }

    fn open(&mut self) -> Result<()> {
        if self.sound.is_some() {
            return Ok(());
        }
        if let (Some(rate), Some(usual)) = (self.rate, self.columns.usual_rate)
            && rate != usual
        {
            return exec_err!(
                "COPY TO '{}': the samples have {usual} in a second, as their field says, and sample_rate is \
                 {rate}; leave it out",
                self.target.display()
            );
        }
        let Some(rate) = self.rate.or(self.columns.usual_rate) else {
            return exec_err!(
                "COPY TO '{}': how many samples there are in a second is not known; select a column \
                 sample_rate, as read_audio has it, or say OPTIONS (sample_rate 22050)",
                self.target.display()
            );
        };
        self.sound = Some(Sound::create(&self.target, rate, self.settings.depth)?);
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        // Without rows the file has a header only.
        self.open()?;
        if let Some(sound) = self.sound {
            sound.publish()?;
        }
        Ok(self.rows)
    }
}

/// A batch's samples.
enum Rows {
    Floats(Vectors<Float32Type>),
    Doubles(Vectors<Float64Type>),
    Samples(PrimitiveArray<Float64Type>),
}

impl Rows {
    fn single(samples: &dyn Array) -> Self {
        Rows::Samples(samples.as_primitive().clone())
    }
}
