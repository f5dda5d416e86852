//! Regressors that are given, such as motion: a row per volume, a column per regressor.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, Float64Array, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::ColumnarValue;
use voxql_udfs::args::numbers;

use super::FUNCTION;
use super::keys::{self, Key, RUN_KEYS};
use crate::statements::computed::arguments::Rows;

/// The number of the volume.
const VOLUME: &str = "tr";

/// Columns that say which volume or file a row is of.
const NO_REGRESSORS: [&str; 3] = [VOLUME, "time", "path"];

/// The added regressors of all runs.
#[derive(Default)]
pub struct Added {
    /// Their keys: some or all of those that the events have.
    pub keys: Vec<FieldRef>,
    pub names: Vec<String>,
    /// Per run and regressor a value per volume.
    runs: HashMap<Key, Vec<Vec<f64>>>,
}

impl Added {
    /// Reads rows with `tr`, from 0 to `n_scans - 1` once per run, and the regressors as
    /// the other columns, in order. `events` are the keys of the events, if there are any.
    ///
    /// # Errors
    /// When a volume or a value is missing, keys do not fit, or `memory` has no place for a run.
    pub fn read(
        rows: &Rows,
        events: Option<&[FieldRef]>,
        n_scans: usize,
        memory: &MemoryReservation,
    ) -> Result<Self> {
        let own = keys::fields(&rows.schema, &RUN_KEYS);
        let keys = match events {
            None => own,
            Some(events) => shared(events, &own)?,
        };
        let names = regressors(&rows.schema)?;
        // A value for each regressor and volume, and whether the volume was seen.
        let run_bytes = names.len().saturating_mul(size_of::<f64>()) + 1;
        let run_bytes = run_bytes.saturating_mul(n_scans);
        let mut reading: HashMap<Key, Reading> = HashMap::new();
        for batch in &rows.batches {
            let volumes = volumes(batch)?;
            let columns = names.iter().map(|name| column(batch, name));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            for (i, key) in keys::of(FUNCTION, batch, &keys, "add_regs")?
                .into_iter()
                .enumerate()
            {
                let run = match reading.entry(key.clone()) {
                    Entry::Occupied(run) => run.into_mut(),
                    Entry::Vacant(new) => {
                        memory.try_grow(run_bytes)?;
                        new.insert(Reading::new(names.len(), n_scans))
                    }
                };
                let volume = volumes.is_valid(i).then(|| volumes.value(i));
                let added = run.add(volume, &names, &columns, i);
                if let Err(message) = added {
                    return exec_err!("{FUNCTION}: {}{message}", keys::place(&keys, &key));
                }
            }
        }
        let mut runs = HashMap::with_capacity(reading.len());
        for (key, run) in reading {
            if let Some(volume) = run.seen.iter().position(|seen| !seen) {
                return exec_err!(
                    "{FUNCTION}: {}add_regs has no row for tr {volume}; it needs one for each of the {n_scans} volumes",
                    keys::place(&keys, &key)
                );
            }
            runs.insert(key, run.columns);
        }
        Ok(Self { keys, names, runs })
    }

    /// The keys of all runs that it has.
    pub fn runs(&self) -> Vec<Key> {
        self.runs.keys().cloned().collect()
    }

    /// The regressors of the run with the key `key` among the keys `fields`.
    pub fn of(&self, fields: &[FieldRef], key: &Key) -> Result<&[Vec<f64>]> {
        if self.names.is_empty() {
            return Ok(&[]);
        }
        let own = self.own_key(fields, key);
        match self.runs.get(&own) {
            Some(columns) => Ok(columns),
            None => exec_err!(
                "{FUNCTION}: {}add_regs has no rows for this run",
                keys::place(fields, key)
            ),
        }
    }

