//! From rows to the events of each run and condition.

use std::cmp::Ordering;
use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;
use voxql_udfs::args::numbers;
use voxql_udfs::kernels::regressor::Event;

use super::FUNCTION;
use super::keys::{self, Key, RUN_KEYS};
use crate::statements::computed::arguments::Rows;

/// The condition of events without `trial_type`, as nilearn calls it.
const NO_CONDITION: &str = "dummy";

/// All events.
#[derive(Default)]
pub struct Events {
    pub keys: Vec<FieldRef>,
    /// The conditions of all runs, in nilearn's order.
    pub conditions: Vec<String>,
    /// The runs by their keys.
    pub runs: Vec<Run>,
}

/// The events of one run.
pub struct Run {
    pub key: Key,
    pub events: HashMap<String, Vec<Event>>,
}

impl Events {
    /// Reads `onset`, `duration`, `trial_type` and `modulation`, the last two if they are
    /// there, and the keys of a run. Other columns are left alone.
    ///
    /// # Errors
    /// When a column is missing or of another type, or an event cannot be.
    pub fn read(rows: &Rows) -> Result<Self> {
        let mut all = Self {
            keys: keys::fields(&rows.schema, &RUN_KEYS),
            ..Self::default()
        };
        let mut runs: HashMap<Key, Run> = HashMap::new();
        for batch in &rows.batches {
            let columns = Columns::of(batch)?;
            let keys = keys::of(FUNCTION, batch, &all.keys, "events")?;
            for (i, key) in keys.into_iter().enumerate() {
                let at = |error: String| format!("{}{error}", keys::place(&all.keys, &key));
                let (condition, event) = match columns.event(i) {
                    Ok(event) => event,
                    Err(message) => return exec_err!("{FUNCTION}: {}", at(message)),
                };
                if !all.conditions.iter().any(|known| known == condition) {
                    all.conditions.push(condition.to_string());
                }
                let run = runs.entry(key).or_insert_with_key(|key| Run {
                    key: key.clone(),
                    events: HashMap::new(),
                });
                let of_condition = match run.events.get_mut(condition) {
                    Some(events) => events,
                    None => run.events.entry(condition.to_string()).or_default(),
                };
                of_condition.push(event);
            }
        }
        let numeric = trial_type(&rows.schema).is_some_and(DataType::is_numeric);
        all.conditions.sort_by(|a, b| in_order(a, b, numeric));
        all.runs = runs.into_values().collect();
        all.runs
            .sort_by(|a, b| a.key.partial_cmp(&b.key).unwrap_or(Ordering::Equal));
        if all.keys.is_empty() && all.runs.is_empty() {
            all.runs.push(Run {
                key: Key::new(),
                events: HashMap::new(),
            });
        }
        Ok(all)
    }
}

fn trial_type(schema: &Schema) -> Option<&DataType> {
    Some(schema.field_with_name("trial_type").ok()?.data_type())
}

/// Numbers by value, names by code point: as NumPy sorts them.
fn in_order(a: &str, b: &str, numeric: bool) -> Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) if numeric => a.total_cmp(&b),
        _ => a.cmp(b),
    }
}

/// The columns of a batch that make events.
struct Columns {
    onset: Float64Array,
    duration: Float64Array,
    modulation: Option<Float64Array>,
    trial_type: Option<StringArray>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self> {
        let required = |name: &str| match column(batch, name)? {
            Some(column) => Ok(column),
            None => {
                let schema = batch.schema();
                let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                plan_err!(
                    "{FUNCTION}: events has no column {name}; it has {}",
                    names.join(", ")
                )
            }
        };
        let trial_type = match batch.column_by_name("trial_type") {
            Some(column) => Some(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()),
            None => None,
        };
        Ok(Self {
            onset: required("onset")?,
            duration: required("duration")?,
            modulation: column(batch, "modulation")?,
            trial_type,
        })
    }

    /// The condition and the event of row `i`.
    fn event(&self, i: usize) -> Result<(&str, Event), String> {
        let value = |column: &Float64Array| column.is_valid(i).then(|| column.value(i));
        let Some(onset) = value(&self.onset) else {
            return Err(
                "an event has no onset (NULL); leave it out with WHERE onset IS NOT NULL".into(),
            );
        };
        let Some(duration) = value(&self.duration) else {
            return Err(format!(
                "the event at {onset} s has no duration (NULL); write coalesce(duration, 0) AS duration \
                 if it is an impulse"
            ));
        };
        let event = Event {
            onset,
            duration,
            amplitude: self.modulation.as_ref().and_then(value).unwrap_or(1.0),
        };
        event.check()?;
        let condition = match &self.trial_type {
            None => NO_CONDITION,
            Some(names) if names.is_valid(i) => names.value(i),
            Some(_) => {
                return Err(format!(
                    "the event at {onset} s has no trial_type (NULL); leave it out with \
                     WHERE trial_type IS NOT NULL, or name it with coalesce"
                ));
            }
        };
        Ok((condition, event))
    }
}

/// A column of numbers, if there is one by that name.
fn column(batch: &RecordBatch, name: &str) -> Result<Option<Float64Array>> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(None);
    };
    if !(column.data_type().is_numeric() || column.data_type().is_null()) {
        return plan_err!(
            "{FUNCTION}: {name} must be a number, got {} in events",
            column.data_type()
        );
    }
    Ok(Some(numbers(&ColumnarValue::Array(ArrayRef::clone(
        column,
    )))?))
}
