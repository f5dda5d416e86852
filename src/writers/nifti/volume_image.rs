//! One row per volume: to the file as they come.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;

use super::columns::Rows;
use super::elements::{encode, first_null, has_nan, missing, scatter, vector};
use super::header::Header;
use super::image::Image;
use super::sink::{Times, refuse_null};
use super::staged::Staged;
use super::waiting::Waiting;
use crate::readers::format::file_error;

/// Holds one volume. Those that come before their turn wait on the disk.
#[derive(Debug)]
pub struct VolumeImage {
    image: Arc<Image>,
    staged: Staged,
    room: u16,
    waiting: Waiting,
    times: Times,
    /// The voxels of a row, encoded.
    bytes: Vec<u8>,
    /// Zero outside the mask.
    volume: Vec<u8>,
    /// The number of the volume that is written next.
    next: i64,
    rows: u64,
    _memory: MemoryReservation,
}

impl VolumeImage {
    pub fn start(image: Arc<Image>, memory: MemoryReservation) -> Result<Self> {
        let width = image.columns.element.size_of();
        let volume = image.placement.voxels() * width;
        memory.try_grow(volume + image.voxels.len() * width)?;
        let known = match image.columns.rows {
            Rows::Volumes { tr: None, .. } => Some(None),
            _ => None,
        };
        let room = Header::room(&image.placement, known);
        let staged = Staged::create(&image.path, room)?;
        let folder = match image.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Ok(VolumeImage {
            waiting: Waiting::new(folder),
            times: Times::new(&image),
            image,
            staged,
            room,
            bytes: vec![],
            volume: vec![0; volume],
            next: 0,
            rows: 0,
            _memory: memory,
        })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.times.look(batch)?;
        let Rows::Volumes { tr, vector: at } = self.image.columns.rows else {
            return exec_err!("the rows are no volumes");
        };
        let trs = match tr {
            Some(tr) => Some(cast(batch.column(tr), &DataType::Int64)?),
            None => None,
        };
        for row in 0..batch.num_rows() {
            let tr = match &trs {
                Some(trs) => self.number(trs, row)?,
                None if self.rows > 0 => return self.fail(
                    "the query gives several rows, and has no column tr that says which volume each is",
                ),
                None => 0,
            };
            self.unmask(batch.column(at), row, tr)?;
            self.place(tr)?;
            self.rows += 1;
        }
        Ok(())
    }

    /// Which volume the row is.
    fn number(&self, trs: &ArrayRef, row: usize) -> Result<i64> {
        if trs.is_null(row) {
            return self.fail("tr is NULL in a row; every volume needs its number, from 0");
        }
        let tr = trs.as_primitive::<Int64Type>().value(row);
        if tr < 0 {
            return self.fail(&format!("tr is {tr} in a row; volumes are counted from 0"));
        }
        if tr < self.next || self.waiting.has(tr) {
            return self.fail(&format!(
                "tr {tr} comes twice; an image is of one run: choose it with WHERE"
            ));
        }
        Ok(tr)
    }

    /// Fills `volume` with the row's voxels.
    fn unmask(&mut self, column: &ArrayRef, row: usize, tr: i64) -> Result<()> {
        let element = self.image.columns.element;
        let inside = self.image.voxels.len();
        match vector(column, row) {
            Some(values) => {
                if values.len() != inside {
                    return exec_err!("{}, in tr {tr}", self.image.other_width(values.len()));
                }
                if !has_nan(element)
                    && let Some(at) = first_null(&values)
                {
                    return refuse_null(
                        &self.image.path,
                        &format!("element {} of tr {tr}", at + 1),
                    );
                }
                encode(&values, &mut self.bytes)?;
            }
            None => {
                if missing(element, inside, &mut self.bytes).is_none() {
                    return refuse_null(&self.image.path, &format!("the vector of tr {tr}"));
                }
            }
        }
        let positions = self.image.voxels.iter().map(|&at| at as usize);
        scatter(&self.bytes, element.size_of(), positions, &mut self.volume);
        Ok(())
    }

    /// Writes the volume, and those that waited for it; or lets it wait.
    fn place(&mut self, tr: i64) -> Result<()> {
        if tr != self.next {
            let put = self.waiting.put(tr, &self.volume);
            return put.map_err(|error| waits(&self.image.path, &error));
        }
        self.staged.write(&self.volume)?;
        self.next += 1;
        while self
            .waiting
            .take(self.next, &mut self.volume)
            .map_err(|error| waits(&self.image.path, &error))?
        {
            self.staged.write(&self.volume)?;
            self.next += 1;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<u64> {
        if let Some(first) = self.waiting.first() {
            return self.fail(&format!(
                "tr {} is missing, although there is tr {first}; volumes are counted from 0, \
                 without holes: give the missing ones, or number them anew, with \
                 row_number() OVER (ORDER BY tr) - 1 AS tr",
                self.next
            ));
        }
        if self.rows == 0 {
            return self.fail("the query gives no rows, and an image has one volume at least");
        }
        let volumes = match self.image.columns.rows {
            Rows::Volumes { tr: Some(_), .. } => Some(self.next as usize),
            _ => None,
        };
        let header = Header {
            placement: &self.image.placement,
            volumes,
            element: self.image.columns.element,
            repetition_time: volumes.and_then(|_| self.times.seconds()),
        };
        let bytes = header.bytes(self.room);
        self.staged.publish(&bytes)?;
        Ok(self.rows)
    }

    fn fail<T>(&self, message: &str) -> Result<T> {
        exec_err!("COPY TO '{}': {message}", self.image.path.display())
    }
}

fn waits(path: &Path, error: &std::io::Error) -> datafusion::common::DataFusionError {
    file_error(
        path,
        format!("cannot keep volumes that come before their turn beside it: {error}"),
    )
}
