//! The statements of all clients: those at work, and the results that wait to be fetched or are
//! being sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::{Code, Status};

use super::operate::Metrics;
use super::planned::Rows;
use super::users::{Role, User};

/// How long a result waits to be fetched.
const PATIENCE: Duration = Duration::from_secs(600);

/// Results of one user that may wait at once: each holds a plan and a session.
const MOST_WAITING: usize = 1_000;

/// Characters of a statement in the log.
const LOGGED: usize = 500;

/// All statements of the server, by number.
#[derive(Default)]
pub struct Queries {
    last: AtomicU64,
    metrics: Arc<Metrics>,
    known: Mutex<BTreeMap<u64, Query>>,
}

struct Query {
    owner: Arc<User>,
    text: String,
    since: Instant,
    state: State,
    cancel: Arc<Notify>,
}

enum State {
    /// Something is done, or a query is planned.
    Working,
    /// For its client to fetch it.
    Waiting(Rows),
    /// Its client fetches it.
    Sending,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Waiting(_) => "waiting to be fetched",
            Self::Sending => "sending",
        }
    }
}

impl Query {
    /// Whether its result waits to be fetched.
    fn waits(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Others' statements do not exist, but for those who may write.
    fn concerns(&self, user: &User) -> bool {
        user.role == Role::ReadWrite || *self.owner == *user
    }
}

/// A statement at work. It is forgotten when this is dropped.
pub struct Running {
    queries: Arc<Queries>,
    pub number: u64,
    cancel: Arc<Notify>,
    /// How it went; while it is not known, the client has gone away.
    outcome: Mutex<Code>,
}

impl Running {
    /// Ends when somebody cancels the statement.
    pub async fn cancelled(&self) {
        self.cancel.notified().await;
    }

    /// Does `work`, unless somebody cancels the statement before.
    pub async fn or_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let done = tokio::select! {
            done = work => done,
            () = self.cancelled() => Err(Status::cancelled("the query was cancelled")),
        };
        self.went(&done);
        done
    }

    /// Says how it went, for the log.
    pub fn went<T>(&self, done: &Result<T, Status>) {
        *self.outcome.lock() = match done {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        };
    }

    /// Keeps the statement's result until it is fetched.
    pub fn keep(self, rows: Rows) -> Result<u64, Status> {
        self.queries.forget_the_old();
        let mut known = self.queries.known.lock();
        let owner = known.get(&self.number).map(|query| &query.owner);
        let waiting = known
            .values()
            .filter(|query| query.waits() && Some(&query.owner) == owner);
        if waiting.count() >= MOST_WAITING {
            return Err(Status::resource_exhausted(format!(
                "{MOST_WAITING} results of yours wait to be fetched; fetch or cancel some"
            )));
        }
        if let Some(query) = known.get_mut(&self.number) {
            query.state = State::Waiting(rows);
        }
        Ok(self.number)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut known = self.queries.known.lock();
        if let Some(query) = known.get(&self.number)
            && !query.waits()
            && let Some(query) = known.remove(&self.number)
        {
            drop(known);
            self.queries
                .record(self.number, &query, *self.outcome.lock());
        }
    }
}

/// What became of a wish to cancel.
#[derive(Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not started, and never will.
    Before,
    /// It was told to stop.
    Running,
}

