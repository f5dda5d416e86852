//! Tab-separated tables whose columns get the narrowest type that holds all values of all files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::{KEYS, Table, column_name, source};
use crate::readers::bids::entities;
use crate::readers::format::{BatchIterator, Description, FileScan, record_batch, until_error};

/// The most rows in a batch, whatever its bytes.
const BATCH_ROWS: usize = 8_192;

/// What is special about tables of some kind.
#[derive(Debug, Clone, Copy)]
pub struct Typed {
    /// Columns that must hold seconds.
    pub seconds: &'static [&'static str],
    /// What stands before the name of a column that would be taken for a key.
    pub renamed: &'static str,
    /// A file's table, with what is needed.
    pub open: fn(&Path) -> Result<Table>,
}

impl Typed {
    /// Reads the files for their columns: the seconds first, then the others as they come.
    pub fn describe(&self, files: Vec<PathBuf>) -> Result<Description> {
        let seconds = self.seconds.iter();
        let mut columns: Vec<_> = seconds.map(|s| (s.to_string(), Kind::Float)).collect();
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
            let mut table = (self.open)(&path)?;
            let kinds = self.kinds(&mut table)?;
            for (header, kind) in table.headers.iter().zip(kinds) {
                let name = column_name(header, &table.headers, &keys, self.renamed);
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

    /// The rows of a file.
    pub fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let table = (self.open)(&scan.path)?;
        let fields = scan.schema.fields().iter();
        let sources = fields
            .map(|field| source(&table, field.name(), &[], self.renamed))
            .collect();
        let mut batches = Batches {
            typed: *self,
            table,
            sources,
            schema: Arc::clone(&scan.schema),
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        };
        Ok(until_error(move || batches.batch()))
    }

    /// Reads all rows and says what each column holds.
    fn kinds(&self, table: &mut Table) -> Result<Vec<Kind>> {
        let mut kinds = vec![Kind::Nothing; table.headers.len()];
        while table.next()? {
            for (index, kind) in kinds.iter_mut().enumerate() {
                if self.is_seconds(&table.headers[index]) {
                    check_seconds(table, index)?;
                    *kind = Kind::Float;
                } else if let Some(value) = table.value(index)? {
                    *kind = (*kind).max(Kind::of(value));
                }
            }
        }
        Ok(kinds)
    }

    fn is_seconds(&self, name: &str) -> bool {
        self.seconds.contains(&name)
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

/// Checks that a value of the current row is seconds, or missing.
fn check_seconds(table: &Table, index: usize) -> Result<()> {
    let Some(value) = table.value(index)? else {
        return Ok(());
    };
    match value.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(()),
        _ => Err(table.line_error(format!(
            "{} is {value:?}, not a number of seconds; write n/a where it is unknown",
            table.headers[index]
        ))),
    }
}

struct Batches {
    typed: Typed,
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
                builder.append(&self.typed, &self.table, *source)?;
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
            other => {
                return exec_err!("a table of tab-separated values has no columns of type {other}");
            }
        })
    }

    fn append(&mut self, typed: &Typed, table: &Table, source: Option<usize>) -> Result<()> {
        let value = match source {
            Some(index) => {
                if typed.is_seconds(&table.headers[index]) {
                    check_seconds(table, index)?;
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
