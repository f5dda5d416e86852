//! `word_timing_report((SELECT onset, duration, word FROM …), media => 'a.wav')`: what is wrong
//! with the times of words, as a table.

pub mod documentation;
mod report;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::MemoryConsumer;
use voxql_udfs::args::{Arguments, Kind, Parameters};

use super::computed::Function;
use super::computed::arguments::Given;
use super::computed::calls::Call;
use super::computed::held::Held;
use crate::access::Access;
use crate::readers::media_end::media_end;
use crate::writers::format::blocking;
use report::{Limits, Problem, problems};
use words::{Sequence, sequences};

/// The function's name in SQL.
pub const FUNCTION: &str = "word_timing_report";

/// The longest pause between words that is not reported, in seconds.
const MAX_GAP: f64 = 2.0;

/// What times may be off by, in seconds: files have them in milliseconds.
const TOLERANCE: f64 = 0.001;

/// What it takes.
pub const WORD_TIMING_REPORT: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[
            ("words", Kind::Any),
            ("media", Kind::Text),
            ("media_end", Kind::Number),
            ("max_gap", Kind::Number),
            ("tolerance", Kind::Number),
            ("keys", Kind::Texts),
        ],
    },
    queries: &["words"],
    example: "word_timing_report((SELECT onset, duration, word FROM …), media => 'a.wav')",
};

/// Computes the table of a call.
///
/// # Errors
/// Name the argument, the column or the file, and what to do.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    // The words' order in the query counts, and one partition keeps it.
    let mut ordered = state.clone();
    let options = ordered.config_mut().options_mut();
    options.execution.target_partitions = 1;
    let mut given = Given::evaluate(&ordered, call).await?;
    let Some(rows) = given.take_rows("words") else {
        return plan_err!(
            "{FUNCTION} needs the words, a query in parentheses: {}",
            WORD_TIMING_REPORT.example
        );
    };
    let access = Access::of(state.config());
    let (limits, keys) = {
        let arguments = given.constants();
        let keys = arguments.strs("keys")?.unwrap_or_default();
        (limits(&arguments, &access).await?, keys)
    };
    let (fields, sequences) = sequences(&rows, &keys)?;
    let found: Vec<(&Sequence, Vec<Problem>)> = sequences
        .iter()
        .map(|sequence| (sequence, problems(&sequence.words, &limits)))
        .collect();
    let schema = schema(&fields);
    let batch = batch(&schema, &found, limits.media_end())?;
    let memory = MemoryConsumer::new(FUNCTION).register(&state.runtime_env().memory_pool);
    memory.try_grow(batch.get_array_memory_size())?;
    Ok(Arc::new(Held::new(schema, vec![batch], memory)?))
}

async fn limits(arguments: &Arguments<'_>, access: &Access) -> Result<Limits> {
    let not_negative = |name: &str, usual: f64| match arguments.f64(name)? {
        None => Ok(usual),
        Some(seconds) if seconds >= 0.0 => Ok(seconds),
        Some(other) => plan_err!("{FUNCTION}: {name} must be seconds, 0 or more, not {other}"),
    };
    let max_gap = not_negative("max_gap", MAX_GAP)?;
    let tolerance = not_negative("tolerance", TOLERANCE)?;
    let end = match (arguments.str("media")?, arguments.f64("media_end")?) {
        (None, None) => None,
        (None, Some(seconds)) if seconds >= 0.0 && seconds.is_finite() => Some(seconds),
        (None, Some(other)) => {
            return plan_err!("{FUNCTION}: media_end must be seconds, 0 or more, not {other}");
        }
        (Some(path), None) => {
            let path = PathBuf::from(crate::readers::files::local_path(path)?);
            let access = access.clone();
            Some(blocking(move || access.scope(|| media_end(&path))).await?)
        }
        (Some(_), Some(_)) => {
            return plan_err!(
                "{FUNCTION}: media and media_end say the same thing; give the file or the seconds"
            );
        }
    };
    Ok(Limits::new(end, max_gap, tolerance))
}

/// The keys, and the columns of a problem.
fn schema(keys: &[FieldRef]) -> SchemaRef {
    let mut fields: Vec<FieldRef> = keys.to_vec();
    let mut add = |name: &str, data_type: DataType, nullable: bool| {
        fields.push(Arc::new(Field::new(name, data_type, nullable)));
    };
    add("problem", DataType::Utf8, false);
    add("word", DataType::Utf8, true);
    add("onset", DataType::Float64, true);
    add("end_time", DataType::Float64, true);
    add("other_word", DataType::Utf8, true);
    add("other_onset", DataType::Float64, true);
    add("seconds", DataType::Float64, true);
    add("media_end", DataType::Float64, true);
    Arc::new(Schema::new(fields))
}

fn batch(
    schema: &SchemaRef,
    found: &[(&Sequence, Vec<Problem>)],
    media_end: Option<f64>,
) -> Result<RecordBatch> {
    let mut rows: Vec<(&Sequence, &Problem)> = Vec::new();
    for (sequence, problems) in found {
        rows.extend(problems.iter().map(|problem| (*sequence, problem)));
    }
    let text = |of: fn(&Problem) -> Option<usize>| -> ArrayRef {
        let words = rows
            .iter()
            .map(|(sequence, problem)| sequence.text(of(problem)));
        Arc::new(StringArray::from_iter(words))
    };
    let number = |of: fn(&Problem) -> Option<f64>| -> ArrayRef {
        Arc::new(Float64Array::from_iter(rows.iter().map(|(_, p)| of(p))))
    };
    let kinds = StringArray::from_iter_values(rows.iter().map(|(_, problem)| problem.kind.name()));
    let own = 8;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (at, field) in schema.fields().iter().enumerate() {
        if at + own >= schema.fields().len() {
            break;
        }
        let values: Vec<ScalarValue> = rows.iter().map(|(s, _)| s.key[at].clone()).collect();
        columns.push(match values.is_empty() {
            true => arrow::array::new_empty_array(field.data_type()),
            false => ScalarValue::iter_to_array(values)?,
        });
    }
    columns.push(Arc::new(kinds));
    columns.push(text(|p| p.word));
    columns.push(number(|p| p.onset));
    columns.push(number(|p| p.offset));
    columns.push(text(|p| p.other));
    columns.push(number(|p| p.other_onset));
    columns.push(number(|p| p.seconds));
    columns.push(Arc::new(Float64Array::from(vec![media_end; rows.len()])));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
