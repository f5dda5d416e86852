//! Arguments that these functions share.

use datafusion::common::{Result, plan_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::SessionState;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use voxql_udfs::args::Arguments;
use voxql_udfs::kernels::isc::permutation::Side;
use voxql_udfs::kernels::isc::{Missing, Summary};

use crate::models::fitted_times::watch;
use crate::statements::computed::arguments::stream;
use crate::statements::computed::calls::Call;

/// Threads that compute at once.
pub fn threads(state: &SessionState) -> usize {
    state.config().target_partitions()
}

/// A place in the memory pool under the function's name.
pub fn memory(state: &SessionState, function: &str) -> MemoryReservation {
    MemoryConsumer::new(function).register(&state.runtime_env().memory_pool)
}

/// Starts a query that must be given. A model that is judged on what it was fitted on is warned about.
pub async fn rows(
    state: &SessionState,
    call: &Call,
    name: &str,
) -> Result<SendableRecordBatchStream> {
    match stream(state, call, name).await? {
        Some(rows) => watch(state, call.function.name(), rows),
        None => plan_err!(
            "{} needs {name}, a query in parentheses: {}",
            call.function.name(),
            call.function.example
        ),
    }
}

/// `tolerate_nans`: true, false, or the share of subjects that must be complete.
pub fn missing(arguments: &Arguments<'_>) -> Result<Missing> {
    if let Ok(flag) = arguments.bool("tolerate_nans") {
        return Ok(match flag {
            Some(false) => Missing::Refuse,
            _ => Missing::Tolerate,
        });
    }
    match arguments.f64("tolerate_nans") {
        Ok(Some(share)) if (0.0..=1.0).contains(&share) => Ok(Missing::Share(share)),
        Ok(Some(share)) => plan_err!(
            "{}: tolerate_nans must be a share of subjects from 0 to 1, not {share}",
            arguments.function()
        ),
        _ => plan_err!(
            "{}: tolerate_nans must be true, false, or a share of subjects such as 0.8",
            arguments.function()
        ),
    }
}

/// `summary_statistic`, if it is given.
pub fn summary(arguments: &Arguments<'_>) -> Result<Option<Summary>> {
    let Some(name) = arguments.str("summary_statistic")? else {
        return Ok(None);
    };
    match Summary::from_name(name) {
        Some(summary) => Ok(Some(summary)),
        None => plan_err!(
            "{}: summary_statistic must be '{}', not '{name}'",
            arguments.function(),
            Summary::NAMES.join("' or '")
        ),
    }
}

/// `side`, right where it is not given.
pub fn side(arguments: &Arguments<'_>) -> Result<Side> {
    let name = arguments.str("side")?.unwrap_or(Side::NAMES[0]);
    match Side::from_name(name) {
        Some(side) => Ok(side),
        None => plan_err!(
            "{}: side must be one of '{}', not '{name}'",
            arguments.function(),
            Side::NAMES.join("', '")
        ),
    }
}

/// `random_state`, 0 where it is not given.
pub fn seed(arguments: &Arguments<'_>) -> Result<u32> {
    let given = arguments.usize("random_state")?.unwrap_or(0);
    u32::try_from(given).or_else(|_| {
        plan_err!(
            "{}: random_state must be less than 2^32, not {given}",
            arguments.function()
        )
    })
}

/// Bytes of `times` draws of `rows` numbers each. As many as there can be where they are more: a pool
/// refuses those.
pub fn drawn_bytes(times: usize, rows: usize) -> usize {
    // A draw may be of two groups of rows.
    let one = rows
        .saturating_mul(size_of::<f64>())
        .saturating_add(2 * size_of::<Vec<f64>>());
    // An allocation cannot be larger, and what a pool adds it to does not overflow.
    times.saturating_mul(one).min(isize::MAX as usize)
}

/// How often something is drawn: at least once.
pub fn times(arguments: &Arguments<'_>, name: &str, usual: usize) -> Result<usize> {
    match arguments.usize(name)?.unwrap_or(usual) {
        0 => plan_err!("{}: {name} must be at least 1", arguments.function()),
        times => Ok(times),
    }
}
