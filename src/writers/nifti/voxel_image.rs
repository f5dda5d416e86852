//! One row per voxel, in any order: a dense image in memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, exec_err, resources_datafusion_err};
use datafusion::execution::memory_pool::MemoryReservation;

use super::columns::{Rows, Value};
use super::elements::{encode, first_null, has_nan, missing, scatter, vector};
use super::header::Header;
use super::image::Image;
use super::sink::{Times, refuse_null};
use super::staged::Staged;
use crate::readers::nifti::header::by_times;

/// Bytes written at a time: what is compressed between two looks at whether to stop.
const PIECE: usize = 8 << 20;

/// Holds the image; the memory pool is asked for it.
#[derive(Debug)]
pub struct VoxelImage {
    image: Arc<Image>,
    index: [usize; 3],
    value: Value,
    times: Times,
    /// Which voxels have come.
    seen: Vec<bool>,
    /// Elements of each voxel's vector, when it is known; 1 without vectors.
    length: Option<usize>,
    /// Empty as long as `length` is not known.
    content: Vec<u8>,
    /// Numbers of a batch or a row, encoded.
    bytes: Vec<u8>,
    rows: u64,
    memory: MemoryReservation,
}

impl VoxelImage {
    pub fn start(image: Arc<Image>, memory: MemoryReservation) -> Result<Self> {
        let Rows::Voxels { index, value } = image.columns.rows.clone() else {
            return exec_err!("the rows are no voxels");
        };
        let length = match value {
            Value::Series(_, length) => length,
            _ => Some(1),
        };
        let voxels = image.placement.voxels();
        memory.try_grow(voxels)?;
        let mut new = VoxelImage {
            index,
            value,
            times: Times::new(&image),
            image,
            seen: vec![false; voxels],
            length: None,
            content: vec![],
            bytes: vec![],
            rows: 0,
            memory,
        };
        if let Some(length) = length {
            new.make_room(length)?;
        }
        Ok(new)
    }

    /// Zeros for vectors of this length.
    fn make_room(&mut self, length: usize) -> Result<()> {
        if length == 0 {
            return self.fail("the vectors are empty, and an image has one volume at least");
        }
        let volume = self.image.placement.voxels() * self.image.columns.element.size_of();
        let Some(bytes) = volume.checked_mul(length) else {
            return Err(resources_datafusion_err!(
                "COPY TO '{}': {length} volumes of {volume} bytes are more than memory can be",
                self.image.path.display()
            ));
        };
        self.memory.try_grow(bytes)?;
        self.content = vec![0; bytes];
        self.length = Some(length);
        Ok(())
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.times.look(batch)?;
        let positions = self.positions(batch)?;
        let width = self.image.columns.element.size_of();
        match self.value {
            Value::Inside => positions.iter().for_each(|&at| self.content[at] = 1),
            Value::Number(column) => {
                let values = batch.column(column);
                if !has_nan(self.image.columns.element)
                    && let Some(row) = first_null(values)
                {
                    let place = self.place_of(positions[row]);
                    return refuse_null(&self.image.path, &format!("the value of {place}"));
                }
                encode(values, &mut self.bytes)?;
                scatter(&self.bytes, width, positions.into_iter(), &mut self.content);
            }
            Value::Series(column, _) => {
                for (row, position) in positions.into_iter().enumerate() {
                    self.write_series(batch.column(column), row, position)?;
                }
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn write_series(&mut self, column: &ArrayRef, row: usize, position: usize) -> Result<()> {
        let element = self.image.columns.element;
        let values = vector(column, row);
        let length = match (self.length, &values) {
            (Some(length), _) => length,
            (None, Some(values)) => {
                self.make_room(values.len())?;
                values.len()
            }
            (None, None) => {
                let place = self.place_of(position);
                return self.fail(&format!(
                    "the vector of {place} is NULL, before another says how long vectors are; \
                     leave such rows out"
                ));
            }
        };
        match values {
            Some(values) if values.len() != length => {
                let place = self.place_of(position);
                return self.fail(&format!(
                    "the vector of {place} has {} elements, that of another voxel {length}; \
                     an image is of one run: choose it with WHERE",
                    values.len()
                ));
            }
            Some(values) => {
                if !has_nan(element)
                    && let Some(at) = first_null(&values)
                {
                    let place = self.place_of(position);
                    return refuse_null(
                        &self.image.path,
                        &format!("element {} of {place}", at + 1),
                    );
                }
                encode(&values, &mut self.bytes)?;
            }
            None => {
                if missing(element, length, &mut self.bytes).is_none() {
                    let place = self.place_of(position);
                    return refuse_null(&self.image.path, &format!("the vector of {place}"));
                }
            }
        }
        let voxels = self.image.placement.voxels();
        let positions = (0..length).map(|time| time * voxels + position);
        scatter(&self.bytes, element.size_of(), positions, &mut self.content);
        Ok(())
    }

    /// Where the batch's voxels are in a volume (x fastest), each for the first time.
    fn positions(&mut self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let mut columns = Vec::with_capacity(3);
        for (axis, name) in self.index.into_iter().zip(["i", "j", "k"]) {
            let column = cast(batch.column(axis), &DataType::Int64)?;
            if column.null_count() > 0 {
                return self.fail(&format!(
                    "{name} is NULL in a row; leave out rows without a voxel, with \
                     WHERE {name} IS NOT NULL"
                ));
            }
            columns.push(column);
        }
        let shape = self.image.placement.shape;
        let mut positions = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let mut position = 0;
            for axis in [2, 1, 0] {
                let at = columns[axis].as_primitive::<Int64Type>().value(row);
                match usize::try_from(at).ok().filter(|&at| at < shape[axis]) {
                    Some(at) => position = position * shape[axis] + at,
                    None => {
                        let voxel = [0, 1, 2]
                            .map(|axis| columns[axis].as_primitive::<Int64Type>().value(row));
                        return self.fail(&format!(
                            "voxel ({}, {}, {}) is outside of the image, which has {} voxels; \
                             indices are counted from 0",
                            voxel[0],
                            voxel[1],
                            voxel[2],
                            by_times(&shape)
                        ));
                    }
                }
            }
            if std::mem::replace(&mut self.seen[position], true) {
                let place = self.place_of(position);
                return self.fail(&format!(
                    "{place} comes twice; an image has one value there: choose one file with \
                     WHERE, or combine them with GROUP BY i, j, k"
                ));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    fn place_of(&self, position: usize) -> String {
        let [x, y, _] = self.image.placement.shape;
        format!(
            "voxel ({}, {}, {})",
            position % x,
            position / x % y,
            position / (x * y)
        )
    }

    pub fn finish(self) -> Result<u64> {
        let Some(length) = self.length else {
            return self
                .fail("the query gives no rows, so that nothing says how many volumes there are");
        };
        let volumes = match self.value {
            Value::Series(..) => Some(length),
            _ => None,
        };
        let room = Header::room(&self.image.placement, Some(volumes));
        let mut staged = Staged::create(&self.image.path, room)?;
        for piece in self.content.chunks(PIECE) {
            staged.write(piece)?;
        }
        let header = Header {
            placement: &self.image.placement,
            volumes,
            element: self.image.columns.element,
            repetition_time: volumes.and_then(|_| self.times.seconds()),
        };
        staged.publish(&header.bytes(room))?;
        Ok(self.rows)
    }

    fn fail<T>(&self, message: &str) -> Result<T> {
        exec_err!("COPY TO '{}': {message}", self.image.path.display())
    }
}
