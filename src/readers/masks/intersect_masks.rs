//! `intersect_masks`: the voxels that mask images have in common.

use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::common::{self, THRESHOLD_PARAMETER};
use super::rows;
use crate::readers::files::leave_out_empty;
use crate::readers::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, ParameterKind,
    file_error,
};
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::header::Header;
use crate::readers::nifti::pair;
use crate::readers::nifti::volumes::Volumes;

/// What mask images have in common, as nilearn's `intersect_masks`; one row is one voxel.
#[derive(Debug)]
pub struct IntersectMasks;

impl Format for IntersectMasks {
    fn function(&self) -> &'static str {
        "intersect_masks"
    }

    fn stored_as(&self) -> &'static str {
        "INTERSECT_MASKS"
    }

    fn description(&self) -> &'static str {
        "The voxels that mask images have in common, as nilearn's `intersect_masks`. Images are 3-D, 0 outside and one other \
         value inside. Rows are as in `epi_mask`, without key columns and `path`, since a row comes from all files. \
         Files whose shape or affine differ are an error that names two of them; an empty mask may be among them, but \
         nothing left in the end is an error."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["_mask.nii.gz", "_mask.nii", "_mask.hdr", "_mask.hdr.gz"]
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Files
    }

    fn reads_together(&self) -> bool {
        true
    }

    fn parameters(&self) -> &'static [Parameter] {
        const {
            &[
                THRESHOLD_PARAMETER,
                Parameter {
                    name: "connected",
                    kind: ParameterKind::Boolean,
                    default: "true",
                    description: "Keeps only the largest component of the result.",
                },
            ]
        }
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let files = leave_out_empty(self.function(), pair::once(files))?;
        let grid = |path: &PathBuf| grid(path, &Volumes::open(path)?.header);
        let grids = files.iter().map(grid).collect::<Result<Vec<_>>>()?;
        common::check(self.function(), &files, &grids, options)?;
        Ok(Description {
            schema: rows::schema(grids.first()),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let connected = scan.options.boolean("connected").unwrap_or(true);
        common::open(self.function(), scan, connected, read)
    }
}

fn grid(path: &Path, header: &Header) -> Result<Grid> {
    if header.volumes != 1 {
        let volumes = header.volumes;
        return Err(file_error(
            path,
            format!("a mask must be 3-D, this image has {volumes} volumes"),
        ));
    }
    Ok(Grid::of(header))
}

/// Whether each voxel, x fastest, is inside; none may be.
fn read(path: &Path) -> Result<(Grid, Vec<bool>)> {
    let mut file = Volumes::open(path)?;
    let header = file.header.clone();
    let grid = grid(path, &header)?;
    let mut inside = vec![false; header.voxels()];
    let mut value_inside = None;
    let mut problem = None;
    let encoding = header.encoding;
    encoding.for_each(file.read_raw()?, |at, value: f64| {
        inside[at] = value != 0.0;
        if !inside[at] {
            return;
        }
        let first = *value_inside.get_or_insert(value);
        if value.is_nan() {
            problem = Some("a mask cannot hold NaN; make them 0".to_owned());
        } else if value != first && !first.is_nan() {
            problem = Some(format!(
                "a mask has one value beside 0, this one has {first} and {value} at least; \
                 make it 0 and 1, by a threshold for example"
            ));
        }
    });
    match problem {
        None => Ok((grid, inside)),
        Some(problem) => Err(file_error(path, problem)),
    }
}
