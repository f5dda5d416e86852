//! The names in a directory, kept from one use to the next.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::names::Names;
use super::walk::{is_readable, list};

/// A file that came within this time after the change that a directory's clock shows may not have
/// moved that clock: some file systems count in 2 s.
const SETTLED: Duration = Duration::from_secs(2);

/// Names that are kept, over all directories: some tens of MB.
const MOST_NAMES: usize = 200_000;

#[derive(Default)]
struct Kept {
    directories: HashMap<PathBuf, (SystemTime, Arc<Names>)>,
    names: usize,
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

/// What is in a directory, without what is hidden, subdirectories, and JSON files that are pipes.
///
/// Read once as long as it does not change: a thousand runs ask for the sidecars at the
/// root of their data set. Contents of files are not kept, so that no change of them is missed.
pub fn names(directory: &Path) -> io::Result<Arc<Names>> {
    let modified = directory.metadata()?.modified().ok();
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((then, names)) = kept.directories.get(directory)
        && Some(*then) == modified
    {
        return Ok(Arc::clone(names));
    }
    drop(kept);

    let now = SystemTime::now();
    let names = Arc::new(read(directory)?);
    let settled = |changed: &SystemTime| now.duration_since(*changed).is_ok_and(|t| t > SETTLED);
    if let Some(modified) = modified.filter(settled)
        && names.len() <= MOST_NAMES
    {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.names + names.len() > MOST_NAMES {
            *kept = Kept::default();
        }
        kept.names += names.len();
        let entry = (modified, Arc::clone(&names));
        if let Some((_, before)) = kept.directories.insert(directory.to_owned(), entry) {
            kept.names -= before.len();
        }
    }
    Ok(names)
}

fn read(directory: &Path) -> io::Result<Names> {
    let mut entries = list(directory)?;
    entries.retain(|(name, kind)| match name.ends_with(".json") {
        true => is_readable(&directory.join(name), *kind),
        false => !kind.is_dir(),
    });
    Ok(Names::new(entries.into_iter().map(|(name, _)| name)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    fn set_age(directory: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::open(directory).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn a_directory_is_read_again_when_it_changed() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("sub-1_bold.json"), "{}").unwrap();
        set_age(root.path(), 60);
        let first = names(root.path()).unwrap();
        assert_eq!(first.len(), 1);
        assert!(Arc::ptr_eq(&first, &names(root.path()).unwrap()));
        fs::write(root.path().join("sub-2_bold.json"), "{}").unwrap();
        assert_eq!(names(root.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_directory_that_changed_just_now_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let first = names(root.path()).unwrap();
        assert!(!Arc::ptr_eq(&first, &names(root.path()).unwrap()));
    }
}
