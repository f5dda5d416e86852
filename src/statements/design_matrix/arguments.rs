//! The arguments of a call: two queries for rows, and constants.

use datafusion::common::{Result, plan_err};
use datafusion::execution::SessionState;
use voxql_udfs::args::{Arguments, Kind, Parameters};
use voxql_udfs::kernels::design::Drift;
use voxql_udfs::regressor::Settings;

use super::FUNCTION;
use crate::statements::computed::Function;
use crate::statements::computed::arguments::{Given, Rows};
use crate::statements::computed::calls::Call;

/// nilearn's `high_pass` in Hz.
const HIGH_PASS: f64 = 0.01;

const DRIFT_ORDER: usize = 1;

/// What it takes.
pub const DESIGN_MATRIX: Function = Function {
    parameters: PARAMETERS,
    queries: &["events", "add_regs"],
    example: "design_matrix((SELECT onset, duration, trial_type FROM …), tr => …, n_scans => …)",
};

const PARAMETERS: Parameters = Parameters {
    function: FUNCTION,
    required: 3,
    list: &[
        ("events", Kind::Any),
        ("tr", Kind::Number),
        ("n_scans", Kind::Integer),
        ("hrf_model", Kind::Text),
        ("drift_model", Kind::Text),
        ("high_pass", Kind::Number),
        ("drift_order", Kind::Integer),
        ("fir_delays", Kind::Numbers),
        ("add_regs", Kind::Any),
        ("min_onset", Kind::Number),
        ("oversampling", Kind::Integer),
        ("slice_time_ref", Kind::Number),
    ],
};

/// What a call was given.
pub struct Inputs {
    pub settings: Settings,
    pub drift: Drift,
    /// None for a design of drifts only.
    pub events: Option<Rows>,
    pub added: Option<Rows>,
}

impl Inputs {
    /// Runs the queries of a call.
    pub async fn evaluate(state: &SessionState, call: &Call) -> Result<Self> {
        let mut given = Given::evaluate(state, call).await?;
        let events = given.take_rows("events");
        let added = given.take_rows("add_regs");
        let arguments = given.constants();
        Ok(Self {
            settings: Settings::read(FUNCTION, &arguments, "hrf_model")?,
            drift: drift(&arguments)?,
            events,
            added,
        })
    }
}

fn drift(arguments: &Arguments<'_>) -> Result<Drift> {
    let name = arguments.str("drift_model")?.unwrap_or("cosine");
    let high_pass = arguments.f64("high_pass")?.unwrap_or(HIGH_PASS);
    let order = arguments.usize("drift_order")?.unwrap_or(DRIFT_ORDER);
    Drift::from_name(name, high_pass, order).or_else(|message| plan_err!("{FUNCTION}: {message}"))
}
