//! For those who keep the server running: figures for Prometheus, and whether it lives.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use datafusion::execution::memory_pool::MemoryPool;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

use super::queries::Queries;

/// What is counted as it happens.
pub struct Metrics {
    statements: Family<[(&'static str, String); 1], Counter>,
    seconds: Histogram,
    pub failed_logins: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            statements: Family::default(),
            // From a millisecond to an hour.
            seconds: Histogram::new(exponential_buckets(0.001, 4.0, 12)),
            failed_logins: Counter::default(),
        }
    }
}

impl Metrics {
    /// A statement has ended, as `outcome` says.
    pub fn statement(&self, outcome: Code, seconds: f64) {
        let label = [("outcome", format!("{outcome:?}"))];
        self.statements.get_or_create(&label).inc();
        self.seconds.observe(seconds);
    }
}

/// What the pages show.
pub struct Figures {
    pub metrics: Arc<Metrics>,
    pub queries: Arc<Queries>,
    pub memory: Arc<dyn MemoryPool>,
}

impl Figures {
    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("voxql");
        let Metrics {
            statements,
            seconds,
            failed_logins,
        } = self.metrics.as_ref();
        registry.register(
            "statements",
            "Statements that have ended",
            statements.clone(),
        );
        registry.register(
            "statement_seconds",
            "From a statement's arrival to its last row",
            seconds.clone(),
        );
        registry.register(
            "failed_logins",
            "Logins that were refused",
            failed_logins.clone(),
        );
        let (running, waiting) = self.queries.counts();
        for (name, help, value) in [
            (
                "statements_running",
                "Statements at work or being sent",
                running,
            ),
            (
                "results_waiting",
                "Results that wait to be fetched",
                waiting,
            ),
            (
                "memory_bytes",
                "Memory that queries hold",
                self.memory.reserved(),
            ),
        ] {
            let gauge = Gauge::<i64>::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        }
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// `/metrics` and `/health`.
pub fn pages(figures: Figures) -> Router {
    let metrics = |State(figures): State<Arc<Figures>>| async move {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let text = figures.text();
        text.map(|text| ([("content-type", kind)], text))
            .map_err(|_| axum::http::StatusCode::INTERNAL_SERVER_ERROR)
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(Arc::new(figures))
}
