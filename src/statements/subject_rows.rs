//! Vectors of several subjects at the same times, gathered from a query in any order.
//!
//! The query names one column `subject` and one vector column; all others (`run`, `tr`)
//! together say the time. Every subject must have the same times, each once, and vectors of the
//! same length. The vectors stay in the batches that they came in.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use voxql_udfs::vectors::{Vectors, element_type};

use super::computed::keys::RUN_KEYS;
use crate::models::rows::label;

/// A number type whose NaN stands for what is missing.
pub trait Float: ArrowPrimitiveType {
    const NAN: Self::Native;
}

impl Float for arrow::datatypes::Float32Type {
    const NAN: f32 = f32::NAN;
}

impl Float for arrow::datatypes::Float64Type {
    const NAN: f64 = f64::NAN;
}

/// What the columns of such a query are.
#[derive(Debug, Clone)]
pub struct Columns {
    subject: usize,
    vector: usize,
    /// Those that tell runs apart first.
    time: Vec<usize>,
    schema: SchemaRef,
}

impl Columns {
    /// # Errors
    /// Say which columns `function` needs and which there are.
    pub fn find(function: &str, schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields();
        let vectors: Vec<usize> = (0..fields.len())
            .filter(|&i| element_type(fields[i].data_type()).is_some())
            .collect();
        let subject = fields.iter().position(|f| f.name() == "subject");
        let (Some(subject), [vector]) = (subject, vectors.as_slice()) else {
            let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
            return plan_err!(
                "{function} needs a query with a column `subject`, the time (such as `tr`, or `run, tr`) \
                 and one vector column; this one has: {}",
                names.join(", ")
            );
        };
        let is_run = |i: &usize| RUN_KEYS.contains(&fields[*i].name().as_str());
        let (mut time, clock): (Vec<usize>, Vec<usize>) = (0..fields.len())
            .filter(|i| i != vector && *i != subject)
            .partition(is_run);
        time.extend(clock);
        if time.is_empty() {
            return plan_err!(
                "{function} needs the time of each row: select a column such as `tr`, or `run` and `tr`"
            );
        }
        Ok(Self {
            subject,
            vector: *vector,
            time,
            schema: Arc::clone(schema),
        })
    }

    /// The field of the vectors.
    pub fn vector(&self) -> &Field {
        self.schema.field(self.vector)
    }

    /// The fields of the time.
    fn time_fields(&self) -> Vec<FieldRef> {
        let field = |i: &usize| Arc::clone(&self.schema.fields()[*i]);
        self.time.iter().map(field).collect()
    }
}

/// The vectors of all subjects, and when they are.
pub struct SubjectRows<T: Float> {
    /// Sorted.
    pub names: Vec<String>,
    /// The number of elements of every vector.
    pub width: usize,
    /// The times that all subjects have, in order: a column for each that says the time, those
    /// that tell runs apart first.
    pub times: RecordBatch,
    batches: Vec<Vectors<T>>,
    /// Per subject and time: batch and row.
    places: Vec<Vec<(usize, usize)>>,
    /// What a NULL vector is.
    missing: Vec<T::Native>,
    _memory: MemoryReservation,
}

impl<T: Float> SubjectRows<T> {
    /// Reads a query's rows for the function that errors will name. The memory is asked of
    /// `memory`.
    ///
    /// # Errors
    /// Name the subject and the time at which rows are missing, double or of another width.
    pub async fn gather(
        function: &'static str,
        columns: Columns,
        mut rows: SendableRecordBatchStream,
        memory: MemoryReservation,
    ) -> Result<Self> {
        let sort = |field: FieldRef| SortField::new(field.data_type().clone());
        let fields = columns.time_fields().into_iter().map(sort).collect();
        let mut gathering = Gathering {
            function,
            converter: RowConverter::new(fields)?,
            columns,
            subjects: BTreeMap::new(),
            width: None,
            batches: Vec::new(),
            times: Vec::new(),
            memory,
        };
        while let Some(batch) = rows.try_next().await? {
            gathering.add(&batch)?;
        }
        gathering.finish()
    }

