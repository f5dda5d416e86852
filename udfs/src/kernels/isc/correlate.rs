//! Correlations of each voxel with itself in other subjects.
//!
//! A block of voxels at a time is centred in a buffer that stays in the processor's cache, so
//! the data are read from memory once. Inner loops run over [`LANES`] voxels side by side.

use std::ops::Range;

use super::threads::{in_ranges, join_rows};
use super::{Data, Missing, Value, correlation, missing, pairs, trs, width};

/// Voxels that are computed side by side.
const LANES: usize = 8;

type Lanes = [f64; LANES];

/// What the buffer of a thread may hold, in bytes.
const BUFFER: usize = 1 << 20;

/// The correlation of each subject with the mean of the others: a row of voxels a subject.
/// Of two subjects, both rows are their correlation.
pub fn leave_one_out<T: Value>(
    data: &Data<'_, T>,
    missing: Missing,
    threads: usize,
) -> Vec<Vec<f64>> {
    let of = |voxels| {
        over(data, voxels, data.len(), Order::Trs, |block, out| {
            leave_one_out_block(data, block, missing, out);
        })
    };
    let pieces = in_ranges(width(data), threads, LANES, of);
    join_rows(data.len(), width(data), pieces)
}

/// The correlation of each pair of subjects: a row of voxels a pair, in the order of [`pairs`].
pub fn pairwise<T: Value>(data: &Data<'_, T>, missing: Missing, threads: usize) -> Vec<Vec<f64>> {
    let rows = pairs(data.len()).count();
    let of = |voxels| {
        over(data, voxels, rows, Order::Subjects, |block, out| {
            pairwise_block(block, missing, out);
        })
    };
    let pieces = in_ranges(width(data), threads, LANES, of);
    join_rows(rows, width(data), pieces)
}

/// Which index runs faster in the buffer: TRs of one subject, or subjects at one TR.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Trs,
    Subjects,
}

/// Some voxels of all subjects, each series minus its mean.
struct Block {
    voxels: Range<usize>,
    subjects: usize,
    trs: usize,
    order: Order,
    /// Lanes after lanes, those past the voxels zero.
    series: Vec<Lanes>,
    /// Sums of squares by lanes and subject; NaN where a value is missing.
    squares: Vec<Lanes>,
}

/// Fills the rows of the correlations of `voxels`, block by block. `rows` is their number.
fn over<T: Value>(
    data: &Data<'_, T>,
    voxels: Range<usize>,
    rows: usize,
    order: Order,
    work: impl Fn(&Block, &mut dyn FnMut(usize, usize, f64)),
) -> Vec<f64> {
    let (subjects, trs) = (data.len(), trs(data));
    let width = voxels.len();
    let mut out = vec![f64::NAN; rows * width];
    let lanes_bytes = (subjects * trs * size_of::<Lanes>()).max(1);
    let chunks = (BUFFER / lanes_bytes).clamp(1, 8);
    let mut block = Block {
        voxels: 0..0,
        subjects,
        trs,
        order,
        series: vec![[0.0; LANES]; chunks * subjects * trs],
        squares: vec![[0.0; LANES]; chunks * subjects],
    };
    for from in voxels.clone().step_by(chunks * LANES) {
        block.voxels = from..(from + chunks * LANES).min(voxels.end);
        block.fill(data);
        let start = from - voxels.start;
        work(&block, &mut |row, voxel, value| {
            out[row * width + start + voxel] = value;
        });
    }
    out
}

impl Block {
    /// The lanes of voxels that are in use.
    fn chunks(&self) -> Range<usize> {
        0..self.voxels.len().div_ceil(LANES)
    }

    fn at(&self, chunk: usize, subject: usize, tr: usize) -> usize {
        match self.order {
            Order::Trs => (chunk * self.trs + tr) * self.subjects + subject,
            Order::Subjects => (chunk * self.subjects + subject) * self.trs + tr,
        }
    }

    /// The lanes that are voxels.
    fn lanes(&self, chunk: usize) -> usize {
        (self.voxels.len() - chunk * LANES).min(LANES)
    }

    /// Whether no value of a subject is missing.
    fn is_complete(&self, chunk: usize, subject: usize, lane: usize) -> bool {
        !self.squares[chunk * self.subjects + subject][lane].is_nan()
    }

