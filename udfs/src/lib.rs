//! SQL functions for multimodal neuroscience, for any DataFusion program:
//!
//! ```
//! let ctx = datafusion::prelude::SessionContext::new();
//! voxql_udfs::register_all(&ctx);
//! ```

pub mod amplitude_to_db;
pub mod args;
pub mod clean;
mod clean_run;
pub mod column_planner;
mod decibels;
pub mod distance;
pub mod distance_operators;
pub mod fir_delays;
pub mod forget_model;
pub mod frames;
mod grid;
pub mod high_variance_confounds;
pub mod hrf_convolve;
pub mod hrf_kernels;
pub mod identity;
pub mod interpolate;
pub mod kernels;
pub mod lagged_rows;
pub mod luminance;
pub mod mel_options;
pub mod mel_spectrogram;
pub mod mfcc;
pub mod motion_energy;
pub mod named_arguments;
pub mod oversampling;
pub mod picture;
pub mod power_to_db;
pub mod register;
pub mod regressor;
pub mod run_window;
pub mod standardize;
pub mod time;
pub mod tr_grid;
pub mod tr_index;
pub mod tr_overlap;
pub mod tr_time;
pub mod vector_aggregates;
pub mod vector_concat;
pub mod vector_normalize;
pub mod vectors;
pub mod whole_run;
pub mod word_context;

/// Where `#[user_doc]` looks for its types.
pub(crate) mod datafusion_doc {
    pub use datafusion::logical_expr::{DocSection, Documentation};
}

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::prelude::SessionContext;

/// Registers every function of this crate.
pub fn register_all(ctx: &SessionContext) {
    for function in register::scalars() {
        ctx.register_udf(function);
    }
    for function in register::aggregates() {
        ctx.register_udaf(function);
    }
    for function in register::windows() {
        ctx.register_udwf(function);
    }
    // These fail only in a DataFusion built without SQL, where nobody can call them.
    let planners: [Arc<dyn ExprPlanner>; 3] = [
        Arc::new(column_planner::ColumnPlanner),
        Arc::new(regressor::RegressorPlanner),
        Arc::new(distance_operators::DistanceOperators),
    ];
    for planner in planners {
        if let Err(error) = ctx.state_ref().write().register_expr_planner(planner) {
            log::warn!(
                "models of several columns and distance operators are not available: {error}"
            );
        }
    }
    if let Err(error) = ctx.register_relation_planner(Arc::new(tr_grid::TrGrid)) {
        log::warn!("tr_grid is not available: {error}");
    }
}
