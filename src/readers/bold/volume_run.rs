//! A run of volumes, and which of their voxels make a row.

use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::request::Request;
use crate::readers::format::file_error;
use crate::readers::nifti::header::by_times;
use crate::readers::nifti::mask::{self, Mask};
use crate::readers::nifti::volumes::{Volumes, c_order};

/// An open image, 4-D or 3-D, and the voxels to read.
pub struct VolumeRun {
    path: PathBuf,
    volumes: Volumes,
    voxels: Vec<u32>,
}

/// The mask that was read last: files of one subject stand together.
#[derive(Default)]
pub struct Regions(Option<(PathBuf, Mask)>);

impl VolumeRun {
    pub fn open(path: &Path) -> Result<Self> {
        let volumes = Volumes::open(path)?;
        match volumes.header.dimensions {
            3 | 4 => Ok(Self {
                path: path.to_owned(),
                volumes,
                voxels: vec![],
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

    pub fn length(&self, request: &Request, regions: &mut Regions) -> Result<usize> {
        match self.mask(request, regions)? {
            Some(mask) => Ok(mask.voxels.len()),
            None => Ok(self.volumes.header.voxels()),
        }
    }

    pub fn select(&mut self, request: &Request) -> Result<usize> {
        self.voxels = match self.mask(request, &mut Regions::default())? {
            Some(mask) => mask.voxels.clone(),
            None => c_order(self.volumes.header.shape, |_| true),
        };
        self.volumes.narrow_to(&self.voxels);
        Ok(self.voxels.len())
    }

    /// The mask that is asked for, found to fit this image.
    fn mask<'a>(&self, request: &Request, regions: &'a mut Regions) -> Result<Option<&'a Mask>> {
        let Some(pattern) = &request.mask else {
            return Ok(None);
        };
        let file = mask::fill(pattern, &self.path)?;
        let mask = match regions.0.take() {
            Some((read, mask)) if read == file => mask,
            _ => Mask::read(&file)?,
        };
        mask.check(&self.path, &self.volumes.header)?;
        let (_, mask) = regions.0.insert((file, mask));
        Ok(Some(mask))
    }

    pub fn skip_to(&mut self, volume: usize) -> Result<()> {
        self.volumes.skip_to(volume)
    }

    pub fn read(&mut self, values: &mut Vec<f32>) -> Result<()> {
        self.volumes.read(&self.voxels, values)
    }
}
