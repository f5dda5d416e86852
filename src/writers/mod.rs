//! File formats that `COPY … TO` writes beside those of DataFusion.
//!
//! One format is one folder here: its OPTIONS, a [`format::OneFile`], and the sink that writes the rows.

pub(crate) mod format;
pub mod nifti;
pub(crate) mod staged_file;
pub mod wav;

use std::sync::Arc;

use datafusion::datasource::file_format::FileFormatFactory;

use self::format::{Factory, OneFile};

/// What a session registers.
pub fn factories() -> [Arc<dyn FileFormatFactory>; 2] {
    [
        Arc::new(Factory::<nifti::Settings>::new()),
        Arc::new(Factory::<wav::Settings>::new()),
    ]
}

/// Whether a format, by its name, writes one file and stages it itself.
pub fn writes_one_file(name: &str) -> bool {
    [nifti::Settings::NAME, wav::Settings::NAME].contains(&name)
}
