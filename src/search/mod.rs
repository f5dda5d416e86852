//! `knn((SELECT …), (SELECT …), k => 10)`: the nearest rows of one query to each row of another.
//!
//! - [`relation`] reads the call and plans its queries; [`columns`] says which columns are what.
//! - [`node`] is the search in the logical plan, [`physical`] makes the operator, [`exec`].
//! - [`queries`] holds the rows of the first side, [`base`] streams the second past them, a task a
//!   partition, and [`answer`] makes rows of what was found.
//!
//! What is computed is in [`voxql_udfs::kernels::knn`].

pub mod answer;
pub mod base;
pub mod columns;
pub mod documentation;

pub mod exec;
pub mod node;
pub mod physical;
pub mod queries;
pub mod relation;
