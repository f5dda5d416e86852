//! Writing: take the lock, stage, force to disk, rename.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::common::{Result, exec_err};
use tokio::sync::OwnedMutexGuard;

use super::{Database, ObjectKind};

/// The directory of statements in the making.
pub(super) const STAGING: &str = ".staging";

/// One writing statement: holds the lock, and a directory of its own to write into.
/// Dropped without a publication, it leaves nothing behind.
#[derive(Debug)]
pub struct Staging<'a> {
    database: &'a Database,
    directory: PathBuf,
    /// Fields drop in this order: the directory goes before the lock does (see `Drop`).
    _lock: Lock,
    _turn: OwnedMutexGuard<()>,
}

impl Database {
    /// Where statements that write have their directories.
    pub fn staging(&self) -> PathBuf {
        self.root().join(STAGING)
    }

    /// Starts a writing statement. Statements of this process wait for each other;
    /// a lock held by another process is an error that says who holds it.
    pub async fn write(&self) -> Result<Staging<'_>> {
        let turn = std::sync::Arc::clone(&self.writing).lock_owned().await;
        let Some(lock) = try_lock(self)? else {
            return exec_err!(
                "{}: {}; one process writes at a time, any number may read",
                self.root().display(),
                holder(self)
            );
        };
        sweep(self)?;
        // A database that was made before there were indexes has no place for them.
        fs::create_dir_all(self.root().join(ObjectKind::Index.directory()))?;
        let directory = self.staging().join(unique());
        fs::create_dir_all(&directory)?;
        Ok(Staging {
            database: self,
            directory,
            _lock: lock,
            _turn: turn,
        })
    }
}

impl Staging<'_> {
    /// Where the statement writes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The staged directory becomes the object, or takes the place of the one that is there.
    pub fn publish_directory(&self, kind: ObjectKind, name: &str) -> Result<()> {
        sync_tree(&self.directory)?;
        let place = self.database.place(kind, name);
        let aside = self.aside(kind, name)?;
        if place.exists() {
            // Two renames: if the process dies between them, the sweep puts the old one back.
            fs::rename(&place, &aside)?;
        }
        fs::rename(&self.directory, &place)?;
        sync_parent(&place)?;
        remove(&aside)
    }

    /// The staged directory becomes one more part of the table.
    pub fn publish_part(&self, table: &str) -> Result<()> {
        sync_tree(&self.directory)?;
        let place = self.database.place(ObjectKind::Table, table).join(unique());
        fs::rename(&self.directory, &place)?;
        sync_parent(&place)
    }

    /// `text` becomes the object.
    pub fn publish_text(&self, kind: ObjectKind, name: &str, text: &str) -> Result<()> {
        let staged = self.directory.join("text");
        let mut file = File::create(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let place = self.database.place(kind, name);
        fs::rename(staged, &place)?;
        sync_parent(&place)
    }

    /// The object is gone with one rename; then its files are deleted.
    pub fn remove(&self, kind: ObjectKind, name: &str) -> Result<()> {
        let place = self.database.place(kind, name);
        // A table goes with its indexes: each gets a place of its own.
        fs::rename(&place, self.directory.join(unique()))?;
        sync_parent(&place)
    }

    /// Where the object that is being replaced waits: its name says where it belongs.
    fn aside(&self, kind: ObjectKind, name: &str) -> Result<PathBuf> {
        let place = self.database.place(kind, name);
        let parts = place.strip_prefix(self.database.root()).unwrap_or(&place);
        let aside = self.database.staging().join("replaced").join(parts);
        if let Some(parent) = aside.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(aside)
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.directory) {
            log::warn!("{}: {error}", self.directory.display());
        }
    }
}

/// Removes what killed writers left, unless somebody is writing now.
pub(super) fn sweep_if_idle(database: &Database) -> Result<()> {
    match try_lock(database)? {
        Some(_lock) => sweep(database),
        None => Ok(()),
    }
}

