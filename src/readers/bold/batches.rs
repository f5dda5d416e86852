//! A run's rows as record batches.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use datafusion::common::Result;

use super::repetition_time::RepetitionTime;
use super::request::Request;
use super::run::Run;
use crate::readers::bounds::Bounds;
use crate::readers::format::{FileScan, file_error, record_batch};
use crate::readers::vectors::vectors;

/// Rows per batch where `bold` is not asked for.
const NARROW_ROWS: usize = 8192;

/// One file's rows.
pub struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    run: Run,
    /// `None`: one volume, which needs none, or maps.
    time: Option<RepetitionTime>,
    /// Elements of a row; `None` where `bold` is not asked for: then nothing is decompressed.
    length: Option<usize>,
    rows_per_batch: usize,
    next: usize,
    end: usize,
}

impl Batches {
    pub fn open(scan: &FileScan) -> Result<Self> {
        let request = Request::parse(&scan.options)?;
        let mut run = Run::open(&scan.path)?;
        let time = run.time(&scan.path, request.tr)?;
        let Range { start, end } = rows(&scan.bounds, time.as_ref(), run.rows());
        let end = end.min(start.saturating_add(scan.limit.unwrap_or(usize::MAX)));
        run.expect(start..end)?;
        let mut rows_per_batch = NARROW_ROWS;
        let mut length = None;
        if scan.schema.column_with_name("bold").is_some() && start < end {
            let elements = run.select(&request)?;
            run.skip_to(start)?;
            let row_bytes = elements.max(1) * size_of::<f32>();
            // The offsets of a List are i32.
            let most = (i32::MAX as usize / elements.max(1)).max(1);
            rows_per_batch = (scan.batch_bytes / row_bytes).clamp(1, most);
            length = Some(elements);
        }
        Ok(Batches {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            run,
            time,
            length,
            rows_per_batch,
            next: start,
            end,
        })
    }

    fn batch(&mut self) -> Result<RecordBatch> {
        let first = self.next;
        let last = self.end.min(first + self.rows_per_batch);
        let rows = last - first;
        let mut values = vec![];
        if let Some(length) = self.length {
            values.reserve_exact(rows * length);
            for _ in first..last {
                self.run.read(&mut values)?;
            }
        }
        self.next = last;

        let mut bold = Some(values);
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "tr" => Ok(Arc::new(Int64Array::from_iter_values(
                    (first..last).map(|volume| volume as i64),
                )) as ArrayRef),
                "time" if self.time.is_none() && self.run.rows() > 1 => {
                    Ok(Arc::new(Float64Array::new_null(rows)) as ArrayRef)
                }
                "time" => Ok(Arc::new(Float64Array::from_iter_values(
                    (first..last).map(|volume| self.start_of(volume)),
                )) as ArrayRef),
                "repetition_time" => {
                    let seconds = vec![self.time.as_ref().map(RepetitionTime::seconds); rows];
                    Ok(Arc::new(Float64Array::from(seconds)) as ArrayRef)
                }
                _ => self.bold(field, bold.take().unwrap_or_default(), rows),
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        record_batch(&self.schema, columns, rows)
    }

    fn start_of(&self, volume: usize) -> f64 {
        start_of(self.time.as_ref(), volume)
    }

    fn bold(&self, field: &Field, values: Vec<f32>, rows: usize) -> Result<ArrayRef> {
        let length = self.length.unwrap_or(0);
        vectors(field, values, length, rows)?.ok_or_else(|| {
            file_error(
                &self.path,
                format!(
                    "has {length} values in a row, but the table's bold is {}; \
                     the image or the mask has changed since the table was described, \
                     create it again",
                    field.data_type()
                ),
            )
        })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let batch = self.batch();
        if batch.is_err() {
            self.next = self.end;
        }
        Some(batch)
    }
}

/// Seconds; volume 0 starts at 0 whatever the time between volumes.
fn start_of(time: Option<&RepetitionTime>, volume: usize) -> f64 {
    time.map_or(0.0, |time| time.start_of(volume))
}

/// The volumes, of so many, that the query's conditions on `tr` and `time` may leave.
fn rows(bounds: &Bounds, time: Option<&RepetitionTime>, volumes: usize) -> Range<usize> {
    let by_tr = bounds.rows("tr", volumes, |volume| volume as f64);
    let by_time = bounds.rows("time", volumes, |volume| start_of(time, volume));
    by_tr.start.max(by_time.start)..by_tr.end.min(by_time.end)
}