    /// Refuses runs that the events do not have: something is filtered on one side only.
    pub fn check_used<'a>(
        &self,
        fields: &[FieldRef],
        used: impl Iterator<Item = &'a Key>,
    ) -> Result<()> {
        let used: HashSet<Key> = used.map(|key| self.own_key(fields, key)).collect();
        match self.runs.keys().find(|key| !used.contains(*key)) {
            None => Ok(()),
            Some(key) => exec_err!(
                "{FUNCTION}: {}add_regs has this run and events has not; leave it out of add_regs, or look at the events",
                keys::place(&self.keys, key)
            ),
        }
    }

    fn own_key(&self, fields: &[FieldRef], key: &Key) -> Key {
        let value = |own: &FieldRef| {
            let at = fields.iter().position(|field| field.name() == own.name())?;
            key.get(at).cloned()
        };
        self.keys.iter().filter_map(value).collect()
    }
}

/// The keys of the events that the added regressors have as well.
fn shared(events: &[FieldRef], own: &[FieldRef]) -> Result<Vec<FieldRef>> {
    let is_in = |fields: &[FieldRef], name: &str| fields.iter().any(|f| f.name() == name);
    if let Some(field) = own.iter().find(|field| !is_in(events, field.name())) {
        return plan_err!(
            "{FUNCTION}: add_regs has the key {}, which events has not: select it in both, or in neither",
            field.name()
        );
    }
    let shared = events.iter().filter(|field| is_in(own, field.name()));
    Ok(shared.cloned().collect())
}

fn regressors(schema: &Schema) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for field in schema.fields() {
        let name = field.name();
        if RUN_KEYS.contains(&name.as_str()) || NO_REGRESSORS.contains(&name.as_str()) {
            continue;
        }
        if !field.data_type().is_numeric() {
            return plan_err!(
                "{FUNCTION}: {name} in add_regs is {}, no number; select the regressors only",
                field.data_type()
            );
        }
        names.push(name.clone());
    }
    Ok(names)
}

fn volumes(batch: &RecordBatch) -> Result<Float64Array> {
    match batch.column_by_name(VOLUME) {
        Some(column) if column.data_type().is_numeric() => {
            numbers(&ColumnarValue::Array(ArrayRef::clone(column)))
        }
        _ => plan_err!(
            "{FUNCTION}: add_regs needs the number of the volume as a column {VOLUME}, from 0: the rows of a table have \
             no order"
        ),
    }
}

fn column(batch: &RecordBatch, name: &str) -> Result<Float64Array> {
    match batch.column_by_name(name) {
        Some(column) => numbers(&ColumnarValue::Array(ArrayRef::clone(column))),
        None => plan_err!("{FUNCTION}: add_regs has no column {name}"),
    }
}

/// A run while its rows come.
struct Reading {
    columns: Vec<Vec<f64>>,
    seen: Vec<bool>,
}

impl Reading {
    fn new(regressors: usize, n_scans: usize) -> Self {
        Self {
            columns: vec![vec![0.0; n_scans]; regressors],
            seen: vec![false; n_scans],
        }
    }
    /// Takes row `i` of the columns for a volume.
    fn add(
        &mut self,
        volume: Option<f64>,
        names: &[String],
        columns: &[Float64Array],
        i: usize,
    ) -> Result<(), String> {
        let scans = self.seen.len();
        let Some(at) = volume.filter(|v| *v >= 0.0 && v.fract() == 0.0 && *v < scans as f64) else {
            let volume = volume.map_or("NULL".to_string(), |v| v.to_string());
            return Err(format!(
                "add_regs has a row for tr {volume}; volumes are 0 to {}",
                scans - 1
            ));
        };
        let at = at as usize;
        if std::mem::replace(&mut self.seen[at], true) {
            return Err(format!(
                "add_regs has two rows for tr {at}; select what tells runs apart, or one run"
            ));
        }
        for ((name, values), column) in names.iter().zip(columns).zip(&mut self.columns) {
            let value = values.is_valid(i).then(|| values.value(i));
            match value.filter(|value| value.is_finite()) {
                Some(value) => column[at] = value,
                None => {
                    let value = value.map_or("NULL".to_string(), |v| v.to_string());
                    return Err(format!(
                        "{name} in add_regs is {value} at tr {at}; write coalesce or nanvl with the value that it should have"
                    ));
                }
            }
        }
        Ok(())
    }
}
