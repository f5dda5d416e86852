//! A result on its way to a client: with back-pressure, a limit of time, and never cut short
//! without an error.

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::FlightData;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, TryStreamExt};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::Status;

use super::encode::Encoder;
use super::jobs::{Job, Workers, failed, too_long, until};
use super::planned::Rows;
use super::queries::Running;
use super::status::status;
use super::users::User;

pub type FlightStream = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// Messages that are ready before the client takes them. A query waits when there are so many,
/// so a client that does not read holds this much, and what its query holds.
const READY: usize = 2;

/// Starts a query when it is the user's turn, and streams its rows; rows that are there need no turn. It ends when the client goes away.
pub fn send(
    workers: &Workers,
    user: &User,
    rows: Rows,
    running: Running,
    limit: usize,
) -> FlightStream {
    let (sender, receiver) = channel(READY);
    let encoder = Encoder::new(&rows.schema(), limit);
    let (rows, waits) = match rows {
        Rows::Query(rows) => (rows, true),
        Rows::Held(rows) => (rows, false),
    };
    let turns = Arc::clone(&workers.turns);
    let name = user.name.clone();
    let messages_go = sender.clone();
    let job = Job(workers.threads.spawn(async move {
        let _turn = match waits {
            true => Some(turns.take(&name).await),
            false => None,
        };
        pump(rows, encoder, messages_go).await
    }));
    tokio::spawn(watch(job, sender, running, workers.clone()));
    messages(receiver)
}

/// A small result that is there already.
pub fn send_batch(batch: arrow::array::RecordBatch, limit: usize) -> Result<FlightStream, Status> {
    let mut encoder = Encoder::new(&batch.schema(), limit);
    let mut all = vec![Ok(encoder.schema_message())];
    encoder.push(batch);
    while let Some(message) = encoder.next()? {
        all.push(Ok(message));
    }
    Ok(Box::pin(futures::stream::iter(all)))
}

async fn pump(
    mut rows: SendableRecordBatchStream,
    mut encoder: Encoder,
    sender: Sender<Result<FlightData, Status>>,
) -> Result<(), Status> {
    if sender.send(Ok(encoder.schema_message())).await.is_err() {
        return Ok(());
    }
    while let Some(batch) = rows.try_next().await.map_err(|error| status(&error))? {
        encoder.push(batch);
        while let Some(message) = encoder.next()? {
            if sender.send(Ok(message)).await.is_err() {
                return Ok(());
            }
        }
    }
    // It ends when the client has taken the last message, or has gone: until then it holds memory.
    let _taken = sender.reserve_many(READY).await;
    Ok(())
}

/// Waits for the end of a query, whatever it is, and tells the client unless all went well.
/// The client sees the end of the stream only when this lets go of `sender`.
async fn watch(
    mut job: Job<Result<(), Status>>,
    sender: Sender<Result<FlightData, Status>>,
    running: Running,
    workers: Workers,
) {
    let end = tokio::select! {
        done = &mut job.0 => match done {
            Ok(done) => done,
            Err(error) => Err(failed(&error)),
        },
        () = sender.closed() => Err(Status::cancelled("the client has gone")),
        () = running.cancelled() => Err(Status::cancelled("the query was cancelled")),
        () = until(workers.time_limit) => Err(too_long(workers.time_limit)),
    };
    drop(job);
    running.went(&end);
    drop(running);
    if let Err(error) = end {
        // A client that has gone does not hear it.
        let _ = sender.send(Err(error)).await;
    }
}

fn messages(mut receiver: Receiver<Result<FlightData, Status>>) -> FlightStream {
    Box::pin(futures::stream::poll_fn(move |context| {
        receiver.poll_recv(context)
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::{FutureExt, StreamExt};
    use tonic::Code;

    use super::super::queries::Queries;
    use super::super::turns::Turns;
    use super::super::users::Role;
    use super::*;

    fn ana() -> Arc<User> {
        Arc::new(User {
            name: "ana".to_string(),
            role: Role::ReadOnly,
        })
    }

    fn batch() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    /// An endless query that counts its batches, and its result as a client sees it.
    fn endless(
        queries: &Arc<Queries>,
        time_limit: Option<Duration>,
        last: usize,
    ) -> (Arc<AtomicUsize>, u64, FlightStream) {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        let batches = futures::stream::repeat_with(move || {
            assert!(
                counted.fetch_add(1, Ordering::SeqCst) < last,
                "too many batches"
            );
            Ok(batch())
        });
        let rows = RecordBatchStreamAdapter::new(batch().schema(), batches);
        let number = queries
            .begin(&ana(), "SELECT 1")
            .keep(Rows::Query(Box::pin(rows)))
            .unwrap();
        let (rows, running) = queries.fetch(&ana(), number).unwrap();
        let workers = Workers {
            threads: tokio::runtime::Handle::current(),
            time_limit,
            turns: Turns::new(4, 4),
            writers: Turns::new(1, 1),
        };
        (made, number, send(&workers, &ana(), rows, running, 1 << 20))
    }

    async fn error_at_the_end(mut stream: FlightStream) -> Code {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(status)) => return status.code(),
                None => panic!("a result that was cut short looks whole"),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_client_that_does_not_read_stops_the_query() {
        let queries = Arc::new(Queries::default());
        let (made, number, mut stream) = endless(&queries, None, usize::MAX);
        for _ in 0..10 {
            stream.next().await.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let held = made.load(Ordering::SeqCst);
        assert!(held <= 10 + READY + 1, "{held}");
        // One that goes away ends it.
        drop(stream);
        while queries.cancel(&ana(), number).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(made.load(Ordering::SeqCst) <= held + 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_query_lasts_until_its_last_row_is_taken() {
        let queries = Arc::new(Queries::default());
        let rows =
            RecordBatchStreamAdapter::new(batch().schema(), futures::stream::iter([Ok(batch())]));
        let rows = Rows::Query(Box::pin(rows));
        let number = queries.begin(&ana(), "SELECT 1").keep(rows).unwrap();
        let (rows, running) = queries.fetch(&ana(), number).unwrap();
        let workers = Workers {
            threads: tokio::runtime::Handle::current(),
            time_limit: None,
            turns: Turns::new(1, 1),
            writers: Turns::new(1, 1),
        };
        let mut stream = send(&workers, &ana(), rows, running, 1 << 20);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(queries.counts(), (1, 0));
        assert!(workers.turns.take("ana").now_or_never().is_none());
        while stream.next().await.is_some() {}
        let after = tokio::time::timeout(Duration::from_secs(10), workers.turns.take("ana"));
        assert!(after.await.is_ok());
        while queries.counts() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_result_that_is_cut_short_ends_in_an_error() {
        let queries = Arc::new(Queries::default());
        let (_, number, stream) = endless(&queries, None, usize::MAX);
        queries.cancel(&ana(), number).unwrap();
        assert_eq!(error_at_the_end(stream).await, Code::Cancelled);
        let limit = Some(Duration::from_millis(50));
        let (_, _, stream) = endless(&queries, limit, usize::MAX);
        assert_eq!(error_at_the_end(stream).await, Code::DeadlineExceeded);
        // A panic in the query.
        let (_, _, stream) = endless(&queries, None, 20);
        assert_eq!(error_at_the_end(stream).await, Code::Internal);
    }
}
