//! Where targets come from: they are read in blocks, so that they need not be in memory.

use std::ops::Range;

use faer::{Mat, MatRef};

/// Samples × targets.
pub trait Targets: Sync {
    /// Samples.
    fn samples(&self) -> usize;

    /// Targets.
    fn count(&self) -> usize;

    /// The values of some targets, samples × targets.
    ///
    /// # Errors
    /// What keeps them from being read.
    fn read(&self, targets: Range<usize>) -> Result<Mat<f64>, String>;
}

impl Targets for MatRef<'_, f64> {
    fn samples(&self) -> usize {
        self.nrows()
    }

    fn count(&self) -> usize {
        self.ncols()
    }

    fn read(&self, targets: Range<usize>) -> Result<Mat<f64>, String> {
        Ok(self.subcols(targets.start, targets.len()).to_owned())
    }
}

/// Some rows of a matrix.
pub fn rows(matrix: &Mat<f64>, rows: &[usize]) -> Mat<f64> {
    let mut out = Mat::zeros(rows.len(), matrix.ncols());
    for j in 0..matrix.ncols() {
        let column = matrix.col_as_slice(j);
        for (out, &i) in out.col_as_slice_mut(j).iter_mut().zip(rows) {
            *out = column[i];
        }
    }
    out
}
