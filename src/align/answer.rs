//! From the lineages of one row to the table that people read.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use arrow::util::display::array_value_to_string;
use datafusion::common::Result;
use voxql_udfs::time::nanoseconds;

use super::constants::Clock;
use super::flow::Path;
use super::sources::{Registry, Source, SourceRow, TIMES};
use super::terms::Lineages;
use crate::session::{DECIMALS, SHORT};

/// Keys that are shown where a source has them.
const NAMES: [&str; 4] = ["subject", "session", "task", "run"];

/// One column of the row that is explained.
pub struct Explained {
    pub name: String,
    pub paths: Vec<Path>,
    pub lineage: ArrayRef,
}

/// One line of the answer.
#[derive(Debug, Default)]
struct Line {
    column: String,
    source: Option<String>,
    steps: Option<String>,
    names: [Option<String>; NAMES.len()],
    tr: Option<i64>,
    time: Option<f64>,
    weight: Option<f64>,
    value: Option<String>,
    note: Option<String>,
}

/// The table. `asked` is the time of the row, in seconds.
pub fn table(
    registry: &Registry,
    columns: &[Explained],
    asked: Option<f64>,
    clock: Option<Clock>,
) -> Result<RecordBatch> {
    let mut lines = Vec::new();
    for column in columns {
        let mut of_column = lines_of(registry, column, clock)?;
        of_column.sort_by(|a, b| {
            let nulls_last = |time: Option<f64>| time.unwrap_or(f64::INFINITY);
            nulls_last(a.time)
                .total_cmp(&nulls_last(b.time))
                .then(a.tr.cmp(&b.tr))
                .then(a.source.cmp(&b.source))
        });
        lines.append(&mut of_column);
    }
    batch(&lines, asked)
}

fn lines_of(registry: &Registry, column: &Explained, clock: Option<Clock>) -> Result<Vec<Line>> {
    let nothing = |note: &str| Line {
        column: column.name.clone(),
        note: Some(note.to_string()),
        ..Line::default()
    };
    let lineages = Lineages::try_new(&column.lineage)?;
    let Some(terms) = lineages.terms(0) else {
        return Ok(vec![nothing("the value is NULL")]);
    };
    // A row that comes in by several ways counts with the sum.
    let mut weights: BTreeMap<i64, Option<f64>> = BTreeMap::new();
    for term in terms {
        weights
            .entry(term.row)
            .and_modify(|sum| *sum = sum.zip(term.weight).map(|(a, b)| a + b))
            .or_insert(term.weight);
    }
    let mut lines: Vec<Line> = Vec::new();
    // What has no keys cannot be told apart: constants are added up.
    let mut unnamed: BTreeMap<(usize, Option<String>), usize> = BTreeMap::new();
    for (row, weight) in weights {
        if weight == Some(0.0) {
            continue;
        }
        let found = registry.row(row)?;
        let Some(source) = registry.source(found.source) else {
            continue;
        };
        let line = line(column, &source, &found, weight, clock)?;
        if source.keys.is_empty() {
            let same = (found.source, line.value.clone());
            if let Some(&at) = unnamed.get(&same) {
                let known: &mut Line = &mut lines[at];
                known.weight = known.weight.zip(weight).map(|(a, b)| a + b);
                continue;
            }
            unnamed.insert(same, lines.len());
        }
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(nothing("no source row went in"));
    }
    Ok(lines)
}

