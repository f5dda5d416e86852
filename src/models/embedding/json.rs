//! The JSON files of a model's folder.

use std::path::Path;

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use serde::de::DeserializeOwned;

/// A JSON file's content, or `None` where there is no such file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return exec_err!("cannot read '{}': {e}", path.display()),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| exec_datafusion_err!("'{}' is not what it should be: {e}", path.display()))
}
