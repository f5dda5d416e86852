//! The rows of `isc` as input of a test, and the table of its results.
//!
//! A row is of a subject (`subject`) or of a pair (`subject`, `other`), with a vector of
//! correlations or one number, `isc`. Other columns (`voxel`, a region) tell tests apart: there is a
//! row of results for each of their values.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use voxql_udfs::kernels::isc::pairs;
use voxql_udfs::vectors::{Vectors, element_type, vector_width};

use super::tables::{vector_field, vectors};
use crate::statements::computed::arguments::Rows;

/// What a query gave.
pub struct Correlations {
    pub pairwise: bool,
    pub tests: Vec<Test>,
    keys: Vec<FieldRef>,
    /// The width of the vectors; None where there are numbers.
    width: Option<usize>,
}

/// The correlations of one test.
pub struct Test {
    pub subjects: Vec<String>,
    /// Rows of voxels per subject, or per pair in the order of [`pairs`].
    pub rows: Vec<Vec<f64>>,
    key: Vec<ScalarValue>,
}

/// Which column is what.
struct Columns {
    subject: usize,
    other: Option<usize>,
    value: usize,
    keys: Vec<usize>,
}

impl Columns {
    fn find(function: &str, schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields();
        let named = |name: &str| fields.iter().position(|f| f.name() == name);
        let lists: Vec<usize> = (0..fields.len())
            .filter(|&i| element_type(fields[i].data_type()).is_some())
            .collect();
        let value = match lists.as_slice() {
            [one] => Some(*one),
            [] => named("isc").filter(|i| fields[*i].data_type().is_numeric()),
            _ => None,
        };
        let (Some(subject), Some(value)) = (named("subject"), value) else {
            let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
            return plan_err!(
                "{function} needs the rows of isc: a column `subject` (and `other`, of pairs), and one vector \
                 column or a number `isc`; this query has: {}",
                names.join(", ")
            );
        };
        let other = named("other");
        let keys = (0..fields.len())
            .filter(|i| *i != subject && *i != value && Some(*i) != other)
            .collect();
        Ok(Self {
            subject,
            other,
            value,
            keys,
        })
    }
}

/// Rows of one test by subject, or by pair in order of names; None where the row is NULL, whose width
/// another row says.
type Unsorted = BTreeMap<(String, String), Option<Vec<f64>>>;

impl Correlations {
    /// Reads the rows of a query, in any order. `pairwise` is what the call says, if it does.
    ///
    /// # Errors
    /// Name the column, or the subject or pair that is missing or double.
    pub fn read(function: &'static str, rows: &Rows, pairwise: Option<bool>) -> Result<Self> {
        let columns = Columns::find(function, &rows.schema)?;
        let is_pairwise = columns.other.is_some();
        match pairwise {
            Some(true) if !is_pairwise => {
                return plan_err!(
                    "{function}: pairwise needs a column `other`, as isc gives it with pairwise => true"
                );
            }
            Some(false) if is_pairwise => {
                return plan_err!(
                    "{function}: the rows are of pairs, since there is a column `other`; leave it out, or set pairwise => true"
                );
            }
            _ => {}
        }
        let data_type = rows.schema.field(columns.value).data_type();
        let is_vector = element_type(data_type).is_some();
        let mut reading = Reading {
            function,
            width: match is_vector {
                true => vector_width(data_type),
                false => Some(1),
            },
            order: Vec::new(),
            tests: HashMap::new(),
        };
        for batch in &rows.batches {
            reading.add(batch, &columns)?;
        }
        if reading.order.is_empty() {
            return exec_err!("{function}: the query has no rows");
        }
        let Some(width) = reading.width else {
            return exec_err!(
                "{function}: {} is NULL in all rows, so how many correlations there are is not known",
                rows.schema.field(columns.value).name()
            );
        };
        let mut tests = Vec::with_capacity(reading.order.len());
        for key in reading.order {
            let unsorted = reading.tests.remove(&key).unwrap_or_default();
            tests.push(Test::sorted(function, key, unsorted, is_pairwise, width)?);
        }
        let field = |i: &usize| Arc::clone(&rows.schema.fields()[*i]);
        Ok(Self {
            pairwise: is_pairwise,
            tests,
            keys: columns.keys.iter().map(field).collect(),
            width: is_vector.then_some(width),
        })
    }

    /// A table with a row for each test: its keys, and `columns` by name, each with the values of
    /// all voxels per test.
    ///
    /// # Errors
    /// When a vector is too wide.
    pub fn table(
        &self,
        function: &'static str,
        columns: Vec<(&str, Vec<Vec<f64>>)>,
    ) -> Result<(SchemaRef, RecordBatch)> {
        let mut fields = self.keys.clone();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for (at, field) in self.keys.iter().enumerate() {
            let values = self.tests.iter().map(|test| test.key[at].clone());
            let array = ScalarValue::iter_to_array(values)?;
            arrays.push(cast(&array, field.data_type())?);
        }
        for (name, values) in columns {
            let values = values.concat();
            match self.width {
                Some(width) => {
                    fields.push(vector_field(function, name, width)?);
                    arrays.push(vectors(function, values, width, self.tests.len())?);
                }
                None => {
                    fields.push(Arc::new(Field::new(name, DataType::Float64, false)));
                    arrays.push(Arc::new(Float64Array::from(values)));
                }
            }
        }
        let schema = SchemaRef::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        Ok((schema, batch))
    }
}

