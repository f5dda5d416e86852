//! The voxels of a mask as rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;

use super::Voxels;
use crate::readers::format::{FileScan, record_batch};
use crate::readers::nifti::grid::{Grid, grid_metadata};

/// The most rows in a batch; each has 48 bytes.
const BATCH_ROWS: usize = 8192;

const INDICES: [&str; 3] = ["i", "j", "k"];
const PLACES: [&str; 3] = ["x", "y", "z"];

/// The columns of a mask; `grid` is that of all of its files, if they have one.
pub fn schema(grid: Option<&Grid>) -> SchemaRef {
    let metadata = match grid {
        Some(grid) => grid_metadata(grid.shape, &grid.affine),
        None => HashMap::new(),
    };
    let index =
        |name: &&str| Field::new(*name, DataType::Int64, false).with_metadata(metadata.clone());
    let place = |name: &&str| Field::new(*name, DataType::Float64, false);
    let fields = INDICES.iter().map(index).chain(PLACES.iter().map(place));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A mask's rows, in C order.
pub struct Rows {
    schema: SchemaRef,
    voxels: Voxels,
    next: usize,
    end: usize,
}

impl Rows {
    pub fn new(scan: &FileScan, voxels: Voxels) -> Self {
        Self {
            schema: Arc::clone(&scan.schema),
            end: voxels.positions.len().min(scan.limit.unwrap_or(usize::MAX)),
            voxels,
            next: 0,
        }
    }

    fn batch(&self, positions: &[u32]) -> Result<RecordBatch> {
        let grid = &self.voxels.grid;
        let voxels: Vec<_> = positions.iter().map(|at| grid.voxel(*at)).collect();
        let column = |field: &Arc<Field>| -> ArrayRef {
            let axis = |names: [&str; 3]| names.iter().position(|name| name == field.name());
            if let Some(axis) = axis(INDICES) {
                let indices = voxels.iter().map(|voxel| voxel[axis] as i64);
                return Arc::new(Int64Array::from_iter_values(indices));
            }
            let axis = axis(PLACES).unwrap_or_default();
            let places = voxels.iter().map(|voxel| grid.place(*voxel)[axis]);
            Arc::new(Float64Array::from_iter_values(places))
        };
        let columns = self.schema.fields().iter().map(column).collect();
        record_batch(&self.schema, columns, positions.len())
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let last = self.end.min(self.next + BATCH_ROWS);
        let batch = self.batch(&self.voxels.positions[self.next..last]);
        self.next = last;
        Some(batch)
    }
}
