//! The times that a model was fitted on (`times.parquet`), and a warning where it is judged on
//! the same ones.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use voxql_udfs::identity::MODEL_METADATA;

use super::rows::Times;
use super::store::{self, Description, Models};

const TIMES: &str = "times.parquet";

/// Writes the file into a model's directory.
pub fn write(directory: &Path, times: &Times) -> Result<()> {
    let columns = times.names.iter().cloned().zip(times.arrays()?);
    let batch = RecordBatch::try_from_iter(columns)?;
    store::write(&directory.join(TIMES), &batch)
}

/// The times of a model, a row each; None where it came without.
pub fn read(models: &Models, description: &Description) -> Result<Option<RecordBatch>> {
    let path = models.whole(description)?.join(TIMES);
    if !path.exists() {
        return Ok(None);
    }
    let batches: Vec<_> = store::read(&path)?.into_iter().map(|c| c.batch).collect();
    match batches.first() {
        Some(first) => Ok(Some(concat_batches(&first.schema(), &batches)?)),
        None => Ok(None),
    }
}

/// Passes the rows on that `function` judges, and warns at their end if a model that made one of
/// their columns was fitted on some of them.
pub fn watch(
    state: &SessionState,
    function: &'static str,
    rows: SendableRecordBatchStream,
) -> Result<SendableRecordBatchStream> {
    let schema = rows.schema();
    let Some(overlap) = Overlap::of(state, &schema)? else {
        return Ok(rows);
    };
    let watched = stream::try_unfold((rows, overlap), move |(mut rows, mut overlap)| async move {
        match rows.try_next().await? {
            Some(batch) => {
                overlap.count(&batch)?;
                Ok(Some((batch, (rows, overlap))))
            }
            None => {
                overlap.warn(function);
                Ok(None)
            }
        }
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, watched)))
}

/// Counts the rows that a function judges and that a model, which made one of their columns, was
/// fitted on.
struct Overlap {
    model: Description,
    /// The columns that say the time, in the rows that are judged.
    time: Vec<usize>,
    subject: Option<usize>,
    converter: RowConverter,
    types: Vec<DataType>,
    fitted: HashSet<OwnedRow>,
    rows: usize,
    in_fit: usize,
}

impl Overlap {
    /// For rows of this schema; None where no column comes from a fitted model, or where the rows
    /// do not have the times of its fit.
    fn of(state: &SessionState, schema: &SchemaRef) -> Result<Option<Self>> {
        let Some(models) = state.config().get_extension::<Models>() else {
            return Ok(None);
        };
        let mut made_by = schema.fields().iter();
        let Some(model) = made_by.find_map(|field| field.metadata().get(MODEL_METADATA)) else {
            return Ok(None);
        };
        if !models.names()?.contains(model) {
            return Ok(None);
        }
        let model = models.describe(model)?;
        let Some(times) = read(&models, &model)? else {
            return Ok(None);
        };
        let names = times.schema();
        let places = names.fields().iter().map(|f| schema.index_of(f.name()));
        let Ok(time) = places.collect::<Result<Vec<_>, _>>() else {
            return Ok(None);
        };
        let types: Vec<_> = names
            .fields()
            .iter()
            .map(|f| f.data_type().clone())
            .collect();
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields)?;
        let fitted = converter.convert_columns(times.columns())?;
        let fitted = fitted.iter().map(|row| row.owned()).collect();
        let subject = schema.index_of("subject").ok();
        Ok(Some(Self {
            model,
            time,
            subject,
            converter,
            types,
            fitted,
            rows: 0,
            in_fit: 0,
        }))
    }

    /// Counts the rows of a batch.
    fn count(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = self.time.iter().zip(&self.types);
        let columns: Vec<ArrayRef> = columns
            .map(|(&at, data_type)| cast(batch.column(at), data_type))
            .collect::<Result<_, _>>()?;
        let times = self.converter.convert_columns(&columns)?;
        let subjects = match self.subject {
            Some(at) => Some(cast(batch.column(at), &DataType::Utf8)?),
            None => None,
        };
        let subjects = subjects.as_ref().map(|names| names.as_string::<i32>());
        for i in 0..batch.num_rows() {
            let known = subjects.is_none_or(|names| {
                let mut fitted = self.model.subjects.iter();
                fitted.any(|name| name.is_empty() || name == names.value(i))
            });
            self.rows += 1;
            self.in_fit += usize::from(known && self.fitted.contains(&times.row(i).owned()));
        }
        Ok(())
    }

    /// Warns, if there is reason to.
    fn warn(&self, function: &str) {
        if self.in_fit > 0 {
            log::warn!(
                "{function}: {} of {} rows are TRs that the model {} was fitted on, so the result is too good; \
                 fit on some runs and judge on others (docs/splits.md)",
                self.in_fit,
                self.rows,
                self.model.name
            );
        }
    }
}

/// The times of a model's fit, in the types and under the names of `like`; None where they have
/// other names.
pub fn like(times: &RecordBatch, like: &Times) -> Result<Option<Times>> {
    let names = times.schema();
    let names = names.fields().iter().map(|f| f.name());
    if !names.eq(like.names.iter()) {
        return Ok(None);
    }
    let columns = times.columns().iter().zip(like.arrays()?);
    let columns: Vec<ArrayRef> = columns
        .map(|(column, like)| cast(column, like.data_type()))
        .collect::<Result<_, _>>()?;
    let rows = like.converter.convert_columns(&columns)?;
    let mut rows: Vec<_> = rows.iter().map(|row| row.owned()).collect();
    rows.sort_unstable();
    Ok(Some(Times {
        names: Arc::clone(&like.names),
        converter: Arc::clone(&like.converter),
        rows,
    }))
}
