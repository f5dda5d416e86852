//! From a path as a user writes it (a file, a directory or a glob) to the files it means.

use std::path::{Path, PathBuf};

use crate::access::scope;
use datafusion::common::{Result, exec_err, plan_err};

/// Files that one warning names.
const MOST_NAMES: usize = 10;

/// The files that `path` names, in the order of their names.
///
/// * a file is itself;
/// * a glob (`*`, `?`, `[…]`, `**`) is every file that matches;
/// * a directory is searched to its depth for names that end with one of `endings`;
///   hidden directories (`.git`, `.datalad`) are left out.
///
/// `file://` is understood; other URLs are an error, and so is a path that
/// names nothing, or what the statement may not read.
pub fn resolve(path: &str, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let local = local_path(path)?;
    // Before anything is looked at: an error must not say what there is elsewhere.
    scope::check_pattern(local)?;
    let found = if Path::new(local).is_file()
        || (Path::new(local).is_symlink() && !Path::new(local).is_dir())
    {
        vec![PathBuf::from(local)]
    } else if Path::new(local).is_dir() {
        let mut found = Vec::new();
        walk(Path::new(local), endings, &mut found)?;
        found
    } else if local.contains(['*', '?', '[']) {
        matching(local)?
    } else {
        return exec_err!(
            "{path}: there is no such file or directory (seen from {})",
            current_directory()
        );
    };
    if found.is_empty() {
        return exec_err!(
            "{path}: no file here; a directory is searched for names ending in {}",
            endings.join(", ")
        );
    }
    found.into_iter().map(absolute).collect()
}

/// The files that hold anything, with one warning for those that do not; an error if none does.
pub fn leave_out_empty(function: &str, files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let is_empty = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|m| m.len() == 0);
    let (empty, files): (Vec<_>, Vec<_>) = files.into_iter().partition(is_empty);
    let Some(first) = empty.first() else {
        return Ok(files);
    };
    if files.is_empty() {
        return plan_err!(
            "{function}: all {} files are empty (0 bytes), the first is {}; \
             were the images fetched?",
            empty.len(),
            first.display()
        );
    }
    let mut names: Vec<String> = empty.iter().map(|p| p.display().to_string()).collect();
    if names.len() > MOST_NAMES {
        names.truncate(MOST_NAMES);
        names.push("…".to_owned());
    }
    log::warn!(
        "left out {} empty files (0 bytes): {}",
        empty.len(),
        names.join(", ")
    );
    Ok(files)
}

/// The directory that `path` names.
pub fn directory(path: &str) -> Result<PathBuf> {
    let local = Path::new(local_path(path)?);
    scope::check(local)?;
    match std::fs::metadata(local) {
        Ok(found) if found.is_dir() => Ok(local.canonicalize()?),
        Ok(_) => exec_err!("{path}: this is a file; give the directory of the data set"),
        Err(error) => exec_err!(
            "{path}: there is no such directory: {error} (seen from {})",
            current_directory()
        ),
    }
}

/// The path without `file://`; other URLs are an error.
pub fn local_path(path: &str) -> Result<&str> {
    match path.split_once("://") {
        None => Ok(path),
        Some(("file", rest)) => Ok(rest),
        Some((scheme, _)) => plan_err!(
            "{path}: files are read from local disks only, not over {scheme}://; copy the file here first"
        ),
    }
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let paths = match glob::glob(pattern) {
        Ok(paths) => paths,
        Err(error) => return plan_err!("{pattern}: not a glob pattern: {error}"),
    };
    let mut found = Vec::new();
    for path in paths {
        match path {
            // A link to nothing is a file that was not fetched (DataLad): the reader says so.
            Ok(path) if path.is_file() || path.is_symlink() => found.push(path),
            Ok(_) => {}
            Err(error) => return exec_err!("{pattern}: {error}"),
        }
    }
    if found.is_empty() {
        return exec_err!(
            "{pattern}: no file matches (seen from {})",
            current_directory()
        );
    }
    found.sort();
    Ok(found)
}

fn walk(directory: &Path, endings: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match scope::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => return exec_err!("{}: {error}", directory.display()),
    };
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            walk(&path, endings, found)?;
        } else {
            let name = name.to_lowercase();
            if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    Ok(())
}

/// Plans carry absolute paths without `..`, so that they mean the same wherever they run.
///
/// Only the directory is resolved: a file that is a link keeps its own name, which has
/// the BIDS keys (git-annex links to names that say nothing).
fn absolute(path: PathBuf) -> Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => Ok(path),
    }
}

fn current_directory() -> String {
    std::env::current_dir()
        .map(|d| d.display().to_string())
        .unwrap_or_else(|_| "an unknown directory".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "a_bold.nii",
            "sub/b_bold.nii",
            "sub/c.txt",
            ".hidden/d_bold.nii",
        ] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        root
    }

    fn names(path: &str) -> Vec<String> {
        resolve(path, &["_bold.nii"])
            .unwrap()
            .iter()
            .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn files_directories_and_globs() {
        let root = tree();
        let at = |tail: &str| format!("{}/{tail}", root.path().display());
        assert_eq!(names(&at("sub/c.txt")), ["c.txt"]);
        assert_eq!(names(&at("")), ["a_bold.nii", "b_bold.nii"]);
        assert_eq!(names(&at("sub/*")), ["b_bold.nii", "c.txt"]);
        assert_eq!(
            names(&at("**/*_bold.nii")),
            ["d_bold.nii", "a_bold.nii", "b_bold.nii"]
        );
    }

    #[test]
    fn what_is_not_there_is_said() {
        let root = tree();
        for (path, message) in [
            ("nowhere.nii", "no such file"),
            ("nowhere*.nii", "no file matches"),
            ("s3://bucket/x.nii", "local disks only"),
        ] {
            let error = resolve(path, &[".nii"]).unwrap_err().to_string();
            assert!(error.contains(path) && error.contains(message), "{error}");
        }
        let empty = root.path().join("sub").display().to_string();
        let error = resolve(&empty, &[".mp4"]).unwrap_err().to_string();
        assert!(error.contains("ending in .mp4"), "{error}");
    }
}
