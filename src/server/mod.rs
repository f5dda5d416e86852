//! The server: a database for many clients, over Arrow Flight SQL.
//!
//! [`flight`] takes Flight's requests, [`commands`] Flight SQL's commands, and [`service`] has their steps. A text
//! becomes a plan in [`planned`]; a query waits in [`queries`] until its client fetches it, and [`stream`] sends its
//! rows in messages that [`encode`] makes. [`ingest`] takes a client's rows. Each statement has a session of its own,
//! with a share of the memory ([`shares`]); queries run on threads of their own ([`jobs`]), as many at once as
//! [`turns`] lets. Before all of it [`guard`] asks
//! [`logins`] who sends a request. Which files statements may name, the session knows
//! ([`crate::access`]).

mod catalog;
mod commands;
mod encode;
mod flight;
mod guard;
mod info;
mod ingest;
mod jobs;
mod logins;
mod operate;
mod parameters;
mod planned;
mod prepared;
mod queries;
mod service;
mod shares;
mod status;
mod stream;
mod turns;
pub mod users;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use axum::Router;
use datafusion::common::{DataFusionError, Result, exec_err};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::session::Session;
use flight::Flight;
use guard::Guard;
use jobs::Workers;
use logins::Logins;
use operate::{Figures, Metrics};
use queries::Queries;
use service::Service;
use shares::Shares;
use turns::Turns;

/// Bytes of the largest message that is taken: ADBC ingests a table in batches as large as the
/// client's, and a data frame is one batch.
const LARGEST_REQUEST: usize = 1 << 30;

/// A connection whose other end does not answer for so long is dropped, and its queries with it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What the queries that run get to come to their end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// How a server is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The longest that one statement may take, from its arrival to its last row.
    pub query_timeout: Option<Duration>,
    /// Statements that run at once; the others wait for their turn. A query runs until its last row
    /// is fetched. Of several users each has at most three quarters.
    pub max_queries: usize,
    /// Bytes that one statement may hold; without it, half of the session's.
    pub query_memory: Option<usize>,
    /// Bytes of the largest message that is sent. ADBC's drivers take 16 MiB unless they are told
    /// otherwise.
    pub message_limit: usize,
    /// A file of users, as [`users`] describes it; without one, nobody logs in.
    pub users: Option<PathBuf>,
    pub tls: Option<Tls>,
    /// Where /metrics and /health are, over HTTP.
    pub metrics: Option<SocketAddr>,
    /// Serve other machines without users or TLS, or all files of this process.
    pub allow_insecure_remote: bool,
}

impl Default for Options {
    /// For programs on this machine.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 31337)),
            query_timeout: Some(Duration::from_secs(3600)),
            max_queries: 16,
            query_memory: None,
            message_limit: 16 << 20,
            users: None,
            tls: None,
            metrics: None,
            allow_insecure_remote: false,
        }
    }
}

/// Files of PEM: the certificate, with those that vouch for it, and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A server that listens and does not serve yet.
pub struct Server {
    listener: TcpListener,
    service: Service,
    logins: Option<Arc<Logins>>,
    tls: Option<ServerTlsConfig>,
    pages: Option<(TcpListener, Router)>,
}

