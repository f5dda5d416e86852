//! Correlations of each voxel with all voxels of other subjects.
//!
//! Series are centred and scaled to length 1, so that correlations are matrix products.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::missing::center;
use super::threads::in_ranges;
use super::{Data, Missing, Summary, Value, pairs, trs, width};

/// All that correlations between voxels and targets are computed from.
pub struct Isfc {
    /// Per subject TRs × voxels.
    voxels: Vec<Mat<f64>>,
    /// TRs × targets: of the others' mean per subject, or pairwise of each subject.
    targets: Vec<Mat<f64>>,
    /// Which of `voxels` and `targets` a matrix of correlations is of.
    matrices: Vec<(usize, usize)>,
    /// Whether voxels and targets are the same: then a matrix is the mean of both directions.
    symmetric: bool,
}

impl Isfc {
    /// Each subject with the mean of the others: a matrix a subject. Without `targets` the
    /// targets are the voxels, and the matrices symmetric.
    pub fn leave_one_out<T: Value>(
        data: &Data<'_, T>,
        targets: Option<&Data<'_, T>>,
        missing: Missing,
    ) -> Self {
        let of = targets.unwrap_or(data);
        let kept = kept(of, missing);
        let rest = |s| unit(mean_of_others(of, s, missing), &kept);
        Self {
            voxels: units(data, missing),
            targets: (0..data.len()).map(rest).collect(),
            matrices: (0..data.len()).map(|s| (s, s)).collect(),
            symmetric: targets.is_none(),
        }
    }

    /// Each pair of subjects: a matrix a pair, symmetric, in the order of [`pairs`].
    pub fn pairwise<T: Value>(data: &Data<'_, T>, missing: Missing) -> Self {
        Self {
            voxels: units(data, missing),
            targets: Vec::new(),
            matrices: pairs(data.len()).collect(),
            symmetric: true,
        }
    }

    /// Bytes that it will hold for data of this shape.
    pub fn bytes(subjects: usize, trs: usize, voxels: usize, targets: usize) -> usize {
        subjects * trs * (voxels + targets) * size_of::<f64>()
    }

    /// How many matrices of correlations there are.
    pub fn matrices(&self) -> usize {
        self.matrices.len()
    }

    /// How many voxels a matrix has.
    pub fn voxels(&self) -> usize {
        self.voxels.first().map_or(0, Mat::ncols)
    }

    /// How many targets a matrix has.
    pub fn targets(&self) -> usize {
        self.right().first().map_or(0, Mat::ncols)
    }

    /// Correlations of some voxels in one matrix: for each voxel its row of targets.
    pub fn rows(&self, matrix: usize, voxels: Range<usize>, threads: usize) -> Vec<f64> {
        let parts = in_ranges(voxels.len(), threads, 1, |part| {
            let from = voxels.start + part.start;
            self.block(matrix, from..from + part.len())
        });
        parts.concat()
    }

    /// Summaries over all matrices, of some voxels: for each voxel its row of targets.
    pub fn summary(&self, summary: Summary, voxels: Range<usize>, threads: usize) -> Vec<f64> {
        let parts = in_ranges(voxels.len(), threads, 1, |part| {
            let from = voxels.start + part.start;
            self.summary_block(summary, from..from + part.len())
        });
        parts.concat()
    }

    fn summary_block(&self, summary: Summary, voxels: Range<usize>) -> Vec<f64> {
        let n = self.matrices.len();
        let each: Vec<Vec<f64>> = (0..n).map(|m| self.block(m, voxels.clone())).collect();
        let mut values = vec![0.0; n];
        let cell = |at: usize| {
            for (value, block) in values.iter_mut().zip(&each) {
                *value = block[at];
            }
            summary.of(&mut values)
        };
        (0..voxels.len() * self.targets()).map(cell).collect()
    }

