//! An open run, whatever its file's kind.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use datafusion::common::Result;

use super::repetition_time::RepetitionTime;
use super::request::Request;
use super::surface_run::SurfaceRun;
use super::volume_run::{Length, Regions, VolumeRun};

/// Rows of numbers, one per time point, read one after the other.
pub enum Run {
    Volumes(Box<VolumeRun>),
    Surface(Box<SurfaceRun>),
}

impl Run {
    /// Reads the header. What kind of file it is, is told by its content; GIFTI by its name.
    pub fn open(path: &Path) -> Result<Self> {
        match SurfaceRun::open(path)? {
            Some(run) => Ok(Self::Surface(Box::new(run))),
            None => Ok(Self::Volumes(Box::new(VolumeRun::open(path)?))),
        }
    }

    /// Time points.
    pub fn rows(&self) -> usize {
        match self {
            Self::Volumes(run) => run.rows(),
            Self::Surface(run) => run.rows(),
        }
    }

    /// The time between rows; `given` is the argument `tr`. `None` for one row that needs none, and for maps.
    pub fn time(&self, path: &Path, given: Option<f64>) -> Result<Option<RepetitionTime>> {
        match self {
            Self::Volumes(run) => {
                RepetitionTime::of_run(path, run.rows() > 1, run.repetition_time(), given)
            }
            Self::Surface(run) => run.time(given),
        }
    }

    /// What the file says of the elements of a row, for the field's metadata.
    pub fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::Volumes(_) => HashMap::new(),
            Self::Surface(run) => run.metadata(),
        }
    }

    /// Elements of a row, as [`Run::select`] will find it.
    pub fn length(&self, request: &Request, regions: &mut Regions) -> Result<Length> {
        match self {
            Self::Volumes(run) => run.length(request, regions),
            Self::Surface(run) => Ok(Length::Known(run.length(request)?)),
        }
    }

    /// Says which rows will be counted or read, before anything else is done with them.
    pub fn expect(&mut self, rows: Range<usize>) -> Result<()> {
        match self {
            Self::Volumes(_) => Ok(()),
            Self::Surface(run) => run.expect(rows),
        }
    }

    /// Says what to read of each row, before the first; gives its number of elements.
    pub fn select(&mut self, request: &Request) -> Result<usize> {
        match self {
            Self::Volumes(run) => run.select(request),
            Self::Surface(run) => run.length(request),
        }
    }

    /// Passes over rows up to this one, which must not have been read.
    pub fn skip_to(&mut self, row: usize) -> Result<()> {
        match self {
            Self::Volumes(run) => run.skip_to(row),
            Self::Surface(run) => {
                run.skip_to(row);
                Ok(())
            }
        }
    }

    /// Appends the elements of the next row.
    pub fn read(&mut self, values: &mut Vec<f32>) -> Result<()> {
        match self {
            Self::Volumes(run) => run.read(values),
            Self::Surface(run) => run.read(values),
        }
    }
}
