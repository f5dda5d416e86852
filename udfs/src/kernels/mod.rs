//! The mathematics: slices and matrices, nothing of DataFusion.

pub mod brain;
pub mod decibel;
pub mod design;
pub mod dot;
pub mod frame;
pub mod hnsw;
pub mod hrf;
pub mod isc;
pub mod knn;
pub mod mel;
pub mod metric;
pub mod mfcc;
pub mod motion_energy;
pub mod mt19937;
pub mod nearby;
pub mod orthogonal;
pub mod overlap;
pub mod regressor;
pub mod resample;
pub mod ridge;
pub mod signal;
pub mod srm;
pub mod time_segments;
pub mod vector_stats;
pub mod weighted_sum;
pub mod window;
