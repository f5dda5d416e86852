//! A film's rows as record batches.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::ahead::{Ahead, open_again};
use super::paint::{Painter, append_numbers};
use super::rows::Rows;
use super::stream::{Decoder, Pictures, Stream};
use super::wanted::Wanted;
use crate::readers::format::{FileScan, file_error, record_batch};

/// Rows of a batch that holds no pictures.
const PLAIN_ROWS: usize = 8_192;

pub struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    rows: Rows,
    next: usize,
    end: usize,
    batch_rows: usize,
    frames: Option<Frames>,
}

impl Batches {
    pub fn open(scan: &FileScan) -> Result<Self> {
        let fail = |message: String| file_error(&scan.path, message);
        let wanted = Wanted::new(&scan.options)?;
        let stream = Stream::open(&scan.path, wanted.stream).map_err(fail)?;
        let (width, height) = wanted.sides.size(stream.size);
        let (turns, colour) = (stream.turns.unwrap_or(0), stream.colour);
        let (timeline, pictures) = stream.index().map_err(fail)?;
        let mut rows = Rows::new(timeline, wanted.fps);
        let range = rows.range(&wanted, &scan.bounds);
        let most = scan.limit.unwrap_or(usize::MAX);
        let end = range.end.min(range.start.saturating_add(most));

        let mut batch_rows = PLAIN_ROWS;
        let mut frames = None;
        if let Ok(field) = scan.schema.field_with_name("frame") {
            let DataType::FixedSizeList(item, length) = field.data_type() else {
                return exec_err!("read_video: column frame has type {}", field.data_type());
            };
            let values = u64::from(width) * u64::from(height) * wanted.look.channels() as u64;
            if *length as u64 != values {
                return Err(fail(format!(
                    "its pictures are {width} x {height} now, which was not so when the query \
                     was planned; run it again"
                )));
            }
            batch_rows = (scan.batch_bytes / (*length as usize * size_of::<f32>())).max(1);
            if range.start < end {
                let painter = || Painter::new(colour, turns, width, height, wanted.look);
                let ahead = match &pictures {
                    Pictures::Coded {
                        length: bytes,
                        samples,
                        avcc,
                        ..
                    } if scan.threads > 1 => Ahead::start(
                        rows.samples(range.start..end),
                        scan.threads,
                        values as usize,
                        || open_again(&scan.path, *bytes, samples, avcc),
                        painter,
                    )
                    .map_err(fail)?,
                    _ => None,
                };
                let source = match ahead {
                    Some(ahead) => Source::Ahead(ahead),
                    None => Source::InTurn(pictures.start().map_err(fail)?, Box::new(painter())),
                };
                frames = Some(Frames {
                    item: Arc::clone(item),
                    length: *length,
                    source,
                    painted: None,
                    given: VecDeque::new(),
                });
            }
        }
        Ok(Self {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            rows,
            next: range.start,
            end,
            batch_rows,
            frames,
        })
    }

    fn batch(&mut self, from: usize, to: usize) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in Arc::clone(&self.schema).fields() {
            columns.push(match field.name().as_str() {
                "frame_index" => Arc::new(Int64Array::from_iter_values(
                    (from..to).map(|row| row as i64),
                )),
                "time" => Arc::new(Float64Array::from_iter_values(
                    (from..to).map(|row| self.rows.time(row)),
                )),
                "frame" => self.frame_column(from, to)?,
                other => return exec_err!("read_video has no column {other}"),
            });
        }
        record_batch(&self.schema, columns, to - from)
    }

    fn frame_column(&mut self, from: usize, to: usize) -> Result<ArrayRef> {
        let Some(frames) = &mut self.frames else {
            return exec_err!("read_video: column frame was not planned");
        };
        let mut values = frames.buffer((to - from) * frames.length as usize);
        frames.painted = None;
        for row in from..to {
            let sample = self.rows.sample(row);
            if let Err(message) = frames.append(sample, &mut values) {
                let time = self.rows.time(row);
                return Err(file_error(
                    &self.path,
                    format!("picture at {time} s: {message}"),
                ));
            }
        }
        let values = Arc::new(Float32Array::from(values));
        frames.given.push_back(values.values().inner().clone());
        let item = Arc::clone(&frames.item);
        Ok(Arc::new(FixedSizeListArray::try_new(
            item,
            frames.length,
            values,
            None,
        )?))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let from = self.next;
        let to = from.saturating_add(self.batch_rows).min(self.end);
        self.next = to;
        let batch = self.batch(from, to);
        if batch.is_err() {
            self.next = self.end;
        }
        Some(batch)
    }
}

/// Who decodes and paints.
enum Source {
    InTurn(Decoder, Box<Painter>),
    Ahead(Ahead),
}

/// The column `frame` in the making.
struct Frames {
    item: FieldRef,
    length: i32,
    source: Source,
    /// The sample that was painted last, and where in the batch.
    painted: Option<(usize, usize)>,
    /// The numbers of the batches given last.
    given: VecDeque<Buffer>,
}

/// Batches whose memory is kept for others to come: as many as are on their way to who reads them.
const KEPT: usize = 3;

impl Frames {
    /// Room for so many numbers: that of an earlier batch, where nobody has that any more. New memory is
    /// zeroed by the system page by page, which takes as long as the numbers do.
    fn buffer(&mut self, length: usize) -> Vec<f32> {
        let oldest = (self.given.len() >= KEPT).then(|| self.given.pop_front());
        match oldest.flatten().map(Buffer::into_vec::<f32>) {
            Some(Ok(mut values)) if values.capacity() >= length => {
                values.clear();
                values
            }
            _ => Vec::with_capacity(length),
        }
    }

    fn append(&mut self, sample: usize, values: &mut Vec<f32>) -> Result<(), String> {
        match self.painted {
            Some((painted, at)) if painted == sample => {
                values.extend_from_within(at..at + self.length as usize);
            }
            _ => {
                let at = values.len();
                match &mut self.source {
                    Source::InTurn(decoder, painter) => {
                        painter.paint_numbers(decoder.picture(sample)?, values)?;
                    }
                    Source::Ahead(ahead) => append_numbers(ahead.picture(sample)?, values),
                }
                self.painted = Some((sample, at));
            }
        }
        Ok(())
    }
}
