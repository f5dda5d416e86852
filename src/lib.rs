//! VoxQL: an embedded analytics database for multimodal neuroscience.
//!
//! What people saw, heard and read, and what their brains did, as Arrow tables
//! keyed by subject and time; aligning them is a SQL query. `README.md` has the
//! tour; [`Session`](session::Session) is where a program starts.

/// Says something in the output of the tests, which hides what tests print.
#[cfg(test)]
macro_rules! note {
    ($($text:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

pub mod access;
mod align;
pub mod asof;
mod bounded;
pub mod cancel;
mod catalog;
pub mod cli;
pub mod database;
mod ddl;
pub mod demo;
pub mod index;
mod memory;
mod message;
pub mod models;
mod planner;
pub mod readers;
pub mod reference;
pub mod search;
pub mod server;
pub mod session;
pub mod statements;
mod volatile_filters;
pub mod writers;
mod yielding;
