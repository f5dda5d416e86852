//! `read_tsv`: any tab-separated table with a line of names, such as `participants.tsv`.

use std::path::PathBuf;

use datafusion::common::Result;

use super::{Table, Typed};
use crate::readers::format::{BatchIterator, Description, FileScan, Format, Options, Parameter};

/// A table as BIDS has them: columns are Int64, Float64 or Utf8, `n/a` is NULL.
#[derive(Debug)]
pub struct Tsv;

const TSV: Typed = Typed {
    seconds: &[],
    renamed: "tsv_",
    open: |path| Table::open(path, "a table"),
};

impl Format for Tsv {
    fn function(&self) -> &'static str {
        "read_tsv"
    }

    fn stored_as(&self) -> &'static str {
        "TSV"
    }

    fn description(&self) -> &'static str {
        "Tab-separated tables with a line of names, such as BIDS `participants.tsv`, `sessions.tsv` and `phenotype/*.tsv`: every column as whole \
         numbers, numbers or text, the narrowest that holds all its values. `n/a` and nothing are NULL; numbers with leading zeros (`007`) are \
         names, and text. A column that is named as a key of the table (`session`) is called `tsv_session`, with a warning."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".tsv"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        TSV.describe(files)
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        TSV.open(scan)
    }
}
