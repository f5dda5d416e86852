//! Opening files for a statement.
//!
//! Readers call each other over many steps, and a file has others beside it. So what the statement may is not
//! handed on from one to the next: it holds for the thread while the statement's work runs there.

use std::cell::RefCell;
use std::fs::{File, ReadDir};
use std::io;
use std::path::Path;

use datafusion::common::Result;

use super::{Access, text};

thread_local! {
    static CURRENT: RefCell<Access> = RefCell::default();
}

/// Sets what held before when it is dropped, after a panic too: threads are used again.
struct Before(Access);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(std::mem::take(&mut self.0));
    }
}

impl Access {
    /// Does `work`, which opens no other files than these.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        let _before = Before(CURRENT.replace(self.clone()));
        work()
    }

    /// What holds on this thread; a thread that the work starts has to be given it.
    pub fn current() -> Self {
        CURRENT.with_borrow(Self::clone)
    }
}

/// Whether the statement may read this file or folder.
pub fn check(path: &Path) -> Result<()> {
    Access::current().check(path)
}

/// The same for a path that may be a pattern.
pub fn check_pattern(pattern: &str) -> Result<()> {
    Access::current().check_pattern(pattern)
}

/// [`File::open`].
pub fn open(path: &Path) -> io::Result<File> {
    allowed(path)?;
    File::open(path)
}

/// [`std::fs::read`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    allowed(path)?;
    std::fs::read(path)
}

/// [`std::fs::read_dir`].
pub fn read_dir(path: &Path) -> io::Result<ReadDir> {
    allowed(path)?;
    std::fs::read_dir(path)
}

fn allowed(path: &Path) -> io::Result<()> {
    let refused = |error| io::Error::new(io::ErrorKind::PermissionDenied, text(&error));
    check(path).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_may_ends_with_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let access = Access::within(&[folder.path().to_path_buf()]).unwrap();
        let may = || open(outside.path()).is_ok();
        assert!(may());
        access.scope(|| {
            assert!(!may() && read(outside.path()).is_err());
            Access::default().scope(|| assert!(may()));
            assert!(!may());
            assert!(read_dir(folder.path()).is_ok());
        });
        let panics = std::panic::AssertUnwindSafe(|| access.scope(|| panic!("at work")));
        std::panic::catch_unwind(panics).unwrap_err();
        assert!(may());
    }

    /// A reader that opens files by itself would not ask.
    #[test]
    fn readers_open_files_here_only() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/readers");
        let mut found = vec![];
        walk(&sources, &mut found);
        assert!(found.is_empty(), "use access::scope in {found:#?}");
    }

    fn walk(folder: &Path, found: &mut Vec<String>) {
        const OPENERS: [&str; 6] = [
            "File::open(",
            "fs::read(",
            "fs::read_to_string(",
            "fs::read_dir(",
            "OpenOptions",
            "from_path(",
        ];
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_test = name.ends_with("tests.rs")
                || [
                    "tests",
                    "testing.rs",
                    "films.rs",
                    "films_ahead.rs",
                    "foreign.rs",
                ]
                .contains(&name);
            if is_test {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for (number, line) in code.lines().enumerate() {
                if OPENERS.iter().any(|opener| line.contains(opener)) {
                    found.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
}
