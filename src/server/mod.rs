//! The server: a database for many clients, over Arrow Flight SQL.
//!
//! [`service`] takes Flight SQL's commands. A text becomes a plan in [`planned`]; a query waits in
//! [`queries`] until its client fetches it, and [`stream`] sends its rows in messages that
//! [`encode`] makes. [`ingest`] takes a client's rows. All clients share one session, and with it
//! one pool of memory; queries run on threads of their own ([`jobs`]).

mod catalog;
mod encode;
mod info;
mod ingest;
mod jobs;
mod parameters;
mod planned;
mod prepared;
mod queries;
mod service;
mod status;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use datafusion::common::{DataFusionError, Result, exec_err};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tonic::transport::server::TcpIncoming;

use crate::session::Session;
use jobs::Workers;
use service::Service;

/// Bytes of the largest message that is taken: ADBC ingests a table in batches as large as the
/// client's, and a data frame is one batch.
const LARGEST_REQUEST: usize = 1 << 30;

/// A connection whose other end does not answer for so long is dropped, and its queries with it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What the queries that run get to come to their end when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// How a server is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The longest that one statement may take, from its arrival to its last row.
    pub query_timeout: Option<Duration>,
    /// Bytes of the largest message that is sent. ADBC's drivers take 16 MiB unless they are told
    /// otherwise.
    pub message_limit: usize,
}

/// A server that listens and does not serve yet.
pub struct Server {
    listener: TcpListener,
    service: Service,
}

impl Server {
    /// Listens. Queries will run on `threads`.
    ///
    /// # Errors
    /// For an address that other machines reach: whoever reaches the server may read and write
    /// whatever its process may. And where the address cannot be had.
    pub async fn bind(session: Arc<Session>, options: &Options, threads: Handle) -> Result<Self> {
        let listen = options.listen;
        if !listen.ip().is_loopback() {
            return exec_err!(
                "--listen {listen}: only addresses of this machine are served (127.0.0.1, [::1]), since clients do \
                 not log in: whoever reaches the server reads and writes what you may. From elsewhere, use an SSH \
                 tunnel: ssh -L {port}:127.0.0.1:{port} HOST",
                port = listen.port()
            );
        }
        let listener = match TcpListener::bind(listen).await {
            Ok(listener) => listener,
            Err(error) => return exec_err!("--listen {listen}: {error}"),
        };
        let workers = Workers {
            threads,
            time_limit: options.query_timeout,
        };
        let service = Service::new(session, workers, options.message_limit)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Self { listener, service })
    }

    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Serves until `stop` ends. Then no new client is taken, and the requests that are under way
    /// get [`GRACE`] to finish; what still runs afterwards ends with the caller's runtime.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let service = FlightServiceServer::new(self.service)
            .max_decoding_message_size(LARGEST_REQUEST)
            .max_encoding_message_size(usize::MAX);
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
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
        tokio::select! {
            served = served => {
                served.map_err(|error| DataFusionError::External(Box::new(error)))
            }
            () = patience => Ok(()),
        }
    }
}
