//! The rows of a `CREATE MODEL … AS SELECT subject, tr, bold`, gathered per subject.
//!
//! The query names one column `subject` and one vector column; all others (`run`, `tr`)
//! together say the time, in the order in which they are selected. Every subject must
//! have the same times, each once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::TryStreamExt;
use voxql_udfs::vectors::{Vectors, element_type};

use crate::session::Session;
use crate::statements;

/// One block of data per subject, all with the same times in the same order.
pub struct Rows {
    /// Sorted by name.
    pub subjects: Vec<Subject>,
    /// The columns of the query, for the record.
    pub schema: SchemaRef,
    /// Held until the fit is done.
    pub memory: MemoryReservation,
}

pub struct Subject {
    pub name: String,
    pub voxels: usize,
    /// TR after TR, each `voxels` long: voxels × TRs, column-major.
    pub data: Vec<f64>,
}

impl Rows {
    pub fn trs(&self) -> usize {
        self.subjects
            .first()
            .map_or(0, |s| s.data.len() / s.voxels.max(1))
    }
}

/// Runs the query and sorts its rows by subject and time.
pub async fn collect(session: &Session, query: Query) -> Result<Rows> {
    let statement = EngineStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
    let plan = statements::plan::plan(&session.context().state(), statement).await?;
    let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
    let columns = Columns::find(&schema)?;
    let memory =
        MemoryConsumer::new("CREATE MODEL").register(&session.context().runtime_env().memory_pool);
    let mut gathering = Gathering {
        converter: RowConverter::new(columns.sort_fields(&schema))?,
        columns,
        subjects: BTreeMap::new(),
        memory,
    };
    let mut answer = session.run_rows(plan).await?;
    while let Some(batch) = answer.stream.try_next().await? {
        gathering.add(&batch)?;
    }
    gathering.finish(schema)
}

/// Which column is what.
struct Columns {
    subject: usize,
    vector: usize,
    time: Vec<usize>,
}

impl Columns {
    fn find(schema: &SchemaRef) -> Result<Self> {
        let fields = schema.fields();
        let vectors: Vec<usize> = (0..fields.len())
            .filter(|&i| element_type(fields[i].data_type()).is_some())
            .collect();
        let subject = fields.iter().position(|f| f.name() == "subject");
        let (Some(subject), [vector]) = (subject, vectors.as_slice()) else {
            let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
            return plan_err!(
                "CREATE MODEL needs a query with a column `subject`, the time (such as `tr`, or `run, tr`) \
                 and one vector column; this one has: {}",
                names.join(", ")
            );
        };
        let time: Vec<usize> = (0..fields.len())
            .filter(|i| i != vector && *i != subject)
            .collect();
        if time.is_empty() {
            return plan_err!(
                "CREATE MODEL needs the time of each row: select a column such as `tr`, or `run` and `tr`"
            );
        }
        Ok(Self {
            subject,
            vector: *vector,
            time,
        })
    }

    fn sort_fields(&self, schema: &SchemaRef) -> Vec<SortField> {
        let types = self.time.iter().map(|&i| schema.field(i).data_type());
        types.map(|t| SortField::new(t.clone())).collect()
    }
}

struct Gathering {
    converter: RowConverter,
    columns: Columns,
    subjects: BTreeMap<String, Unsorted>,
    memory: MemoryReservation,
}

#[derive(Default)]
struct Unsorted {
    voxels: usize,
    /// Time (sortable), time (readable).
    times: Vec<(OwnedRow, String)>,
    data: Vec<f64>,
}

