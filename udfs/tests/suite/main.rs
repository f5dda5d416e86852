//! Everything that is tested through the crate's public face, as one program: a program
//! of its own for each file would compile DataFusion's generics as many times.

/// Says something in the output of the tests, which hides what tests print.
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod brain_laws;
mod clean_laws;
mod common;
mod golden_bins;
mod golden_clean;
mod golden_continuous;
mod golden_design;
mod golden_encoding;
mod golden_hrf;
mod golden_isc;
mod golden_mel;
mod golden_neighbours;
mod golden_nifti;
mod golden_regressor;
mod golden_textalign;
mod golden_time_segments;
mod golden_words;
mod hrf_convolve_laws;
mod interpolate;
mod isc_laws;
mod knn_laws;
mod no_leak;
mod regressor;
mod ridge_laws;
mod srm;
mod vectors;
