//! Cleaning of time series: trends, filters, confounds, scales.
//!
//! Data lie time-major, as tables have them: one row of `n_voxels` values a TR. Every
//! step treats each voxel by itself, so [`clean`] takes [`LANES`] voxels at a time
//! through all steps, in a buffer that stays in the processor's cache. The steps see
//! that buffer as one [`Lanes`] a TR, and the compiler makes their inner loops SIMD.

#![expect(
    clippy::needless_range_loop,
    reason = "lanes of several rows are walked together"
)]

pub mod butterworth;
pub mod clean;
pub mod confounds;
pub mod detrend;
pub mod high_variance;
pub mod spline;
pub mod standardize;
mod timeline;

/// How many voxels go through the steps side by side.
pub const LANES: usize = 16;

/// The values of [`LANES`] voxels at one TR.
pub type Lanes = [f64; LANES];

/// What the tables hold: the steps compute in `f64`.
pub trait Sample: Copy + Into<f64> {
    /// The nearest value of this type.
    fn from_f64(value: f64) -> Self;
}

impl Sample for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl Sample for f64 {
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
}

/// The mean of each lane.
///
/// It is taken around the first value, so that the mean of a constant series is that
/// constant to the last bit.
#[inline(always)]
fn means(x: &[Lanes]) -> Lanes {
    let Some(first) = x.first() else {
        return [0.0; LANES];
    };
    let mut sums = [0.0; LANES];
    for row in x {
        for lane in 0..LANES {
            sums[lane] += row[lane] - first[lane];
        }
    }
    let n = x.len() as f64;
    std::array::from_fn(|lane| first[lane] + sums[lane] / n)
}

/// Columns as blocks of lanes, the last one filled up with zeros: for tests, and for
/// what has few columns.
fn blocks_of(columns: &[Vec<f64>]) -> Vec<Vec<Lanes>> {
    columns
        .chunks(LANES)
        .map(|columns| {
            let n = columns.first().map_or(0, Vec::len);
            let mut block = vec![[0.0; LANES]; n];
            for (lane, column) in columns.iter().enumerate() {
                for (row, value) in block.iter_mut().zip(column) {
                    row[lane] = *value;
                }
            }
            block
        })
        .collect()
}
