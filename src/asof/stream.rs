//! Feeds two sorted streams into the merge.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use futures::stream::try_unfold;

use super::merge::{Merge, Step};
use super::side::Reader;

/// One partition of an ASOF JOIN.
pub struct AsofStream {
    pub left: SendableRecordBatchStream,
    pub right: SendableRecordBatchStream,
    pub left_reader: Reader,
    pub right_reader: Reader,
    pub merge: Merge,
    /// For the batches that the merge keeps.
    pub memory: MemoryReservation,
    pub metrics: BaselineMetrics,
}

impl AsofStream {
    pub fn into_stream(self, schema: SchemaRef) -> SendableRecordBatchStream {
        let batches = try_unfold(self, |mut stream| async move {
            Ok(stream.next().await?.map(|batch| (batch, stream)))
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let compute = self.metrics.elapsed_compute().clone();
        loop {
            let timer = compute.timer();
            let step = self.merge.advance()?;
            drop(timer);
            match step {
                Step::Joined(batch) => {
                    self.metrics.record_output(batch.num_rows());
                    return Ok(Some(batch));
                }
                Step::NeedLeft => match some_rows(&mut self.left).await? {
                    Some(batch) => {
                        let _timer = compute.timer();
                        self.merge.push_left(self.left_reader.read(batch)?);
                    }
                    None => {
                        self.memory.free();
                        self.metrics.done();
                        return Ok(None);
                    }
                },
                Step::NeedRight => match some_rows(&mut self.right).await? {
                    Some(batch) => {
                        let _timer = compute.timer();
                        self.merge.push_right(self.right_reader.read(batch)?);
                    }
                    None => self.merge.finish_right(),
                },
            }
            self.memory.try_resize(self.merge.bytes())?;
        }
    }
}

/// The next batch that has rows.
async fn some_rows(stream: &mut SendableRecordBatchStream) -> Result<Option<RecordBatch>> {
    while let Some(batch) = stream.next().await.transpose()? {
        if batch.num_rows() > 0 {
            return Ok(Some(batch));
        }
    }
    Ok(None)
}
