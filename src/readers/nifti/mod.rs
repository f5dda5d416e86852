//! NIfTI files: headers, affines, volumes one after the other, masks; and `nifti_header`.

pub(crate) mod affine;
pub(crate) mod grid;
pub(crate) mod header;
mod header_table;
pub(crate) mod mask;
pub(crate) mod pair;
pub(crate) mod raw;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod volumes;

pub use self::header_table::NiftiHeader;
