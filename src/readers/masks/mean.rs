//! The mean image of a run, in one pass: one volume and the sum are in memory.

use std::path::Path;

use datafusion::common::Result;
use nifti::NiftiType;

use crate::readers::format::file_error;
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::header::{Header, by_times};
use crate::readers::nifti::volumes::Volumes;

/// A volume in the type in which nilearn computes with it.
#[derive(Debug, Clone, PartialEq)]
pub enum Volume {
    Single(Vec<f32>),
    Double(Vec<f64>),
}

/// The grid of a 3-D or 4-D image; an error for others.
pub fn grid(path: &Path, header: &Header) -> Result<Grid> {
    match header.dimensions {
        3 | 4 => Ok(Grid::of(header)),
        n => Err(file_error(
            path,
            format!(
                "is {n}-D ({}); a brain mask is made from a 4-D run or a 3-D image",
                by_times(&header.shape[..n.min(3)])
            ),
        )),
    }
}

/// The mean over time of a 4-D image; a 3-D one as it is.
///
/// The mean of float32 images is summed in float32 and that of all others in float64, volume after
/// volume, which is bit for bit what NumPy gives for an image as nibabel reads it. A 3-D image of
/// integers of up to 32 bits becomes float32, as where nilearn smooths one.
pub fn read(path: &Path) -> Result<(Grid, Volume)> {
    let mut file = Volumes::open(path)?;
    let header = file.header.clone();
    let grid = grid(path, &header)?;
    let encoding = header.encoding;
    let has_time = header.dimensions == 4;
    let is_wide = match encoding.data_type {
        NiftiType::Float32 => false,
        NiftiType::Float64 | NiftiType::Int64 | NiftiType::Uint64 => true,
        _ => has_time,
    };
    let voxels = header.voxels();
    let volume = if is_wide || encoding.scaling.is_some() {
        let mut sum = vec![0f64; voxels];
        for _ in 0..header.volumes {
            encoding.for_each(file.read_raw()?, |at, value: f64| sum[at] += value);
        }
        let n = header.volumes as f64;
        sum.iter_mut().for_each(|sum| *sum /= n);
        Volume::Double(sum)
    } else {
        let mut sum = vec![0f32; voxels];
        for _ in 0..header.volumes {
            encoding.for_each(file.read_raw()?, |at, value: f32| sum[at] += value);
        }
        let n = header.volumes as f32;
        sum.iter_mut().for_each(|sum| *sum /= n);
        Volume::Single(sum)
    };
    Ok((grid, volume))
}
