//! Runs SQL text: statement by statement, with progress, printing and cancellation.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use console::Term;
use datafusion::common::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use indicatif::MultiProgress;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinError, JoinHandle};

use super::logger;
use super::print::{Format, Printer};
use super::progress::{Display, PATIENCE, Progress, TICK};
use super::table::Layout;
use crate::message::{Message, message};
use crate::session::{AnswerKind, Session, Settings};
use crate::statements::Statement;

/// Why a text did not run to its end.
#[derive(Debug)]
pub enum Stop {
    /// A text for the user, without the word `error`.
    Failed(String),
    /// Ctrl-C.
    Cancelled,
    /// Whoever read our output has left, as `head` does: nothing to complain about.
    OutputClosed,
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Stop::OutputClosed,
            _ => Stop::Failed(format!("cannot write the result: {error}")),
        }
    }
}

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::IoError(error) => Stop::from(error),
            error => Stop::Failed(message(&error).text),
        }
    }
}

/// A session with a place to print to.
pub struct Shell {
    pub session: Arc<Session>,
    pub style: Style,
    /// A Parquet file was printed: stdout holds no second one.
    parquet_printed: bool,
    bars: MultiProgress,
    /// Queries run here, with `--threads` threads.
    workers: Runtime,
    /// How many there are, if the user said.
    threads: Option<usize>,
    /// Waits for queries, Ctrl-C and the clock. Apart from the workers, so that a
    /// kernel that keeps all of them busy does not stop Ctrl-C or the progress.
    front: Runtime,
}

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub format: Format,
    pub layout: Layout,
    /// Print the time after a result.
    pub timing: bool,
}

impl Shell {
    pub fn open(settings: Settings, style: Style) -> Result<Self, Stop> {
        let bars = MultiProgress::new();
        logger::install(&bars);
        let threads = settings.threads;
        let workers = workers(threads)?;
        let front = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_threads)?;
        let session = Arc::new(workers.block_on(Session::open(settings))?);
        Ok(Shell {
            session,
            style,
            parquet_printed: false,
            bars,
            workers,
            threads,
            front,
        })
    }

    /// Runs a future of the session's to its end.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.workers.block_on(future)
    }

    /// Runs the statements of a text in order, up to the first error. `origin` is
    /// the file the text comes from: errors name it and the statement's line.
    pub fn run(&mut self, sql: &str, origin: Option<&str>) -> Result<(), Stop> {
        let placed = |message: Message, line: usize| match origin {
            Some(file) => Stop::Failed(format!("{file}:{line}: {}", message.text)),
            None => Stop::Failed(message.text),
        };
        // A syntax error anywhere in the text is found before anything runs.
        let statements = self.session.parse(sql).map_err(|error| {
            let mut message = message(&error);
            let line = message.line.unwrap_or(1);
            if origin.is_none() && sql.trim().contains('\n') && message.line.is_some() {
                message.text.push_str(&format!(" (line {line})"));
            }
            placed(message, line)
        })?;
        for statement in statements {
            let line = statement.line;
            self.statement(statement).map_err(|stop| match stop {
                Stop::Failed(text) => placed(Message { text, line: None }, line),
                other => other,
            })?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: Statement) -> Result<(), Stop> {
        let silent = Arc::new(AtomicBool::new(false));
        let job = Job {
            session: Arc::clone(&self.session),
            style: self.style,
            second_parquet: self.parquet_printed,
            out: Out {
                bars: self.bars.clone(),
                silent: Arc::clone(&silent),
            },
        };
        let mut running = self.workers.spawn(job.run(statement));
        let watched = self.front.block_on(self.watch(&mut running));
        silent.store(true, Ordering::SeqCst);
        if !running.is_finished() {
            // The cancelled statement still keeps its threads busy: leave them to it.
            std::mem::replace(&mut self.workers, workers(self.threads)?).shutdown_background();
        }
        let rows_printed = watched?;
        self.parquet_printed |= rows_printed && self.style.format == Format::Parquet;
        Ok(())
    }

    /// Waits for a statement, shows its progress, and stops it on Ctrl-C. Gives
    /// whether rows were printed.
    async fn watch(&self, running: &mut JoinHandle<Result<bool, Stop>>) -> Result<bool, Stop> {
        let start = Instant::now();
        let mut display: Option<Display> = None;
        // One listener for the whole statement: a new one at every tick would miss the
        // signal that comes between two ticks.
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        let interrupted = loop {
            tokio::select! {
                result = &mut *running => return outcome(result),
                signal = &mut interrupt => break signal,
                () = tokio::time::sleep(TICK) => {
                    if start.elapsed() >= PATIENCE && !self.bars.is_hidden() {
                        let plan = self.session.running_plan();
                        display
                            .get_or_insert_with(|| Display::new(&self.bars, start.elapsed()))
                            .show(plan.as_ref().map(Progress::of));
                    }
                }
            }
        };
        if let Some(display) = display {
            display.after_echo();
        }
        interrupted?;
        running.abort();
        // Some operators work for seconds before they look whether they are still
        // wanted. The prompt does not wait for them.
        match tokio::time::timeout(PATIENCE, running).await {
            Ok(Err(error)) if error.is_cancelled() => Err(Stop::Cancelled),
            // It came to its end before it noticed.
            Ok(result) => outcome(result),
            Err(_) => Err(Stop::Cancelled),
        }
    }

    /// Ends the session. A cancelled statement gets a little time to let go of it.
    pub fn close(self) {
        drop(self.session);
        self.workers.shutdown_timeout(Duration::from_secs(2));
    }
}

