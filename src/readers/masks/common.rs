//! What masks have in common: of `multi_epi_mask`, which makes them, and of `intersect_masks`.

use std::path::{Path, PathBuf};

use datafusion::common::{Result, exec_err};
use voxql_udfs::kernels::brain::intersect::Intersection;

use super::rows::Rows;
use super::{Voxels, check_same_grid, wrong};
use crate::readers::format::{BatchIterator, FileScan, Options, Parameter, ParameterKind};
use crate::readers::nifti::grid::Grid;

/// nilearn's default, of `multi_epi_mask` and `intersect_masks`.
const THRESHOLD: f64 = 0.5;

pub(super) const THRESHOLD_PARAMETER: Parameter = Parameter {
    name: "threshold",
    kind: ParameterKind::Float,
    default: "0.5",
    description: "A voxel is kept if more than this share of the masks have it: 0 is their union, 1 their \
                  intersection, and 0.5 of four masks needs three.",
};

/// Errors unless all files lie on one grid and the arguments are right.
pub(super) fn check(
    function: &str,
    files: &[PathBuf],
    grids: &[Grid],
    options: &Options,
) -> Result<()> {
    for (path, grid) in files.iter().zip(grids).skip(1) {
        check_same_grid((&files[0], &grids[0]), (path, grid))?;
    }
    if let Some(grid) = grids.first() {
        intersection(function, grid.shape, options, true)?;
    }
    Ok(())
}

/// The rows of what the masks of all files have in common, each made by `inside` (whether each voxel, x fastest,
/// is); an error if that is nothing. One image at a time is in memory.
pub(super) fn open(
    function: &str,
    scan: &FileScan,
    connected: bool,
    inside: impl Fn(&Path) -> Result<(Grid, Vec<bool>)>,
) -> Result<BatchIterator> {
    let files = scan.files();
    let mut all = None;
    for path in &files {
        let (grid, inside) = inside(path)?;
        let (first, masks) = match &mut all {
            Some(all) => all,
            None => {
                let masks = intersection(function, grid.shape, &scan.options, connected)?;
                all.insert((grid, masks))
            }
        };
        check_same_grid((&files[0], first), (path, &grid))?;
        masks.add(&inside);
    }
    let Some((grid, masks)) = all else {
        return exec_err!("{function}: there is no file");
    };
    let voxels = Voxels::new(grid, &masks.finish());
    if voxels.positions.is_empty() {
        let threshold = threshold(&scan.options);
        return exec_err!(
            "{function}: no voxel is in more than {threshold} of the {} masks; \
             try a lower threshold, or look at the masks one by one",
            files.len()
        );
    }
    Ok(Box::new(Rows::new(scan, voxels)))
}

/// Counts the masks that have each voxel.
fn intersection(
    function: &str,
    shape: [usize; 3],
    options: &Options,
    connected: bool,
) -> Result<Intersection> {
    Intersection::new(shape, threshold(options), connected)
        .map_err(|message| wrong(function, message))
}

fn threshold(options: &Options) -> f64 {
    options.float("threshold").unwrap_or(THRESHOLD)
}