    fn block(&self, matrix: usize, voxels: Range<usize>) -> Vec<f64> {
        let (i, j) = self.matrices[matrix];
        let (left, right) = (self.voxels[i].as_ref(), self.right()[j].as_ref());
        // Column-major, so a voxel's targets lie one after another.
        let mut out = Mat::<f64>::zeros(right.ncols(), voxels.len());
        matmul(
            out.as_mut(),
            Accum::Replace,
            right.transpose(),
            some(left, &voxels),
            1.0,
            Par::Seq,
        );
        if self.symmetric {
            matmul(
                out.as_mut(),
                Accum::Add,
                left.transpose(),
                some(right, &voxels),
                1.0,
                Par::Seq,
            );
        }
        let scale = if self.symmetric { 0.5 } else { 1.0 };
        let columns = out.col_iter().flat_map(|column| column.iter().copied());
        columns.map(|v| (v * scale).clamp(-1.0, 1.0)).collect()
    }

    fn right(&self) -> &[Mat<f64>] {
        match self.targets.is_empty() {
            true => &self.voxels,
            false => &self.targets,
        }
    }
}

fn some<'a>(matrix: MatRef<'a, f64>, columns: &Range<usize>) -> MatRef<'a, f64> {
    matrix.subcols(columns.start, columns.len())
}

fn units<T: Value>(data: &Data<'_, T>, missing: Missing) -> Vec<Mat<f64>> {
    let kept = kept(data, missing);
    let of = |rows: &Vec<&[T]>| {
        let series = Mat::from_fn(rows.len(), kept.len(), |tr, v| rows[tr][v].into());
        unit(series, &kept)
    };
    data.iter().map(of).collect()
}

/// Which voxels have enough subjects without missing values.
fn kept<T: Value>(data: &Data<'_, T>, missing: Missing) -> Vec<bool> {
    let mut complete = vec![0; width(data)];
    for rows in data {
        let mut whole = vec![true; complete.len()];
        for row in rows {
            for (whole, value) in whole.iter_mut().zip(*row) {
                *whole &= (*value).into().is_finite();
            }
        }
        for (count, whole) in complete.iter_mut().zip(whole) {
            *count += usize::from(whole);
        }
    }
    let keeps = |count| missing.keeps(count, data.len());
    complete.into_iter().map(keeps).collect()
}

/// TRs × voxels of the mean over all subjects but one.
fn mean_of_others<T: Value>(data: &Data<'_, T>, left_out: usize, missing: Missing) -> Mat<f64> {
    let others = || (0..data.len()).filter(move |s| *s != left_out);
    let mut sums = vec![0.0; width(data)];
    let mut counts = vec![0u32; width(data)];
    let mut mean = Mat::zeros(trs(data), width(data));
    for tr in 0..trs(data) {
        sums.fill(0.0);
        counts.fill(0);
        for s in others() {
            for ((sum, count), value) in sums.iter_mut().zip(&mut counts).zip(data[s][tr]) {
                let value: f64 = (*value).into();
                if value.is_finite() {
                    *sum += value;
                    *count += 1;
                } else if missing == Missing::Refuse {
                    *sum = f64::NAN;
                }
            }
        }
        for (v, (sum, count)) in sums.iter().zip(&counts).enumerate() {
            // Without a value: 0 / 0, which is NaN.
            mean[(tr, v)] = sum / f64::from(*count);
        }
    }
    mean
}

/// Each column centred and of length 1; NaN where it is not to be kept, has missing values
/// or no variance.
fn unit(mut series: Mat<f64>, kept: &[bool]) -> Mat<f64> {
    for (v, kept) in kept.iter().enumerate() {
        let column = series.col_as_slice_mut(v);
        center(column);
        let length = column.iter().map(|x| x * x).sum::<f64>().sqrt();
        // 0 / 0 is NaN, as is what is made of NaN.
        let scale = if *kept { length } else { f64::NAN };
        column.iter_mut().for_each(|x| *x /= scale);
    }
    series
}
