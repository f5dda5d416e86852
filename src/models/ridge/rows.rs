//! The rows of a `CREATE MODEL … USING ridge AS SELECT [subject,] run, tr, embedding, …, bold`.
//!
//! The last vector column is the target, every other one a feature space; all other columns are
//! keys, by which the rows are sorted. The sort is DataFusion's, which goes to disk where it must,
//! and puts one subject after the other: only one is held here.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Float32Type, Float64Type, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{Column, Result, exec_err, plan_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use voxql_udfs::vectors::{MODEL_METADATA, Vectors, element_type};

use super::options::{Cv, Options};
use super::predict::MOST_SPACES;
use crate::session::Session;
use crate::statements;

/// One feature space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// The column's name.
    pub name: String,
    /// Features.
    pub width: usize,
    /// The model that made the column, where it remembers one.
    pub model: Option<String>,
}

/// One subject's samples, in the order of their keys.
pub struct Subject {
    /// None where the query has no column `subject`.
    pub name: Option<String>,
    /// Sample after sample, the features of all spaces.
    pub x: Vec<f64>,
    /// Features of each space.
    pub widths: Vec<usize>,
    /// Sample after sample, the targets.
    pub y: Vec<f32>,
    /// Targets.
    pub targets: usize,
    /// What is held out together: the value of the column that `cv` names, or of `run`.
    pub groups: Vec<String>,
    /// Holds what is above.
    pub memory: MemoryReservation,
}

impl Subject {
    pub fn samples(&self) -> usize {
        self.y.len() / self.targets.max(1)
    }
}

/// The subjects of a query.
pub struct Source {
    columns: Columns,
    schema: SchemaRef,
    spaces: Vec<Space>,
    stream: SendableRecordBatchStream,
    memory: MemoryReservation,
    /// The batch that is read, and the next of its rows.
    batch: Option<(RecordBatch, usize)>,
}

/// Which column is what.
struct Columns {
    subject: Option<usize>,
    keys: Vec<usize>,
    spaces: Vec<usize>,
    target: usize,
    /// The column whose values are held out together.
    groups: Option<usize>,
}

impl Source {
    /// Starts the query.
    pub async fn open(session: &Session, query: Query, options: &Options) -> Result<Self> {
        let statement = EngineStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
        let plan = statements::plan::plan(&session.context().state(), statement).await?;
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let columns = Columns::find(&schema, options)?;
        let spaces = columns.spaces.iter().map(|&i| {
            let field = schema.field(i);
            Space {
                name: field.name().clone(),
                width: 0,
                model: field.metadata().get(MODEL_METADATA).cloned(),
            }
        });
        let spaces = spaces.collect();
        let memory = MemoryConsumer::new("CREATE MODEL")
            .register(&session.context().runtime_env().memory_pool);
        let stream = session.run_rows(columns.sorted(plan)?).await?.stream;
        Ok(Self {
            columns,
            schema,
            spaces,
            stream,
            memory,
            batch: None,
        })
    }

    /// The feature spaces; their widths are known after the first subject.
    pub fn spaces(&self) -> &[Space] {
        &self.spaces
    }

    /// Names and types of the query's columns.
    pub fn input_schema(&self) -> Vec<(String, String)> {
        let fields = self.schema.fields().iter();
        fields
            .map(|f| (f.name().clone(), f.data_type().to_string()))
            .collect()
    }

