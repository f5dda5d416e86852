//! `read_events`: BIDS events (`*_events.tsv`), what happened when in a run.

use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::format::{BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter};
use super::tsv::{Table, Typed};

/// Tab-separated events as BIDS has them.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `onset` | Float64 | seconds from the start of the run |
/// | `duration` | Float64 | seconds |
/// | any other | Int64, Float64 or Utf8 | the narrowest that holds every value of every file |
///
/// `n/a` and an empty cell are NULL. A column that one of several files lacks is NULL there.
/// Numbers with leading zeros (`007`) are names and make a column Utf8.
/// A column that is named as a key of the table is called `events_run` and so on, so
/// that keys mean the same in every table; a warning says so. Keys are `path`,
/// `subject`, `session`, `task`, `run` and the entities in the files' names.
///
/// In a BIDS data set a file that several runs inherit is listed once for each of them: [`BidsUse::Events`].
#[derive(Debug)]
pub struct Events;

impl Format for Events {
    fn function(&self) -> &'static str {
        "read_events"
    }

    fn stored_as(&self) -> &'static str {
        "EVENTS"
    }

    fn description(&self) -> &'static str {
        "BIDS `events.tsv`: `onset` and `duration` in seconds, and every other column that the files have, as whole numbers, \
         numbers or text. `n/a` is NULL. In a BIDS data set, events that are inherited (`task-rest_events.tsv` at the root) are rows once for each \
         run that they are of, with its `subject`, `session`, `task` and `run`, so that they join with `read_bold` by those; `path` is the \
         events file. Runs of a derivative have the events of the raw data set. The file itself as a path is read once."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["_events.tsv"]
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Events
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        EVENTS.describe(files)
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        EVENTS.open(scan)
    }
}

const EVENTS: Typed = Typed {
    seconds: &["onset", "duration"],
    renamed: "events_",
    open,
};

/// A file's table; what events need is there.
fn open(path: &Path) -> Result<Table> {
    let table = Table::open(path, "events")?;
    for required in EVENTS.seconds {
        if table.column(required).is_none() {
            return Err(table.error(format!(
                "it has no column {required}, which BIDS events need; its columns are {}. \
                 Rename the one that is meant, or read the file as a plain table, with read_tsv",
                table.headers.join(", ")
            )));
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests;
