//! Inter-subject correlation: how alike subjects respond to the same stimulus, voxel by voxel.
//!
//! The numbers are those of BrainIAK's `isc`, `isfc`, `bootstrap_isc` and `permutation_isc`
//! (Hasson et al. 2004; Simony et al. 2016; Chen et al. 2016; Nastase et al. 2019).
//!
//! Data are rows: `data[subject][tr]` is the slice of a subject's voxels at one TR, Float32 or
//! Float64; every sum is in Float64. All subjects have the same TRs and the same voxels. A value
//! that is not finite is missing. A correlation that is not defined, as that of a series
//! without variance, is NaN.

pub mod bootstrap;
pub mod correlate;
mod draws;
pub mod isfc;
pub mod missing;
pub mod permutation;
pub mod summary;
mod threads;

pub use missing::Missing;
pub use summary::Summary;

/// The element of a row.
pub trait Value: Copy + Into<f64> + Send + Sync {}

impl Value for f32 {}
impl Value for f64 {}

/// Subjects of a study: `data[subject][tr][voxel]`.
pub type Data<'a, T> = [Vec<&'a [T]>];

/// The pairs of `subjects`, in the order of the upper triangle: (0, 1), (0, 2), …, (1, 2), ….
pub fn pairs(subjects: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..subjects).flat_map(move |i| (i + 1..subjects).map(move |j| (i, j)))
}

/// How many subjects have `pairs` pairs, if any number has.
pub fn subjects_of_pairs(pairs: usize) -> Option<usize> {
    // n (n − 1) / 2 lies between (n − 1)² / 2 and n² / 2.
    let root = (2.0 * pairs as f64).sqrt() as usize;
    (root..=root + 1).find(|n| n.saturating_sub(1) * n / 2 == pairs && *n > 1)
}

/// The number of voxels.
fn width<T>(data: &Data<'_, T>) -> usize {
    let first = data.first().and_then(|subject| subject.first());
    first.map_or(0, |row| row.len())
}

/// The number of TRs.
fn trs<T>(data: &Data<'_, T>) -> usize {
    data.first().map_or(0, Vec::len)
}

/// The correlation of two centred series from their products; at most 1 in size, which
/// rounding may pass.
#[inline(always)]
fn correlation(product: f64, square_a: f64, square_b: f64) -> f64 {
    (product / (square_a.sqrt() * square_b.sqrt())).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_back() {
        let three: Vec<_> = pairs(3).collect();
        assert_eq!(three, [(0, 1), (0, 2), (1, 2)]);
        for n in 2..200 {
            assert_eq!(subjects_of_pairs(pairs(n).count()), Some(n));
        }
        for none in [0, 2, 4, 5, 7, 44, 46] {
            assert_eq!(subjects_of_pairs(none), None);
        }
    }
}