    /// The next subject.
    ///
    /// # Errors
    /// Name the row: a NULL, a value that is not finite, a vector of another length, a key that
    /// is there twice.
    pub async fn next(&mut self) -> Result<Option<Subject>> {
        let mut gathered: Option<(Subject, String)> = None;
        loop {
            let (batch, start) = match self.batch.take() {
                Some(left) => left,
                None => match self.stream.try_next().await? {
                    Some(batch) => (batch, 0),
                    None => break,
                },
            };
            let rows = Rows::of(&self.columns, &batch)?;
            for i in start..batch.num_rows() {
                let name = rows.subject(i)?;
                match &mut gathered {
                    Some((subject, _)) if subject.name != name => {
                        self.batch = Some((batch.clone(), i));
                        return Ok(gathered.map(|(subject, _)| subject));
                    }
                    Some((subject, last)) => {
                        let label = rows.label(i);
                        if label == *last {
                            return exec_err!(
                                "CREATE MODEL: there are two rows {label}; select what tells them apart (subject, run, task) too"
                            );
                        }
                        rows.add(i, subject, &label)?;
                        *last = label;
                    }
                    None => {
                        let (mut subject, label) = (self.first(name, &rows, i)?, rows.label(i));
                        rows.add(i, &mut subject, &label)?;
                        gathered = Some((subject, label));
                    }
                }
            }
        }
        Ok(gathered.map(|(subject, _)| subject))
    }

    /// A subject without samples, with the widths of its first row.
    fn first(&mut self, name: Option<String>, rows: &Rows<'_>, i: usize) -> Result<Subject> {
        let label = rows.label(i);
        let mut widths = Vec::with_capacity(self.spaces.len());
        for (space, vectors) in self.spaces.iter_mut().zip(&rows.spaces) {
            let width = vectors.row(i).map_or(0, <[f64]>::len);
            if space.width == 0 {
                space.width = width;
            }
            if space.width != width {
                return exec_err!(
                    "CREATE MODEL: {} has {width} features at {label} and {} for other subjects",
                    space.name,
                    space.width
                );
            }
            widths.push(width);
        }
        Ok(Subject {
            name,
            x: Vec::new(),
            widths,
            y: Vec::new(),
            targets: rows.target.row(i).map_or(0, <[f32]>::len),
            groups: Vec::new(),
            memory: self.memory.new_empty(),
        })
    }
}

impl Columns {
    fn find(schema: &SchemaRef, options: &Options) -> Result<Self> {
        let fields = schema.fields();
        let names = || {
            let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
            names.join(", ")
        };
        let (mut spaces, mut keys) = (Vec::new(), Vec::new());
        for (i, field) in fields.iter().enumerate() {
            match element_type(field.data_type()) {
                Some(_) => spaces.push(i),
                None if field.name() == "subject" => {}
                None => keys.push(i),
            }
        }
        let (Some(target), false) = (spaces.pop(), spaces.is_empty()) else {
            return plan_err!(
                "CREATE MODEL … USING ridge needs a query with the time (`tr`, or `run, tr`), one or more feature \
                 vectors and, last, the vector of targets; this one has: {}",
                names()
            );
        };
        if spaces.len() > MOST_SPACES {
            return plan_err!(
                "CREATE MODEL … USING ridge takes up to {MOST_SPACES} feature spaces, not {}; vector_concat makes one of several",
                spaces.len()
            );
        }
        if keys.is_empty() {
            return plan_err!(
                "CREATE MODEL needs the time of each row: select a column such as `tr`, or `run` and `tr`"
            );
        }
        let key = |name: &str| keys.iter().copied().find(|&i| fields[i].name() == name);
        let groups = match &options.cv {
            Some(Cv::Folds(_)) => None,
            None => key("run"),
            Some(Cv::Column(column)) => match key(column) {
                Some(i) => Some(i),
                None => {
                    return plan_err!(
                        "ridge: cv is '{column}', and the query has no such key; it has: {}",
                        names()
                    );
                }
            },
        };
        Ok(Self {
            subject: fields.iter().position(|f| f.name() == "subject"),
            keys,
            spaces,
            target,
            groups,
        })
    }

    fn sorted(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let by = self.subject.iter().chain(&self.keys).map(|&i| {
            let (qualifier, field) = plan.schema().qualified_field(i);
            Expr::Column(Column::from((qualifier, field))).sort(true, true)
        });
        let by: Vec<_> = by.collect();
        LogicalPlanBuilder::from(plan).sort(by)?.build()
    }
}

