//! A function that computes for long learns that nobody waits for its query any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use futures::StreamExt;
use voxql::cancel::Cancelled;
use voxql::session::{Session, Settings};

/// `forever(x)`: works until the query is cancelled.
#[derive(Debug)]
struct Forever {
    signature: Signature,
    started: Arc<AtomicBool>,
    stopped: Arc<AtomicBool>,
}

impl PartialEq for Forever {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.started, &other.started)
    }
}

impl Eq for Forever {}

impl std::hash::Hash for Forever {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.started).hash(state);
    }
}

impl ScalarUDFImpl for Forever {
    fn name(&self) -> &str {
        "forever"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let cancelled = Cancelled::of(&args.config_options);
        self.started.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Err(error) = cancelled.check() {
                self.stopped.store(true, Ordering::SeqCst);
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(args.args[0].clone())
    }
}

fn wait_for(flag: &AtomicBool, what: &str) {
    let begun = Instant::now();
    while !flag.load(Ordering::SeqCst) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs the statement, and drops what it is doing once it computes.
async fn cancelled(sql: &str) {
    let settings = Settings {
        threads: Some(1),
        ..Settings::default()
    };
    let session = Arc::new(Session::open(settings).await.unwrap());
    let (started, stopped) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    session.context().register_udf(ScalarUDF::from(Forever {
        signature: Signature::exact(vec![DataType::Int64], Volatility::Volatile),
        started: Arc::clone(&started),
        stopped: Arc::clone(&stopped),
    }));
    let text = sql.to_string();
    let running = tokio::spawn(async move {
        let mut answer = session.sql(&text).await.unwrap();
        while answer.stream.next().await.is_some() {}
    });
    tokio::task::spawn_blocking(move || wait_for(&started, "it did not start"))
        .await
        .unwrap();
    running.abort();
    let sql = sql.to_string();
    tokio::task::spawn_blocking(move || wait_for(&stopped, &format!("it works on: {sql}")))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_it_stands_in_the_query() {
    for sql in [
        "SELECT forever(value) FROM generate_series(1, 3)",
        "SELECT count(*) FROM generate_series(1, 3) WHERE forever(value) > 1",
        "SELECT value FROM generate_series(1, 3) ORDER BY forever(value) LIMIT 1",
        "SELECT max(forever(value)) FROM generate_series(1, 3) GROUP BY value % 2",
        "CREATE TABLE t AS SELECT forever(value) AS x FROM generate_series(1, 3)",
    ] {
        cancelled(sql).await;
    }
}
