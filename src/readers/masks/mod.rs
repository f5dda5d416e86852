//! Brain masks as tables, one row per voxel inside: `epi_mask`, `multi_epi_mask`, `intersect_masks`.
//!
//! The mathematics is in `voxql_udfs::kernels::brain`. Here images go through it volume by
//! volume ([`mean`]), and masks become rows ([`rows`]).

mod common;
pub mod epi_mask;
mod intersect_masks;
mod mean;
mod multi_epi_mask;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;

use datafusion::common::{DataFusionError, Result};

pub use epi_mask::EpiMasks;
pub use intersect_masks::IntersectMasks;
pub use multi_epi_mask::MultiEpiMask;

use crate::readers::format::file_error;
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::header::by_times;
use crate::readers::nifti::volumes::c_order;

/// The voxels of one image that are inside a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct Voxels {
    pub grid: Grid,
    /// Positions in a file of this grid (x fastest), listed in C order (z fastest).
    pub positions: Vec<u32>,
}

impl Voxels {
    /// `inside` says of each voxel, x fastest, whether it is.
    fn new(grid: Grid, inside: &[bool]) -> Self {
        Self {
            grid,
            positions: c_order(grid.shape, |position| inside[position]),
        }
    }
}

/// Errors, naming both files, unless two images lie on the same grid: the same shape and, nearly,
/// the same affine.
fn check_same_grid(first: (&Path, &Grid), other: (&Path, &Grid)) -> Result<()> {
    let ((first_path, first), (path, other)) = (first, other);
    if first.shape != other.shape {
        return Err(file_error(
            path,
            format!(
                "has {} voxels, {} has {}; resample one to the other",
                by_times(&other.shape),
                first_path.display(),
                by_times(&first.shape)
            ),
        ));
    }
    if !first.lies_with(other) {
        return Err(file_error(
            path,
            format!(
                "lies elsewhere than {}: its affine is {:?}, the other's {:?}; \
                 resample one to the other",
                first_path.display(),
                other.affine,
                first.affine
            ),
        ));
    }
    Ok(())
}

/// An argument that is wrong whatever the files are.
fn wrong(function: &str, message: String) -> DataFusionError {
    DataFusionError::Plan(format!("{function}: {message}"))
}
