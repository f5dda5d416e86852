//! `read_textgrid`: the tiers of Praat's TextGrid files, one row per interval or point.

mod grid;
mod text;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};

use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, file_error,
    record_batch,
};
use grid::{Kind, Label, Tier};

/// Words, phones and events as Praat and forced aligners annotate them.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `tier` | Utf8 | the tier's name |
/// | `tier_index` | Int64 | the tier's number in the file, from 1 |
/// | `kind` | Utf8 | `interval` or `point` |
/// | `interval_index` | Int64 | number of the interval or point in the tier, from 1 |
/// | `onset` | Float64 | seconds from the start of the sound |
/// | `duration` | Float64 | seconds; 0 for a point |
/// | `text` | Utf8 | the label as written, its line breaks included; empty for silence |
///
/// Both of Praat's text formats are read, in UTF-8, in UTF-16 with a byte order mark, and, where
/// the bytes are no UTF-8, in Latin-1. Praat's codes for letters (`\ae`) are kept as they are.
/// Rows stand in the order of the file: tier by tier. A file is held in memory.
#[derive(Debug)]
pub struct TextGrid;

const TIER: &str = "tier";

const PARAMETERS: &[Parameter] = &[Parameter {
    name: TIER,
    kind: ParameterKind::Text,
    default: "all",
    description: "Only the tiers of this name. A file that has none is an error, which names those that it has.",
}];

/// The most rows in a batch, whatever its bytes.
const BATCH_ROWS: usize = 8_192;

impl Format for TextGrid {
    fn function(&self) -> &'static str {
        "read_textgrid"
    }

    fn stored_as(&self) -> &'static str {
        "TEXTGRID"
    }

    fn description(&self) -> &'static str {
        "Praat's TextGrid files (long and short text format; UTF-8, UTF-16 or Latin-1), a row per interval or point of every \
         tier: `tier` (its name), `tier_index` (its number in the file, from 1), `kind` (`interval` or `point`), `interval_index` (1-based in the \
         tier), `onset` and `duration` in seconds (0 for a point), and `text`, the label. Intervals without a label, which mark \
         silence, are rows with an empty `text`. `onset`, `duration` and `text` are as `read_subtitles` gives them, so that \
         both can stand in one UNION."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".textgrid"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        PARAMETERS
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let mut kept = Vec::with_capacity(files.len());
        for path in files {
            if std::fs::metadata(&path).is_ok_and(|m| m.len() == 0) {
                log::warn!("{}: the file is empty; it is left out", path.display());
                continue;
            }
            labels(&path, options)?;
            kept.push(path);
        }
        let field = |name, kind| Field::new(name, kind, false);
        let schema = Arc::new(Schema::new(vec![
            field("tier", DataType::Utf8),
            field("tier_index", DataType::Int64),
            field("kind", DataType::Utf8),
            field("interval_index", DataType::Int64),
            field("onset", DataType::Float64),
            field("duration", DataType::Float64),
            field("text", DataType::Utf8),
        ]));
        Ok(Description {
            schema,
            files: kept,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let mut rows = labels(&scan.path, &scan.options)?;
        rows.truncate(scan.limit.unwrap_or(usize::MAX));
        Ok(Box::new(Batches {
            rows: rows.into_iter(),
            schema: Arc::clone(&scan.schema),
            batch_bytes: scan.batch_bytes,
        }))
    }
}

/// A label, and where it stands.
struct Row {
    tier: Arc<str>,
    tier_index: i64,
    kind: Kind,
    interval: i64,
    label: Label,
}

/// The rows of a file; of the chosen tiers, if some are chosen.
fn labels(path: &Path, options: &Options) -> Result<Vec<Row>> {
    let tiers = text::read(path)
        .and_then(|text| grid::parse(&text))
        .map_err(|message| file_error(path, message))?;
    let wanted = options.text(TIER);
    let is_wanted = |tier: &Tier| wanted.is_none_or(|wanted| tier.name == wanted);
    if let Some(wanted) = wanted
        && !tiers.iter().any(is_wanted)
    {
        let names: Vec<&str> = tiers.iter().map(|tier| tier.name.as_str()).collect();
        return Err(file_error(
            path,
            match names.is_empty() {
                true => format!("it has no tier {wanted:?}, nor any other"),
                false => format!("it has no tier {wanted:?}; its tiers are {names:?}"),
            },
        ));
    }
    let mut rows = Vec::new();
    for (tier, tier_index) in tiers.into_iter().zip(1..) {
        if !is_wanted(&tier) {
            continue;
        }
        let name: Arc<str> = tier.name.into();
        rows.extend(
            tier.labels
                .into_iter()
                .zip(1..)
                .map(|(label, interval)| Row {
                    tier: Arc::clone(&name),
                    tier_index,
                    kind: tier.kind,
                    interval,
                    label,
                }),
        );
    }
    Ok(rows)
}

struct Batches {
    rows: std::vec::IntoIter<Row>,
    schema: SchemaRef,
    batch_bytes: usize,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        while rows.len() < BATCH_ROWS && (rows.is_empty() || bytes < self.batch_bytes) {
            let Some(row) = self.rows.next() else { break };
            bytes += size_of::<Row>() + row.label.text.len() + row.tier.len();
            rows.push(row);
        }
        match rows.is_empty() {
            true => None,
            false => Some(batch(&rows, &self.schema)),
        }
    }
}

fn batch(rows: &[Row], schema: &SchemaRef) -> Result<RecordBatch> {
    let integers = |of: fn(&Row) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(of)))
    };
    let floats = |of: fn(&Row) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(rows.iter().map(of)))
    };
    let texts = |of: fn(&Row) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match field.name().as_str() {
            "tier" => texts(|row| &row.tier),
            "tier_index" => integers(|row| row.tier_index),
            "kind" => texts(|row| row.kind.name()),
            "interval_index" => integers(|row| row.interval),
            "onset" => floats(|row| row.label.onset),
            "duration" => floats(|row| row.label.duration),
            "text" => texts(|row| &row.label.text),
            other => return exec_err!("read_textgrid has no column {other}"),
        });
    }
    record_batch(schema, columns, rows.len())
}

#[cfg(test)]
mod tests;
