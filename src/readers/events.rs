//! `read_events`: BIDS events (`*_events.tsv`), what happened when in a run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::bids::entities;
use super::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, record_batch,
    until_error,
};
use super::tsv::{self, KEYS, Table, column_name};

/// Tab-separated events as BIDS has them.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `onset` | Float64 | seconds from the start of the run |
/// | `duration` | Float64 | seconds |
/// | any other | Int64, Float64 or Utf8 | the narrowest that holds every value of every file |
///
/// `n/a` and an empty cell are NULL. A column that one of several files lacks is NULL there.
/// Numbers with leading zeros (`007`) are names and make a column Utf8.
/// A column that is named as a key of the table is called `events_run` and so on, so
/// that keys mean the same in every table; a warning says so. Keys are `path`,
/// `subject`, `session`, `task`, `run` and the entities in the files' names.
///
/// In a BIDS data set a file that several runs inherit is listed once for each of them: [`BidsUse::Events`].
#[derive(Debug)]
pub struct Events;

/// The most rows in a batch, whatever its bytes.
const BATCH_ROWS: usize = 8_192;

impl Format for Events {
    fn function(&self) -> &'static str {
        "read_events"
    }

    fn stored_as(&self) -> &'static str {
        "EVENTS"
    }

    fn description(&self) -> &'static str {
        "BIDS `events.tsv`: `onset` and `duration` in seconds, and every other column that the files have, as whole numbers, \
         numbers or text. `n/a` is NULL. In a BIDS data set, events that are inherited (`task-rest_events.tsv` at the root) are rows once for each \
         run that they are of, with its `subject`, `session`, `task` and `run`, so that they join with `read_bold` by those; `path` is the \
         events file. Runs of a derivative have the events of the raw data set. The file itself as a path is read once."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["_events.tsv"]
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Events
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        let mut columns = vec![
            ("onset".to_string(), Kind::Float),
            ("duration".to_string(), Kind::Float),
        ];
        let mut keys = KEYS.to_vec();
        keys.extend(
            files
                .iter()
                .flat_map(|path| entities(path))
                .map(|(column, _)| column),
        );
        let mut kept = Vec::with_capacity(files.len());
        let mut renamed: Vec<String> = Vec::new();
        for path in files {
            if std::fs::metadata(&path).is_ok_and(|m| m.len() == 0) {
                log::warn!("{}: the file is empty; it is left out", path.display());
                continue;
            }
            let mut table = open(&path)?;
            let kinds = kinds(&mut table)?;
            for (header, kind) in table.headers.iter().zip(kinds) {
                let name = column_name(header, &table.headers, &keys, RENAMED);
                if name != *header && !renamed.contains(header) {
                    log::warn!(
                        "{}: column {header} has the name of a key; it is called {name}",
                        path.display()
                    );
                    renamed.push(header.clone());
                }
                match columns.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, widest)) => *widest = (*widest).max(kind),
                    None => columns.push((name, kind)),
                }
            }
            kept.push(path);
        }
        let fields: Vec<_> = columns
            .into_iter()
            .map(|(name, kind)| Field::new(name, kind.data_type(), true))
            .collect();
        Ok(Description {
            schema: Arc::new(Schema::new(fields)),
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let table = open(&scan.path)?;
        let fields = scan.schema.fields().iter();
        let sources = fields
            .map(|field| tsv::source(&table, field.name(), &[], RENAMED))
            .collect();
        let mut batches = Batches {
            table,
            sources,
            schema: Arc::clone(&scan.schema),
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        };
        Ok(until_error(move || batches.batch()))
    }
}

/// What a column's values are, from narrow to wide: the wider of two holds both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Only missing values.
    Nothing,
    Integer,
    Float,
    Text,
}

impl Kind {
    fn of(value: &str) -> Self {
        let digits = value.strip_prefix('-').unwrap_or(value).as_bytes();
        let leading_zero = matches!(digits, [b'0', b'0'..=b'9', ..]);
        if leading_zero {
            Self::Text
        } else if value.parse::<i64>().is_ok() {
            Self::Integer
        } else if value.parse::<f64>().is_ok() {
            Self::Float
        } else {
            Self::Text
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Nothing | Self::Text => DataType::Utf8,
        }
    }
}

