//! The mathematics: slices and matrices, nothing of DataFusion.

pub mod hrf;
pub mod mt19937;
pub mod nearby;
pub mod srm;
