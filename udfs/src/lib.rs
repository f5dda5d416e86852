//! SQL functions for multimodal neuroscience, for any DataFusion program:
//!
//! ```
//! let ctx = datafusion::prelude::SessionContext::new();
//! voxql_udfs::register_all(&ctx);
//! ```

pub mod args;
pub mod clean;
mod clean_run;
pub mod distance;
pub mod high_variance_confounds;
pub mod hrf_convolve;
pub mod interpolate;
pub mod kernels;
pub mod mel_spectrogram;
pub mod named_arguments;
pub mod power_to_db;
pub mod register;
pub mod run_window;
pub mod standardize;
pub mod time;
pub mod tr_grid;
pub mod tr_index;
pub mod tr_time;
pub mod vector_aggregates;
pub mod vector_concat;
pub mod vector_normalize;
pub mod vectors;
pub mod whole_run;

/// Where `#[user_doc]` looks for its types.
pub(crate) mod datafusion_doc {
    pub use datafusion::logical_expr::{DocSection, Documentation};
}

use std::sync::Arc;

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
    // Fails only in a DataFusion built without SQL, where nobody can call it.
    if let Err(error) = ctx.register_relation_planner(Arc::new(tr_grid::TrGrid)) {
        log::warn!("tr_grid is not available: {error}");
    }
}