/// Needs the lock.
fn sweep(database: &Database) -> Result<()> {
    let staging = database.staging();
    let replaced = staging.join("replaced");
    if replaced.is_dir() {
        for kind in fs::read_dir(&replaced)? {
            let kind = kind?;
            for object in fs::read_dir(kind.path())? {
                let object = object?;
                let place = database
                    .root()
                    .join(kind.file_name())
                    .join(object.file_name());
                if !place.exists() {
                    fs::rename(object.path(), place)?;
                }
            }
        }
    }
    if staging.is_dir() {
        for entry in fs::read_dir(&staging)? {
            remove(&entry?.path())?;
        }
    }
    Ok(())
}

/// The lock file, held.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// Closing the file alone would leave the lock to a process that this one is starting just
    /// now: it has a copy of the open file until it runs its program.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            log::warn!("the lock of the database cannot be given back: {error}");
        }
    }
}

fn try_lock(database: &Database) -> Result<Option<Lock>> {
    let path = database.root().join(".lock");
    let mut options = File::options();
    let opened = options.read(true).write(true).create(true).truncate(false);
    let mut file = match opened.open(&path) {
        Ok(file) => file,
        // A database on a read-only disk can still be read.
        Err(error) if read_only(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            writeln!(file, "process {}", std::process::id())?;
            Ok(Some(Lock(file)))
        }
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn read_only(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

fn holder(database: &Database) -> String {
    let mut text = String::new();
    let read = File::open(database.root().join(".lock"))
        .and_then(|f| f.take(200).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => format!("{} is writing", text.trim()),
        _ => "it cannot be written to".to_string(),
    }
}

/// Names sort by time.
fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!(
        "{:020}-{}",
        now.map_or(0, |t| t.as_nanos()),
        std::process::id()
    )
}

fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn sync_tree(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => sync_tree(&path)?,
            false => File::open(&path)?.sync_all()?,
        }
    }
    Ok(File::open(directory)?.sync_all()?)
}

fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => Ok(File::open(parent)?.sync_all()?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(staging: &Staging, text: &str) {
        fs::write(staging.directory().join("data"), text).unwrap();
    }

    fn content(database: &Database) -> String {
        fs::read_to_string(database.place(ObjectKind::Table, "t").join("data")).unwrap()
    }

    #[tokio::test]
    async fn published_or_nothing() {
        let database = Database::open(None).unwrap();
        let staging = database.write().await.unwrap();
        stage(&staging, "one");
        drop(staging);
        assert!(!database.exists(ObjectKind::Table, "t"));
        for text in ["one", "two"] {
            let staging = database.write().await.unwrap();
            stage(&staging, text);
            staging.publish_directory(ObjectKind::Table, "t").unwrap();
            drop(staging);
            assert_eq!(content(&database), text);
        }
        let left = fs::read_dir(database.root().join(".staging")).unwrap();
        assert!(left.flatten().all(|e| e.file_name() == "replaced"));
    }

    #[tokio::test]
    async fn a_kill_between_the_renames_of_a_replacement_is_undone() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(Some(directory.path())).unwrap();
        let staging = database.write().await.unwrap();
        stage(&staging, "old");
        staging.publish_directory(ObjectKind::Table, "t").unwrap();
        fs::rename(
            database.place(ObjectKind::Table, "t"),
            staging.aside(ObjectKind::Table, "t").unwrap(),
        )
        .unwrap();
        drop(staging);
        drop(database);
        let database = Database::open(Some(directory.path())).unwrap();
        assert_eq!(content(&database), "old");
    }

    #[tokio::test]
    async fn a_second_writer_is_told_who_writes() {
        let directory = tempfile::tempdir().unwrap();
        let first = Database::open(Some(directory.path())).unwrap();
        let second = Database::open(Some(directory.path())).unwrap();
        let staging = first.write().await.unwrap();
        let error = second.write().await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(staging);
        second.write().await.unwrap();
    }
}
