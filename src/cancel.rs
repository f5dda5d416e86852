//! Whether anybody still waits for a query: functions that compute for long ask, and stop.
//!
//! DataFusion stops a query by dropping its streams. A function that is in the middle of a batch does
//! not notice. Therefore every query has a flag of its own in its configuration, where its functions find it
//! (`ScalarFunctionArgs::config_options`), and its stream raises the flag when it is dropped.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt};

/// One query's flag. Copies are one flag.
#[derive(Debug, Clone, Default)]
pub struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    /// The flag of the query with these options; one that nobody raises, where there is none.
    pub fn of(options: &ConfigOptions) -> Self {
        options.extensions.get().cloned().unwrap_or_default()
    }

    /// Nobody waits any more.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// When the flag was raised. Nobody reads the message.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            true => exec_err!("the query was cancelled"),
            false => Ok(()),
        }
    }

    /// The same rows; the flag is raised when the stream is dropped.
    pub fn when_dropped(self, stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
        Box::pin(Watched {
            stream,
            cancelled: self,
        })
    }
}

struct Watched {
    stream: SendableRecordBatchStream,
    cancelled: Cancelled,
}

impl Stream for Watched {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

impl RecordBatchStream for Watched {
    fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.cancelled.raise();
    }
}

impl ConfigExtension for Cancelled {
    const PREFIX: &'static str = "voxql_query";
}

/// There is nothing to set: it only lies among the options.
impl ExtensionOptions for Cancelled {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _value: &str) -> Result<()> {
        plan_err!("there is no option {key}")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