/// The rows of one batch.
struct Rows<'a> {
    subject: Option<ArrayFormatter<'a>>,
    subject_column: Option<&'a dyn Array>,
    /// Name and value of each key, the subject first.
    keys: Vec<(String, ArrayFormatter<'a>)>,
    groups: Option<ArrayFormatter<'a>>,
    spaces: Vec<Vectors<Float64Type>>,
    names: Vec<String>,
    target: Vectors<Float32Type>,
    target_name: String,
}

const FORMAT: FormatOptions<'static> = FormatOptions::new().with_null("NULL");

impl<'a> Rows<'a> {
    fn of(columns: &Columns, batch: &'a RecordBatch) -> Result<Self> {
        let schema = batch.schema_ref();
        let name = |i: usize| schema.field(i).name().clone();
        let formatter = |i: usize| ArrayFormatter::try_new(batch.column(i), &FORMAT);
        let function = "CREATE MODEL";
        let mut keys = Vec::new();
        for &i in columns.subject.iter().chain(&columns.keys) {
            keys.push((name(i), formatter(i)?));
        }
        let spaces = columns.spaces.iter().map(|&i| {
            let vectors = Vectors::try_new(function, batch.column(i))?;
            Ok(vectors.fill_missing(f64::NAN))
        });
        let target = Vectors::try_new(function, batch.column(columns.target))?;
        Ok(Self {
            subject: columns.subject.map(formatter).transpose()?,
            subject_column: columns.subject.map(|i| batch.column(i).as_ref()),
            keys,
            groups: columns.groups.map(formatter).transpose()?,
            spaces: spaces.collect::<Result<_>>()?,
            names: columns.spaces.iter().map(|&i| name(i)).collect(),
            target: target.fill_missing(f32::NAN),
            target_name: name(columns.target),
        })
    }

    fn subject(&self, i: usize) -> Result<Option<String>> {
        if self.subject_column.is_some_and(|column| column.is_null(i)) {
            return exec_err!("CREATE MODEL: the subject is NULL at {}", self.label(i));
        }
        Ok(self.subject.as_ref().map(|s| s.value(i).to_string()))
    }

    /// `subject = 01, run = 1, tr = 17`
    fn label(&self, i: usize) -> String {
        let keys = self.keys.iter();
        let parts: Vec<_> = keys
            .map(|(name, value)| format!("{name} = {}", value.value(i)))
            .collect();
        parts.join(", ")
    }

    fn add(&self, i: usize, subject: &mut Subject, label: &str) -> Result<()> {
        let features: usize = subject.widths.iter().sum();
        subject
            .memory
            .try_grow(8 * features + 4 * subject.targets)?;
        for ((name, vectors), width) in self.names.iter().zip(&self.spaces).zip(&subject.widths) {
            let row = checked(name, vectors.row(i), *width, label)?;
            subject.x.extend_from_slice(row);
        }
        let row = self.target.row(i);
        let row = checked(&self.target_name, row, subject.targets, label)?;
        subject.y.extend_from_slice(row);
        if let Some(groups) = &self.groups {
            subject.groups.push(groups.value(i).to_string());
        }
        Ok(())
    }
}

fn checked<'a, T: Copy + Into<f64>>(
    name: &str,
    row: Option<&'a [T]>,
    width: usize,
    label: &str,
) -> Result<&'a [T]> {
    let Some(row) = row else {
        return exec_err!("CREATE MODEL: {name} is NULL at {label}; leave such rows out");
    };
    if row.len() != width || row.is_empty() {
        return exec_err!(
            "CREATE MODEL: {name} has {} elements at {label} and {width} before",
            row.len()
        );
    }
    match row.iter().position(|v| !(*v).into().is_finite()) {
        None => Ok(row),
        Some(element) => exec_err!(
            "CREATE MODEL: {name} is {} at {label}, element {element}; leave such rows or elements out",
            match row[element].into() {
                v if v.is_nan() => "NULL or NaN".to_string(),
                v => v.to_string(),
            }
        ),
    }
}
