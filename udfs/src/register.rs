//! The list of all functions: the table of contents of this crate.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::distance::{cosine_distance, inner_product, l2_distance};
use crate::hrf_convolve::hrf_convolve;
use crate::interpolate::interpolate;
use crate::mel_spectrogram::mel_spectrogram;
use crate::power_to_db::power_to_db;
use crate::regressor::{regressor, regressors};
use crate::tr_index::tr_index;
use crate::tr_time::tr_time;
use crate::vector_aggregates::{vector_avg, vector_max, vector_min, vector_std, vector_sum};
use crate::vector_concat::vector_concat;
use crate::vector_normalize::vector_normalize;

/// Functions of one row.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![
        // Time
        tr_index(),
        tr_time(),
        // Vectors
        vector_concat(),
        vector_normalize(),
        cosine_distance(),
        l2_distance(),
        inner_product(),
        // Response
        // Audio
        mel_spectrogram(),
        power_to_db(),
        // Text
        // Brain
        // Search
    ]
}

/// Functions of a group of rows.
pub fn aggregates() -> Vec<AggregateUDF> {
    vec![
        // Vectors
        vector_avg(),
        vector_sum(),
        vector_std(),
        vector_min(),
        vector_max(),
        // Response
        regressor(),
        regressors(),
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