struct Reading {
    function: &'static str,
    width: Option<usize>,
    /// Keys in the order in which they come first.
    order: Vec<Vec<ScalarValue>>,
    tests: HashMap<Vec<ScalarValue>, Unsorted>,
}

impl Reading {
    fn add(&mut self, batch: &RecordBatch, columns: &Columns) -> Result<()> {
        let text = |i: usize| cast(batch.column(i), &DataType::Utf8);
        let subjects = text(columns.subject)?;
        let others = columns.other.map(text).transpose()?;
        let values = Values::read(self.function, batch.column(columns.value))?;
        for row in 0..batch.num_rows() {
            let subject = self.name(&subjects, row, "subject")?;
            let other = match &others {
                Some(others) => self.name(others, row, "other")?,
                None => subject.clone(),
            };
            if columns.other.is_some() && subject == other {
                return exec_err!("{}: subject {subject} is paired with itself", self.function);
            }
            let value = values.row(row);
            if let Some(value) = &value {
                let width = *self.width.get_or_insert(value.len());
                if width != value.len() {
                    return exec_err!(
                        "{}: subject {subject} has {} correlations where others have {width}",
                        self.function,
                        value.len()
                    );
                }
            }
            let key = columns.keys.iter();
            let key = key.map(|i| ScalarValue::try_from_array(batch.column(*i), row));
            let key = key.collect::<Result<Vec<_>>>()?;
            if !self.tests.contains_key(&key) {
                self.order.push(key.clone());
            }
            let place = match subject <= other {
                true => (subject.clone(), other.clone()),
                false => (other.clone(), subject.clone()),
            };
            let double = self.tests.entry(key).or_default().insert(place, value);
            if double.is_some() {
                return exec_err!(
                    "{}: there are two rows of {}; select what tells them apart, too",
                    self.function,
                    who(&subject, &other)
                );
            }
        }
        Ok(())
    }

    fn name(&self, names: &ArrayRef, row: usize, column: &str) -> Result<String> {
        let names = names.as_string::<i32>();
        match names.is_valid(row) {
            true => Ok(names.value(row).to_owned()),
            false => exec_err!("{}: {column} is NULL", self.function),
        }
    }
}

fn who(subject: &str, other: &str) -> String {
    match subject == other {
        true => format!("subject {subject}"),
        false => format!("the pair of {subject} and {other}"),
    }
}

impl Test {
    fn sorted(
        function: &str,
        key: Vec<ScalarValue>,
        mut unsorted: Unsorted,
        pairwise: bool,
        width: usize,
    ) -> Result<Self> {
        let filled = |row: Option<Vec<f64>>| row.unwrap_or_else(|| vec![f64::NAN; width]);
        let both = unsorted.keys().flat_map(|(a, b)| [a, b]);
        let subjects: BTreeSet<String> = both.cloned().collect();
        let subjects: Vec<String> = subjects.into_iter().collect();
        let rows = match pairwise {
            false => unsorted.into_values().map(filled).collect(),
            true => {
                let mut rows = Vec::with_capacity(unsorted.len());
                for (i, j) in pairs(subjects.len()) {
                    let pair = (subjects[i].clone(), subjects[j].clone());
                    let Some(row) = unsorted.remove(&pair) else {
                        return exec_err!(
                            "{function}: the pair of {} and {} is missing; all pairs of the subjects are needed",
                            pair.0,
                            pair.1
                        );
                    };
                    rows.push(filled(row));
                }
                rows
            }
        };
        Ok(Self {
            subjects,
            rows,
            key,
        })
    }

    /// The rows as slices.
    pub fn views(&self) -> Vec<&[f64]> {
        self.rows.iter().map(Vec::as_slice).collect()
    }
}

/// Vectors, or numbers as vectors of one.
enum Values {
    Vectors(Vectors<Float64Type>),
    Numbers(ArrayRef),
}

impl Values {
    fn read(function: &str, column: &ArrayRef) -> Result<Self> {
        if column.data_type().is_numeric() {
            return Ok(Self::Numbers(cast(column, &DataType::Float64)?));
        }
        let vectors = Vectors::try_new(function, column)?;
        Ok(Self::Vectors(vectors.fill_missing(f64::NAN)))
    }

    /// None where the row is NULL.
    fn row(&self, row: usize) -> Option<Vec<f64>> {
        match self {
            Self::Vectors(vectors) => vectors.row(row).map(<[f64]>::to_vec),
            Self::Numbers(numbers) => {
                let numbers = numbers.as_primitive::<Float64Type>();
                numbers.is_valid(row).then(|| vec![numbers.value(row)])
            }
        }
    }
}
