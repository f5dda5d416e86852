//! A film's rows as record batches.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::asked::Asked;
use super::indexed::Indexed;
use super::paint::Painter;
use super::rows::Rows;
use super::stream::{self, Stream};
use super::streamed::Streamed;
use super::wanted::Wanted;
use crate::readers::format::{FileScan, file_error, record_batch};

/// Rows of a batch that holds no pictures.
const PLAIN_ROWS: usize = 8_192;

/// Rows are given after this time, be it none: so it is seen when nobody waits for them any more.
const PAUSE: Duration = Duration::from_secs(1);

/// A row to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    pub number: i64,
    pub time: f64,
    /// Which picture it holds: another number is another picture.
    pub picture: usize,
}

/// What comes next of a film.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    Row(Row),
    /// None has come in time.
    NotYet,
    End,
}

pub struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    /// `None` when all is given.
    source: Option<Source>,
    /// The most rows to come.
    left: usize,
    batch_rows: usize,
    frames: Option<Frames>,
}

enum Source {
    Indexed(Box<Indexed>),
    Streamed(Box<Streamed>),
}

impl Batches {
    pub fn open(scan: &FileScan) -> Result<Self> {
        let fail = |message: String| file_error(&scan.path, message);
        let wanted = Wanted::new(&scan.options)?;
        let stream = Stream::open(&scan.path, wanted.stream).map_err(fail)?;
        let (width, height) = wanted.sides.size(stream.size);
        let (turns, colour) = (stream.turns.unwrap_or(0), stream.colour);
        let asked = Asked::new(&wanted, &scan.bounds);

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
            frames = Some(Frames {
                item: Arc::clone(item),
                length: *length,
                given: VecDeque::new(),
            });
        }
        let painter = || Painter::new(colour, turns, width, height, wanted.look);
        let mut left = scan.limit.unwrap_or(usize::MAX);
        let source = match stream.film().map_err(fail)? {
            stream::Film::Indexed(timeline, coded) => {
                let rows = Rows::new(timeline, wanted.fps);
                let mut range = rows.range(&asked);
                range.end = range.end.min(range.start.saturating_add(left));
                left = range.len();
                let painter = frames.as_ref().map(|f| (painter, f.length as usize));
                let indexed = Indexed::new(rows, range, coded, scan, painter);
                Source::Indexed(Box::new(indexed.map_err(fail)?))
            }
            stream::Film::External(external) => {
                let has_numbers = scan.schema.field_with_name("frame_index").is_ok();
                let painter = frames.is_some().then(painter);
                let streamed = Streamed::new(external, asked, has_numbers, painter);
                Source::Streamed(Box::new(streamed))
            }
        };
        Ok(Self {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            source: Some(source),
            left,
            batch_rows,
            frames,
        })
    }

    /// The next rows; `None` where there are none left.
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let fail = |message: String| file_error(&self.path, message);
        let room = self.batch_rows.min(self.left);
        let mut rows: Vec<Row> = Vec::new();
        let mut values = match &mut self.frames {
            Some(frames) => frames.buffer(room.saturating_mul(frames.length as usize)),
            None => Vec::new(),
        };
        let mut is_over = self.left == 0;
        let until = Instant::now() + PAUSE;
        while let Some(source) = &mut self.source
            && rows.len() < room
        {
            let row = match source.step(until).map_err(fail)? {
                Step::Row(row) => row,
                Step::NotYet => break,
                Step::End => {
                    is_over = true;
                    break;
                }
            };
            if let Some(frames) = &self.frames {
                match rows.last() {
                    Some(last) if last.picture == row.picture => {
                        let at = values.len() - frames.length as usize;
                        values.extend_from_within(at..);
                    }
                    _ => source
                        .append(row.picture, &mut values)
                        .map_err(|e| fail(format!("picture at {} s: {e}", row.time)))?,
                }
            }
            rows.push(row);
        }
        self.left -= rows.len();
        if is_over || self.left == 0 {
            // Nothing decodes for nobody while the last rows are on their way.
            self.source = None;
        }
        if is_over && rows.is_empty() {
            return Ok(None);
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for field in self.schema.fields() {
            columns.push(match (field.name().as_str(), &mut self.frames) {
                ("frame_index", _) => Arc::new(Int64Array::from_iter_values(
                    rows.iter().map(|row| row.number),
                )),
                ("time", _) => Arc::new(Float64Array::from_iter_values(
                    rows.iter().map(|row| row.time),
                )),
                ("frame", Some(frames)) => frames.column(std::mem::take(&mut values))?,
                (other, _) => return exec_err!("read_video has no column {other}"),
            });
        }
        record_batch(&self.schema, columns, rows.len()).map(Some)
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.source.as_ref()?;
        let batch = self.batch();
        if batch.is_err() {
            self.source = None;
        }
        batch.transpose()
    }
}

impl Source {
    fn step(&mut self, until: Instant) -> Result<Step, String> {
        match self {
            // These come as fast as they are decoded.
            Self::Indexed(indexed) => Ok(indexed.step()),
            Self::Streamed(streamed) => streamed.step(until),
        }
    }

    /// Appends the numbers of the picture in the row given last.
    fn append(&mut self, picture: usize, values: &mut Vec<f32>) -> Result<(), String> {
        match self {
            Self::Indexed(indexed) => indexed.append(picture, values),
            Self::Streamed(streamed) => streamed.append(values),
        }
    }
}

/// The column `frame` in the making.
struct Frames {
    item: FieldRef,
    length: i32,
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

    fn column(&mut self, mut values: Vec<f32>) -> Result<ArrayRef> {
        // How many rows are left of a film is not always known beforehand.
        if values.len() < values.capacity() / 2 {
            values.shrink_to_fit();
        }
        let values = Arc::new(Float32Array::from(values));
        self.given.push_back(values.values().inner().clone());
        let item = Arc::clone(&self.item);
        Ok(Arc::new(FixedSizeListArray::try_new(
            item,
            self.length,
            values,
            None,
        )?))
    }
}
