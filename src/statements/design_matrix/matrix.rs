//! The matrices of all runs, and the table that they make.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, ScalarValue, exec_err, plan_datafusion_err, plan_err};
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use voxql_udfs::kernels::design::design_matrix;
use voxql_udfs::kernels::regressor::{Event, Regressors};
use voxql_udfs::regressor::Settings;
use voxql_udfs::time;

use super::FUNCTION;
use super::added::Added;
use super::arguments::Inputs;
use super::events::{Events, Run};
use super::keys;
use crate::statements::computed::held::Held;

/// The matrices that are at work beside the finished ones: the one in the making, and its
/// singular vectors.
const WORKING: usize = 3;

/// Computes the table: the keys, `tr`, `time`, and the columns of the design.
pub fn table(state: &SessionState, inputs: &Inputs) -> Result<Arc<dyn TableProvider>> {
    let settings = &inputs.settings;
    let regressors = settings.regressors()?;
    let frame_times = settings.frame_times()?;
    let memory = MemoryConsumer::new(FUNCTION).register(&state.runtime_env().memory_pool);
    // Of its own, since the added regressors are not held as long as the table.
    let of_added = memory.new_empty();
    let (events, added) = read(inputs, &of_added)?;
    warn_of_late(&events, settings.n_scans as f64 * settings.tr);

    let mut names: Vec<String> = events
        .conditions
        .iter()
        .flat_map(|condition| settings.model.names(condition))
        .collect();
    names.extend(added.names.iter().cloned());
    let wrong = |message: String| plan_datafusion_err!("{FUNCTION}: {message}");
    let drifts = inputs.drift.number(&frame_times);
    names.extend((1..=drifts.map_err(wrong)?).map(|i| format!("drift_{i}")));
    names.push("constant".to_string());
    let schema = schema(&events.keys, &names)?;

    // Asked for before anything is made: 0.01 Hz over a million volumes are 40,000 columns.
    let values = (events.runs.len() + WORKING)
        .saturating_mul(settings.n_scans)
        .saturating_mul(schema.fields().len());
    memory.try_grow(values.saturating_mul(size_of::<f64>()))?;
    let drifts = inputs.drift.columns(&frame_times).map_err(wrong)?;
    let design = Design {
        settings,
        regressors,
        drifts,
        events: &events,
        added: &added,
    };
    let clock = clock(settings);
    let mut batches = Vec::with_capacity(events.runs.len());
    for run in &events.runs {
        let mut columns = Vec::with_capacity(schema.fields().len());
        for value in &run.key {
            columns.push(value.to_array_of_size(settings.n_scans)?);
        }
        columns.extend(clock.iter().cloned());
        for column in design.run(run)? {
            columns.push(Arc::new(Float64Array::from(column)) as ArrayRef);
        }
        batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
    }
    Ok(Arc::new(Held::new(schema, batches, memory)?))
}

/// `memory` is asked for what the added regressors hold.
fn read(inputs: &Inputs, memory: &MemoryReservation) -> Result<(Events, Added)> {
    let n_scans = inputs.settings.n_scans;
    let events = match &inputs.events {
        Some(rows) => Some(Events::read(rows)?),
        None => None,
    };
    let added = match &inputs.added {
        Some(rows) => {
            let keys = events.as_ref().map(|events| events.keys.as_slice());
            Added::read(rows, keys, n_scans, memory)?
        }
        None => Added::default(),
    };
    let events = events.unwrap_or_else(|| without_events(&added));
    added.check_used(&events.keys, events.runs.iter().map(|run| &run.key))?;
    Ok((events, added))
}

/// The runs of the added regressors, or one.
fn without_events(added: &Added) -> Events {
    let mut keys = added.runs();
    if keys.is_empty() {
        keys.push(Vec::<ScalarValue>::new());
    }
    keys.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let run = |key| Run {
        key,
        events: Default::default(),
    };
    Events {
        keys: added.keys.clone(),
        conditions: Vec::new(),
        runs: keys.into_iter().map(run).collect(),
    }
}