impl Queries {
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            ..Self::default()
        })
    }

    /// A statement that has arrived.
    pub fn begin(self: &Arc<Self>, owner: &Arc<User>, text: &str) -> Running {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let cancel = Arc::<Notify>::default();
        let query = Query {
            owner: Arc::clone(owner),
            text: text.to_string(),
            since: Instant::now(),
            state: State::Working,
            cancel: Arc::clone(&cancel),
        };
        self.known.lock().insert(number, query);
        Running {
            queries: Arc::clone(self),
            number,
            cancel,
            outcome: Mutex::new(Code::Cancelled),
        }
    }

    /// The result, for the one client that fetches it: a query runs once.
    pub fn fetch(self: &Arc<Self>, owner: &User, number: u64) -> Result<(Rows, Running), Status> {
        let mut known = self.known.lock();
        let query = known
            .get_mut(&number)
            .filter(|query| *query.owner == *owner);
        if let Some(query) = query
            && query.waits()
            && let State::Waiting(rows) = std::mem::replace(&mut query.state, State::Sending)
        {
            let running = Running {
                queries: Arc::clone(self),
                number,
                cancel: Arc::clone(&query.cancel),
                outcome: Mutex::new(Code::Cancelled),
            };
            return Ok((rows, running));
        }
        Err(Status::not_found(format!(
            "there is no result {number} to fetch: it was fetched or cancelled, or waited longer than {} minutes",
            PATIENCE.as_secs() / 60
        )))
    }

    /// Stops a statement of the user's, or anybody's for one who may write.
    pub fn cancel(&self, user: &User, number: u64) -> Result<Cancelled, Status> {
        let mut known = self.known.lock();
        let Some(query) = known.get(&number).filter(|query| query.concerns(user)) else {
            return Err(Status::not_found(format!(
                "there is no query {number}: it has ended"
            )));
        };
        if !query.waits() {
            query.cancel.notify_one();
            return Ok(Cancelled::Running);
        }
        let cancelled = known.remove(&number);
        drop(known);
        if let Some(query) = cancelled {
            self.record(number, &query, Code::Cancelled);
        }
        Ok(Cancelled::Before)
    }

    /// Gives up the results that nobody fetched in time.
    fn forget_the_old(&self) {
        let mut known = self.known.lock();
        let old: Vec<(u64, Query)> = known
            .extract_if(.., |_, query| {
                query.waits() && query.since.elapsed() >= PATIENCE
            })
            .collect();
        drop(known);
        for (number, query) in old {
            self.record(number, &query, Code::Cancelled);
        }
    }

    /// Counts and logs a statement that has ended.
    fn record(&self, number: u64, query: &Query, outcome: Code) {
        let seconds = query.since.elapsed().as_secs_f64();
        self.metrics.statement(outcome, seconds);
        let text: String = query.text.chars().take(LOGGED).collect();
        let user = query.owner.name.as_str();
        tracing::info!(
            query = number,
            user,
            ?outcome,
            seconds,
            statement = text,
            "statement"
        );
    }

    /// `SHOW QUERIES`: the user's statements, or everybody's for one who may write.
    pub fn show(&self, user: &User) -> Result<RecordBatch, Status> {
        let known = self.known.lock();
        let shown: Vec<(&u64, &Query)> = known.iter().filter(|(_, q)| q.concerns(user)).collect();
        let text = |of: fn(&Query) -> &str| {
            let texts = shown.iter().map(|(_, query)| of(query));
            Arc::new(StringArray::from_iter_values(texts)) as ArrayRef
        };
        let numbers = UInt64Array::from_iter_values(shown.iter().map(|(number, _)| **number));
        let seconds = shown
            .iter()
            .map(|(_, query)| query.since.elapsed().as_secs_f64());
        let seconds = Float64Array::from_iter_values(seconds);
        Ok(RecordBatch::try_from_iter([
            ("query", Arc::new(numbers) as ArrayRef),
            ("user", text(|query| &query.owner.name)),
            ("state", text(|query| query.state.name())),
            ("seconds", Arc::new(seconds)),
            ("statement", text(|query| &query.text)),
        ])
        .map_err(arrow_flight::error::FlightError::from)?)
    }

    /// Statements at work or being sent, and results that wait.
    pub fn counts(&self) -> (usize, usize) {
        let known = self.known.lock();
        let waiting = known.values().filter(|query| query.waits()).count();
        (known.len() - waiting, waiting)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::EmptyRecordBatchStream;

    use super::*;

    fn rows() -> Rows {
        let schema = Arc::new(Schema::empty());
        Rows::Query(Box::pin(EmptyRecordBatchStream::new(schema)))
    }

    fn user(name: &str) -> Arc<User> {
        let name = name.to_string();
        Arc::new(User {
            name,
            role: Role::ReadOnly,
        })
    }

    #[tokio::test]
    async fn a_result_is_fetched_once_and_forgotten_at_its_end() {
        let queries = Arc::new(Queries::default());
        let number = queries
            .begin(&user("ana"), "SELECT 1")
            .keep(rows())
            .unwrap();
        let (_, running) = queries.fetch(&user("ana"), number).unwrap();
        assert!(queries.fetch(&user("ana"), number).is_err());
        assert_eq!(
            queries.cancel(&user("ana"), number).unwrap(),
            Cancelled::Running
        );
        running.cancelled().await;
        drop(running);
        assert!(queries.cancel(&user("ana"), number).is_err());
    }

    #[test]
    fn a_result_that_waits_is_cancelled_at_once() {
        let queries = Arc::new(Queries::default());
        let number = queries
            .begin(&user("ana"), "SELECT 1")
            .keep(rows())
            .unwrap();
        assert_eq!(
            queries.cancel(&user("ana"), number).unwrap(),
            Cancelled::Before
        );
        assert!(queries.fetch(&user("ana"), number).is_err());
    }

    #[test]
    fn results_that_wait_are_limited_for_each_user() {
        let queries = Arc::new(Queries::default());
        let keep = |name: &str| queries.begin(&user(name), "SELECT 1").keep(rows());
        for _ in 0..MOST_WAITING {
            keep("ana").unwrap();
        }
        let refused = keep("ana").unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let last = keep("ben").unwrap();
        // One that was fetched makes room; the refused one is forgotten.
        assert_eq!(queries.counts(), (0, MOST_WAITING + 1));
        drop(queries.fetch(&user("ana"), last - MOST_WAITING as u64));
        keep("ana").unwrap();
    }

    #[test]
    fn a_result_is_its_owner_s() {
        let queries = Arc::new(Queries::default());
        let number = queries
            .begin(&user("ana"), "SELECT 1")
            .keep(rows())
            .unwrap();
        assert!(queries.fetch(&user("ben"), number).is_err());
        assert!(queries.cancel(&user("ben"), number).is_err());
        assert!(queries.fetch(&user("ana"), number).is_ok());
    }

    #[test]
    fn users_see_their_own_statements() {
        let queries = Arc::new(Queries::default());
        let running = queries.begin(&user("ana"), "SELECT 1");
        queries
            .begin(&user("ben"), "SELECT 2")
            .keep(rows())
            .unwrap();
        let shown = queries.show(&user("ana")).unwrap();
        assert_eq!(shown.num_rows(), 1);
        let admin = User {
            name: "eva".to_string(),
            role: Role::ReadWrite,
        };
        assert_eq!(queries.show(&admin).unwrap().num_rows(), 2);
        assert_eq!(queries.counts(), (1, 1));
        drop(running);
        assert_eq!(queries.counts(), (0, 1));
    }
}
