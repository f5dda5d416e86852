//! BIDS data sets: what names say, which files belong together, where a tree is searched.
//!
//! <https://bids-specification.readthedocs.io> has the rules.
//!
//! ```text
//!   name       the entities in a file's name
//!   names      the files of one directory by what their names say
//!   directory    the same, kept from one use to the next
//!   level        the same for a walk, with the contents of JSON files
//!   walk       the files of a tree, by the rules of BIDS
//!   data_set   where a data set begins, and which raw one a derivative is of
//!   sidecar    the metadata of a file, inherited
//!   pairs      the mask, the events and the confounds of a run
//!   arguments  `subject => '01'`: which files are wanted
//!   search     the files of a root for a reader; inherited events once for each run
//! ```

pub mod arguments;
mod data_set;
mod directory;
pub(super) mod level;
mod name;
mod names;
pub mod pairs;
pub(super) mod search;
mod sidecar;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
pub(super) mod walk;

pub use name::{ENTITIES, entities};
pub(super) use name::{Name, stem};
pub(super) use sidecar::read_fields;
pub use sidecar::sidecar;
