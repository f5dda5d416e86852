//! A run without volumes: CIFTI-2 or GIFTI.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::repetition_time::RepetitionTime;
use super::request::Request;
use crate::readers::cifti::CiftiSeries;
use crate::readers::format::file_error;
use crate::readers::gifti::GiftiSeries;
use crate::readers::nifti::header::is_cifti;
use crate::readers::nifti::raw::Raw;
use crate::readers::nifti::volumes::header_bytes;

/// An open series or some maps, and the row that is next.
pub struct SurfaceRun {
    path: PathBuf,
    series: Series,
    next: usize,
}

enum Series {
    Cifti(Box<CiftiSeries>),
    Gifti(GiftiSeries),
}

impl SurfaceRun {
    /// `None` for what is neither CIFTI-2 nor called `.gii`.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let series = if is_gifti(path) {
            Series::Gifti(GiftiSeries::open(path)?)
        } else if has_cifti_header(path) {
            Series::Cifti(Box::new(CiftiSeries::open(path)?))
        } else {
            return Ok(None);
        };
        Ok(Some(SurfaceRun {
            path: path.to_owned(),
            series,
            next: 0,
        }))
    }

    pub fn rows(&self) -> usize {
        match &self.series {
            Series::Cifti(series) => series.rows,
            Series::Gifti(series) => series.rows,
        }
    }

    /// The scalar maps of CIFTI have no time. GIFTI's arrays may be a series though they do
    /// not say so (Workbench writes such), which a repetition time then tells.
    pub fn time(&self, given: Option<f64>) -> Result<Option<RepetitionTime>> {
        match &self.series {
            Series::Cifti(series) if !series.is_series => Ok(None),
            Series::Cifti(series) => {
                let needed = series.rows > 1;
                let time =
                    RepetitionTime::of_run(&self.path, needed, series.repetition_time, given)?;
                Ok(time.map(|time| time.starting_at(series.start)))
            }
            Series::Gifti(series) => {
                let needed = series.rows > 1 && series.is_series;
                RepetitionTime::of_run(&self.path, needed, series.repetition_time, given)
            }
        }
    }

    pub fn metadata(&self) -> HashMap<String, String> {
        match &self.series {
            Series::Cifti(series) => series.metadata(),
            Series::Gifti(series) => series.metadata(),
        }
    }

    /// Errors where the request is for what only volumes have.
    pub fn length(&self, request: &Request) -> Result<usize> {
        let (kind, length) = match &self.series {
            Series::Cifti(series) => ("CIFTI-2", series.length),
            Series::Gifti(series) => ("GIFTI", series.length),
        };
        match request.only_for_volumes() {
            None => Ok(length),
            Some(argument) => Err(file_error(
                &self.path,
                format!(
                    "{argument} => is for volumes, but this is a {kind} file, whose values lie on surfaces or \
                     in parcels; leave {argument} out, or choose values of bold by their place in it"
                ),
            )),
        }
    }

    pub fn expect(&mut self, rows: Range<usize>) -> Result<()> {
        match &mut self.series {
            Series::Cifti(series) => {
                series.expect(rows);
                Ok(())
            }
            Series::Gifti(series) => series.index(),
        }
    }

    pub fn skip_to(&mut self, row: usize) {
        self.next = row;
    }

    pub fn read(&mut self, values: &mut Vec<f32>) -> Result<()> {
        let row = self.next..self.next + 1;
        self.next += 1;
        match &mut self.series {
            Series::Cifti(series) => series.read(row, values),
            Series::Gifti(series) => series.read(row, values),
        }
    }
}

fn is_gifti(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    name.ends_with(".gii") || name.ends_with(".gii.gz")
}

/// What cannot be read is left to the reader of volumes, which says why.
fn has_cifti_header(path: &Path) -> bool {
    let raw = header_bytes(path).map(|(_, bytes)| Raw::parse(&bytes));
    matches!(raw, Ok(Ok(raw)) if is_cifti(raw.intent_code))
}
