//! Which files of this machine statements may name.
//!
//! A program that embeds VoxQL, and the shell, may read and write what their user may. A server reads and
//! writes for others: under the folders that it was given, and nothing else. Four places make files of what a
//! statement says, and each asks [`Access`]:
//!
//! - readers, and writers that look at a mask, open files by [`scope`] only;
//! - DataFusion's own formats read and write through [`store`];
//! - [`sql`] looks at the names in statements, which gives the better message and no hint of what exists;
//! - `COPY MODEL … TO` and `CREATE MODEL … FROM` ask directly.
//!
//! Files that VoxQL keeps for itself (the database, models, indexes) are opened without asking.

pub mod scope;
pub mod sql;
pub mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use datafusion::prelude::SessionConfig;

/// Links that lead to links: more are a loop.
const MOST_LINKS: u8 = 40;

/// What makes a path a pattern.
const PATTERN: [char; 3] = ['*', '?', '['];

/// The files that statements may name. The default is all that the process may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access(Option<Arc<Limits>>);

/// Folders without links.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limits {
    roots: Vec<PathBuf>,
    /// The database, which is reached by the names of its tables even where it lies under a root.
    database: Option<PathBuf>,
}

impl Access {
    /// Only what lies in these folders once links are followed; without any, nothing.
    ///
    /// # Errors
    /// For what is no folder.
    pub fn within(folders: &[PathBuf]) -> Result<Self> {
        let mut roots = Vec::with_capacity(folders.len());
        for folder in folders {
            match folder.canonicalize() {
                Ok(root) if root.is_dir() => roots.push(root),
                Ok(_) => return exec_err!("{}: this is no folder", folder.display()),
                Err(error) => return exec_err!("{}: {error}", folder.display()),
            }
        }
        let database = None;
        Ok(Self(Some(Arc::new(Limits { roots, database }))))
    }

    /// The same without a database's own folder.
    pub fn without(self, database: &Path) -> Result<Self> {
        let Some(limits) = self.0 else {
            return Ok(self);
        };
        Ok(Self(Some(Arc::new(Limits {
            roots: limits.roots.clone(),
            database: Some(database.canonicalize()?),
        }))))
    }

    /// That of a session.
    pub fn of(config: &SessionConfig) -> Self {
        let found = config.get_extension::<Self>();
        found.map(Arc::unwrap_or_clone).unwrap_or_default()
    }

    /// Whether there are files that it does not allow.
    pub fn is_limited(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a file may be read, or written where it is not yet there.
    ///
    /// # Errors
    /// Do not say whether there is such a file.
    pub fn check(&self, path: &Path) -> Result<()> {
        let Some(limits) = &self.0 else {
            return Ok(());
        };
        let Ok(absolute) = std::path::absolute(path) else {
            return limits.refuse(path);
        };
        match real(&absolute, MOST_LINKS) {
            Some(real) if limits.hold(&real) => Ok(()),
            _ => limits.refuse(path),
        }
    }

    /// The same for a path that may be a pattern. What it finds is to be checked as well.
    pub fn check_pattern(&self, pattern: &str) -> Result<()> {
        let Some(limits) = &self.0 else {
            return Ok(());
        };
        let Some(sign) = pattern.find(PATTERN) else {
            return self.check(Path::new(pattern));
        };
        let folder = pattern[..sign]
            .rfind('/')
            .map_or(".", |end| &pattern[..=end]);
        self.check(Path::new(folder))?;
        // Behind what is found `..` would lead out, and the error would name what is there.
        match pattern.split('/').any(|part| part == "..") {
            true => limits.refuse(Path::new(pattern)),
            false => Ok(()),
        }
    }
}

impl Limits {
    fn hold(&self, real: &Path) -> bool {
        let is_own = self.database.as_ref().is_some_and(|d| real.starts_with(d));
        !is_own && self.roots.iter().any(|root| real.starts_with(root))
    }

