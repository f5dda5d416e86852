//! An open run, whatever its file's kind.

use std::path::Path;

use datafusion::common::Result;

use super::request::Request;
use super::volume_run::{Length, Regions, VolumeRun};

/// Rows of numbers, one per time point, read one after the other.
pub enum Run {
    Volumes(Box<VolumeRun>),
}

impl Run {
    /// Reads the header.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self::Volumes(Box::new(VolumeRun::open(path)?)))
    }

    /// Time points.
    pub fn rows(&self) -> usize {
        match self {
            Self::Volumes(run) => run.rows(),
        }
    }

    /// Seconds between rows, as the file itself says.
    pub fn repetition_time(&self) -> Option<f64> {
        match self {
            Self::Volumes(run) => run.repetition_time(),
        }
    }

    /// Elements of a row, as [`Run::select`] will find it.
    pub fn length(&self, request: &Request, regions: &mut Regions) -> Result<Length> {
        match self {
            Self::Volumes(run) => run.length(request, regions),
        }
    }

    /// Says what to read of each row, before the first; gives its number of elements.
    pub fn select(&mut self, request: &Request) -> Result<usize> {
        match self {
            Self::Volumes(run) => run.select(request),
        }
    }

    /// Passes over rows up to this one, which must not have been read.
    pub fn skip_to(&mut self, row: usize) -> Result<()> {
        match self {
            Self::Volumes(run) => run.skip_to(row),
        }
    }

    /// Appends the elements of the next row.
    pub fn read(&mut self, values: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Volumes(run) => run.read(values),
        }
    }
}
