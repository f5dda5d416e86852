//! The results that clients have asked for: those that wait to be fetched, and those that run.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tonic::Status;

use super::planned::Rows;
use super::users::User;

/// How long a result waits to be fetched.
const PATIENCE: Duration = Duration::from_secs(600);

/// Results that may wait at once, of all clients: each holds a plan.
const MOST_WAITING: usize = 10_000;

/// All queries of the server, by number.
#[derive(Default)]
pub struct Queries {
    last: AtomicU64,
    known: Mutex<HashMap<u64, Query>>,
}

struct Query {
    /// Who asked; to others it does not exist.
    owner: Arc<User>,
    since: Instant,
    /// Taken when the client fetches them.
    rows: Option<Rows>,
    cancel: Arc<Notify>,
}

/// A query that runs. It is forgotten when this is dropped.
pub struct Running {
    queries: Arc<Queries>,
    number: u64,
    cancel: Arc<Notify>,
}

impl Running {
    /// Ends when somebody cancels the query.
    pub async fn cancelled(&self) {
        self.cancel.notified().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.queries.known.lock().remove(&self.number);
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
    /// Keeps a result until it is fetched, and gives its number.
    pub fn keep(&self, owner: Arc<User>, rows: Rows) -> Result<u64, Status> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut known = self.known.lock();
        known.retain(|_, query| query.rows.is_none() || query.since.elapsed() < PATIENCE);
        if known.values().filter(|query| query.rows.is_some()).count() >= MOST_WAITING {
            return Err(Status::resource_exhausted(format!(
                "{MOST_WAITING} results wait to be fetched; fetch or cancel some"
            )));
        }
        known.insert(
            number,
            Query {
                owner,
                since: Instant::now(),
                rows: Some(rows),
                cancel: Arc::default(),
            },
        );
        Ok(number)
    }

    /// The result, for the one client that fetches it: a query runs once.
    pub fn fetch(self: &Arc<Self>, owner: &User, number: u64) -> Result<(Rows, Running), Status> {
        let mut known = self.known.lock();
        let query = known
            .get_mut(&number)
            .filter(|query| *query.owner == *owner);
        match query.and_then(|query| Some((query.rows.take()?, Arc::clone(&query.cancel)))) {
            Some((rows, cancel)) => {
                let running = Running {
                    queries: Arc::clone(self),
                    number,
                    cancel,
                };
                Ok((rows, running))
            }
            None => Err(Status::not_found(format!(
                "there is no result {number} to fetch: it was fetched or cancelled, or waited longer than {} minutes",
                PATIENCE.as_secs() / 60
            ))),
        }
    }

    pub fn cancel(&self, owner: &User, number: u64) -> Result<Cancelled, Status> {
        let mut known = self.known.lock();
        match known.get(&number).filter(|query| *query.owner == *owner) {
            Some(query) if query.rows.is_some() => {
                known.remove(&number);
                Ok(Cancelled::Before)
            }
            Some(query) => {
                query.cancel.notify_one();
                Ok(Cancelled::Running)
            }
            None => Err(Status::not_found(format!(
                "there is no query {number}: it has ended"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::EmptyRecordBatchStream;

    use super::super::users::Role;
    use super::*;

    fn rows() -> Rows {
        let schema = Arc::new(Schema::empty());
        Rows::Stream(Box::pin(EmptyRecordBatchStream::new(schema)))
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
        let number = queries.keep(user("ana"), rows()).unwrap();
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
        let number = queries.keep(user("ana"), rows()).unwrap();
        assert_eq!(
            queries.cancel(&user("ana"), number).unwrap(),
            Cancelled::Before
        );
        assert!(queries.fetch(&user("ana"), number).is_err());
    }

    #[test]
    fn a_result_is_its_owner_s() {
        let queries = Arc::new(Queries::default());
        let number = queries.keep(user("ana"), rows()).unwrap();
        assert!(queries.fetch(&user("ben"), number).is_err());
        assert!(queries.cancel(&user("ben"), number).is_err());
        assert!(queries.fetch(&user("ana"), number).is_ok());
    }
}