    fn refuse<T>(&self, path: &Path) -> Result<T> {
        let path = path.display();
        if self.roots.is_empty() {
            return plan_err!(
                "'{path}': this server reads and writes no files by their path, only the tables of its database; \
                 voxql serve --allow-path DIR allows those in a folder"
            );
        }
        let roots: Vec<String> = self.roots.iter().map(|r| r.display().to_string()).collect();
        plan_err!(
            "'{path}': this server reads and writes files in {} only, links followed, and its database by the names of its \
             tables; voxql serve --allow-path DIR allows another folder",
            roots.join(", ")
        )
    }
}

/// The absolute path with all links followed, also where its end is not there yet; `None` where that cannot
/// be said. A link to nothing counts as what it leads to: writing would make that.
fn real(path: &Path, links: u8) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    // There is no name where the path ends in `..`, of something that is not there.
    let (parent, name) = (path.parent()?, path.file_name()?);
    let parent = real(parent, links)?;
    let path = parent.join(name);
    match path.read_link() {
        Ok(target) => real(&parent.join(target), links.checked_sub(1)?),
        Err(_) => Some(path),
    }
}

/// The text of an error, for where it becomes one of input and output.
fn text(error: &DataFusionError) -> String {
    crate::message::message(error).text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        root: PathBuf,
        outside: PathBuf,
        access: Access,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["data/sub", "data/study", "elsewhere"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["data/a.csv", "data/study/t", "elsewhere/b.csv", "data-2"] {
            fs::write(at(name), "x").unwrap();
        }
        let access = Access::within(&[at("data")]).unwrap();
        Place {
            root: at("data"),
            outside: at("elsewhere"),
            access: access.without(&at("data/study")).unwrap(),
            _folder: folder,
        }
    }

    #[test]
    fn what_lies_in_the_folders_is_allowed() {
        let place = place();
        let all = Access::default();
        let none = Access::within(&[]).unwrap();
        for (path, may) in [
            ("a.csv", true),
            ("not/yet/there.csv", true),
            ("sub/../a.csv", true),
            ("", true),
            ("..", false),
            ("../data-2", false),
            ("../elsewhere/b.csv", false),
            ("../elsewhere/nothing.csv", false),
            ("nothing/../../elsewhere/b.csv", false),
            ("/etc/passwd", false),
            ("study/t", false),
            ("study/tables/new", false),
        ] {
            let path = place.root.join(path);
            assert_eq!(place.access.check(&path).is_ok(), may, "{path:?}");
            assert!(all.check(&path).is_ok());
            assert!(none.check(&path).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_what_they_lead_to() {
        use std::os::unix::fs::symlink;
        let place = place();
        let at = |name: &str| place.root.join(name);
        symlink(place.outside.join("b.csv"), at("file")).unwrap();
        symlink(&place.outside, at("folder")).unwrap();
        symlink(place.outside.join("new"), at("nothing")).unwrap();
        symlink("../../elsewhere/new", at("sub/relative")).unwrap();
        symlink("a.csv", at("inside")).unwrap();
        symlink("not-yet", at("inside-nothing")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for (path, may) in [
            ("file", false),
            ("folder/b.csv", false),
            ("folder/new.csv", false),
            ("nothing", false),
            ("sub/relative", false),
            ("loop", false),
            ("inside", true),
            ("inside-nothing", true),
        ] {
            assert_eq!(place.access.check(&at(path)).is_ok(), may, "{path}");
        }
    }

    #[test]
    fn patterns_begin_in_the_folders_and_stay_there() {
        let place = place();
        for (pattern, may) in [
            ("*.csv", true),
            ("**/*_bold.nii.gz", true),
            ("sub/[ab]?.csv", true),
            ("*/../../elsewhere/*", false),
            ("../elsewhere/*", false),
        ] {
            let path = format!("{}/{pattern}", place.root.display());
            assert_eq!(place.access.check_pattern(&path).is_ok(), may, "{pattern}");
        }
        assert!(place.access.check_pattern("/*").is_err());
        assert!(place.access.check_pattern("*").is_err(), "where we are");
    }

    #[test]
    fn what_is_refused_says_how_to_allow_it_and_not_what_exists() {
        let place = place();
        let said = |name: &str| {
            let error = place.access.check(&place.outside.join(name)).unwrap_err();
            text(&error).replace(name, "…")
        };
        assert_eq!(said("b.csv"), said("nothing"));
        assert!(said("b.csv").contains("--allow-path"), "{}", said("b.csv"));
        let error = Access::within(&[place.root.join("nowhere")]).unwrap_err();
        assert!(error.to_string().contains("nowhere"), "{error}");
    }
}
