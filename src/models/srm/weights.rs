//! `model_weights('m')`: the maps of a shared response model, one row per subject and feature.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use super::stored::{SubjectMap, subjects};
use crate::models::store::{Description, Loaded, Models};
use crate::models::tables::rows_of;

/// The rows of `model_weights`, a batch per subject.
#[derive(Debug)]
struct ModelWeights {
    subjects: Arc<Loaded<Vec<SubjectMap>>>,
    schema: SchemaRef,
}

/// The table of one model.
///
/// # Errors
/// A model that is damaged.
pub fn model_weights(models: &Models, description: &Description) -> Result<Arc<dyn TableProvider>> {
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let width = description.same_voxels();
    let weights = match width.and_then(|width| i32::try_from(width).ok()) {
        Some(width) => DataType::FixedSizeList(item, width),
        None => DataType::List(item),
    };
    let schema = Arc::new(Schema::new(vec![
        Field::new("subject", DataType::Utf8, false),
        Field::new("feature", DataType::Int64, false),
        Field::new("weights", weights, false),
    ]));
    let partition = ModelWeights {
        subjects: subjects(models, description)?,
        schema: Arc::clone(&schema),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(partition)])?;
    Ok(Arc::new(table))
}

impl PartitionStream for ModelWeights {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (subjects, schema) = (Arc::clone(&self.subjects), Arc::clone(&self.schema));
        let batches = (0..subjects.len()).map(move |i| batch(&subjects[i], &schema));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            stream::iter(batches),
        ))
    }
}

fn batch(subject: &SubjectMap, schema: &SchemaRef) -> Result<RecordBatch> {
    let features = subject.features();
    let values: ArrayRef = Arc::new(Float64Array::from(subject.weights.clone()));
    let weights = rows_of(schema.field(2), values, features)?;
    let names = StringArray::from_iter_values(std::iter::repeat_n(&subject.name, features));
    let numbers = Int64Array::from_iter_values(0..features as i64);
    Ok(RecordBatch::try_new(
        Arc::clone(schema),
        vec![Arc::new(names), Arc::new(numbers), weights],
    )?)
}
