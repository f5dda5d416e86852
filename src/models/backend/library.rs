//! Where a machine keeps the onnxruntime library.

use std::collections::HashSet;
use std::env;
use std::path::{Path, PathBuf};

/// How a user gets the library, for messages.
pub const HOW_TO_GET: &str = "install it with `pip install onnxruntime` (1.24 or newer) in the \
     active Python environment, or set ORT_DYLIB_PATH to its library file";

/// Places searched, for messages.
pub const PLACES: &str = "ORT_DYLIB_PATH, the folder of the executable, the system's library \
     folders and the active Python's onnxruntime package";

/// Files that may be the library, best first: `ORT_DYLIB_PATH`, beside the executable,
/// on the system, in the active Python's `onnxruntime` package.
///
/// Only regular files, each once: opening a pipe or a device could wait for ever.
pub fn candidates() -> Vec<PathBuf> {
    let mut files = Vec::new();
    if let Some(path) = variable("ORT_DYLIB_PATH") {
        if path.is_file() {
            files.push(path);
        } else {
            log::warn!(
                "ORT_DYLIB_PATH is '{}', which is not a file",
                path.display()
            );
        }
    }
    let folders = beside_executable()
        .into_iter()
        .chain(system_folders())
        .chain(python_folders());
    for folder in folders {
        files.extend(libraries_in(&folder));
    }
    let mut seen = HashSet::new();
    files.retain_mut(|file| match file.canonicalize() {
        Ok(real) => {
            *file = real.clone();
            seen.insert(real)
        }
        Err(_) => false,
    });
    files
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn beside_executable() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.to_path_buf())
}

fn system_folders() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for name in ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
        if let Some(list) = env::var_os(name) {
            folders.extend(env::split_paths(&list).filter(|path| path.is_absolute()));
        }
    }
    let arch = env::consts::ARCH;
    folders.extend(
        [
            "/usr/local/lib".to_string(),
            "/usr/local/lib64".to_string(),
            format!("/usr/lib/{arch}-linux-gnu"),
            "/usr/lib64".to_string(),
            "/usr/lib".to_string(),
            "/opt/homebrew/lib".to_string(),
        ]
        .map(PathBuf::from),
    );
    folders
}

/// `onnxruntime/capi` of the active Python: of `VIRTUAL_ENV` and `CONDA_PREFIX`,
/// else of the first `python3` on the PATH. Python itself is not run.
fn python_folders() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(variable)
        .collect();
    if let Some(python) = python_on_path() {
        // A virtual environment's python is a link to the system's: the packages
        // of the environment come first, then those of what it stands on.
        for file in [Some(python.clone()), python.canonicalize().ok()] {
            let prefix = file
                .as_deref()
                .and_then(Path::parent)
                .and_then(Path::parent);
            prefixes.extend(prefix.map(Path::to_path_buf));
        }
        prefixes.extend(behind_shim(&python));
    }
    prefixes.extend(variable("HOME").map(|home| home.join(".local")));
    prefixes
        .iter()
        .flat_map(|prefix| packages_in(prefix))
        .collect()
}

fn python_on_path() -> Option<PathBuf> {
    let name = if cfg!(windows) {
        "python.exe"
    } else {
        "python3"
    };
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// pyenv puts scripts on the PATH that choose a version: the installation of the one
/// that `PYENV_VERSION`, else the global setting, names.
fn behind_shim(python: &Path) -> Option<PathBuf> {
    let shims = python.parent()?;
    if shims.file_name()? != "shims" {
        return None;
    }
    let root = shims.parent()?;
    let version = env::var("PYENV_VERSION")
        .or_else(|_| std::fs::read_to_string(root.join("version")))
        .ok()?;
    Some(root.join("versions").join(version.lines().next()?.trim()))
}

/// The `onnxruntime/capi` folders under one installation of Python.
fn packages_in(prefix: &Path) -> Vec<PathBuf> {
    let mut libraries = vec![prefix.join("Lib"), prefix.join("lib/python3")];
    if let Ok(entries) = prefix.join("lib").read_dir() {
        let mut versions: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3."))
            .map(|entry| entry.path())
            .collect();
        versions.sort();
        libraries.extend(versions);
    }
    libraries
        .iter()
        .flat_map(|library| ["site-packages", "dist-packages"].map(|name| library.join(name)))
        .map(|packages| packages.join("onnxruntime/capi"))
        .filter(|folder| folder.is_dir())
        .collect()
}

/// Files in `folder` that are named as the library is, newest version first.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| is_library_name(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort_by(|a, b| b.cmp(a));
    files
}

fn is_library_name(name: &str) -> bool {
    if cfg!(windows) {
        name == "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        name.starts_with("libonnxruntime.") && name.ends_with(".dylib")
    } else {
        name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
    }
}

/// The version in a library's file name: `1.32.0` of `libonnxruntime.so.1.32.0`
/// and of `libonnxruntime.1.32.0.dylib`.
pub fn version_in_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let rest = name.strip_prefix("libonnxruntime.")?;
    let version = rest
        .strip_prefix("so.")
        .or_else(|| rest.strip_suffix(".dylib"))?;
    version
        .chars()
        .all(|c| c.is_ascii_digit() || c == '.')
        .then(|| version.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_file_name() {
        let version = |name: &str| version_in_name(Path::new(name));
        assert_eq!(
            version("/x/libonnxruntime.so.1.32.0").as_deref(),
            Some("1.32.0")
        );
        assert_eq!(
            version("/x/libonnxruntime.1.24.2.dylib").as_deref(),
            Some("1.24.2")
        );
        assert_eq!(version("/x/libonnxruntime.so"), None);
    }

    #[test]
    fn looks_behind_the_scripts_of_pyenv() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("version"), "3.11.7\n").unwrap();
        let version = env::var("PYENV_VERSION").unwrap_or("3.11.7".to_string());
        assert_eq!(
            behind_shim(&root.path().join("shims/python3")),
            Some(root.path().join("versions").join(version))
        );
        assert_eq!(behind_shim(&root.path().join("bin/python3")), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn finds_the_package_of_a_python_without_running_it() {
        let prefix = tempfile::tempdir().unwrap();
        let capi = prefix
            .path()
            .join("lib/python3.12/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        for name in [
            "libonnxruntime.so.1.32.0",
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.so",
        ] {
            std::fs::write(capi.join(name), b"").unwrap();
        }
        let found: Vec<PathBuf> = packages_in(prefix.path())
            .iter()
            .flat_map(|folder| libraries_in(folder))
            .collect();
        assert_eq!(found, [capi.join("libonnxruntime.so.1.32.0")]);
    }
}
