//! Where targets come from: they are read in blocks, so that they need not be in memory as f64.

use faer::{Mat, MatRef};

/// Samples × targets.
pub trait Targets: Sync {
    /// Samples.
    fn samples(&self) -> usize;

    /// Targets.
    fn count(&self) -> usize;

    /// The values of these samples and targets, samples × targets.
    fn read(&self, samples: &[usize], targets: &[usize]) -> Mat<f64>;
}

impl Targets for MatRef<'_, f64> {
    fn samples(&self) -> usize {
        self.nrows()
    }

    fn count(&self) -> usize {
        self.ncols()
    }

    fn read(&self, samples: &[usize], targets: &[usize]) -> Mat<f64> {
        Mat::from_fn(samples.len(), targets.len(), |i, j| {
            self[(samples[i], targets[j])]
        })
    }
}

/// Sample after sample, each of `count` Float32 values.
#[derive(Debug, Clone, Copy)]
pub struct RowsF32<'a> {
    /// samples · count values.
    pub values: &'a [f32],
    /// Targets.
    pub count: usize,
}

impl Targets for RowsF32<'_> {
    fn samples(&self) -> usize {
        self.values.len() / self.count.max(1)
    }

    fn count(&self) -> usize {
        self.count
    }

    fn read(&self, samples: &[usize], targets: &[usize]) -> Mat<f64> {
        let mut out = Mat::zeros(samples.len(), targets.len());
        // Row by row as they lie in memory: a block of a row is a few cache lines.
        for (i, &sample) in samples.iter().enumerate() {
            let row = &self.values[sample * self.count..][..self.count];
            for (j, &target) in targets.iter().enumerate() {
                out[(i, j)] = f64::from(row[target]);
            }
        }
        out
    }
}
