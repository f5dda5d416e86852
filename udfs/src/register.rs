//! The list of all functions: the table of contents of this crate.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::hrf_convolve::hrf_convolve;
use crate::interpolate::interpolate;
use crate::{distance, tr_index, tr_time, vector_aggregates, vector_concat, vector_normalize};

/// Functions of one row.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![
        // Time
        tr_index::udf(),
        tr_time::udf(),
        // Vectors
        vector_concat::udf(),
        vector_normalize::udf(),
        distance::cosine_distance(),
        distance::l2_distance(),
        distance::inner_product(),
    ]
}

/// Functions of a group of rows.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![
        // Vectors
        vector_aggregates::vector_avg(),
        vector_aggregates::vector_sum(),
        vector_aggregates::vector_std(),
        vector_aggregates::vector_min(),
        vector_aggregates::vector_max(),
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
