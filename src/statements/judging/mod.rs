//! Judging a study: how alike subjects respond, and whether that is more than chance.
//!
//! `isc`, `isfc` and `time_segment_matching` take a query for the vectors of subjects;
//! `bootstrap_isc` and `permutation_isc` one for the correlations that `isc` gives. All are
//! [`computed`](super::computed) when the statement is planned, but for the matrices
//! of `isfc`, which are computed as they are read.

mod arguments;
pub mod bootstrap_isc;
mod correlations;
pub mod documentation;
pub mod isc;
pub mod isfc;
pub mod permutation_isc;
mod tables;
pub mod time_segment_matching;
