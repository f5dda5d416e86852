//! `model_weights('enc')`: the coefficients of an encoding model, one row per subject and feature.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;
use voxql_udfs::vectors::vector_type;

use super::options::Settings;
use super::stored::{SubjectWeights, read_weights};
use crate::models::store::{Description, Loaded, Models};
use crate::models::tables::rows_of;

/// A batch has so many bytes of coefficients, or one row.
const BATCH_BYTES: usize = 8 << 20;

/// The rows of `model_weights`.
#[derive(Debug)]
struct RidgeWeights {
    subjects: Arc<Loaded<Vec<SubjectWeights>>>,
    /// The space of each feature, and its place there.
    features: Arc<Vec<(String, i64)>>,
    schema: SchemaRef,
}

/// The table of one model.
///
/// # Errors
/// A model that is damaged.
pub fn model_weights(models: &Models, description: &Description) -> Result<Arc<dyn TableProvider>> {
    let settings: Settings = description.options()?;
    let subjects = models.load(description, |directory| {
        read_weights(directory, description, &settings)
    })?;
    let mut fields = vec![
        Field::new("space", DataType::Utf8, false),
        Field::new("feature", DataType::Int64, false),
        Field::new("weights", vector_type(description.same_voxels()), false),
    ];
    if description.has_subjects() {
        fields.insert(0, Field::new("subject", DataType::Utf8, false));
    }
    let features = settings.spaces.iter().flat_map(|space| {
        let places = 0..space.width as i64;
        places.map(|place| (space.name.clone(), place))
    });
    let schema = Arc::new(Schema::new(fields));
    let rows = RidgeWeights {
        subjects,
        features: Arc::new(features.collect()),
        schema: Arc::clone(&schema),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(rows)])?;
    Ok(Arc::new(table))
}

impl PartitionStream for RidgeWeights {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let (subjects, features) = (Arc::clone(&self.subjects), Arc::clone(&self.features));
        let parts = (0..subjects.len()).flat_map({
            let (subjects, count) = (Arc::clone(&subjects), features.len());
            move |subject| {
                let row_bytes = 4 * subjects[subject].target_means.len().max(1);
                let rows = (BATCH_BYTES / row_bytes).max(1);
                let starts = (0..count).step_by(rows);
                starts.map(move |from| (subject, from..count.min(from + rows)))
            }
        });
        let batches = parts.map(move |(subject, rows)| {
            batch(&subjects[subject], &features, rows, Arc::clone(&schema))
        });
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches)))
    }
}

fn batch(
    subject: &SubjectWeights,
    features: &[(String, i64)],
    rows: std::ops::Range<usize>,
    schema: SchemaRef,
) -> Result<RecordBatch> {
    let of_row = |row: usize| subject.coefficients.row(row).iter().copied();
    let values = Float32Array::from_iter_values(rows.clone().flat_map(of_row));
    let names = features[rows.clone()].iter().map(|(space, _)| space);
    let places = features[rows.clone()].iter().map(|(_, place)| *place);
    let last = schema.field(schema.fields().len() - 1);
    let weights = rows_of(last, Arc::new(values), rows.len())?;
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(Int64Array::from_iter_values(places)),
        weights,
    ];
    if schema.fields().len() > columns.len() {
        let subjects = std::iter::repeat_n(&subject.name, rows.len());
        columns.insert(0, Arc::new(StringArray::from_iter_values(subjects)));
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}