impl Gathering {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let subjects = cast(batch.column(self.columns.subject), &DataType::Utf8)?;
        let subjects = subjects.as_string::<i32>();
        let vectors =
            Vectors::<Float64Type>::try_new("CREATE MODEL", batch.column(self.columns.vector))?
                .fill_missing(f64::NAN);
        let times: Vec<ArrayRef> = self
            .columns
            .time
            .iter()
            .map(|&i| Arc::clone(batch.column(i)))
            .collect();
        let labels = labels(batch, &self.columns.time)?;
        let rows = self.converter.convert_columns(&times)?;
        for (i, label) in labels.iter().enumerate() {
            let Some(name) = subjects.is_valid(i).then(|| subjects.value(i)) else {
                return exec_err!("CREATE MODEL: the subject is NULL at {label}");
            };
            let Some(vector) = vectors.row(i) else {
                return exec_err!("CREATE MODEL: subject {name} has a NULL vector at {label}");
            };
            if let Some(voxel) = vector.iter().position(|v| !v.is_finite()) {
                return exec_err!(
                    "CREATE MODEL: subject {name} has {} at {label}, voxel {voxel}; leave such voxels or TRs out",
                    vector[voxel]
                );
            }
            let subject = self.subjects.entry(name.to_string()).or_default();
            if subject.times.is_empty() {
                subject.voxels = vector.len();
            }
            if subject.voxels != vector.len() {
                return exec_err!(
                    "CREATE MODEL: subject {name} has {} voxels at {label} and {} before; one subject is one mask",
                    vector.len(),
                    subject.voxels
                );
            }
            // Twice: once here, once sorted.
            self.memory.try_grow(2 * std::mem::size_of_val(vector))?;
            subject.data.extend_from_slice(vector);
            subject.times.push((rows.row(i).owned(), label.clone()));
        }
        Ok(())
    }

    fn finish(self, schema: SchemaRef) -> Result<Rows> {
        let mut subjects = Vec::with_capacity(self.subjects.len());
        let mut first: Option<(String, Vec<(OwnedRow, String)>)> = None;
        for (name, unsorted) in self.subjects {
            let (subject, times) = unsorted.sorted(name)?;
            match &first {
                None => first = Some((subject.name.clone(), times)),
                Some((other, expected)) => same_times(other, expected, &subject.name, &times)?,
            }
            subjects.push(subject);
        }
        Ok(Rows {
            subjects,
            schema,
            memory: self.memory,
        })
    }
}

impl Unsorted {
    fn sorted(self, name: String) -> Result<(Subject, Vec<(OwnedRow, String)>)> {
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by(|&a, &b| self.times[a].0.cmp(&self.times[b].0));
        for pair in order.windows(2) {
            if self.times[pair[0]].0 == self.times[pair[1]].0 {
                return exec_err!(
                    "CREATE MODEL: subject {name} has {} twice; select what tells these rows apart (run, task) too",
                    self.times[pair[0]].1
                );
            }
        }
        let voxels = self.voxels;
        let mut data = Vec::with_capacity(self.data.len());
        for &i in &order {
            data.extend_from_slice(&self.data[i * voxels..(i + 1) * voxels]);
        }
        let times = order.into_iter().map(|i| self.times[i].clone()).collect();
        let subject = Subject { name, voxels, data };
        Ok((subject, times))
    }
}

fn same_times(
    first: &str,
    expected: &[(OwnedRow, String)],
    name: &str,
    times: &[(OwnedRow, String)],
) -> Result<()> {
    let difference = expected.iter().zip(times).find(|(a, b)| a.0 != b.0);
    let (who, lacks, when) = match difference {
        Some((a, b)) if a.0 < b.0 => (first, name, &a.1),
        Some((_, b)) => (name, first, &b.1),
        None if expected.len() > times.len() => (first, name, &expected[times.len()].1),
        None if expected.len() < times.len() => (name, first, &times[expected.len()].1),
        None => return Ok(()),
    };
    exec_err!(
        "CREATE MODEL: subject {who} has {when} and subject {lacks} has not ({} and {} TRs in all); \
         select the TRs that all subjects have",
        match who == first {
            true => expected.len(),
            false => times.len(),
        },
        match who == first {
            true => times.len(),
            false => expected.len(),
        }
    )
}

/// Each row's time as people write it: `run = 1, tr = 17`.
fn labels(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let schema = batch.schema();
    let formatters = columns
        .iter()
        .map(|&i| {
            let formatter = ArrayFormatter::try_new(batch.column(i), &options)?;
            Ok((schema.field(i).name().clone(), formatter))
        })
        .collect::<Result<Vec<_>>>()?;
    let label = |row: usize| {
        let parts: Vec<_> = formatters
            .iter()
            .map(|(name, formatter)| format!("{name} = {}", formatter.value(row)))
            .collect();
        parts.join(", ")
    };
    Ok((0..batch.num_rows()).map(label).collect())
}
