//! Reading a file through its [`Format`] in tests, as a scan would.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::common::Result;

use super::format::{FileScan, Format, Options, Value};

pub fn options(given: &[(&str, Value)]) -> Options {
    Options(
        given
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
    )
}

/// Every row of one file, in one batch.
pub fn read(format: &dyn Format, path: &Path, given: &[(&str, Value)]) -> Result<RecordBatch> {
    let scan = scan(format, path, given)?;
    let batches = format.open(&scan)?.collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&scan.schema, &batches)?)
}

/// A scan of all columns and rows of one file.
pub fn scan(format: &dyn Format, path: &Path, given: &[(&str, Value)]) -> Result<FileScan> {
    let options = options(given);
    let described = format.describe(vec![path.to_path_buf()], &options)?;
    Ok(FileScan {
        path: path.to_path_buf(),
        options,
        schema: described.schema,
        limit: None,
        bounds: Default::default(),
        batch_bytes: 8 << 20,
        threads: 1,
    })
}

/// The same scan with only some columns.
pub fn project(mut scan: FileScan, columns: &[&str]) -> FileScan {
    let indices: Vec<_> = columns
        .iter()
        .filter_map(|c| scan.schema.index_of(c).ok())
        .collect();
    assert_eq!(indices.len(), columns.len());
    scan.schema = Arc::new(scan.schema.project(&indices).expect("columns exist"));
    scan
}

/// The message of the error that reading gives.
pub fn error(format: &dyn Format, path: &Path, given: &[(&str, Value)]) -> String {
    read(format, path, given)
        .expect_err("this must not be readable")
        .to_string()
}

/// A file in this repository.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A file of the shared data, where it is at hand.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = here("../shared/data").join(path);
    if !path.exists() {
        note!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// A file with these bytes in a directory of its own.
pub fn file(name: &str, bytes: impl AsRef<[u8]>) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).expect("written");
    (directory, path)
}
