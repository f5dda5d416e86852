//! Work on the query threads, for as long as a client waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tonic::Status;

use super::turns::Turns;
use super::users::User;

/// The threads that queries run on, apart from those that talk to clients: a kernel that keeps
/// all of them busy stops neither cancellation nor the answers to others.
#[derive(Clone)]
pub struct Workers {
    pub threads: Handle,
    /// The longest that one statement may take, from its arrival to its last row.
    pub time_limit: Option<Duration>,
    pub turns: Arc<Turns>,
    /// Who writes the database next: one at a time. Those that wait for it take no turn from those who read.
    pub writers: Arc<Turns>,
}

/// What a statement waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Reader,
    /// Changes the database.
    Writer,
}

impl Workers {
    /// [`Workers::run`], when it is the user's turn.
    pub async fn run_in_turn<T: Send + 'static>(
        &self,
        user: &User,
        turn: Turn,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let turns = Arc::clone(&self.turns);
        let writers = Arc::clone(&self.writers);
        let name = user.name.clone();
        self.run(async move {
            let _writes = match turn {
                Turn::Reader => None,
                Turn::Writer => Some(writers.take(&name).await),
            };
            let _turn = turns.take(&name).await;
            work.await
        })
        .await
    }

    /// Runs `work` to its end, up to the limit of time. It stops at its next await when the
    /// caller goes away.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let mut job = Job(self.threads.spawn(work));
        tokio::select! {
            done = &mut job.0 => done.map_err(|error| failed(&error))?,
            () = until(self.time_limit) => Err(too_long(self.time_limit)),
        }
    }
}

/// A task that ends with whoever waits for it.
pub struct Job<T>(pub JoinHandle<T>);

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends after `limit`; without one, never.
pub async fn until(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

pub fn too_long(limit: Option<Duration>) -> Status {
    Status::deadline_exceeded(format!(
        "the statement took longer than {} s, the server's --query-timeout",
        limit.unwrap_or_default().as_secs_f64()
    ))
}

/// A task that did not come to its end: a panic is our fault, and costs one statement.
pub fn failed(error: &JoinError) -> Status {
    match error.is_cancelled() {
        true => Status::cancelled("the statement was cancelled"),
        false => Status::internal("internal error, please report it; the server's log says more"),
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::users::Role;
    use super::*;

    #[tokio::test]
    async fn statements_that_wait_to_write_leave_the_turns_to_others() {
        let workers = Workers {
            threads: Handle::current(),
            time_limit: None,
            turns: Turns::new(2, 2),
            writers: Turns::new(1, 1),
        };
        let user = User {
            name: "ana".to_string(),
            role: Role::ReadWrite,
        };
        let forever = || std::future::pending::<Result<(), Status>>();
        let mut writing: Vec<_> = (0..5)
            .map(|_| Box::pin(workers.run_in_turn(&user, Turn::Writer, forever())))
            .collect();
        for write in &mut writing {
            assert!(write.as_mut().now_or_never().is_none());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let read = workers.run_in_turn(&user, Turn::Reader, async { Ok(7) });
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        assert_eq!(read.unwrap().unwrap(), 7);
    }
}
