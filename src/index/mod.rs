//! Indexes of vectors as database objects: `CREATE INDEX`, `DROP INDEX`, `SHOW INDEXES`, and queries that
//! use them.
//!
//! ```sql
//! CREATE INDEX near ON sentences USING hnsw (embedding) WITH (metric = 'cosine', m = 16);
//! SELECT text FROM sentences ORDER BY cosine_distance(embedding, [0.1, 0.7, 0.2]) LIMIT 10;
//! ```
//!
//! - [`create`] reads the column ([`collect`]) and builds the graph (`voxql_udfs::kernels::hnsw`).
//! - [`manifest`] is `index.json`: what the index is, of which files of the table, and the hashes of its own.
//! - [`load`] reads an index whose hashes are right, [`search`] finds rows in it.
//! - [`rule`] finds queries that an index can answer, and [`exec`] answers them: it replaces the scan by one
//!   of the few rows that can be in the answer ([`rows`]); all above it stays, distances and order too.

mod collect;
pub mod create;
pub mod exec;
mod fetch;
pub mod load;
pub mod manifest;
pub mod options;
pub mod rows;
pub mod rule;
pub mod search;
pub mod show;

pub use load::Indexes;
