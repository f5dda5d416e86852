//! `voxql serve`: the database for notebooks and other clients.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::MultiProgress;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use super::logger;
use super::shell::{Stop, no_threads, workers};
use super::units::{bytes, duration};
use crate::access::Access;
use crate::server::{Options, Server, Tls};
use crate::session::{Session, Settings};

/// What a cancelled query gets to let go of its files.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub struct Serve {
    /// The database directory; made if it is not there. Without one nothing is kept
    #[arg(long, value_name = "DIR")]
    db: Option<PathBuf>,

    /// Where to listen; port 0 takes a free one. An address that other machines reach needs --users and TLS
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:31337")]
    listen: SocketAddr,

    /// A folder whose files statements may read, and users with the role read-write write; may be given several
    /// times. Without one no files are read or written, only the tables of the database
    #[arg(long, value_name = "DIR")]
    allow_path: Vec<PathBuf>,

    /// Memory for all queries together, such as 8GB or 512MiB
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory_limit: Option<usize>,

    /// Memory for one query; half of all by default
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    query_memory_limit: Option<usize>,

    /// Threads for queries; all cores by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// The longest that one statement may take until its last row is fetched, such as 90s, 10min or 2h
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h")]
    query_timeout: Duration,

    /// Statements that run at once; the others wait for their turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 16)]
    max_queries: u16,

    /// The largest message, which is the largest row; clients must be told of more than 16MiB
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "16MiB")]
    max_message_size: usize,

    /// The file of users that voxql user add writes; without one nobody logs in
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,

    /// The certificate, as PEM; voxql certificate makes one
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Where to give figures (/metrics, for Prometheus) and signs of life (/health), over HTTP
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,

    /// How the log is written to stderr; VOXQL_LOG=warn|info|debug says how much, info by default
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,

    /// Serve other machines without --users, when anybody comes in, or without TLS, when anybody listens
    #[arg(long)]
    allow_insecure_remote: bool,
}

impl Serve {
    fn options(&self) -> Options {
        Options {
            listen: self.listen,
            query_timeout: Some(self.query_timeout),
            max_queries: usize::from(self.max_queries),
            query_memory: self.query_memory_limit,
            message_limit: self.max_message_size,
            users: self.users.clone(),
            tls: self
                .tls_cert
                .clone()
                .zip(self.tls_key.clone())
                .map(|(certificate, key)| Tls { certificate, key }),
            metrics: self.metrics,
            allow_insecure_remote: self.allow_insecure_remote,
        }
    }
}

/// Threads of all queries, unless one query has as many.
const MOST_THREADS: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// The log of statements and logins. Warnings of readers and functions go where the shell's go.
fn log(format: LogFormat) {
    let level =
        EnvFilter::try_from_env("VOXQL_LOG").unwrap_or_else(|_| EnvFilter::new("voxql=info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(std::io::stderr);
    // A program that embeds the server may have a log already; that one stays.
    let _ = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// Serves until Ctrl-C or SIGTERM.
pub fn run(serve: &Serve) -> Result<(), Stop> {
    logger::install(&MultiProgress::new());
    log(serve.log_format);
    let threads = serve.threads.map(usize::from);
    // As many as all queries keep busy at once, and one query's more: one that gives no thread back for a while
    // takes none from others, as the machine shares its cores among threads.
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let of_one = threads.unwrap_or_else(cores);
    let of_all = of_one * (usize::from(serve.max_queries) + 1);
    let workers = workers(Some(of_all.min(MOST_THREADS.max(2 * of_one))))?;
    // Apart from the queries' threads: clients are heard while kernels keep those busy.
    let front = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(no_threads)?;
    let session = Arc::new(workers.block_on(Session::open(Settings {
        db: serve.db.clone(),
        memory_limit: serve.memory_limit,
        shared: true,
        threads,
        access: Access::within(&serve.allow_path)?,
    }))?);
    let options = serve.options();
    let served = front.block_on(async {
        let server = Server::bind(session, &options, workers.handle().clone()).await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "listening on {}", server.uri()?)?;
        if let Some(address) = server.metrics_address()? {
            writeln!(stdout, "metrics on http://{address}/metrics")?;
        }
        stdout.flush()?;
        Ok::<_, Stop>(server.run(asked_to_stop()).await?)
    });
    front.shutdown_timeout(LAST_WORDS);
    workers.shutdown_timeout(LAST_WORDS);
    served
}

/// Ends at Ctrl-C, and at SIGTERM where there is such a thing.
async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Args, Task};

    #[test]
    fn a_server_by_default_is_that_of_a_program() {
        let args = Args::try_parse_from(["voxql", "serve"]).unwrap();
        let Some(Task::Serve(serve)) = args.task else {
            panic!("{args:?}");
        };
        assert_eq!(serve.options(), Options::default());
    }
}
