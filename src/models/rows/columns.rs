//! Which column of the query is what.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::SortField;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use voxql_udfs::vectors::{element_type, fits_f32};

/// The places of the columns in the schema.
pub struct Columns {
    pub subject: Option<usize>,
    pub vectors: Vec<Vector>,
    /// All others, which together say the time.
    pub time: Vec<usize>,
}

/// A column of vectors.
pub struct Vector {
    pub at: usize,
    pub element: Element,
}

/// How an element is kept on disk: as it is, where it comes as one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    F32,
    F64,
}

impl Element {
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl Columns {
    pub fn find(schema: &SchemaRef) -> Self {
        let mut columns = Self {
            subject: None,
            vectors: Vec::new(),
            time: Vec::new(),
        };
        for (at, field) in schema.fields().iter().enumerate() {
            match element_type(field.data_type()) {
                Some(element) if fits_f32(element) => columns.vectors.push(Vector {
                    at,
                    element: Element::F32,
                }),
                Some(_) => columns.vectors.push(Vector {
                    at,
                    element: Element::F64,
                }),
                None if field.name() == "subject" => columns.subject = Some(at),
                None => columns.time.push(at),
            }
        }
        columns
    }

    pub fn time_fields(&self, schema: &SchemaRef) -> Vec<SortField> {
        let types = self.time.iter().map(|&i| schema.field(i).data_type());
        types.map(|t| SortField::new(DataType::clone(t))).collect()
    }

    pub fn times(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.time.iter();
        columns.map(|&i| ArrayRef::clone(batch.column(i))).collect()
    }

    /// A row's time as people write it: `run = 1, tr = 17`.
    pub fn label(&self, batch: &RecordBatch, row: usize) -> Result<String> {
        let schema = batch.schema();
        let names = self.time.iter().map(|&i| schema.field(i).name());
        label(names, &self.times(batch), row)
    }
}

/// As [`Columns::label`].
pub fn label<'a>(
    names: impl Iterator<Item = &'a String>,
    times: &[ArrayRef],
    row: usize,
) -> Result<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut parts = Vec::with_capacity(times.len());
    for (name, column) in names.zip(times) {
        let formatter = ArrayFormatter::try_new(column, &options)?;
        parts.push(format!("{name} = {}", formatter.value(row)));
    }
    Ok(parts.join(", "))
}
