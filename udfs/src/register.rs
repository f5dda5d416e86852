//! The list of all functions: the table of contents of this crate.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::amplitude_to_db::amplitude_to_db;
use crate::clean::clean;
use crate::distance::{
    correlation_distance, cosine_distance, inner_product, l1_distance, l2_distance,
    sqeuclidean_distance,
};
use crate::fir_delays::fir_delays;
use crate::forget_model::forget_model;
use crate::high_variance_confounds::high_variance_confounds;
use crate::hrf_convolve::hrf_convolve;
use crate::hrf_kernels::{
    fir_kernel, glover_dispersion_derivative, glover_hrf, glover_time_derivative,
    spm_dispersion_derivative, spm_hrf, spm_time_derivative,
};
use crate::interpolate::interpolate;
use crate::luminance::{luminance, rms_contrast};
use crate::mel_spectrogram::mel_spectrogram;
use crate::mfcc::mfcc;
use crate::motion_energy::motion_energy;
use crate::power_to_db::power_to_db;
use crate::regressor::{regressor, regressors};
use crate::standardize::{detrend, percent_change, zscore};
use crate::tr_index::tr_index;
use crate::tr_overlap::tr_overlap;
use crate::tr_time::tr_time;
use crate::vector_aggregates::{
    vector_avg, vector_count, vector_max, vector_min, vector_std, vector_sum,
};
use crate::vector_concat::vector_concat;
use crate::vector_normalize::vector_normalize;
use crate::word_context::word_context;

/// Functions of one row.
pub fn scalars() -> Vec<ScalarUDF> {
    vec![
        // Time
        tr_index(),
        tr_time(),
        tr_overlap(),
        // Vectors
        vector_concat(),
        vector_normalize(),
        forget_model(),
        cosine_distance(),
        l2_distance(),
        sqeuclidean_distance(),
        l1_distance(),
        correlation_distance(),
        inner_product(),
        // Response
        glover_hrf(),
        spm_hrf(),
        glover_time_derivative(),
        spm_time_derivative(),
        glover_dispersion_derivative(),
        spm_dispersion_derivative(),
        fir_kernel(),
        // Audio
        mel_spectrogram(),
        power_to_db(),
        amplitude_to_db(),
        mfcc(),
        // Video
        luminance(),
        rms_contrast(),
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
        vector_count(),
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
        fir_delays(),
        // Signal
        clean(),
        detrend(),
        zscore(),
        percent_change(),
        high_variance_confounds(),
        // Video
        motion_energy(),
        // Text
        word_context(),
    ]
}
