//! The two names of a `.hdr`/`.img` pair.

use std::path::{Path, PathBuf};

use datafusion::common::Result;

use crate::access::scope;
use crate::readers::format::file_error;

/// `.img.gz` goes with `.hdr.gz` first, as writers make them, but either half may be
/// compressed alone.
const HEADERS: [&str; 2] = [".hdr", ".hdr.gz"];
const IMAGES: [&str; 2] = [".img", ".img.gz"];

/// The file that has the header: `path` itself, or the `.hdr` beside an `.img`.
///
/// Errors if there is no `.hdr`.
pub fn header_of(path: &Path) -> Result<PathBuf> {
    // Before it is said what lies beside it.
    scope::check(path)?;
    if half(path, IMAGES).is_none() {
        return Ok(path.to_owned());
    }
    other(path, IMAGES, HEADERS).ok_or_else(|| {
        file_error(
            path,
            "half of a .hdr/.img pair: there is no .hdr or .hdr.gz of this name beside it",
        )
    })
}

/// The file that has the voxels of a header that says they are not in its own.
///
/// Errors if there is none, and for a header that is not called `.hdr`.
pub fn image_of(header: &Path) -> Result<PathBuf> {
    if half(header, HEADERS).is_none() {
        return Err(file_error(
            header,
            "its header says that it is half of a .hdr/.img pair, but it is not called .hdr; \
             rename it, or make one file of both",
        ));
    }
    other(header, HEADERS, IMAGES).ok_or_else(|| {
        file_error(
            header,
            "half of a .hdr/.img pair: there is no .img or .img.gz of this name beside it",
        )
    })
}

/// The files without the `.img` halves of pairs of which the `.hdr` is among them too: a
/// glob like `ds/*` names both.
pub fn once(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    let headers: Vec<PathBuf> = files
        .iter()
        .filter(|path| half(path, HEADERS).is_some())
        .cloned()
        .collect();
    files.retain(|path| match other(path, IMAGES, HEADERS) {
        Some(header) => !headers.contains(&header),
        None => true,
    });
    files
}

/// Which of `endings` the name has, and the path without it.
fn half(path: &Path, endings: [&str; 2]) -> Option<(usize, String)> {
    let text = path.to_str()?;
    let with = |(at, ending): (usize, &&str)| Some((at, text.strip_suffix(ending)?.to_owned()));
    endings.iter().enumerate().find_map(with)
}

/// The other half of a pair, if it is there: first the one that is compressed alike.
fn other(path: &Path, from: [&str; 2], to: [&str; 2]) -> Option<PathBuf> {
    let (at, stem) = half(path, from)?;
    [to[at], to[1 - at]]
        .map(|ending| PathBuf::from(format!("{stem}{ending}")))
        .into_iter()
        // A link to nothing is a file that was not fetched: opening it says so.
        .find(|path| path.exists() || path.is_symlink())
}
