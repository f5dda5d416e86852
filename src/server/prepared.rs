//! Prepared statements.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use parking_lot::Mutex;
use tonic::Status;

use super::parameters;
use super::planned::{Planned, plan};
use super::status::status;
use super::users::User;
use crate::session::Session;
use crate::statements::Statement;

/// How long a statement that nobody uses is kept.
pub const PATIENCE: Duration = Duration::from_secs(3600);

/// Statements of one user at once.
const MOST: usize = 1_000;

/// Bytes that a statement takes, parsed and planned, for one of its text.
const BYTES_OF_ONE: usize = 100;

/// One prepared statement.
pub struct Prepared {
    /// Who prepared it; to others it does not exist.
    owner: Arc<User>,
    pub statement: Statement,
    pub parameters: Schema,
    /// Columns of the result; none for a statement that gives no rows.
    pub columns: Option<Schema>,
    /// The plan that was made to learn the columns, in the session that holds its memory, for the
    /// first run; later runs plan again, and see what the tables and files are then.
    planned: Mutex<Option<(Arc<Session>, Planned)>>,
    /// The values that the client sent last, and what they hold.
    values: Mutex<Option<(RecordBatch, MemoryReservation)>>,
    _memory: MemoryReservation,
    used: Mutex<Instant>,
}

impl Prepared {
    /// # Errors
    /// Those of planning, where the owner may only read and the statement writes, and where the memory of a query
    /// does not hold it.
    pub async fn new(
        session: Arc<Session>,
        owner: Arc<User>,
        statement: Statement,
    ) -> Result<Self, Status> {
        let pool = &session.context().runtime_env().memory_pool;
        let memory = MemoryConsumer::new("a prepared statement").register(pool);
        let kept = memory.try_grow(BYTES_OF_ONE * statement.text.len());
        kept.map_err(|error| status(&error))?;
        let planned = plan(&session, statement.clone()).await;
        let planned = planned.map_err(|error| status(&error))?;
        planned.permit(&owner)?;
        let parameters = match planned.logical() {
            Some(plan) => parameters::schema(plan).map_err(|error| status(&error))?,
            None => Schema::empty(),
        };
        let columns = match &planned {
            Planned::Query(plan) => Some(plan.schema().as_arrow().clone()),
            Planned::Change { .. } | Planned::Own(_) | Planned::Control(_) => None,
        };
        Ok(Self {
            owner,
            statement,
            parameters,
            columns,
            planned: Mutex::new(Some((session, planned))),
            values: Mutex::new(None),
            _memory: memory,
            used: Mutex::new(Instant::now()),
        })
    }

    /// What the client wrote.
    pub fn text(&self) -> &str {
        &self.statement.text
    }

    /// Whether each parameter has a value.
    pub fn is_bound(&self) -> bool {
        self.parameters.fields().is_empty() || self.values.lock().is_some()
    }

    /// Keeps values for the runs to come. Clients that have none to send may send a batch without columns.
    pub fn set_values(&self, values: RecordBatch, memory: MemoryReservation) {
        let some = values.num_columns() > 0;
        *self.values.lock() = some.then_some((values, memory));
    }

    /// The statement with its values, ready to run in the session that it comes with: `session`, where it
    /// had to be planned again.
    pub async fn bound(&self, session: Arc<Session>) -> Result<(Arc<Session>, Planned)> {
        let first = self.planned.lock().take();
        let (session, planned) = match first {
            Some(first) => first,
            None => {
                let planned = plan(&session, self.statement.clone()).await?;
                (session, planned)
            }
        };
        let values = self
            .values
            .lock()
            .as_ref()
            .map(|(values, _)| values.clone());
        Ok((session, planned.bind(&self.parameters, values.as_ref())?))
    }
}

/// All prepared statements of the server, by number.
#[derive(Default)]
pub struct PreparedStatements {
    last: AtomicU64,
    known: Mutex<HashMap<u64, Arc<Prepared>>>,
}

impl PreparedStatements {
    pub fn keep(&self, prepared: Prepared) -> Result<u64, Status> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut known = self.known.lock();
        known.retain(|_, prepared| prepared.used.lock().elapsed() < PATIENCE);
        let own = known.values().filter(|p| p.owner == prepared.owner);
        if own.count() >= MOST {
            return Err(Status::resource_exhausted(format!(
                "{MOST} statements of yours are prepared; close some"
            )));
        }
        known.insert(number, Arc::new(prepared));
        Ok(number)
    }

    pub fn get(&self, owner: &User, number: u64) -> Result<Arc<Prepared>, Status> {
        match self.known.lock().get(&number) {
            Some(prepared) if *prepared.owner == *owner => {
                *prepared.used.lock() = Instant::now();
                Ok(Arc::clone(prepared))
            }
            _ => Err(Status::not_found(format!(
                "there is no prepared statement {number}: it was closed, or not used for {} minutes",
                PATIENCE.as_secs() / 60
            ))),
        }
    }

    /// Forgets a statement; one that is gone already is no error.
    pub fn close(&self, owner: &User, number: u64) {
        let mut known = self.known.lock();
        if known
            .get(&number)
            .is_some_and(|prepared| *prepared.owner == *owner)
        {
            known.remove(&number);
        }
    }
}
