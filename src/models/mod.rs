//! Models: networks run over a column, and models fitted to one.

pub mod backend;
pub mod embedding;
