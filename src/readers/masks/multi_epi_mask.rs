//! `multi_epi_mask`: the brain mask that runs have in common.

use std::path::PathBuf;

use datafusion::common::{Result, exec_err};
use voxql_udfs::kernels::brain::intersect::Intersection;

use super::epi_mask::{self, BOLD, PARAMETERS, epi_options};
use super::rows::{self, Rows};
use super::{Voxels, check_same_grid, wrong};
use crate::readers::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, ParameterKind,
};

/// One mask of all files, as nilearn's `compute_multi_epi_mask`; one row is one voxel inside.
#[derive(Debug)]
pub struct MultiEpiMask;

/// nilearn's default, of `multi_epi_mask` and `intersect_masks`.
const THRESHOLD: f64 = 0.5;

pub(super) const THRESHOLD_PARAMETER: Parameter = Parameter {
    name: "threshold",
    kind: ParameterKind::Float,
    default: "0.5",
    description: "A voxel is kept if more than this share of the masks have it: 0 is their union, 1 their \
                  intersection, and 0.5 of four masks needs three.",
};

const ALL_PARAMETERS: [Parameter; 7] = {
    let [lower, upper, opening, connected, zeros, finite] = PARAMETERS;
    let connected = Parameter {
        description: "Keeps only the largest component, of each run's mask and of the common one.",
        ..connected
    };
    [
        THRESHOLD_PARAMETER,
        lower,
        upper,
        opening,
        connected,
        zeros,
        finite,
    ]
};

impl Format for MultiEpiMask {
    fn function(&self) -> &'static str {
        "multi_epi_mask"
    }

    fn stored_as(&self) -> &'static str {
        "MULTI_EPI_MASK"
    }

    fn description(&self) -> &'static str {
        "One brain mask for all files together, as nilearn's `compute_multi_epi_mask`: the mask of each run as `epi_mask` \
         makes it, then the voxels that enough of them have. Rows are as in `epi_mask`; there are no key columns \
         and no `path`, since a row comes from all files. One run is in memory at a time, one volume of it and its mean. \
         Files whose shape or affine differ are an error that names two of them, and so is a mask without a voxel.\n\n\
         ```sql\n\
         SELECT count(*) FROM multi_epi_mask('ds/**/*_bold.nii.gz', threshold => 0.8);\n\
         ```"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &BOLD
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Files
    }

    fn reads_together(&self) -> bool {
        true
    }

    fn parameters(&self) -> &'static [Parameter] {
        &ALL_PARAMETERS
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        epi_options(self.function(), options)?;
        let (files, grids) = epi_mask::runs(self.function(), files)?;
        for (path, grid) in files.iter().zip(&grids).skip(1) {
            check_same_grid((&files[0], &grids[0]), (path, grid))?;
        }
        if let Some(grid) = grids.first() {
            common(self.function(), grid.shape, options, true)?;
        }
        Ok(Description {
            schema: rows::schema(grids.first()),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let options = epi_options(self.function(), &scan.options)?;
        let files = scan.files();
        let mut all = None;
        for path in &files {
            let (grid, inside) = epi_mask::inside(path, &options)?;
            let (first, masks) = match &mut all {
                Some(all) => all,
                None => {
                    let connected = options.connected;
                    let masks = common(self.function(), grid.shape, &scan.options, connected)?;
                    all.insert((grid, masks))
                }
            };
            check_same_grid((&files[0], first), (path, &grid))?;
            masks.add(&inside);
        }
        rows_of(self.function(), scan, all)
    }
}

/// Counts the masks that have each voxel.
pub(super) fn common(
    function: &str,
    shape: [usize; 3],
    options: &Options,
    connected: bool,
) -> Result<Intersection> {
    let threshold = options.float("threshold").unwrap_or(THRESHOLD);
    Intersection::new(shape, threshold, connected).map_err(|message| wrong(function, message))
}

/// The rows of what the masks have in common; an error if that is nothing.
pub(super) fn rows_of(
    function: &str,
    scan: &FileScan,
    all: Option<(crate::readers::nifti::grid::Grid, Intersection)>,
) -> Result<BatchIterator> {
    let Some((grid, masks)) = all else {
        return exec_err!("{function}: there is no file");
    };
    let voxels = Voxels::new(grid, &masks.finish());
    if voxels.positions.is_empty() {
        let threshold = scan.options.float("threshold").unwrap_or(THRESHOLD);
        return exec_err!(
            "{function}: no voxel is in more than {threshold} of the {} masks; \
             try a lower threshold, or look at the masks one by one",
            scan.files().len()
        );
    }
    Ok(Box::new(Rows::new(scan, voxels)))
}
