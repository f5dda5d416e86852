//! `isc((SELECT subject, run, tr, bold FROM …))`: the correlation of each subject with the
//! others, voxel by voxel.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, exec_err};
use datafusion::execution::SessionState;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::kernels::isc::correlate::{leave_one_out, pairwise};
use voxql_udfs::kernels::isc::{Missing, Summary, Value, pairs};
use voxql_udfs::vectors::{element_type, fits_f32};

use super::arguments::{self, memory, missing, summary, threads};
use super::tables::{rows_of_batch, vector_field, vectors};
use crate::statements::computed::Function;
use crate::statements::computed::arguments::Given;
use crate::statements::computed::calls::Call;
use crate::statements::computed::held::Held;
use crate::statements::subject_rows::{Columns, Float, SubjectRows};
use crate::writers::format::blocking;

/// The function's name in SQL.
pub const FUNCTION: &str = "isc";

/// What it takes.
pub const ISC: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[
            ("data", Kind::Any),
            ("pairwise", Kind::Flag),
            ("summary_statistic", Kind::Text),
            ("tolerate_nans", Kind::Any),
        ],
    },
    queries: &["data"],
    example: "isc((SELECT subject, run, tr, bold FROM …))",
};

#[derive(Clone, Copy)]
struct Options {
    pairwise: bool,
    summary: Option<Summary>,
    missing: Missing,
    threads: usize,
}

/// Computes the table of a call.
///
/// # Errors
/// Name the argument, or the subject and the time.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let given = Given::without_rows(state, call).await?;
    let options = {
        let arguments = given.constants();
        Options {
            pairwise: arguments.bool("pairwise")?.unwrap_or(false),
            summary: summary(&arguments)?,
            missing: missing(&arguments)?,
            threads: threads(state),
        }
    };
    let rows = arguments::rows(state, call, "data").await?;
    let columns = Columns::find(FUNCTION, &rows.schema())?;
    let memory = || memory(state, FUNCTION);
    // Float32 stays Float32: half the memory, and the sums are in Float64 anyway.
    let held = match element_type(columns.vector().data_type()) {
        Some(element) if fits_f32(element) => {
            let rows = SubjectRows::<Float32Type>::gather(FUNCTION, columns, rows, memory());
            let (rows, memory) = (rows.await?, memory());
            blocking(move || correlate(&rows, options, memory)).await?
        }
        _ => {
            let rows = SubjectRows::<Float64Type>::gather(FUNCTION, columns, rows, memory());
            let (rows, memory) = (rows.await?, memory());
            blocking(move || correlate(&rows, options, memory)).await?
        }
    };
    Ok(Arc::new(held))
}

fn correlate<T: Float>(
    rows: &SubjectRows<T>,
    options: Options,
    memory: datafusion::execution::memory_pool::MemoryReservation,
) -> Result<Held>
where
    T::Native: Value,
{
    at_least_two(FUNCTION, rows)?;
    let subjects = rows.names.len();
    let row_count = match options.pairwise {
        true => subjects * (subjects - 1) / 2,
        false => subjects,
    };
    // Twice: the threads' parts, and what is put together.
    let bytes = row_count * rows.width * size_of::<f64>();
    memory.try_grow(2 * bytes)?;
    let series = rows.series();
    let of = if options.pairwise {
        pairwise
    } else {
        leave_one_out
    };
    let mut isc = of(&series, options.missing, options.threads);
    let mut keys = Vec::new();
    match options.summary {
        Some(summary) => isc = vec![summarise(&isc, summary, rows.width)],
        None => keys = key_columns(&rows.names, options.pairwise),
    }
    let mut fields: Vec<FieldRef> = keys.iter().map(|(field, _)| Arc::clone(field)).collect();
    fields.push(vector_field(FUNCTION, "isc", rows.width)?);
    let schema = SchemaRef::new(Schema::new(fields));
    let keys: Vec<ArrayRef> = keys.into_iter().map(|(_, column)| column).collect();
    let mut batches = Vec::new();
    let mut start = 0;
    for part in isc.chunks(rows_of_batch(rows.width)) {
        let slice = |column: &ArrayRef| column.slice(start, part.len());
        let mut columns: Vec<ArrayRef> = keys.iter().map(slice).collect();
        columns.push(vectors(FUNCTION, part.concat(), rows.width, part.len())?);
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
        start += part.len();
    }
    drop(isc);
    memory.shrink(bytes);
    Held::new(schema, batches, memory)
}

/// Refuses a single subject, which has nobody to be like.
pub fn at_least_two<T: Float>(function: &str, rows: &SubjectRows<T>) -> Result<()> {
    match rows.names.as_slice() {
        [one] => exec_err!("{function} needs at least two subjects, and there is only {one}"),
        _ => Ok(()),
    }
}

/// `subject`, or `subject` and `other` of each pair.
pub fn key_columns(names: &[String], pairwise: bool) -> Vec<(FieldRef, ArrayRef)> {
    let column = |name: &str, values: Vec<&String>| {
        let field = Arc::new(Field::new(name, DataType::Utf8, false));
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(values));
        (field, column)
    };
    if !pairwise {
        return vec![column("subject", names.iter().collect())];
    }
    let first = pairs(names.len()).map(|(i, _)| &names[i]);
    let second = pairs(names.len()).map(|(_, j)| &names[j]);
    vec![
        column("subject", first.collect()),
        column("other", second.collect()),
    ]
}

fn summarise(rows: &[Vec<f64>], summary: Summary, width: usize) -> Vec<f64> {
    let mut values = vec![0.0; rows.len()];
    let of = |voxel: usize| {
        for (value, row) in values.iter_mut().zip(rows) {
            *value = row[voxel];
        }
        summary.of(&mut values)
    };
    (0..width).map(of).collect()
}
