//! What tells runs apart: the columns named as BIDS entities of a run.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, plan_err};

/// The keys that a run may have, in the order in which they lead the table.
pub const RUN_KEYS: [&str; 6] = [
    "subject",
    "session",
    "task",
    "acquisition",
    "direction",
    "run",
];

/// The values of a run's keys.
pub type Key = Vec<ScalarValue>;

/// The columns that have one of these names, without dictionaries.
pub fn fields(schema: &Schema, names: &[&str]) -> Vec<FieldRef> {
    let field = |name: &&str| {
        let field = schema.field_with_name(name).ok()?;
        let data_type = match field.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        };
        Some(FieldRef::new(Field::new(*name, data_type, true)))
    };
    names.iter().filter_map(field).collect()
}

/// The key of every row, with the types of `fields`.
pub fn of(
    function: &str,
    batch: &RecordBatch,
    fields: &[FieldRef],
    rows: &str,
) -> Result<Vec<Key>> {
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        columns.push(column(function, batch, field, rows)?);
    }
    (0..batch.num_rows())
        .map(|i| {
            let values = columns.iter().map(|c| ScalarValue::try_from_array(c, i));
            values.collect()
        })
        .collect()
}

fn column(function: &str, batch: &RecordBatch, field: &Field, rows: &str) -> Result<ArrayRef> {
    let Some(column) = batch.column_by_name(field.name()) else {
        return plan_err!("{function}: {rows} has no column {}", field.name());
    };
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, field.data_type(), &options).or_else(|error| {
        plan_err!(
            "{function}: {} is {} in {rows} and {} in events: {error}",
            field.name(),
            column.data_type(),
            field.data_type()
        )
    })
}

/// `subject = 01, run = 1: `, or nothing where there are no keys.
pub fn place(fields: &[FieldRef], key: &Key) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .zip(key)
        .map(|(field, value)| format!("{} = {value}", field.name()))
        .collect();
    match pairs.is_empty() {
        true => String::new(),
        false => format!("{}: ", pairs.join(", ")),
    }
}
