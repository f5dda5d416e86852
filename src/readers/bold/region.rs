//! What of a volume makes a row: all voxels, those inside a mask, or parcels.

use std::path::{Path, PathBuf};

use datafusion::common::Result;
use voxql_udfs::kernels::brain::epi_mask::EpiMask;
use voxql_udfs::kernels::brain::parcels::Parcels;
use voxql_udfs::kernels::brain::resample::{Interpolation, Resampler};

use super::request::{Atlas, BrainMask, MaskChoice, Request};
use crate::readers::bids::pairs::Pairs;
use crate::readers::format::file_error;
use crate::readers::masks;
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::mask::{self, Mask};
use crate::readers::nifti::volumes::{Volumes, all_voxels, c_order};

/// A row's voxels, on the grid on which they are read.
#[derive(Debug, Clone)]
pub struct Region {
    /// The run's own, or that which it is resampled to.
    pub grid: Grid,
    /// Positions in a volume of that grid (x fastest), in C order (z fastest).
    pub voxels: Vec<u32>,
    /// Where a row has parcels.
    pub parcels: Option<Parcels>,
}

/// The files that choose a region of an image; where they and the grid are the same, so is it.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    image: Grid,
    mask: MaskFile,
    atlas: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
enum MaskFile {
    All,
    At(PathBuf),
    /// Computed from the run: not known before it is read.
    Computed,
}

impl Choice {
    /// Finds the files that a run's region is made from; reads none of them.
    pub fn of(path: &Path, image: Grid, request: &Request, pairs: &mut Pairs) -> Result<Self> {
        let mask = match &request.mask {
            MaskChoice::None => MaskFile::All,
            MaskChoice::File(pattern) => MaskFile::At(mask::fill(pattern, path)?),
            MaskChoice::Brain(BrainMask::Epi) => MaskFile::Computed,
            MaskChoice::Brain(choice) => match pairs.brain_mask(path)? {
                Some(mask) => MaskFile::At(mask),
                None if *choice == BrainMask::Auto => MaskFile::Computed,
                None => {
                    return Err(file_error(
                        path,
                        "no brain mask stands beside it (the same name with desc-brain_mask); \
                         give mask, or brain_mask => 'auto' to compute one",
                    ));
                }
            },
        };
        if mask == MaskFile::Computed && request.atlas.is_some() {
            return Err(file_error(
                path,
                "which parcels are left cannot be known before its mask is computed; \
                 give mask, or leave brain_mask out",
            ));
        }
        let atlas = match &request.atlas {
            Some(atlas) => Some(mask::fill(&atlas.path, path)?),
            None => None,
        };
        Ok(Self { image, mask, atlas })
    }

    /// Voxels of a row, if no file says fewer; `None` where one does.
    pub fn voxels_without_files(&self) -> Option<usize> {
        let all = self.mask == MaskFile::All && self.atlas.is_none();
        all.then(|| self.image.shape.iter().product())
    }

    pub fn is_computed(&self) -> bool {
        self.mask == MaskFile::Computed
    }

    /// Reads the files, and the run itself where its mask is computed.
    pub fn region(&self, path: &Path, request: &Request) -> Result<Region> {
        let mask = match &self.mask {
            MaskFile::At(file) => Some(Mask::read(file)?),
            _ => None,
        };
        let atlas = match (&request.atlas, &self.atlas) {
            (Some(atlas), Some(file)) => Some(Labels::read(file, atlas)?),
            _ => None,
        };
        let grid = match (request.resample.bold, &mask, &atlas) {
            (true, Some(mask), _) => mask.grid,
            (true, None, Some(atlas)) => atlas.grid,
            _ => self.image,
        };
        let voxels = match (&self.mask, mask) {
            (MaskFile::At(file), Some(mask)) => {
                on_grid(path, &grid, file, mask, request.resample.mask)?
            }
            (MaskFile::Computed, _) => {
                masks::epi_mask::of_file(path, &EpiMask::default())?.positions
            }
            _ => all_voxels(path, grid.shape)?,
        };
        let parcels = match (atlas, &self.atlas) {
            (Some(atlas), Some(file)) => {
                Some(atlas.parcels(path, &grid, file, &voxels, request.resample.atlas)?)
            }
            _ => None,
        };
        Ok(Region {
            grid,
            voxels,
            parcels,
        })
    }
}

impl Region {
    /// Elements of a row.
    pub fn length(&self) -> usize {
        match &self.parcels {
            Some(parcels) => parcels.labels.len(),
            None => self.voxels.len(),
        }
    }
}

/// The mask's voxels on `grid`.
fn on_grid(path: &Path, grid: &Grid, file: &Path, mask: Mask, resample: bool) -> Result<Vec<u32>> {
    if !resample {
        grid.check_fit(path, "mask", file, &mask.grid)?;
        return Ok(mask.voxels);
    }
    let mut inside = vec![0.0f32; mask.grid.shape.iter().product()];
    for &voxel in &mask.voxels {
        inside[voxel as usize] = 1.0;
    }
    let inside = nearest(&inside, &mask.grid, grid, file)?;
    let voxels = c_order(grid.shape, |position| inside[position] != 0.0);
    match voxels.is_empty() {
        true => Err(file_error(
            path,
            format!(
                "lies wholly outside of the mask {}: no voxel is left",
                file.display()
            ),
        )),
        false => Ok(voxels),
    }
}

/// An atlas: its labels, x fastest, exactly.
struct Labels {
    grid: Grid,
    values: Vec<f64>,
    background: i64,
}

impl Labels {
    fn read(file: &Path, atlas: &Atlas) -> Result<Self> {
        let mut volumes = Volumes::open(file)?;
        let header = &volumes.header;
        if header.volumes != 1 {
            let n = header.volumes;
            return Err(file_error(
                file,
                format!(
                    "an atlas must be 3-D, with one label per voxel; this image has {n} volumes"
                ),
            ));
        }
        let grid = Grid::of(header);
        let encoding = header.encoding;
        let mut values = Vec::with_capacity(header.voxels());
        encoding.decode::<f64>(volumes.read_raw()?, &mut values);
        Ok(Self {
            grid,
            values,
            background: atlas.background,
        })
    }

    fn parcels(
        self,
        path: &Path,
        grid: &Grid,
        file: &Path,
        voxels: &[u32],
        resample: bool,
    ) -> Result<Parcels> {
        let values = match resample {
            true => nearest(&self.values, &self.grid, grid, file)?,
            false => {
                grid.check_fit(path, "atlas", file, &self.grid)?;
                self.values
            }
        };
        let labels: Vec<f64> = voxels.iter().map(|&v| values[v as usize]).collect();
        Parcels::new(&labels, self.background).map_err(|message| file_error(file, message))
    }
}

/// A volume on another grid, voxel by nearest voxel.
fn nearest<T: voxql_udfs::kernels::signal::Sample>(
    values: &[T],
    from: &Grid,
    to: &Grid,
    file: &Path,
) -> Result<Vec<T>> {
    let resampler = Resampler::new(
        from.shape,
        &from.affine,
        to.shape,
        &to.affine,
        Interpolation::Nearest,
    );
    let mut resampler = resampler.map_err(|message| file_error(file, message))?;
    let mut moved = vec![T::from_f64(0.0); to.shape.iter().product()];
    resampler.apply(values, &mut moved);
    Ok(moved)
}
