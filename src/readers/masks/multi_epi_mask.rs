//! `multi_epi_mask`: the brain mask that runs have in common.

use std::path::PathBuf;

use datafusion::common::Result;

use super::common::{self, THRESHOLD_PARAMETER};
use super::epi_mask::{self, BOLD, PARAMETERS, epi_options};
use super::rows;
use crate::readers::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter,
};

/// One mask of all files, as nilearn's `compute_multi_epi_mask`; one row is one voxel inside.
#[derive(Debug)]
pub struct MultiEpiMask;

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
        common::check(self.function(), &files, &grids, options)?;
        Ok(Description {
            schema: rows::schema(grids.first()),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let options = epi_options(self.function(), &scan.options)?;
        common::open(self.function(), scan, options.connected, |path| {
            epi_mask::inside(path, &options)
        })
    }
}
