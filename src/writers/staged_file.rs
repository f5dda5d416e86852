//! A file beside its place, which takes it when it is whole.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file in the folder of `target`, which is made if need be. Dropped, it leaves nothing.
pub fn beside(target: &Path) -> io::Result<NamedTempFile> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".voxql-copy-");
    #[cfg(unix)]
    {
        // As other programs create files; the user's umask is applied.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
