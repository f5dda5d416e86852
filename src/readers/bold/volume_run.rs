//! A run of volumes, and how each becomes a row.

use std::path::{Path, PathBuf};

use datafusion::common::Result;
use voxql_udfs::kernels::brain::parcels::Strategy;
use voxql_udfs::kernels::brain::resample::Resampler;
use voxql_udfs::kernels::brain::smooth::Smoother;

use super::region::{Choice, Region};
use super::request::Request;
use crate::readers::bids::pairs::Pairs;
use crate::readers::format::file_error;
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::header::by_times;
use crate::readers::nifti::volumes::Volumes;

/// An open image, 4-D or 3-D, and what to read of it.
pub struct VolumeRun {
    path: PathBuf,
    volumes: Volumes,
    /// `None` until [`VolumeRun::select`].
    rows: Option<Rows>,
}

/// How a volume becomes a row: resampled, smoothed, masked and averaged, each if asked for.
struct Rows {
    region: Region,
    strategy: Strategy,
    whole: Option<Whole>,
    /// The voxels of a row, before they become parcels.
    masked: Vec<f32>,
}

/// What takes a volume whole, not only the voxels of the row.
struct Whole {
    /// All positions of the file's volumes, in their order.
    all: Vec<u32>,
    resampler: Option<Resampler>,
    smoother: Option<Smoother>,
    /// As read, and resampled.
    buffers: [Vec<f32>; 2],
}

/// What several runs share.
#[derive(Default)]
pub struct Regions {
    pairs: Pairs,
    /// The region that was made last: files of one subject stand together.
    last: Option<(Choice, Region)>,
}

/// Elements of a row, as far as is known before the run is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Length {
    Known(usize),
    /// Of parcels with these labels.
    Parcels(Vec<i64>),
    AtMost(usize),
}

impl Length {
    /// The most elements that a row may have.
    pub fn most(&self) -> usize {
        match self {
            Self::Known(count) | Self::AtMost(count) => *count,
            Self::Parcels(labels) => labels.len(),
        }
    }
}

impl VolumeRun {
    pub fn open(path: &Path) -> Result<Self> {
        let volumes = Volumes::open(path)?;
        match volumes.header.dimensions {
            3 | 4 => Ok(Self {
                path: path.to_owned(),
                volumes,
                rows: None,
            }),
            n => Err(file_error(
                path,
                format!(
                    "is {n}-D ({}); read_bold reads 4-D images, whose last dimension is time, \
                     and 3-D ones as one volume",
                    by_times(&volumes.header.shape[..n.min(3)])
                ),
            )),
        }
    }

    pub fn rows(&self) -> usize {
        self.volumes.header.volumes
    }

    pub fn repetition_time(&self) -> Option<f64> {
        self.volumes.header.repetition_time
    }

    fn choice(&self, request: &Request, pairs: &mut Pairs) -> Result<Choice> {
        Choice::of(&self.path, Grid::of(&self.volumes.header), request, pairs)
    }

    pub fn length(&self, request: &Request, regions: &mut Regions) -> Result<Length> {
        let choice = self.choice(request, &mut regions.pairs)?;
        if choice.is_computed() {
            return Ok(Length::AtMost(self.volumes.header.voxels()));
        }
        if let Some(voxels) = choice.voxels_without_files() {
            return Ok(Length::Known(voxels));
        }
        let region = match regions.last.take() {
            Some((known, region)) if known == choice => region,
            _ => choice.region(&self.path, request)?,
        };
        let (_, region) = regions.last.insert((choice, region));
        Ok(match &region.parcels {
            Some(parcels) => Length::Parcels(parcels.labels.clone()),
            None => Length::Known(region.length()),
        })
    }

    pub fn select(&mut self, request: &Request) -> Result<usize> {
        let choice = self.choice(request, &mut Pairs::default())?;
        let region = choice.region(&self.path, request)?;
        let length = region.length();
        let whole = self.whole(request, &region.grid)?;
        if whole.is_none() {
            self.volumes.narrow_to(&region.voxels);
        }
        self.rows = Some(Rows {
            region,
            strategy: request
                .atlas
                .as_ref()
                .map_or(Strategy::Mean, |a| a.strategy),
            whole,
            masked: vec![],
        });
        Ok(length)
    }

    fn whole(&self, request: &Request, grid: &Grid) -> Result<Option<Whole>> {
        // Positions of all voxels are four bytes each, and few requests need them.
        if !request.resample.bold && request.fwhm.is_none() {
            return Ok(None);
        }
        let header = &self.volumes.header;
        let wrong = |message| file_error(&self.path, message);
        let resampler = match request.resample.bold {
            true => Some(Resampler::new(
                header.shape,
                &header.affine,
                grid.shape,
                &grid.affine,
                request.interpolation,
            )),
            false => None,
        };
        let smoother = request
            .fwhm
            .map(|fwhm| Smoother::new(grid.shape, &grid.affine, fwhm));
        let whole = Whole {
            all: (0..header.voxels() as u32).collect(),
            resampler: resampler.transpose().map_err(wrong)?,
            smoother: smoother.transpose().map_err(wrong)?,
            buffers: [vec![], vec![0.0; grid.shape.iter().product()]],
        };
        Ok(Some(whole))
    }

    pub fn skip_to(&mut self, volume: usize) -> Result<()> {
        self.volumes.skip_to(volume)
    }

    pub fn read(&mut self, values: &mut Vec<f32>) -> Result<()> {
        let Some(rows) = &mut self.rows else {
            return Err(file_error(&self.path, "read before what to read was said"));
        };
        let Rows {
            region,
            strategy,
            whole,
            masked,
        } = rows;
        let row = match &region.parcels {
            Some(_) => {
                masked.clear();
                &mut *masked
            }
            None => &mut *values,
        };
        match whole {
            None => self.volumes.read(&region.voxels, row)?,
            Some(whole) => {
                let volume = whole.next(&mut self.volumes)?;
                row.extend(region.voxels.iter().map(|&voxel| volume[voxel as usize]));
            }
        }
        if let Some(parcels) = &mut region.parcels {
            parcels.reduce(*strategy, masked, values);
        }
        Ok(())
    }
}

impl Whole {
    /// The next volume, resampled first and then smoothed, as nilearn's maskers do.
    fn next(&mut self, volumes: &mut Volumes) -> Result<&[f32]> {
        let [read, moved] = &mut self.buffers;
        read.clear();
        volumes.read(&self.all, read)?;
        let volume = match &mut self.resampler {
            Some(resampler) => {
                resampler.apply(read, moved);
                moved
            }
            None => read,
        };
        if let Some(smoother) = &mut self.smoother {
            smoother.apply(volume);
        }
        Ok(volume)
    }
}
