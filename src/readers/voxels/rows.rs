//! One image's voxels as batches.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use datafusion::common::Result;

use super::series::Series;
use super::{Masks, open};
use crate::readers::format::{FileScan, file_error, record_batch};
use crate::readers::nifti::grid::Grid;
use crate::readers::nifti::volumes::all_voxels;
use crate::readers::values::Encoding;
use crate::readers::vectors::vectors;

/// Bytes of a row without `bold`, with keys.
const NARROW_BYTES: usize = 256;

pub struct Rows {
    path: PathBuf,
    schema: SchemaRef,
    grid: Grid,
    /// By position in the file, in the order of the rows.
    voxels: Vec<u32>,
    content: Content,
    rows_per_batch: usize,
    next: usize,
}

/// What is read beside headers.
enum Content {
    Nothing,
    /// The first volume as it is on disk.
    Values {
        encoding: Encoding,
        raw: Vec<u8>,
    },
    Series(Series),
}

impl Rows {
    pub fn open(scan: &FileScan) -> Result<Self> {
        let mut image = open(&scan.path)?;
        let header = &image.header;
        let grid = Grid::of(header);
        let mut masks = Masks::default();
        let mut voxels = match masks.of(&scan.path, header, &scan.options)? {
            Some(voxels) => voxels.to_vec(),
            None => all_voxels(&scan.path, header.shape)?,
        };
        voxels.truncate(scan.limit.unwrap_or(usize::MAX));
        let has = |name| scan.schema.column_with_name(name).is_some();
        let row_bytes = match has("bold") {
            true => NARROW_BYTES + size_of::<f32>() * header.volumes,
            false => NARROW_BYTES,
        };
        // The offsets of a List are i32.
        let most = (i32::MAX as usize / header.volumes).max(1);
        let rows_per_batch = (scan.batch_bytes / row_bytes).clamp(1, most);
        let content = if has("bold") {
            Content::Series(Series::new(&scan.path, header.volumes, rows_per_batch))
        } else if has("value") && !voxels.is_empty() {
            Content::Values {
                encoding: image.header.encoding,
                raw: image.read_raw()?.to_vec(),
            }
        } else {
            Content::Nothing
        };
        Ok(Rows {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            grid,
            voxels,
            content,
            rows_per_batch,
            next: 0,
        })
    }

    fn batch(&mut self, rows: Range<usize>) -> Result<RecordBatch> {
        let schema = Arc::clone(&self.schema);
        let columns = schema
            .fields()
            .iter()
            .map(|field| self.column(field, rows.clone()))
            .collect::<Result<Vec<_>>>()?;
        record_batch(&schema, columns, rows.len())
    }

    fn column(&mut self, field: &Field, rows: Range<usize>) -> Result<ArrayRef> {
        let chosen = &self.voxels[rows.clone()];
        let index = |axis: usize| {
            let indices = chosen.iter().map(|&at| self.grid.voxel(at)[axis] as i64);
            Arc::new(Int64Array::from_iter_values(indices)) as ArrayRef
        };
        let place = |axis: usize| {
            let places = chosen
                .iter()
                .map(|&at| self.grid.place(self.grid.voxel(at))[axis]);
            Arc::new(Float64Array::from_iter_values(places)) as ArrayRef
        };
        Ok(match field.name().as_str() {
            "voxel" => Arc::new(Int64Array::from_iter_values(rows.map(|row| row as i64))),
            "i" => index(0),
            "j" => index(1),
            "k" => index(2),
            "x" => place(0),
            "y" => place(1),
            "z" => place(2),
            _ => match &mut self.content {
                Content::Values { encoding, raw } => {
                    let mut values = Vec::with_capacity(chosen.len());
                    encoding.gather::<f64>(raw, 0, chosen, &mut values);
                    Arc::new(Float64Array::from(values))
                }
                Content::Series(series) => {
                    let values = series.of(&self.voxels, rows.clone())?;
                    return self.vectors(field, values, rows.len());
                }
                // Not asked for.
                Content::Nothing => Arc::new(Float64Array::new_null(rows.len())),
            },
        })
    }

    fn vectors(&self, field: &Field, values: Vec<f32>, rows: usize) -> Result<ArrayRef> {
        let length = values.len() / rows.max(1);
        vectors(field, values, length, rows)?.ok_or_else(|| {
            file_error(
                &self.path,
                format!(
                    "has {length} volumes, but the table's bold is {}; the image has \
                     changed since the table was described, create it again",
                    field.data_type()
                ),
            )
        })
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.next;
        if first >= self.voxels.len() {
            return None;
        }
        let last = self.voxels.len().min(first + self.rows_per_batch);
        let batch = self.batch(first..last);
        self.next = match batch {
            Ok(_) => last,
            Err(_) => self.voxels.len(),
        };
        Some(batch)
    }
}
