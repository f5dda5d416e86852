//! `model_scores('enc')`: how well cross-validation predicted each target, and its intercept.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::datasource::MemTable;

use super::KIND;
use super::stored::read_scores;
use crate::models::store::{Description, Models};

/// The table of one model.
///
/// # Errors
/// A model of another kind, or one that is damaged.
pub fn model_scores(models: &Models, description: &Description) -> Result<Arc<dyn TableProvider>> {
    if description.kind != KIND {
        return plan_err!(
            "model_scores: {} is a model of kind {}, not {KIND}",
            description.name,
            description.kind
        );
    }
    let batch = table(&models.whole(description)?, description)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    Ok(Arc::new(table))
}

fn table(directory: &Path, description: &Description) -> Result<RecordBatch> {
    let batches = read_scores(directory)?;
    let Some(first) = batches.first() else {
        return exec_err!(
            "model_scores: the model {} has no targets",
            description.name
        );
    };
    let scores = concat_batches(&first.schema(), &batches)?;
    // Banded ridge writes the targets of like gammas together.
    let by = scores.columns()[..2].iter().map(|values| SortColumn {
        values: Arc::clone(values),
        options: None,
    });
    let order = lexsort_to_indices(&by.collect::<Vec<_>>(), None)?;
    let scores = take_record_batch(&scores, &order)?;
    let mut columns = scores.columns().to_vec();
    columns.insert(5, deltas(&columns[2], &columns[4]));
    let schema = schema();
    match description.has_subjects() {
        true => Ok(RecordBatch::try_new(schema, columns)?),
        false => Ok(RecordBatch::try_new(
            Arc::new(schema.project(&[1, 2, 3, 4, 5, 6])?),
            columns[1..].to_vec(),
        )?),
    }
}

/// `ln(gamma / alpha)` of each feature space, as himalaya's `deltas_`.
fn deltas(alphas: &ArrayRef, gammas: &ArrayRef) -> ArrayRef {
    let alphas = alphas.as_primitive::<Float64Type>();
    let gammas = gammas.as_list::<i32>();
    let rows = (0..gammas.len()).map(|i| {
        let gammas = gammas.value(i);
        let gammas = gammas.as_primitive::<Float64Type>().values().to_vec();
        let alpha = alphas.value(i);
        Some(
            gammas
                .into_iter()
                .map(move |gamma| Some((gamma / alpha).ln())),
        )
    });
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
}

fn schema() -> SchemaRef {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)));
    Arc::new(Schema::new(vec![
        Field::new("subject", DataType::Utf8, false),
        Field::new("target", DataType::Int64, false),
        Field::new("alpha", DataType::Float64, false),
        Field::new("score", DataType::Float64, false),
        Field::new("gammas", list.clone(), false),
        Field::new("deltas", list, false),
        Field::new("intercept", DataType::Float64, false),
    ]))
}
