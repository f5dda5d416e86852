//! `read_bids`: the files of a BIDS data set as a table.
//!
//! The scan's one "file" is the root directory. It is walked once, when the rows are
//! asked for ([`walk`](super::bids::walk)); a directory's JSON files are kept while the walk is inside it
//! ([`level`](super::bids::level)), so that memory follows the depth of the tree and not its size.
//! Files are looked at only for the columns that need it ([`row`]).

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::bids::ENTITIES;
use super::bids::walk::{Scope, Walk};
use super::files;
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, record_batch,
};

mod row;
#[cfg(test)]
mod tests;

use row::Row;

/// The files of a BIDS tree, raw or derivatives. One row is one file.
#[derive(Debug)]
pub struct BidsTree;

/// The most rows in a batch, whatever its bytes.
const BATCH_ROWS: usize = 8_192;

/// About what a row without its sidecar takes.
const ROW_BYTES: usize = 512;

impl Format for BidsTree {
    fn function(&self) -> &'static str {
        "read_bids"
    }

    fn stored_as(&self) -> &'static str {
        "BIDS"
    }

    fn description(&self) -> &'static str {
        "The files of a BIDS data set, one row each, `derivatives/` included. The path is the root directory \
         (or a directory within it, or an array of roots).\n\n\
         | column | type | |\n| --- | --- | --- |\n\
         | `subject`, `session`, `task`, `run`, … `desc` | text | every entity of BIDS by its full name, and fMRIPrep's `\"from\"`, `\"to\"`, `mode`, `fmapid`; NULL where the name has none |\n\
         | `datatype` | text | the directory the file is in, where it is one of data: `func`, `anat`, … |\n\
         | `suffix`, `extension` | text | `bold`, `.nii.gz` |\n\
         | `size` | Int64 | bytes |\n\
         | `repetition_time`, `start_time` | Float64 | seconds, of the sidecar |\n\
         | `task_name` | text | of the sidecar |\n\
         | `slice_timing` | List of Float64 | seconds, of the sidecar |\n\
         | `sidecar` | text | all fields of the JSON files that apply, as one JSON object |\n\
         | `problem` | text | what is wrong with the file, NULL if nothing: `empty file`, not gzip, a broken JSON, a link to nothing, a name that BIDS does not know |\n\
         | `path` | text | |\n\
         | `root` | text | the directory given |\n\n\
         Sidecars are inherited as BIDS says: a JSON file applies to files with its suffix and its entities, in its directory and below; \
         the deeper one wins, field by field. Inheritance begins at the nearest `dataset_description.json`, so derivatives \
         with one of their own inherit nothing from the raw data. Empty and broken files are rows with a `problem`. \
         Images are not opened, except for two bytes of `.gz` files where `problem` is asked for. \
         Hidden files are left out, and `sourcedata` and `code` at the root of a data set. Directories that are one file to BIDS \
         (`.ds`, `.zarr`, `.mefd`) are one row without a size."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }

    fn resolve(&self, path: &str) -> Result<Vec<PathBuf>> {
        Ok(vec![files::directory(path)?])
    }

    /// `path` is that of a file in the tree.
    fn path_column(&self) -> &'static str {
        "root"
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        let entities = ENTITIES
            .iter()
            .map(|(_, column)| Field::new(*column, DataType::Utf8, true));
        let own = OWN.iter().map(|(name, what)| {
            let nullable = !matches!(what, What::Path);
            Field::new(*name, what.data_type(), nullable)
        });
        Ok(Description {
            schema: Arc::new(Schema::new(entities.chain(own).collect::<Vec<_>>())),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let mut columns = Vec::with_capacity(scan.schema.fields().len());
        for field in scan.schema.fields() {
            columns.push(What::of(field.name())?);
        }
        Ok(Box::new(Batches {
            walk: Walk::new(&scan.path, Scope::default())?,
            columns,
            schema: Arc::clone(&scan.schema),
            left: scan.limit.unwrap_or(usize::MAX),
            batch_bytes: scan.batch_bytes,
        }))
    }
}

