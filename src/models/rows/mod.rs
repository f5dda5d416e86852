//! The rows of a `CREATE MODEL … AS SELECT subject, tr, bold`, gathered per subject.
//!
//! The query names vector columns, perhaps one column `subject`, and others (`run`, `tr`) that
//! together say the time, in the order in which they are selected. The query is run
//! once, its rows come in any order, and the vectors go to a temporary file: what is held in
//! memory is where each row lies. A model then reads one subject's vectors in time order, a few
//! elements of all rows at once ([`Reader`]).

mod columns;
mod gathering;
mod reader;
mod times;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::spill_file::SpillFile;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::TryStreamExt;

pub use columns::{Columns, Vector, label};
pub use reader::Reader;
pub use times::Times;

use crate::session::Session;
use crate::statements;
use gathering::Gathering;

/// What was gathered.
pub struct Rows {
    /// The columns of the query.
    pub schema: SchemaRef,
    pub columns: Columns,
    /// Sorted by name.
    pub subjects: Vec<Subject>,
    /// What the model needs beside the rows is asked for here too.
    pub memory: MemoryReservation,
    file: Arc<dyn SpillFile>,
    /// Nobody waits for what is made of the rows any more.
    given_up: Arc<AtomicBool>,
}

/// While this lives, rows are read. Once it is dropped, as by a statement that is cancelled,
/// reading them is an error, which ends a fit on other threads.
pub struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The rows of one subject.
pub struct Subject {
    /// Empty where the query has no column `subject`.
    pub name: String,
    /// The length of each vector column, the same in all rows.
    pub widths: Vec<usize>,
    pub times: Times,
    /// Where each row lies in the file, in time order.
    offsets: Vec<u64>,
}

impl Subject {
    /// The subject in a message.
    pub fn title(&self) -> String {
        match self.name.as_str() {
            "" => "the query".to_string(),
            name => format!("subject {name}"),
        }
    }

    /// The number of rows.
    pub fn trs(&self) -> usize {
        self.offsets.len()
    }
}

/// What a kind of model says about the columns of a query, before it is run.
pub type Check = fn(&Columns, &SchemaRef) -> Result<()>;

impl Rows {
    /// Runs the query, and sorts its rows by subject and time.
    ///
    /// # Errors
    /// NULL, NaN and infinite values, rows of one time, vectors of other lengths: all with the
    /// subject and the time.
    pub async fn collect(session: &Session, query: Query, check: Check) -> Result<Self> {
        let statement = EngineStatement::Statement(Box::new(SqlStatement::Query(Box::new(query))));
        let plan = statements::plan::plan(&session.context().state(), statement).await?;
        let schema: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        let columns = Columns::find(&schema);
        check(&columns, &schema)?;
        let runtime = session.context().runtime_env();
        let memory = MemoryConsumer::new("CREATE MODEL").register(&runtime.memory_pool);
        let file = runtime.disk_manager.create_tmp_file("CREATE MODEL")?;
        let mut gathering = Gathering::new(&schema, columns, file, memory)?;
        let mut answer = session.run_rows(plan).await?;
        while let Some(batch) = answer.stream.try_next().await? {
            gathering.add(&batch)?;
        }
        gathering.finish(schema)
    }

    /// The names and types of the columns, for the record.
    pub fn input_schema(&self) -> Vec<(String, String)> {
        let fields = self.schema.fields().iter();
        fields
            .map(|f| (f.name().clone(), f.data_type().to_string()))
            .collect()
    }

    /// Checks that all subjects have the same times.
    ///
    /// # Errors
    /// Name a time that one subject has and another has not.
    pub fn check_same_times(&self) -> Result<()> {
        let Some((first, others)) = self.subjects.split_first() else {
            return Ok(());
        };
        for other in others {
            let (name, other_name) = (first.title(), other.title());
            first.times.check_same(&name, &other_name, &other.times)?;
        }
        Ok(())
    }

    /// What ends all reading when it is dropped.
    pub fn wanted(&self) -> Wanted {
        Wanted(Arc::clone(&self.given_up))
    }

    /// A reader of the vectors, for one thread.
    pub fn reader(&self) -> Result<Reader<'_>> {
        Reader::open(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Settings;
    use crate::statements::Kind;

    #[tokio::test]
    async fn rows_that_nobody_wants_are_not_read() -> Result<()> {
        let session = Session::open(Settings::default()).await?;
        let create =
            "CREATE MODEL m USING srm AS SELECT 'a' AS subject, 0 AS tr, [1.0, 2.0] AS bold";
        let Some(Kind::CreateModel(create)) = session.parse(create)?.pop().map(|s| s.kind) else {
            return datafusion::common::exec_err!("not a CREATE MODEL");
        };
        let rows = Rows::collect(&session, create.query, |_, _| Ok(())).await?;
        let read = || {
            let mut values = 0;
            let mut reader = rows.reader()?;
            reader.panels(0, 0, 1, &mut |panel| values += panel.nrows())?;
            Ok::<_, datafusion::common::DataFusionError>(values)
        };
        let wanted = rows.wanted();
        assert_eq!(read()?, 2);
        drop(wanted);
        let error = read().unwrap_err().to_string();
        assert!(error.contains("cancelled"), "{error}");
        Ok(())
    }
}
