//! `epi_mask`: the brain mask of each run, from its mean image.

use std::path::{Path, PathBuf};

use datafusion::common::Result;
use voxql_udfs::kernels::brain::epi_mask::EpiMask;

use super::mean::{self, Volume};
use super::rows::{self, Rows};
use super::{Voxels, wrong};
use crate::readers::files::leave_out_empty;
use crate::readers::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, ParameterKind,
    file_error,
};
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::pair;
use crate::readers::nifti::volumes::Volumes;

/// The brain mask of each file, as nilearn's `compute_epi_mask`; one row is one voxel inside.
#[derive(Debug)]
pub struct EpiMasks;

/// The arguments of a mask from a mean image.
pub(super) const PARAMETERS: [Parameter; 6] = [
    Parameter {
        name: "lower_cutoff",
        kind: ParameterKind::Float,
        default: "0.2",
        description: "The threshold is put above this share of the voxels, the darkest. \
                      Where a mask fails, a larger one often helps.",
    },
    Parameter {
        name: "upper_cutoff",
        kind: ParameterKind::Float,
        default: "0.85",
        description: "The threshold is put below the rest of the voxels, the brightest.",
    },
    Parameter {
        name: "opening",
        kind: ParameterKind::IntegerOrBoolean,
        default: "2",
        description: "How many times the mask is eroded, to cut off what is not brain; it is dilated twice as many \
                      times and eroded again. 0 (or false) leaves that out, and the smoothing of the mean image by \
                      one voxel too. Outside the volume is background, so a mask shrinks at its edges.",
    },
    Parameter {
        name: "connected",
        kind: ParameterKind::Boolean,
        default: "true",
        description: "Keeps only the largest component.",
    },
    Parameter {
        name: "exclude_zeros",
        kind: ParameterKind::Boolean,
        default: "false",
        description: "Voxels that are exactly 0 do not count when the threshold is looked for: for images padded with zeros.",
    },
    Parameter {
        name: "ensure_finite",
        kind: ParameterKind::Boolean,
        default: "true",
        description: "NaN and infinities in the mean image count as 0.",
    },
];

impl Format for EpiMasks {
    fn function(&self) -> &'static str {
        "epi_mask"
    }

    fn stored_as(&self) -> &'static str {
        "EPI_MASK"
    }

    fn description(&self) -> &'static str {
        "The brain mask of each run of raw EPI images, voxel for voxel that of nilearn's `compute_epi_mask`: the mean over \
         time is thresholded in the widest gap of its sorted values, opened, and reduced to its largest component. A 3-D image \
         is taken as it is. One row is one voxel inside the mask, in C order (z fastest): \
         `i`, `j`, `k` (Int64, voxel indices from 0) and `x`, `y`, `z` (Float64, millimetres by the affine).\n\n\
         Each file is read once, with one volume and the mean in memory. Where all files have one shape and affine, the fields \
         `i`, `j` and `k` carry them as metadata, and `COPY … STORED AS NIFTI` writes the mask back as an image; otherwise there is \
         no such metadata. A mask without a voxel is an error that says what to try.\n\n\
         ```sql\n\
         COPY (SELECT i, j, k FROM epi_mask('sub-01_task-movie_bold.nii.gz')) TO 'mask.nii.gz' STORED AS NIFTI;\n\
         ```"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &BOLD
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Files
    }

    fn parameters(&self) -> &'static [Parameter] {
        &PARAMETERS
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        epi_options(self.function(), options)?;
        let (files, grids) = runs(self.function(), files)?;
        let grid = grids
            .first()
            .filter(|first| grids.iter().all(|grid| grid == *first));
        Ok(Description {
            schema: rows::schema(grid),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let options = epi_options(self.function(), &scan.options)?;
        Ok(Box::new(Rows::new(scan, of_file(&scan.path, &options)?)))
    }
}

/// What a directory is searched for.
pub(super) const BOLD: [&str; 4] = ["_bold.nii.gz", "_bold.nii", "_bold.hdr", "_bold.hdr.gz"];

/// The brain mask of a run (or of a 3-D image), as `epi_mask` has it.
///
/// Errors for what is no image, and for an empty mask.
pub fn of_file(path: &Path, options: &EpiMask) -> Result<Voxels> {
    let (grid, inside) = inside(path, options)?;
    Ok(Voxels::new(grid, &inside))
}

/// Whether each voxel, x fastest, is inside the run's mask.
pub(super) fn inside(path: &Path, options: &EpiMask) -> Result<(Grid, Vec<bool>)> {
    let (grid, mean) = mean::read(path)?;
    let inside = match mean {
        Volume::Single(mut mean) => options.of(&mut mean, grid.shape),
        Volume::Double(mut mean) => options.of(&mut mean, grid.shape),
    };
    Ok((grid, inside.map_err(|message| file_error(path, message))?))
}

/// The files that are not empty, and their grids.
pub(super) fn runs(function: &str, files: Vec<PathBuf>) -> Result<(Vec<PathBuf>, Vec<Grid>)> {
    let files = leave_out_empty(function, pair::once(files))?;
    let grid = |path: &PathBuf| mean::grid(path, &Volumes::open(path)?.header);
    let grids = files.iter().map(grid).collect::<Result<Vec<_>>>()?;
    Ok((files, grids))
}

/// How masks are made, from a call's arguments; what is not given is nilearn's default.
pub fn epi_options(function: &str, options: &Options) -> Result<EpiMask> {
    let default = EpiMask::default();
    let opening = match options.integer("opening") {
        None => default.opening,
        Some(times) => match usize::try_from(times) {
            Ok(times) => times,
            Err(_) => {
                let message = format!("opening is {times}; it must be 0 or more");
                return Err(wrong(function, message));
            }
        },
    };
    let flag = |name: &str, default| options.boolean(name).unwrap_or(default);
    let mask = EpiMask {
        lower_cutoff: options
            .float("lower_cutoff")
            .unwrap_or(default.lower_cutoff),
        upper_cutoff: options
            .float("upper_cutoff")
            .unwrap_or(default.upper_cutoff),
        opening,
        connected: flag("connected", default.connected),
        exclude_zeros: flag("exclude_zeros", default.exclude_zeros),
        ensure_finite: flag("ensure_finite", default.ensure_finite),
    };
    mask.check().map_err(|message| wrong(function, message))?;
    Ok(mask)
}
