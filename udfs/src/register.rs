//! The list of all functions: the table of contents of this crate.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::hrf_convolve::hrf_convolve;
use crate::interpolate::interpolate;

/// Functions of one row.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![
        // Time
        // Vectors
        // Response
        // Audio
        // Text
        // Brain
        // Search
    ]
}

/// Functions of a group of rows.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![
        // Vectors
        // Response
        // Brain
    ]
}

/// Functions of a run of rows in order: `OVER (PARTITION BY subject, run ORDER BY tr)`.
pub fn windows() -> Vec<WindowUDF> {
    vec![
        // Time
        interpolate(),
        // Response
        hrf_convolve(),
        // Signal
    ]
}