fn schema(keys: &[FieldRef], names: &[String]) -> Result<SchemaRef> {
    let mut fields: Vec<FieldRef> = keys.to_vec();
    let mut taken: HashSet<String> = keys.iter().map(|key| key.name().clone()).collect();
    let mut add = |name: &str, data_type: DataType| {
        if !taken.insert(name.to_string()) {
            return plan_err!(
                "{FUNCTION}: two columns are named {name}; rename the condition or the added regressor, as in \
                 'c_' || trial_type AS trial_type"
            );
        }
        fields.push(Arc::new(Field::new(name, data_type, false)));
        Ok(())
    };
    add("tr", DataType::Int64)?;
    add("time", DataType::Float64)?;
    for name in names {
        add(name, DataType::Float64)?;
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Events after the end of a run leave no trace in its design: onsets in milliseconds, a wrong `tr` or
/// `n_scans` would go unseen.
fn warn_of_late(events: &Events, end: f64) {
    let of_run = |run: &Run| {
        let all: Vec<&Event> = run.events.values().flatten().collect();
        let late = all.iter().filter(|event| event.onset >= end).count();
        (late, all.len())
    };
    let mut late = events.runs.iter().map(|run| (run, of_run(run)));
    if let Some((run, (late, all))) = late.find(|(_, (late, _))| *late > 0) {
        log::warn!(
            "{FUNCTION}: {}{late} of {all} events begin after the run, whose n_scans => … times tr => … are {end} s; \
             they count nothing. Onsets are seconds",
            keys::place(&events.keys, &run.key)
        );
    }
}

/// The columns `tr` and `time`. `time` is exact, as `tr_time` has it; the regressors are
/// computed at nilearn's frame times, which may differ in the last place.
fn clock(settings: &Settings) -> [ArrayRef; 2] {
    let scans = settings.n_scans;
    let seconds = |k: usize| {
        let index = k as f64 + settings.slice_time_ref;
        time::repetition(settings.tr)
            .and_then(|tr| time::time_of(index, tr, 0))
            .unwrap_or(index * settings.tr)
    };
    [
        Arc::new(Int64Array::from_iter_values(0..scans as i64)),
        Arc::new(Float64Array::from_iter_values((0..scans).map(seconds))),
    ]
}

/// What all runs share.
struct Design<'a> {
    settings: &'a Settings,
    regressors: Regressors,
    drifts: Vec<Vec<f64>>,
    events: &'a Events,
    added: &'a Added,
}

impl Design<'_> {
    /// The columns of a run. Its matrix is that of its own conditions; those of other runs
    /// are zero.
    fn run(&self, run: &Run) -> Result<Vec<Vec<f64>>> {
        let place = || keys::place(&self.events.keys, &run.key);
        let conditions = self.events.conditions.iter();
        let own: Vec<&[Event]> = conditions
            .clone()
            .filter_map(|name| run.events.get(name).map(Vec::as_slice))
            .collect();
        let added = self.added.of(&self.events.keys, &run.key)?;
        let scans = self.settings.n_scans;
        let matrix = design_matrix(&own, &self.regressors, added, &self.drifts, scans);
        let (columns, regularised) = match matrix {
            Ok(matrix) => matrix,
            Err(message) => return exec_err!("{FUNCTION}: {}{message}", place()),
        };
        if regularised {
            log::warn!(
                "{FUNCTION}: {}its columns depend on each other; the matrix is singular",
                place()
            );
        }
        let mut columns = columns.into_iter();
        let per_condition = self.settings.model.columns();
        let mut all = Vec::new();
        for name in conditions {
            match run.events.contains_key(name) {
                true => all.extend(columns.by_ref().take(per_condition)),
                false => all.extend(vec![vec![0.0; scans]; per_condition]),
            }
        }
        all.extend(columns);
        Ok(all)
    }
}
