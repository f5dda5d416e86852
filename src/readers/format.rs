//! What one file format has to say and do to be a table.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};

use super::bounds::Bounds;
use super::files;

/// One file format as a table. Shared by the table function (`read_bold(…)`)
/// and by `CREATE EXTERNAL TABLE … STORED AS NIFTI`.
///
/// A format never sees the key columns (`path`, `subject`, `run`, …): they come
/// from the file's name, are the same for all of its rows, and the scan adds them.
pub trait Format: Debug + Send + Sync {
    /// The table function's SQL name, such as `read_bold`.
    fn function(&self) -> &'static str;

    /// The name after `STORED AS`, such as `NIFTI`.
    fn stored_as(&self) -> &'static str;

    /// What a row is and which columns it has, for the reference (Markdown).
    fn description(&self) -> &'static str;

    /// Endings of file names that a directory given as path is searched for,
    /// lower case, such as `_bold.nii.gz`.
    fn extensions(&self) -> &'static [&'static str];

    /// The files that a path means. `read_bids` takes a whole directory for one.
    fn resolve(&self, path: &str) -> Result<Vec<PathBuf>> {
        files::resolve(path, self.extensions())
    }

    /// The key column that has the path of what is read.
    fn path_column(&self) -> &'static str {
        "path"
    }

    /// Whether all files make one table together, as the mask that they have in common. Then
    /// [`FileScan::files`] has them all, and there are no key columns.
    fn reads_together(&self) -> bool {
        false
    }

    /// What the format makes of BIDS data sets.
    fn bids(&self) -> BidsUse {
        BidsUse::Nothing
    }

    /// The named arguments, in the order in which the reference lists them.
    fn parameters(&self) -> &'static [Parameter];

    /// Number columns of which [`FileScan::bounds`] says what WHERE leaves.
    fn bounded(&self) -> &'static [&'static str] {
        &[]
    }

    /// Looks at the files' headers, once, at planning, and says which columns
    /// the table has. Blocking reads are fine: it runs off the async threads.
    ///
    /// A file that holds nothing (zero bytes) is left out with a `log::warn!`
    /// that names it; a file that is damaged is an error.
    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description>;

    /// Reads one file as batches. Runs on a blocking thread; dropping the
    /// iterator stops the work.
    fn open(&self, scan: &FileScan) -> Result<BatchIterator>;
}

/// What a format makes of the directory of a BIDS data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BidsUse {
    /// A directory like any other.
    Nothing,
    /// It is searched as BIDS has it, and every entity is a named argument that chooses
    /// files (`subject => '01'`).
    Files,
    /// The same, and each file is a run, with the columns `mask_path`, `events_path` and
    /// `confounds_path`.
    Runs,
    /// The same as `Files`, and an inherited file is read once for each run that it is of.
    Events,
}

/// A file's rows.
pub type BatchIterator = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A named argument of a table function.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: ParameterKind,
    /// What holds when it is not given, as the reference prints it.
    pub default: &'static str,
    pub description: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterKind {
    Float,
    Integer,
    /// A whole number; true is 1 and false 0 ([`Value::Integer`]).
    IntegerOrBoolean,
    Text,
    Boolean,
    /// A number, or an array of numbers.
    Floats,
    /// A text or a number ([`Value::Text`]), or an array of them ([`Value::Texts`]).
    Texts,
}

/// The value of a named argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Float(f64),
    Integer(i64),
    Text(String),
    Boolean(bool),
    /// At least one.
    Floats(Vec<f64>),
    /// At least one.
    Texts(Vec<String>),
}

/// The named arguments of one call. Names and kinds were checked against the
/// format's [`Parameter`]s; an argument given as NULL counts as not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options(pub BTreeMap<String, Value>);

impl Options {
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.0.get(name)? {
            Value::Float(v) => Some(*v),
            Value::Integer(v) => Some(*v as f64),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name)? {
            Value::Integer(v) => Some(*v),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(v) => Some(v),
            _ => None,
        }
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Boolean(v) => Some(*v),
            _ => None,
        }
    }

    pub fn floats(&self, name: &str) -> Option<&[f64]> {
        match self.0.get(name)? {
            Value::Floats(v) => Some(v),
            _ => None,
        }
    }

    pub fn texts(&self, name: &str) -> Option<&[String]> {
        match self.0.get(name)? {
            Value::Texts(v) => Some(v),
            Value::Text(v) => Some(std::slice::from_ref(v)),
            _ => None,
        }
    }
}

/// What [`Format::describe`] found.
#[derive(Debug, Clone)]
pub struct Description {
    /// The format's own columns, without keys.
    pub schema: SchemaRef,
    /// The files that will be read.
    pub files: Vec<PathBuf>,
}

/// One file to read.
#[derive(Debug, Clone)]
pub struct FileScan {
    pub path: PathBuf,
    pub options: Options,
    /// The columns to produce, in this order: a subset of the described ones,
    /// possibly empty (then batches carry only a row count).
    pub schema: SchemaRef,
    /// No more rows than this are wanted.
    pub limit: Option<usize>,
    /// What the query's conditions leave of the columns of [`Format::bounded`]; rows outside
    /// are dropped after the scan, so leaving them out is only faster.
    pub bounds: Bounds,
    /// Batches should stay near this many bytes, and hold at least one row.
    pub batch_bytes: usize,
    /// How many threads may work on this file; other files have theirs.
    pub threads: usize,
}

/// The option that carries the files of a format that reads them together.
pub(super) const FILES: &str = "files";

impl FileScan {
    /// The files to read: all of them where the format reads them together.
    pub fn files(&self) -> Vec<PathBuf> {
        match self.options.texts(FILES) {
            Some(files) => files.iter().map(PathBuf::from).collect(),
            None => vec![self.path.clone()],
        }
    }
}

/// An error that names the file. `message` says what is wrong and what to do.
pub fn file_error(path: &Path, message: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!("{}: {message}", path.display()))
}

/// A batch of these columns, in the order of the schema; `rows` says how many rows there are
/// where no column was asked for.
pub fn record_batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// The batches that `next` gives, up to the first error or `None`: after an error the state of a
/// reader means nothing.
pub fn until_error(
    mut next: impl FnMut() -> Result<Option<RecordBatch>> + Send + 'static,
) -> BatchIterator {
    let mut done = false;
    Box::new(std::iter::from_fn(move || {
        if done {
            return None;
        }
        let batch = next().transpose();
        done = !matches!(batch, Some(Ok(_)));
        batch
    }))
}
