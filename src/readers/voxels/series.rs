//! An image turned on its side: each voxel's values over time, a block of voxels at a time.

use std::ops::Range;
use std::path::{Path, PathBuf};

use datafusion::common::Result;

use super::open;
use crate::readers::format::file_error;

/// What a block holds; the file is read once for each.
const BLOCK_BYTES: usize = 64 << 20;

/// Volumes that are turned at once: their values of one voxel are one line of the processor's
/// cache.
const TURNED: usize = 16;

pub struct Series {
    path: PathBuf,
    /// The length of a voxel's vector.
    volumes: usize,
    rows_per_block: usize,
    /// The rows whose vectors `block` has.
    held: Range<usize>,
    block: Vec<f32>,
}

impl Series {
    /// Nothing is read yet. Batches have `rows_per_batch` rows, and blocks a whole number of
    /// them, one at least.
    pub fn new(path: &Path, volumes: usize, rows_per_batch: usize) -> Self {
        Self::with_blocks(path, volumes, rows_per_batch, BLOCK_BYTES)
    }

    fn with_blocks(path: &Path, volumes: usize, rows_per_batch: usize, block_bytes: usize) -> Self {
        let rows = block_bytes / (size_of::<f32>() * volumes.max(1));
        Series {
            path: path.to_owned(),
            volumes,
            rows_per_block: (rows / rows_per_batch).max(1) * rows_per_batch,
            held: 0..0,
            block: vec![],
        }
    }

    /// The vectors of a batch's rows, one after the other; `voxels` are those of all rows.
    pub fn of(&mut self, voxels: &[u32], rows: Range<usize>) -> Result<Vec<f32>> {
        if rows.start < self.held.start || rows.end > self.held.end {
            let end = voxels.len().min(rows.start + self.rows_per_block);
            self.read(voxels, rows.start..end)?;
        }
        let from = (rows.start - self.held.start) * self.volumes;
        let to = (rows.end - self.held.start) * self.volumes;
        Ok(self.block[from..to].to_vec())
    }

    fn read(&mut self, voxels: &[u32], rows: Range<usize>) -> Result<()> {
        let mut image = open(&self.path)?;
        if image.header.volumes != self.volumes {
            return Err(file_error(&self.path, "was changed while it was read"));
        }
        let voxels = &voxels[rows.clone()];
        self.held = 0..0;
        self.block.clear();
        self.block.resize(voxels.len() * self.volumes, 0.0);
        let mut turned = vec![];
        for first in (0..self.volumes).step_by(TURNED) {
            let count = TURNED.min(self.volumes - first);
            turned.clear();
            for _ in 0..count {
                image.read(voxels, &mut turned)?;
            }
            let vectors = self.block.chunks_exact_mut(self.volumes);
            for (voxel, vector) in vectors.enumerate() {
                for (time, value) in vector[first..first + count].iter_mut().enumerate() {
                    *value = turned[time * voxels.len() + voxel];
                }
            }
        }
        self.held = rows;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readers::nifti::testing::Image;

    #[test]
    fn blocks_of_any_size_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = Image::new([3, 2, 2], 37, 1.0).write(folder.path(), "a.nii.gz");
        let voxels = [11, 0, 5, 7, 2];
        let want: Vec<f32> = voxels
            .iter()
            .flat_map(|voxel| (0..37).map(move |time| (time * 12 + voxel) as f32))
            .collect();
        for (rows_per_batch, block_bytes) in
            [(5, 1 << 20), (1, 1), (2, 1), (1, 37 * 4 * 2), (2, 600)]
        {
            let mut series = Series::with_blocks(&path, 37, rows_per_batch, block_bytes);
            let mut got = vec![];
            for first in (0..5).step_by(rows_per_batch) {
                let rows = first..5.min(first + rows_per_batch);
                got.extend(series.of(&voxels.map(|v| v as u32), rows).unwrap());
            }
            assert_eq!(got, want, "{rows_per_batch} {block_bytes}");
        }
    }
}