/// The columns after the entities.
const OWN: [(&str, What); 11] = [
    ("datatype", What::Datatype),
    ("suffix", What::Suffix),
    ("extension", What::Extension),
    ("size", What::Size),
    ("repetition_time", What::Number("RepetitionTime")),
    ("start_time", What::Number("StartTime")),
    ("task_name", What::Text("TaskName")),
    ("slice_timing", What::Numbers("SliceTiming")),
    ("sidecar", What::Sidecar),
    ("problem", What::Problem),
    ("path", What::Path),
];

/// What a column has.
#[derive(Debug, Clone, Copy)]
enum What {
    /// By the key in names.
    Entity(&'static str),
    Datatype,
    Suffix,
    Extension,
    Size,
    /// A field of the sidecar, and so the next two.
    Number(&'static str),
    Text(&'static str),
    Numbers(&'static str),
    Sidecar,
    Problem,
    Path,
}

impl What {
    fn of(column: &str) -> Result<Self> {
        if let Some((_, what)) = OWN.iter().find(|(name, _)| *name == column) {
            return Ok(*what);
        }
        match ENTITIES.iter().find(|(_, name)| *name == column) {
            Some((key, _)) => Ok(Self::Entity(key)),
            None => exec_err!("read_bids has no column {column}"),
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Self::Size => DataType::Int64,
            Self::Number(_) => DataType::Float64,
            Self::Numbers(_) => DataType::new_list(DataType::Float64, true),
            _ => DataType::Utf8,
        }
    }
}

struct Batches {
    walk: Walk,
    columns: Vec<What>,
    schema: SchemaRef,
    left: usize,
    batch_bytes: usize,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

impl Batches {
    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut builders: Vec<_> = self.columns.iter().map(|w| Builder::new(*w)).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS.min(self.left) && (rows == 0 || bytes < self.batch_bytes) {
            let Some(found) = self.walk.next() else {
                break;
            };
            let row = Row::new(&found, self.walk.levels().collect());
            for (builder, what) in builders.iter_mut().zip(&self.columns) {
                bytes += builder.append(*what, &row);
            }
            rows += 1;
            bytes += ROW_BYTES;
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
    Text(StringBuilder),
    Integer(Int64Builder),
    Float(Float64Builder),
    Floats(ListBuilder<Float64Builder>),
}

impl Builder {
    fn new(what: What) -> Self {
        match what {
            What::Size => Self::Integer(Int64Builder::new()),
            What::Number(_) => Self::Float(Float64Builder::new()),
            What::Numbers(_) => Self::Floats(ListBuilder::new(Float64Builder::new())),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    /// Appends the row's value and says how many bytes it has, if they may be many.
    fn append(&mut self, what: What, row: &Row) -> usize {
        match self {
            Self::Integer(builder) => {
                let size = row.size().and_then(|size| i64::try_from(size).ok());
                builder.append_option(size);
                0
            }
            Self::Float(builder) => {
                builder.append_option(match what {
                    What::Number(field) => row.number(field),
                    _ => None,
                });
                0
            }
            Self::Floats(builder) => {
                let values = match what {
                    What::Numbers(field) => row.numbers(field),
                    _ => None,
                };
                let bytes = values.as_ref().map_or(0, |v| 8 * v.len());
                builder.append_option(values.map(|v| v.into_iter().map(Some)));
                bytes
            }
            Self::Text(builder) => {
                let owned;
                let value = match what {
                    What::Entity(key) => row.entity(key),
                    What::Datatype => row.datatype(),
                    What::Suffix => row.suffix(),
                    What::Extension => row.extension(),
                    What::Text(field) => row.text(field),
                    What::Sidecar => {
                        owned = row.sidecar();
                        owned.as_deref()
                    }
                    What::Problem => {
                        owned = row.problem();
                        owned.as_deref()
                    }
                    What::Path => {
                        owned = Some(row.path());
                        owned.as_deref()
                    }
                    What::Size | What::Number(_) | What::Numbers(_) => None,
                };
                builder.append_option(value);
                value.map_or(0, str::len)
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Float(builder) => Arc::new(builder.finish()),
            Self::Floats(builder) => Arc::new(builder.finish()),
        }
    }
}
