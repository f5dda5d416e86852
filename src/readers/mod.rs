//! File formats as tables: `read_bold('…')` and `CREATE EXTERNAL TABLE … STORED AS NIFTI`.
//!
//! One format is one file here and implements [`Format`]; everything that all
//! of them share (globs, BIDS keys, pruning, limits, threads) is in [`scan`].

pub mod bids;
pub mod format;
pub mod nifti;
