//! File formats that `COPY … TO` writes beside those of DataFusion.
//!
//! One format is one folder here: a [`FileFormatFactory`] that the session registers under the
//! name after `STORED AS`, and the sink that writes the rows.
//!
//! [`FileFormatFactory`]: datafusion::datasource::file_format::FileFormatFactory

pub mod nifti;
