//! From rows to words in order, one sequence for each recording and tier.

use std::cmp::Ordering;
use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ColumnarValue;
use voxql_udfs::args::numbers;

use super::FUNCTION;
use super::report::Word;
use crate::statements::computed::arguments::Rows;
use crate::statements::computed::keys::{self, Key, RUN_KEYS};

/// What tells recordings and tiers apart beside the keys of a run.
const KEYS: [&str; 3] = ["path", "stream", "tier"];

/// Where the words themselves may stand, the best first.
const TEXTS: [&str; 4] = ["word", "text", "label", "trial_type"];

/// Columns of the report, which no key can be.
const OWN: [&str; 8] = [
    "problem",
    "word",
    "onset",
    "end_time",
    "other_word",
    "other_onset",
    "seconds",
    "media_end",
];

/// The words of one recording.
pub struct Sequence {
    pub key: Key,
    /// In the order of the query.
    pub words: Vec<Word>,
    texts: Vec<Option<String>>,
}

impl Sequence {
    /// What the word at an index is.
    pub fn text(&self, word: Option<usize>) -> Option<&str> {
        self.texts.get(word?)?.as_deref()
    }
}

/// The keys, and the sequences in the order of the keys.
///
/// # Errors
/// When `onset` or `duration` is missing or no number, or a key in `more` is missing.
pub fn sequences(rows: &Rows, more: &[String]) -> Result<(Vec<FieldRef>, Vec<Sequence>)> {
    let fields = key_fields(&rows.schema, more)?;
    let text = TEXTS
        .into_iter()
        .find(|name| rows.schema.column_with_name(name).is_some());
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut sequences: Vec<Sequence> = Vec::new();
    for batch in &rows.batches {
        let onset = seconds(batch, "onset")?;
        let duration = seconds(batch, "duration")?;
        let texts = match text.and_then(|name| batch.column_by_name(name)) {
            Some(column) => Some(cast(column, &DataType::Utf8)?),
            None => None,
        };
        let texts: Option<&StringArray> = texts.as_ref().map(|t| t.as_string::<i32>());
        let all = keys::of(FUNCTION, batch, &fields, "words")?;
        for (i, key) in all.into_iter().enumerate() {
            let place = *places.entry(key).or_insert_with_key(|key| {
                sequences.push(Sequence {
                    key: key.clone(),
                    words: Vec::new(),
                    texts: Vec::new(),
                });
                sequences.len() - 1
            });
            let value = |column: &Float64Array| column.is_valid(i).then(|| column.value(i));
            sequences[place].words.push(Word {
                onset: value(&onset),
                duration: value(&duration),
            });
            let text = texts
                .filter(|t| t.is_valid(i))
                .map(|t| t.value(i).to_owned());
            sequences[place].texts.push(text);
        }
    }
    sequences.sort_by(|a, b| a.key.partial_cmp(&b.key).unwrap_or(Ordering::Equal));
    // Without words there is one recording, which is silent from its beginning to its end.
    if sequences.is_empty() && fields.is_empty() {
        sequences.push(Sequence {
            key: Key::new(),
            words: Vec::new(),
            texts: Vec::new(),
        });
    }
    Ok((fields, sequences))
}

fn key_fields(schema: &Schema, more: &[String]) -> Result<Vec<FieldRef>> {
    let mut names: Vec<&str> = RUN_KEYS.into_iter().chain(KEYS).collect();
    for name in more {
        if OWN.contains(&name.as_str()) {
            return plan_err!("{FUNCTION}: {name} cannot be a key, it is a column of the report");
        }
        if schema.column_with_name(name).is_none() {
            return no_column(schema, name);
        }
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    Ok(keys::fields(schema, &names))
}

fn no_column<T>(schema: &Schema, name: &str) -> Result<T> {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    plan_err!(
        "{FUNCTION}: the words have no column {name}; they have {}",
        names.join(", ")
    )
}

/// A column of seconds. What is no finite number is missing.
fn seconds(batch: &RecordBatch, name: &str) -> Result<Float64Array> {
    let Some(column) = batch.column_by_name(name) else {
        return no_column(&batch.schema(), name);
    };
    if !(column.data_type().is_numeric() || column.data_type().is_null()) {
        return plan_err!(
            "{FUNCTION}: {name} must be seconds, a number, and is {}; CAST({name} AS DOUBLE) \
             makes it one",
            column.data_type()
        );
    }
    let column = numbers(&ColumnarValue::Array(ArrayRef::clone(column)))?;
    Ok(column.iter().map(|x| x.filter(|x| x.is_finite())).collect())
}
