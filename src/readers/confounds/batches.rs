//! A file's rows: its columns as they are, streamed; or what a strategy makes of them.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Float64Builder, Int64Array,
    ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::super::format::{FileScan, file_error, record_batch};
use super::super::tsv::{self, Table};
use super::run::Run;
use super::strategy::Strategy;
use super::{PREFIX, number, open};

/// The most rows in a batch, whatever its bytes.
const BATCH_ROWS: usize = 8_192;

/// The columns of a file.
pub struct Columns {
    table: Table,
    sources: Vec<Source>,
    schema: SchemaRef,
    next: usize,
    left: usize,
    batch_bytes: usize,
}

enum Source {
    Tr,
    Column(usize),
    /// The file does not have it.
    Missing,
}

impl Columns {
    pub fn open(scan: &FileScan) -> Result<Self> {
        let table = open(&scan.path)?;
        let source = |field: &FieldRef| match field.name().as_str() {
            "tr" => Source::Tr,
            name => match tsv::source(&table, name, &["tr"], PREFIX) {
                Some(index) => Source::Column(index),
                None => Source::Missing,
            },
        };
        let sources = scan.schema.fields().iter().map(source).collect();
        Ok(Self {
            table,
            sources,
            schema: Arc::clone(&scan.schema),
            next: 0,
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        })
    }

    /// The next rows, if there are any.
    pub fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<_> = self.sources.iter().map(|_| Float64Builder::new()).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS.min(self.left) && (rows == 0 || bytes < self.batch_bytes) {
            if !self.table.next()? {
                break;
            }
            for (builder, source) in builders.iter_mut().zip(&self.sources) {
                match source {
                    Source::Tr => {}
                    Source::Missing => builder.append_null(),
                    Source::Column(index) => builder.append_option(number(&self.table, *index)?),
                }
            }
            rows += 1;
            bytes += 9 * builders.len();
        }
        if rows == 0 {
            return Ok(None);
        }
        let first = self.next;
        self.next += rows;
        self.left -= rows;
        let columns = builders.iter_mut().zip(&self.sources);
        let columns = columns.map(|(builder, source)| match source {
            Source::Tr => trs(first, rows),
            _ => Arc::new(builder.finish()),
        });
        record_batch(&self.schema, columns.collect(), rows).map(Some)
    }
}

/// A strategy's rows. The run is held whole: means and scrubbing need all of it.
pub struct Regressors {
    path: PathBuf,
    run: Run,
    schema: SchemaRef,
    next: usize,
    end: usize,
    rows_per_batch: usize,
}

impl Regressors {
    pub fn open(scan: &FileScan, strategy: &Strategy) -> Result<Self> {
        let run = Run::read(&scan.path, strategy)?;
        let names: usize = run.names.iter().map(|name| 8 + name.len()).sum();
        let row_bytes = 8 * run.confounds.len() + names + 16;
        Ok(Self {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            next: 0,
            end: run.keep.len().min(scan.limit.unwrap_or(usize::MAX)),
            rows_per_batch: (scan.batch_bytes / row_bytes).clamp(1, BATCH_ROWS),
            run,
        })
    }

    fn batch(&self, first: usize, rows: usize) -> Result<RecordBatch> {
        let fields = self.schema.fields().iter();
        let columns = fields.map(|field| match field.name().as_str() {
            "tr" => Ok(trs(first, rows)),
            "confounds" => self.confounds(field, first, rows),
            "sample_mask" => {
                let keep = self.run.keep[first..first + rows].to_vec();
                Ok(Arc::new(BooleanArray::from(keep)) as ArrayRef)
            }
            "names" => self.names(field, rows),
            other => exec_err!("read_confounds with a strategy has no column {other}"),
        });
        record_batch(&self.schema, columns.collect::<Result<_>>()?, rows)
    }

    fn confounds(&self, field: &FieldRef, first: usize, rows: usize) -> Result<ArrayRef> {
        let columns = &self.run.confounds;
        let all = (first..first + rows).flat_map(|row| columns.iter().map(move |c| c[row]));
        let values = all.map(|value| (!value.is_nan()).then_some(value));
        let values = Arc::new(Float64Array::from_iter(values));
        match field.data_type() {
            DataType::FixedSizeList(item, width) if *width as usize == columns.len() => {
                Ok(Arc::new(FixedSizeListArray::try_new(
                    Arc::clone(item),
                    *width,
                    values,
                    None,
                )?))
            }
            DataType::List(item) => list(item, values, columns.len(), rows),
            other => Err(file_error(
                &self.path,
                format!(
                    "the strategy finds {} columns here, but the table's confounds is {other}; \
                     the file has changed since the table was described, create it again",
                    columns.len()
                ),
            )),
        }
    }

    fn names(&self, field: &FieldRef, rows: usize) -> Result<ArrayRef> {
        let DataType::List(item) = field.data_type() else {
            return exec_err!("read_confounds: names is a list, not {}", field.data_type());
        };
        let names: Vec<&str> = self.run.names.iter().map(String::as_str).collect();
        let names = Arc::new(StringArray::from(names.repeat(rows)));
        list(item, names, self.run.names.len(), rows)
    }
}

impl Iterator for Regressors {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next;
        let rows = self.rows_per_batch.min(self.end - first);
        self.next += rows;
        (rows > 0).then(|| self.batch(first, rows))
    }
}

/// Lists of one length.
fn list(item: &FieldRef, values: ArrayRef, length: usize, rows: usize) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_repeated_length(length, rows);
    let list = ListArray::try_new(Arc::clone(item), offsets, values, None)?;
    Ok(Arc::new(list))
}

fn trs(first: usize, rows: usize) -> ArrayRef {
    let trs = (first..first + rows).map(|tr| tr as i64);
    Arc::new(Int64Array::from_iter_values(trs))
}