    /// `[subject][time]`: the vectors. A NULL vector is all NaN.
    pub fn series(&self) -> Vec<Vec<&[T::Native]>> {
        let row = |&(batch, row): &(usize, usize)| {
            let vector: Option<&[T::Native]> = self.batches[batch].row(row);
            vector.unwrap_or(&self.missing)
        };
        let of = |places: &Vec<(usize, usize)>| places.iter().map(row).collect();
        self.places.iter().map(of).collect()
    }

    /// How many times there are.
    pub fn trs(&self) -> usize {
        self.times.num_rows()
    }

    /// Each time as people write it: `run = 1, tr = 17`.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub fn time_labels(&self) -> Result<Vec<String>> {
        (0..self.trs())
            .map(|i| {
                let schema = self.times.schema_ref();
                label(
                    schema.fields().iter().map(|f| f.name()),
                    self.times.columns(),
                    i,
                )
            })
            .collect()
    }
}

struct Gathering<T: Float> {
    function: &'static str,
    converter: RowConverter,
    columns: Columns,
    subjects: BTreeMap<String, Vec<Place>>,
    width: Option<usize>,
    batches: Vec<Vectors<T>>,
    /// Per batch the columns of the time.
    times: Vec<Vec<ArrayRef>>,
    memory: MemoryReservation,
}

/// A row: its time, sortable, and where it lies.
struct Place {
    time: OwnedRow,
    batch: usize,
    row: usize,
}

