//! `time_segment_matching((SELECT subject, run, tr, shared FROM …))`: how well moments of one
//! subject are recognised among those of the others.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryReservation;
use faer::Mat;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::kernels::time_segments::match_segments;

use super::arguments::{memory, rows, times};
use super::isc::at_least_two;
use crate::statements::computed::Function;
use crate::statements::computed::arguments::Given;
use crate::statements::computed::calls::Call;
use crate::statements::computed::held::Held;
use crate::statements::computed::keys::RUN_KEYS;
use crate::statements::subject_rows::{Columns, SubjectRows};
use crate::writers::format::blocking;

/// The function's name in SQL.
pub const FUNCTION: &str = "time_segment_matching";

/// TRs of a segment where nothing is said.
const WINDOW_SIZE: usize = 10;

/// What it takes.
pub const TIME_SEGMENT_MATCHING: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[("data", Kind::Any), ("window_size", Kind::Integer)],
    },
    queries: &["data"],
    example: "time_segment_matching((SELECT subject, run, tr, shared FROM …), window_size => 10)",
};

/// Computes the table of a call.
///
/// # Errors
/// Name the argument, or the subject and the time.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let given = Given::without_rows(state, call).await?;
    let window = times(&given.constants(), "window_size", WINDOW_SIZE)?;
    let rows = rows(state, call, "data").await?;
    let columns = Columns::find(FUNCTION, &rows.schema())?;
    let held = memory(state, FUNCTION);
    let rows = SubjectRows::<Float64Type>::gather(FUNCTION, columns, rows, held).await?;
    let memory = memory(state, FUNCTION);
    let table = blocking(move || matched(&rows, window, memory));
    Ok(Arc::new(table.await?))
}

fn matched(
    rows: &SubjectRows<Float64Type>,
    window: usize,
    memory: MemoryReservation,
) -> Result<Held> {
    at_least_two(FUNCTION, rows)?;
    // The subjects twice, as they are and scored, and the products of all TRs.
    let series = rows.names.len() * rows.trs() * rows.width;
    let bytes = (2 * series + rows.trs() * rows.trs()) * size_of::<f64>();
    memory.try_grow(bytes)?;
    let subjects = matrices(rows)?;
    let matched = match_segments(&subjects, &stretches(&rows.times)?, window)
        .map_err(|message| DataFusionError::Execution(format!("{FUNCTION}: {message}")))?;
    let schema = SchemaRef::new(Schema::new(vec![
        Field::new("subject", DataType::Utf8, false),
        Field::new("accuracy", DataType::Float64, false),
        Field::new("segments", DataType::Int64, false),
        Field::new("chance", DataType::Float64, false),
    ]));
    let segments = matched.iter().map(|m| m.segments as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(&rows.names)),
        Arc::new(Float64Array::from_iter_values(
            matched.iter().map(|m| m.accuracy),
        )),
        Arc::new(Int64Array::from_iter_values(segments)),
        Arc::new(Float64Array::from_iter_values(
            matched.iter().map(|m| m.chance),
        )),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    memory.shrink(bytes);
    memory.try_grow(batch.get_array_memory_size())?;
    Held::new(schema, vec![batch], memory)
}

/// Each subject's TRs × features.
fn matrices(rows: &SubjectRows<Float64Type>) -> Result<Vec<Mat<f64>>> {
    let mut matrices = Vec::with_capacity(rows.names.len());
    for (name, series) in rows.names.iter().zip(rows.series()) {
        for (tr, row) in series.iter().enumerate() {
            if let Some(feature) = row.iter().position(|x| !x.is_finite()) {
                return exec_err!(
                    "{FUNCTION}: subject {name} has no number at {}, element {feature}; leave such TRs \
                     out for all subjects",
                    rows.time_labels()?[tr]
                );
            }
        }
        matrices.push(Mat::from_fn(series.len(), rows.width, |t, v| series[t][v]));
    }
    Ok(matrices)
}

/// The times that follow one another: of one run, and without a hole where the TR is a whole number.
fn stretches(times: &RecordBatch) -> Result<Vec<Range<usize>>> {
    let schema = times.schema();
    let is_run = |i: &usize| RUN_KEYS.contains(&schema.field(*i).name().as_str());
    let (run, clock): (Vec<usize>, Vec<usize>) = (0..times.num_columns()).partition(is_run);
    let sort = |i: &usize| SortField::new(schema.field(*i).data_type().clone());
    let converter = RowConverter::new(run.iter().map(sort).collect())?;
    let columns: Vec<ArrayRef> = run.iter().map(|i| Arc::clone(times.column(*i))).collect();
    let runs = match run.is_empty() {
        true => None,
        false => Some(converter.convert_columns(&columns)?),
    };
    let trs = match clock.as_slice() {
        [tr] if schema.field(*tr).data_type().is_integer() => {
            Some(cast(times.column(*tr), &DataType::Int64)?)
        }
        _ => None,
    };
    let follows = |at: usize| {
        let same_run = runs.as_ref().is_none_or(|r| r.row(at - 1) == r.row(at));
        let next = trs.as_ref().is_none_or(|trs| {
            let trs = trs.as_primitive::<Int64Type>();
            let known = trs.is_valid(at - 1) && trs.is_valid(at);
            known && trs.value(at).checked_sub(trs.value(at - 1)) == Some(1)
        });
        same_run && next
    };
    let mut stretches = Vec::new();
    let mut start = 0;
    for at in 1..=times.num_rows() {
        if at == times.num_rows() || !follows(at) {
            stretches.push(start..at);
            start = at;
        }
    }
    Ok(stretches)
}