/// Bytes of a thread's stack: the longest expression that is taken, which is a tree as deep, has room in it. Only what
/// is used of it is memory.
const STACK: usize = 64 << 20;

pub fn workers(threads: Option<usize>) -> Result<Runtime, Stop> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(no_threads)
}

pub fn no_threads(error: std::io::Error) -> Stop {
    Stop::Failed(format!("cannot start threads: {error}"))
}

/// What a task that ended has to say.
fn outcome(result: Result<Result<bool, Stop>, JoinError>) -> Result<bool, Stop> {
    result.unwrap_or_else(|error| {
        Err(Stop::Failed(format!(
            "internal error, please report it: {}",
            panicked(error)
        )))
    })
}

/// Runs a task that has a session of its own and prints by itself.
pub fn run_alone(task: impl Future<Output = Result<(), DataFusionError>>) -> Result<(), Stop> {
    logger::install(&MultiProgress::new());
    Runtime::new()?.block_on(task)?;
    Ok(())
}

fn panicked(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_owned(),
            (None, None) => "panic".to_owned(),
        },
        Err(error) => error.to_string(),
    }
}

/// One statement from text to printed result; the part that runs on the workers.
struct Job {
    session: Arc<Session>,
    style: Style,
    second_parquet: bool,
    out: Out,
}

impl Job {
    /// Gives whether rows were printed.
    async fn run(self, statement: Statement) -> Result<bool, Stop> {
        let start = Instant::now();
        let mut answer = self.session.execute(statement).await?;
        let table = self.style.format == Format::Table;
        let time = |start: Instant| {
            if self.style.timing {
                seconds(start.elapsed())
            } else {
                String::new()
            }
        };
        if let AnswerKind::Done(said) = &answer.kind {
            if table {
                self.out
                    .write(format!("{said}{}\n", time(start)).as_bytes())?;
            }
            return Ok(false);
        }
        if self.second_parquet && self.style.format == Format::Parquet {
            return Err(Stop::Failed(
                "stdout holds one Parquet file, and this statement gives a second result; \
                 use COPY (…) TO 'file.parquet' for each"
                    .to_owned(),
            ));
        }
        let mut layout = self.style.layout;
        if answer.plan.as_ref().is_some_and(explains) {
            layout = Layout::default();
        }
        let mut printer = Printer::new(self.style.format, answer.stream.schema(), layout)?;
        let mut bytes = Vec::new();
        while let Some(batch) = answer.stream.next().await {
            printer.write(&batch?, &mut bytes)?;
            self.out.write(&bytes)?;
            bytes.clear();
        }
        let rows = printer.finish(&mut bytes)?;
        if table {
            let word = if rows == 1 { "row" } else { "rows" };
            bytes.extend(format!("{rows} {word}{}\n\n", time(start)).into_bytes());
        }
        self.out.write(&bytes)?;
        Ok(true)
    }
}

/// EXPLAIN's texts are long lines that must not be cut.
fn explains(plan: &Arc<dyn ExecutionPlan>) -> bool {
    matches!(plan.name(), "ExplainExec" | "AnalyzeExec")
}

fn seconds(time: Duration) -> String {
    format!(" ({:.3} s)", time.as_secs_f64())
}

/// Stdout, with the progress display out of the way while something is written.
struct Out {
    bars: MultiProgress,
    /// Set when the statement was cancelled and may still be at work.
    silent: Arc<AtomicBool>,
}

impl Out {
    fn write(&self, bytes: &[u8]) -> Result<(), Stop> {
        if self.silent.load(Ordering::SeqCst) {
            return Err(Stop::Cancelled);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let write = || {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()
        };
        match std::io::stdout().is_terminal() {
            true => self.bars.suspend(write)?,
            false => write()?,
        }
        Ok(())
    }
}

/// The width of the terminal that stdout is, if it is one.
pub fn terminal_width() -> Option<usize> {
    let stdout = Term::stdout();
    let (_, columns) = stdout.is_term().then(|| stdout.size_checked()).flatten()?;
    Some(columns.into())
}
