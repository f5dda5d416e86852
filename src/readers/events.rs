//! `read_events`: BIDS events (`*_events.tsv`), what happened when in a run.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float64Builder, Int64Builder, RecordBatch, RecordBatchOptions,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use csv::ByteRecord;
use datafusion::common::{Result, exec_err};

use super::bids::{ENTITIES, entities};
use super::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, file_error,
};

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

/// Key columns that every table of files has.
const KEYS: [&str; 5] = ["path", "subject", "session", "task", "run"];

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
            let mut table = Table::open(&path)?;
            let kinds = table.kinds()?;
            for (header, kind) in table.headers.iter().zip(kinds) {
                let name = column_name(header, &table.headers, &keys);
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
        let table = Table::open(&scan.path)?;
        let sources = scan
            .schema
            .fields()
            .iter()
            .map(|field| {
                let place = |name: &str| table.headers.iter().position(|h| h == name);
                let key = field.name().trim_start_matches(RENAMED);
                let is_key =
                    KEYS.contains(&key) || ENTITIES.iter().any(|(_, column)| *column == key);
                place(field.name()).or_else(|| if is_key { place(key) } else { None })
            })
            .collect();
        Ok(Box::new(Batches {
            table,
            sources,
            schema: Arc::clone(&scan.schema),
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        }))
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

/// What a file's column is called in the table.
fn column_name(header: &str, headers: &[String], keys: &[&str]) -> String {
    let mut name = header.to_string();
    while keys.contains(&name.as_str()) || (name != header && headers.contains(&name)) {
        name.insert_str(0, RENAMED);
    }
    name
}

/// An open events file: its header is read, its rows are to come.
struct Table {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    headers: Vec<String>,
    record: ByteRecord,
}

impl Table {
    fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| file_error(path, e))?;
        let mut start = [0; 3];
        let have = file.read(&mut start).map_err(|e| file_error(path, e))?;
        let start = start[..have].to_vec();
        let start = start
            .strip_prefix(b"\xEF\xBB\xBF")
            .unwrap_or(&start)
            .to_vec();
        let whole: Box<dyn Read + Send> =
            Box::new(std::io::Cursor::new(start).chain(BufReader::new(file)));
        let reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .has_headers(false)
            .flexible(true)
            .from_reader(whole);
        let mut table = Self {
            path: path.to_path_buf(),
            reader,
            headers: Vec::new(),
            record: ByteRecord::new(),
        };
        table.read_header()?;
        Ok(table)
    }

    fn read_header(&mut self) -> Result<()> {
        if !self.next()? {
            return Err(
                self.error("it has no header line; the first line of events names the columns")
            );
        }
        let mut headers: Vec<String> = Vec::with_capacity(self.record.len());
        for index in 0..self.record.len() {
            headers.push(self.text(index)?.trim().to_string());
        }
        if let [only] = headers.as_slice() {
            let shown: String = only.chars().take(60).collect();
            return Err(self.error(format!(
                "it is no table of tab-separated values: there is no tab in its first line, {shown:?}"
            )));
        }
        for (index, header) in headers.iter().enumerate() {
            if header.is_empty() {
                return Err(self.error(format!(
                    "column {} has no name in the first line; name it, or remove the tab",
                    index + 1
                )));
            }
            if headers[..index].contains(header) {
                return Err(self.error(format!("two columns are named {header}; rename one")));
            }
        }
        for required in ["onset", "duration"] {
            if !headers.iter().any(|h| h == required) {
                return Err(self.error(format!(
                    "it has no column {required}, which BIDS events need; its columns are {}. \
                     Rename the one that is meant, or read the file as a plain table: CREATE EXTERNAL \
                     TABLE t STORED AS CSV LOCATION '…' OPTIONS ('format.delimiter' '\\t')",
                    headers.join(", ")
                )));
            }
        }
        self.headers = headers;
        Ok(())
    }

    /// Reads the next row into `record`; false at the end.
    fn next(&mut self) -> Result<bool> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(e) => return Err(self.error(e)),
        }
        if self.record.iter().any(|value| value.contains(&0)) {
            return Err(self.line_error("it holds a zero byte; this is not a text file"));
        }
        if self.record.iter().any(|value| value.contains(&b'\n')) {
            return Err(self.line_error(
                "a value that begins with a quotation mark runs over the end of the line; \
                 close the quotation, or double the mark",
            ));
        }
        if !self.headers.is_empty() && self.record.len() != self.headers.len() {
            return Err(self.line_error(format!(
                "{} values for {} columns; values are separated by one tab each, \
                 and a missing one is n/a",
                self.record.len(),
                self.headers.len()
            )));
        }
        Ok(true)
    }

    /// A value of the current row as it stands there.
    fn text(&self, index: usize) -> Result<&str> {
        let bytes = self.record.get(index).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| {
            self.line_error(
                "it is not UTF-8 text; if it is Latin-1, `iconv -f LATIN1 -t UTF-8 a.tsv > b.tsv` \
                 converts it",
            )
        })
    }

    /// A value of the current row, `None` where it is missing.
    fn value(&self, index: usize) -> Result<Option<&str>> {
        let text = self.text(index)?.trim();
        Ok((!text.is_empty() && text != "n/a").then_some(text))
    }

    /// Onset or duration of the current row, in seconds.
    fn seconds(&self, index: usize) -> Result<Option<f64>> {
        let Some(value) = self.value(index)? else {
            return Ok(None);
        };
        match value.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => Ok(Some(seconds)),
            _ => Err(self.line_error(format!(
                "{} is {value:?}, not a number of seconds; write n/a where it is unknown",
                self.headers[index]
            ))),
        }
    }

    /// Reads all rows and says what each column holds.
    fn kinds(&mut self) -> Result<Vec<Kind>> {
        let mut kinds = vec![Kind::Nothing; self.headers.len()];
        while self.next()? {
            for (index, kind) in kinds.iter_mut().enumerate() {
                if is_time(&self.headers[index]) {
                    self.seconds(index)?;
                    *kind = Kind::Float;
                } else if let Some(value) = self.value(index)? {
                    *kind = (*kind).max(Kind::of(value));
                }
            }
        }
        Ok(kinds)
    }

    fn error(&self, message: impl std::fmt::Display) -> datafusion::common::DataFusionError {
        file_error(&self.path, message)
    }

    fn line_error(&self, message: impl std::fmt::Display) -> datafusion::common::DataFusionError {
        let line = self.record.position().map_or(1, |p| p.line());
        self.error(format!("line {line}: {message}"))
    }
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

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch();
        if batch.is_err() {
            self.left = 0;
        }
        batch.transpose()
    }
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
            bytes += self.table.record.as_slice().len() + 8 * builders.len();
        }
        if rows == 0 {
            return Ok(None);
        }
        self.left -= rows;
        let columns = builders.iter_mut().map(Builder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?))
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
                    table.seconds(index)?; // for its error
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
