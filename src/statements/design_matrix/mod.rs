//! `design_matrix((SELECT onset, duration, trial_type FROM …), tr => …, n_scans => …)`:
//! events as a table with a column per regressor.
//!
//! Which columns the table has is known only from the events, so it is
//! [`computed`](super::computed) when the statement is planned.

mod added;
mod arguments;
pub mod documentation;
mod events;
mod matrix;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::execution::SessionState;

use super::computed::calls::Call;
use super::computed::keys;

pub use arguments::DESIGN_MATRIX;

/// The function's name in SQL.
pub const FUNCTION: &str = "design_matrix";

/// Computes the table of a call.
///
/// # Errors
/// Name the argument, the event or the run, and what to do.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let inputs = arguments::Inputs::evaluate(state, call).await?;
    matrix::table(state, &inputs)
}