fn line(
    column: &Explained,
    source: &Source,
    row: &SourceRow,
    weight: Option<f64>,
    clock: Option<Clock>,
) -> Result<Line> {
    let text = |name: &str| -> Result<Option<String>> {
        Ok(match row.key(source, name) {
            Some(key) => Some(array_value_to_string(key, 0)?),
            None => None,
        })
    };
    let mut names: [Option<String>; NAMES.len()] = Default::default();
    for (value, name) in names.iter_mut().zip(NAMES) {
        *value = text(name)?;
    }
    let tr = row.key(source, "tr").and_then(|key| {
        let whole = cast(key, &DataType::Int64).ok()?;
        Some(whole.as_primitive::<Int64Type>().value(0))
    });
    let time = TIMES
        .iter()
        .filter_map(|name| row.key(source, name))
        .find_map(seconds)
        .or_else(|| clock?.time(tr?));
    let label = match text("path")? {
        Some(path) => {
            let path = FilePath::new(&path);
            let file = path.file_name().unwrap_or(path.as_os_str());
            format!("{} {}", source.label, file.to_string_lossy())
        }
        None => source.label.clone(),
    };
    let paths: Vec<&Path> = of_source(&column.paths, row.source).collect();
    let mut steps: Vec<String> = paths
        .iter()
        .map(|path| {
            let own = (!source.column.is_empty()).then_some(source.column.as_str());
            let steps: Vec<&str> = own
                .into_iter()
                .chain(path.steps.iter().map(String::as_str))
                .collect();
            steps.join(" → ")
        })
        .collect();
    steps.dedup();
    let mut notes: Vec<&str> = paths.iter().filter_map(|p| p.note.as_deref()).collect();
    notes.dedup();
    let some = |text: String| (!text.is_empty()).then_some(text);
    let value = match row.value() {
        Some(value) if value.is_valid(0) => Some(array_value_to_string(value, 0)?),
        _ => None,
    };
    Ok(Line {
        column: column.name.clone(),
        source: Some(label),
        steps: some(steps.join(" + ")),
        names,
        tr,
        time,
        weight,
        value,
        note: some(notes.join("; ")),
    })
}

fn of_source(paths: &[Path], source: usize) -> impl Iterator<Item = &Path> {
    paths.iter().filter(move |path| path.source == source)
}

/// A time in seconds, where the column is a number.
pub fn seconds(column: &ArrayRef) -> Option<f64> {
    if !column.data_type().is_numeric() || column.is_null(0) {
        return None;
    }
    let number = cast(column, &DataType::Float64).ok()?;
    Some(number.as_primitive::<Float64Type>().value(0))
}

/// Columns that have nothing to say are left out, except those that make the table.
fn batch(lines: &[Line], asked: Option<f64>) -> Result<RecordBatch> {
    let texts = |of: &dyn Fn(&Line) -> Option<&str>| {
        Arc::new(StringArray::from_iter(lines.iter().map(of))) as ArrayRef
    };
    let numbers = |of: &dyn Fn(&Line) -> Option<f64>| {
        Arc::new(Float64Array::from_iter(lines.iter().map(of))) as ArrayRef
    };
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("column", texts(&|l| Some(&l.column)), true),
        ("source", texts(&|l| l.source.as_deref()), true),
        ("steps", texts(&|l| l.steps.as_deref()), true),
    ];
    for (i, name) in NAMES.into_iter().enumerate() {
        columns.push((name, texts(&|l| l.names[i].as_deref()), false));
    }
    let trs = Int64Array::from_iter(lines.iter().map(|line| line.tr));
    columns.extend([
        ("tr", Arc::new(trs) as ArrayRef, false),
        ("time", numbers(&|l| l.time), true),
        ("lag", numbers(&|l| lag(asked?, l.time?)), true),
        ("weight", numbers(&|l| l.weight), true),
        ("value", texts(&|l| l.value.as_deref()), false),
        ("note", texts(&|l| l.note.as_deref()), false),
    ]);
    columns.retain(|(_, values, always)| *always || values.null_count() < values.len());
    // On the screen milliseconds will do; the values are exact.
    let field = |(name, values, _): &(&str, ArrayRef, bool)| {
        let shown = match *name {
            "time" | "lag" => Some((DECIMALS, "3")),
            "weight" => Some((SHORT, "")),
            _ => None,
        };
        let metadata = shown.map(|(key, value)| (key.to_string(), value.to_string()));
        Field::new(*name, values.data_type().clone(), true)
            .with_metadata(metadata.into_iter().collect())
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    let values = columns.into_iter().map(|(_, values, _)| values).collect();
    Ok(RecordBatch::try_new(Arc::new(schema), values)?)
}

/// How many seconds before the row that was asked for, to the nanosecond.
fn lag(asked: f64, time: f64) -> Option<f64> {
    let lag = nanoseconds(asked)?.checked_sub(nanoseconds(time)?)?;
    Some(lag as f64 / 1e9)
}
