//! `COPY … TO`: a folder is written whole, beside its place, and never added to by accident.
//!
//! DataFusion adds files to a folder that has some already, so that running a script
//! twice gives every row twice. Here such a folder is refused, or replaced where
//! `OPTIONS (overwrite true)` says so.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::dml::CopyTo;
use futures::TryStreamExt;

use super::copy::with_encodings;
use crate::session::{Answer, Session};
use crate::writers;

/// Runs a COPY. A folder of this machine becomes visible when all its files are written.
///
/// # Errors
/// Where the folder is a file, or holds the database, or holds something and `overwrite` is not given as true; and those of
/// the query and the disk, which leave the folder as it was.
pub async fn run(session: &Session, mut copy: CopyTo) -> Result<Answer> {
    let overwrite = take_overwrite(&mut copy)?;
    let one_file = writers::writes_one_file(&copy.file_type.get_ext());
    let Some(folder) = local_folder(&copy).filter(|_| !one_file) else {
        return session
            .run_rows(LogicalPlan::Copy(with_encodings(copy)))
            .await;
    };
    if folder.is_file() {
        return plan_err!(
            "COPY TO '{}': this is a file, and PARTITIONED BY writes a folder; name another",
            copy.output_url
        );
    }
    if !overwrite && fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return plan_err!(
            "COPY TO '{}': the folder is not empty, and its rows would be mixed with the new ones; \
             add OPTIONS (overwrite true) to replace what is there, or name another folder",
            copy.output_url
        );
    }
    if holds(&folder, session.database().root()) {
        return plan_err!(
            "COPY TO '{}': the database lies in this folder, and would be replaced with it; name another",
            copy.output_url
        );
    }
    let parent = parent(&folder);
    session.access().check(parent)?;
    fs::create_dir_all(parent)?;
    let staged = tempfile::Builder::new()
        .prefix(".voxql-copy-")
        .tempdir_in(parent)?;
    let new = staged.path().join("new");
    fs::create_dir(&new)?;
    copy.output_url = match new.to_str() {
        Some(path) => format!("{path}/"),
        None => return exec_err!("{}: not a UTF-8 path", new.display()),
    };
    let answer = session
        .run_rows(LogicalPlan::Copy(with_encodings(copy)))
        .await?;
    let schema = answer.stream.schema();
    let counts: Vec<RecordBatch> = answer.stream.try_collect().await?;
    if folder.exists() {
        fs::rename(&folder, staged.path().join("old"))?;
    }
    fs::rename(&new, &folder)?;
    Answer::rows(schema, counts)
}

/// Whether `inner` lies in `folder`, or is it.
fn holds(folder: &Path, inner: &Path) -> bool {
    match (folder.canonicalize(), inner.canonicalize()) {
        (Ok(folder), Ok(inner)) => inner.starts_with(folder),
        _ => false,
    }
}

/// The option `overwrite`, which is ours and not the file format's.
fn take_overwrite(copy: &mut CopyTo) -> Result<bool> {
    match copy.options.remove("format.overwrite") {
        None => Ok(false),
        Some(value) => match value.to_lowercase().parse() {
            Ok(overwrite) => Ok(overwrite),
            Err(_) => plan_err!("COPY: overwrite is true or false, not {value}"),
        },
    }
}

/// The target, if it is a folder on this machine.
fn local_folder(copy: &CopyTo) -> Option<PathBuf> {
    let url = copy.output_url.as_str();
    let path = url.strip_prefix("file://").unwrap_or(url);
    let is_folder = path.ends_with('/') || !copy.partition_by.is_empty();
    (is_folder && !path.contains("://")).then(|| PathBuf::from(path))
}

/// The folder that holds it.
fn parent(folder: &Path) -> &Path {
    match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