impl Server {
    /// Listens. Queries will run on `threads`.
    ///
    /// # Errors
    /// For an address that other machines reach, unless that is allowed; for files of users,
    /// certificates and keys that cannot be read; and where the address cannot be had.
    pub async fn bind(session: Arc<Session>, options: &Options, threads: Handle) -> Result<Self> {
        let listen = options.listen;
        if !listen.ip().is_loopback() && !options.allow_insecure_remote {
            refuse_insecure(&session, options)?;
        }
        let metrics = Arc::<Metrics>::default();
        let logins = match &options.users {
            None => None,
            Some(path) => match users::read(path)? {
                none if none.is_empty() => {
                    return exec_err!(
                        "{}: there are no users; voxql user add makes one",
                        path.display()
                    );
                }
                entries => Some(Arc::new(Logins::new(entries, Arc::clone(&metrics))?)),
            },
        };
        let tls = match &options.tls {
            None => None,
            Some(tls) => {
                let identity = Identity::from_pem(pem(&tls.certificate)?, pem(&tls.key)?);
                Some(ServerTlsConfig::new().identity(identity))
            }
        };
        let clients = listener("--listen", listen).await?;
        let queries = Queries::new(Arc::clone(&metrics));
        let pages = match options.metrics {
            None => None,
            Some(address) => {
                let figures = Figures {
                    metrics,
                    queries: Arc::clone(&queries),
                    memory: Arc::clone(&session.context().runtime_env().memory_pool),
                };
                let listener = listener("--metrics", address).await?;
                Some((listener, operate::pages(figures)))
            }
        };
        let most = options.max_queries;
        let most_of_one = match logins {
            Some(_) => most * 3 / 4,
            None => most,
        };
        let workers = Workers {
            threads,
            time_limit: options.query_timeout,
            turns: Turns::new(most, most_of_one),
            writers: Turns::new(1, 1),
        };
        let all = Arc::clone(&session.context().runtime_env().memory_pool);
        let shares = Shares::new(all, options.query_memory, logins.is_some());
        let service = Service::new(
            session,
            shares,
            workers,
            options.message_limit,
            logins.clone(),
            queries,
        )
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Self {
            listener: clients,
            service,
            logins,
            tls,
            pages,
        })
    }

    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Where /metrics and /health are.
    pub fn metrics_address(&self) -> Result<Option<SocketAddr>> {
        match &self.pages {
            Some((listener, _)) => Ok(Some(listener.local_addr()?)),
            None => Ok(None),
        }
    }

    /// What clients connect to.
    pub fn uri(&self) -> Result<String> {
        let scheme = match self.tls {
            Some(_) => "grpc+tls",
            None => "grpc",
        };
        Ok(format!("{scheme}://{}", self.address()?))
    }

    /// Serves until `stop` ends. Then no new client is taken, and the requests that are under way
    /// get [`GRACE`] to finish; what still runs afterwards ends with the caller's runtime.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let service = FlightServiceServer::new(Flight(self.service))
            .max_decoding_message_size(LARGEST_REQUEST)
            .max_encoding_message_size(usize::MAX);
        let service = Guard {
            inner: service,
            logins: self.logins,
        };
        let mut builder = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE));
        if let Some(tls) = self.tls {
            builder = match builder.tls_config(tls) {
                Ok(builder) => builder,
                Err(error) => return exec_err!("--tls-cert, --tls-key: {}", innermost(&error)),
            };
        }
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = builder
            .add_service(service)
            .serve_with_incoming_shutdown(incoming, async {
                // The sender is dropped when it is time.
                let _ = stopped.await;
            });
        let patience = async {
            stop.await;
            drop(stopping);
            tokio::time::sleep(GRACE).await;
        };
        let pages = async {
            match self.pages {
                Some((listener, pages)) => axum::serve(listener, pages).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failed = pages => Ok(failed?),
            served = served => {
                served.map_err(|error| DataFusionError::External(Box::new(error)))
            }
            () = patience => Ok(()),
        }
    }
}

/// Refuses to serve other machines where whoever reaches the server, or listens on the way, has more than a
/// user should.
fn refuse_insecure(session: &Session, options: &Options) -> Result<()> {
    let listen = options.listen;
    let port = listen.port();
    let (why, what) = if options.users.is_none() || options.tls.is_none() {
        (
            "whoever reaches the server reads and writes what it may",
            "Give it users (--users) and encryption (--tls-cert, --tls-key)",
        )
    } else if !session.access().is_limited() {
        (
            "every user reads every file that this process can read",
            "Open the session with the folders that they may read (Settings::access)",
        )
    } else {
        return Ok(());
    };
    exec_err!(
        "--listen {listen}: other machines reach this address, and {why}. {what}; or listen on 127.0.0.1 and let \
         others come through SSH: ssh -L {port}:127.0.0.1:{port} HOST. --allow-insecure-remote serves them all the same"
    )
}

async fn listener(option: &str, address: SocketAddr) -> Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) => exec_err!("{option} {address}: {error}"),
    }
}

fn pem(path: &Path) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(text) => Ok(text),
        Err(error) => exec_err!("{}: {error}", path.display()),
    }
}

/// tonic's own words are only `transport error`.
fn innermost(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}
