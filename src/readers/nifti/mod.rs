//! NIfTI files: headers, affines, volumes one after the other, masks; and `nifti_header`.

pub(super) mod affine;
#[allow(dead_code, reason = "what writes images parses it")]
pub(super) mod grid;
pub(super) mod header;
mod header_table;
pub(super) mod mask;
pub(super) mod pair;
pub(super) mod raw;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod volumes;

pub use self::header_table::NiftiHeader;