/// What stands before the name of a column that would be taken for a key.
const RENAMED: &str = "events_";

/// A file's table; what events need is there.
fn open(path: &Path) -> Result<Table> {
    let table = Table::open(path, "events")?;
    for required in ["onset", "duration"] {
        if table.column(required).is_none() {
            return Err(table.error(format!(
                "it has no column {required}, which BIDS events need; its columns are {}. \
                 Rename the one that is meant, or read the file as a plain table: CREATE EXTERNAL \
                 TABLE t STORED AS CSV LOCATION '…' OPTIONS ('format.delimiter' '\\t')",
                table.headers.join(", ")
            )));
        }
    }
    Ok(table)
}

/// Onset or duration of the current row, in seconds.
fn seconds(table: &Table, index: usize) -> Result<Option<f64>> {
    let Some(value) = table.value(index)? else {
        return Ok(None);
    };
    match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(Some(seconds)),
        _ => Err(table.line_error(format!(
            "{} is {value:?}, not a number of seconds; write n/a where it is unknown",
            table.headers[index]
        ))),
    }
}

/// Reads all rows and says what each column holds.
fn kinds(table: &mut Table) -> Result<Vec<Kind>> {
    let mut kinds = vec![Kind::Nothing; table.headers.len()];
    while table.next()? {
        for (index, kind) in kinds.iter_mut().enumerate() {
            if is_time(&table.headers[index]) {
                seconds(table, index)?;
                *kind = Kind::Float;
            } else if let Some(value) = table.value(index)? {
                *kind = (*kind).max(Kind::of(value));
            }
        }
    }
    Ok(kinds)
}

fn is_time(name: &str) -> bool {
    name == "onset" || name == "duration"
}

struct Batches {
    table: Table,
    /// For each column of the schema, which of the file's it is; `None` is all NULL.
    sources: Vec<Option<usize>>,
    schema: SchemaRef,
    left: usize,
    batch_bytes: usize,
}

impl Batches {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders = self
            .schema
            .fields()
            .iter()
            .map(|field| Builder::new(field.data_type()))
            .collect::<Result<Vec<_>>>()?;
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS.min(self.left) && (rows == 0 || bytes < self.batch_bytes) {
            if !self.table.next()? {
                break;
            }
            for (builder, source) in builders.iter_mut().zip(&self.sources) {
                builder.append(&self.table, *source)?;
            }
            rows += 1;
            bytes += self.table.row_bytes() + 8 * builders.len();
        }
        if rows == 0 {
            return Ok(None);
        }
        self.left -= rows;
        let columns = builders.iter_mut().map(Builder::finish).collect();
        Ok(Some(record_batch(&self.schema, columns, rows)?))
    }
}

enum Builder {
    Integer(Int64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
}

impl Builder {
    fn new(data_type: &DataType) -> Result<Self> {
        Ok(match data_type {
            DataType::Int64 => Self::Integer(Int64Builder::new()),
            DataType::Float64 => Self::Float(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            other => return exec_err!("read_events has no columns of type {other}"),
        })
    }

    fn append(&mut self, table: &Table, source: Option<usize>) -> Result<()> {
        let value = match source {
            Some(index) => {
                if is_time(&table.headers[index]) {
                    seconds(table, index)?; // for its error
                }
                table.value(index)?
            }
            None => None,
        };
        let changed = |value| {
            table.line_error(format!(
                "{value:?} was not in the file when the query was planned; run it again"
            ))
        };
        match self {
            Self::Text(builder) => builder.append_option(value),
            Self::Integer(builder) => builder.append_option(
                value
                    .map(|v| v.parse().map_err(|_| changed(v)))
                    .transpose()?,
            ),
            Self::Float(builder) => builder.append_option(
                value
                    .map(|v| v.parse().map_err(|_| changed(v)))
                    .transpose()?,
            ),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(builder) => ArrayBuilder::finish(builder),
            Self::Float(builder) => ArrayBuilder::finish(builder),
            Self::Text(builder) => ArrayBuilder::finish(builder),
        }
    }
}

#[cfg(test)]
mod tests;