impl<T: Float> Gathering<T> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let function = self.function;
        let subjects = cast(batch.column(self.columns.subject), &DataType::Utf8)?;
        let subjects = subjects.as_string::<i32>();
        let vectors = Vectors::<T>::try_new(function, batch.column(self.columns.vector))?
            .fill_missing(T::NAN);
        let column = |&i: &usize| Arc::clone(batch.column(i));
        let times: Vec<ArrayRef> = self.columns.time.iter().map(column).collect();
        let rows = self.converter.convert_columns(&times)?;
        let mut bytes = 0;
        self.times.push(times);
        for i in 0..batch.num_rows() {
            let place = Place {
                time: rows.row(i).owned(),
                batch: self.batches.len(),
                row: i,
            };
            let Some(name) = subjects.is_valid(i).then(|| subjects.value(i)) else {
                return exec_err!(
                    "{function}: the subject is NULL at {}",
                    self.label_of(&place)?
                );
            };
            if let Some(vector) = vectors.row(i) {
                bytes += size_of_val(vector);
                let width = *self.width.get_or_insert(vector.len());
                if width != vector.len() {
                    return exec_err!(
                        "{function}: subject {name} has {} elements at {} where others have {width}; all need \
                         vectors of one length, such as voxels of one mask or a shared space",
                        vector.len(),
                        self.label_of(&place)?
                    );
                }
            }
            bytes += size_of::<Place>() + place.time.as_ref().len();
            match self.subjects.get_mut(name) {
                Some(places) => places.push(place),
                None => {
                    self.subjects.insert(name.to_owned(), vec![place]);
                }
            }
        }
        self.memory.try_grow(bytes)?;
        self.batches.push(vectors);
        Ok(())
    }

    fn finish(mut self) -> Result<SubjectRows<T>> {
        let function = self.function;
        let mut subjects = std::mem::take(&mut self.subjects);
        for (name, places) in &mut subjects {
            places.sort_by(|a, b| a.time.cmp(&b.time));
            let double = places.windows(2).find(|pair| pair[0].time == pair[1].time);
            if let Some([place, _]) = double {
                return exec_err!(
                    "{function}: subject {name} has {} twice; select what tells these rows apart (run, task) too",
                    self.label_of(place)?
                );
            }
        }
        let mut all = subjects.iter();
        let Some((first, expected)) = all.next() else {
            return exec_err!("{function}: the query has no rows");
        };
        for (name, places) in all {
            self.same_times((first, expected), (name, places))?;
        }
        let rows = expected.iter().map(|place| place.time.row());
        let times = self.converter.convert_rows(rows)?;
        // A dictionary, such as a column of a partitioned folder, comes back as its values.
        let fields = self.columns.time_fields().into_iter().zip(&times);
        let field = |(field, column): (FieldRef, &ArrayRef)| {
            let field = Field::clone(&field);
            field.with_data_type(column.data_type().clone())
        };
        let schema = Arc::new(Schema::new(fields.map(field).collect::<Vec<_>>()));
        let width = self.width.unwrap_or(0);
        Ok(SubjectRows {
            names: subjects.keys().cloned().collect(),
            width,
            times: RecordBatch::try_new(schema, times)?,
            batches: self.batches,
            places: subjects
                .into_values()
                .map(|places| places.into_iter().map(|p| (p.batch, p.row)).collect())
                .collect(),
            missing: vec![T::NAN; width],
            _memory: self.memory,
        })
    }

    fn same_times(&self, first: (&str, &[Place]), other: (&str, &[Place])) -> Result<()> {
        let mut pairs = first.1.iter().zip(other.1);
        let common = first.1.len().min(other.1.len());
        let (has, lacks, place) = match pairs.find(|(a, b)| a.time != b.time) {
            Some((a, b)) if a.time < b.time => (first, other, a),
            Some((_, b)) => (other, first, b),
            None if first.1.len() > common => (first, other, &first.1[common]),
            None if other.1.len() > common => (other, first, &other.1[common]),
            None => return Ok(()),
        };
        exec_err!(
            "{}: subject {} has {} and subject {} has not ({} and {} times in all); select the times \
             that all subjects have",
            self.function,
            has.0,
            self.label_of(place)?,
            lacks.0,
            has.1.len(),
            lacks.1.len()
        )
    }

    fn label_of(&self, place: &Place) -> Result<String> {
        let fields = self.columns.time_fields();
        let names = fields.iter().map(|field| field.name());
        label(names, &self.times[place.batch], place.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Float32Type;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};

    use crate::session::{Session, Settings};

    async fn gather(sql: &str, limit: usize) -> Result<SubjectRows<Float32Type>> {
        let session = Session::open(Settings::default()).await?;
        let answer = session.sql(sql).await?;
        let columns = Columns::find("f", &answer.stream.schema())?;
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(limit));
        let memory = MemoryConsumer::new("f").register(&pool);
        SubjectRows::gather("f", columns, answer.stream, memory).await
    }

    #[tokio::test]
    async fn rows_in_order_of_runs_and_times() {
        let rows = gather(
            "SELECT tr, s AS subject, run, CASE WHEN tr = 2 THEN NULL ELSE [tr, run] END AS v
             FROM (VALUES ('b', 2), ('a', 2), ('a', 1), ('b', 1)) AS r(s, run), generate_series(2, 1, -1) AS t(tr)",
            1 << 20,
        )
        .await
        .unwrap();
        assert_eq!(rows.names, ["a", "b"]);
        assert_eq!((rows.width, rows.trs()), (2, 4));
        let labels = rows.time_labels().unwrap();
        assert_eq!(labels[0], "run = 1, tr = 1");
        assert_eq!(labels[3], "run = 2, tr = 2");
        assert_eq!(rows.times.schema().field(0).name(), "run");
        for series in rows.series() {
            assert_eq!(series[0], [1.0, 1.0]);
            assert_eq!(series[2], [1.0, 2.0]);
            assert!(series[1].iter().chain(series[3]).all(|x| x.is_nan()));
        }
    }

    #[tokio::test]
    async fn memory_is_asked_for() {
        let sql =
            "SELECT 'a' AS subject, tr, [1.5, 2.5] AS v FROM generate_series(1, 100) AS t(tr)";
        assert!(gather(sql, 1 << 20).await.is_ok());
        let error = gather(sql, 500).await.err().unwrap().to_string();
        assert!(error.contains("for f"), "{error}");
    }
}