    fn fill<T: Value>(&mut self, data: &Data<'_, T>) {
        if self.trs == 0 {
            return;
        }
        let n = self.trs as f64;
        for (s, rows) in data.iter().enumerate() {
            // Around the first value, so that a constant series becomes zero to the last bit.
            let mut first = [[0.0; LANES]; 8];
            let mut sums = [[0.0; LANES]; 8];
            for (tr, row) in rows.iter().enumerate() {
                let row = &row[self.voxels.clone()];
                for (c, values) in row.chunks(LANES).enumerate() {
                    let at = self.at(c, s, tr);
                    let out = &mut self.series[at];
                    match values.first_chunk::<LANES>() {
                        Some(values) => *out = values.map(Into::into),
                        None => {
                            *out = [0.0; LANES];
                            for (out, value) in out.iter_mut().zip(values) {
                                *out = (*value).into();
                            }
                        }
                    }
                    if tr == 0 {
                        first[c] = *out;
                    }
                    for lane in 0..LANES {
                        out[lane] -= first[c][lane];
                        sums[c][lane] += out[lane];
                    }
                }
            }
            for c in self.chunks() {
                let means = sums[c].map(|sum| sum / n);
                let mut squares = [0.0; LANES];
                for tr in 0..self.trs {
                    let at = self.at(c, s, tr);
                    let out = &mut self.series[at];
                    for lane in 0..LANES {
                        out[lane] -= means[lane];
                        squares[lane] += out[lane] * out[lane];
                    }
                }
                // An infinite value is missing, too, and has left NaN behind.
                self.squares[c * self.subjects + s] = squares;
            }
        }
    }
}

fn leave_one_out_block<T: Value>(
    data: &Data<'_, T>,
    block: &Block,
    missing: Missing,
    out: &mut dyn FnMut(usize, usize, f64),
) {
    let subjects = block.subjects;
    let mut before = vec![[0.0; LANES]; subjects];
    for c in block.chunks() {
        let mut products = vec![[0.0; LANES]; subjects];
        let mut rest_squares = vec![[0.0; LANES]; subjects];
        let start = block.at(c, 0, 0);
        let chunk = &block.series[start..start + block.trs * subjects];
        for at_tr in chunk.chunks_exact(subjects.max(1)) {
            // The sum of the others is that before and that after each subject: taking the
            // subject from the sum of all would round, and the mean is this over a constant.
            let mut sum = [0.0; LANES];
            for (before, own) in before.iter_mut().zip(at_tr) {
                *before = sum;
                for lane in 0..LANES {
                    sum[lane] += own[lane];
                }
            }
            let mut after = [0.0; LANES];
            for s in (0..subjects).rev() {
                for lane in 0..LANES {
                    let own = at_tr[s][lane];
                    let rest = before[s][lane] + after[lane];
                    products[s][lane] += own * rest;
                    rest_squares[s][lane] += rest * rest;
                    after[lane] += own;
                }
            }
        }
        for lane in 0..block.lanes(c) {
            let voxel = c * LANES + lane;
            let complete: Vec<bool> = (0..subjects)
                .map(|s| block.is_complete(c, s, lane))
                .collect();
            if complete.contains(&false) {
                let voxel_of_all = block.voxels.start + voxel;
                let values = missing::leave_one_out(data, voxel_of_all, &complete, missing);
                for (s, value) in values.into_iter().enumerate() {
                    out(s, voxel, value);
                }
                continue;
            }
            for s in 0..subjects {
                let square = block.squares[c * subjects + s][lane];
                let value = correlation(products[s][lane], square, rest_squares[s][lane]);
                out(s, voxel, value);
            }
        }
    }
}

fn pairwise_block(block: &Block, missing: Missing, out: &mut dyn FnMut(usize, usize, f64)) {
    let subjects = block.subjects;
    for c in block.chunks() {
        let kept: [bool; LANES] = std::array::from_fn(|lane| {
            let complete = (0..subjects).filter(|s| block.is_complete(c, *s, lane));
            missing.keeps(complete.count(), subjects)
        });
        let series = |s: usize| {
            let start = block.at(c, s, 0);
            &block.series[start..start + block.trs]
        };
        for (row, (i, j)) in pairs(subjects).enumerate() {
            let mut products = [0.0; LANES];
            for (a, b) in series(i).iter().zip(series(j)) {
                for lane in 0..LANES {
                    products[lane] += a[lane] * b[lane];
                }
            }
            let squares = |s: usize| &block.squares[c * subjects + s];
            for lane in 0..block.lanes(c) {
                let value = correlation(products[lane], squares(i)[lane], squares(j)[lane]);
                let value = if kept[lane] { value } else { f64::NAN };
                out(row, c * LANES + lane, value);
            }
        }
    }
}
