//! The directory of a session without `--db`: gone when the session ends, or, if that was
//! killed, when the next one begins.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use datafusion::common::Result;
use tempfile::TempDir;

const PREFIX: &str = "voxql-";

/// Locked while the session lives, so that another can tell.
const ALIVE: &str = "alive";

/// A session between making its directory and locking it is not taken for a dead one.
const YOUNG: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Temporary {
    directory: TempDir,
    _alive: File,
}

impl Temporary {
    /// A new directory among the system's temporary ones, after the dead ones are removed.
    pub(super) fn try_new() -> Result<Self> {
        let place = std::env::temp_dir();
        sweep(&place, YOUNG);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(place)?;
        let alive = File::create(directory.path().join(ALIVE))?;
        alive.lock()?;
        Ok(Self {
            directory,
            _alive: alive,
        })
    }

    /// Where the database is to be.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("db")
    }
}

/// Removes the directories whose sessions are dead. What cannot be removed stays: it may
/// be somebody else's, and it is not worth an error.
fn sweep(place: &Path, young: Duration) {
    let Ok(entries) = fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && is_dead(&entry.path(), young).unwrap_or(false)
        {
            // The lock went with `is_dead`; nobody else takes it but to remove the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_dead(directory: &Path, young: Duration) -> std::io::Result<bool> {
    let alive = File::options().write(true).open(directory.join(ALIVE))?;
    let age = alive.metadata()?.modified()?.elapsed().unwrap_or_default();
    Ok(age >= young && alive.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_and_the_young_are_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let directory = place.path().join(name);
            fs::create_dir(&directory).unwrap();
            File::create(directory.join(ALIVE)).unwrap()
        };
        let living = make("voxql-living");
        living.lock().unwrap();
        drop(make("voxql-dead"));
        drop(make("other-dead"));
        fs::create_dir(place.path().join("voxql-of-somebody-else")).unwrap();
        let left = || {
            let names = fs::read_dir(place.path()).unwrap();
            let mut names: Vec<_> = names.map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        sweep(place.path(), Duration::from_secs(3600));
        assert_eq!(left().len(), 4);
        sweep(place.path(), Duration::ZERO);
        assert_eq!(
            left(),
            ["other-dead", "voxql-living", "voxql-of-somebody-else"]
        );
    }
}
