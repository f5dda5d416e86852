//! Exact nearest neighbours of many queries, by matrix products.
//!
//! Products of a block of queries with a block of base vectors, in the precision of the base, only
//! rule out: what they show to be farther than the query's limit by more than they can be wrong is skipped. The
//! distance of the few others is computed by [`Metric::distance`](super::metric::Metric::distance), from
//! the vectors themselves, in Float64. So the answer is that of comparing all pairs one by one, to the last bit,
//! whatever the blocks are.
//!
//! A vector with an element that is NaN or infinite has no neighbours and is nobody's.

mod base;
mod neighbours;
mod queries;

pub use base::Base;
pub use neighbours::{Neighbour, Neighbours};
pub use queries::Queries;

use std::ops::{Add, Mul, Range};

use faer::traits::ComplexField;

use super::dot::norm;

/// Of vectors that are so much longer than what is left without their mean, products say nothing about
/// correlation.
const WORST_OFFSET: f64 = 1e3;

/// The number type of vectors: Float32 or Float64.
pub trait Element:
    ComplexField + Copy + PartialOrd + Into<f64> + Add<Output = Self> + Mul<Output = Self> + Send + Sync
{
    /// The largest relative error of one operation.
    const ROUNDING: f64;
    /// Norms of vectors whose products neither overflow nor vanish.
    const SAFE: Range<f64>;

    fn rounded(x: f64) -> Self;
}

impl Element for f32 {
    const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;
    const SAFE: Range<f64> = 1e-15..1e15;

    fn rounded(x: f64) -> Self {
        x as f32
    }
}

impl Element for f64 {
    const ROUNDING: f64 = f64::EPSILON / 2.0;
    const SAFE: Range<f64> = 1e-140..1e140;

    fn rounded(x: f64) -> Self {
        x
    }
}

/// Whether a vector can have neighbours: all of it is finite, and so is its length.
pub fn can_be_compared<A: Copy + Into<f64>>(vector: &[A]) -> bool {
    norm(vector).is_finite()
}
