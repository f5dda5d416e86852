//! Products of vectors, the kernels of the distances. Inputs are Float32 or Float64;
//! sums are kept in Float64, in eight lanes that the compiler makes into SIMD.

const LANES: usize = 8;

/// The sum of `term(a, b)` over the elements of two slices of one length.
#[inline(always)]
pub fn sum<A, B>(a: &[A], b: &[B], term: impl Fn(f64, f64) -> f64) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane].into(), b[lane].into());
        }
    }
    let rest: f64 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(a, b)| term((*a).into(), (*b).into()))
        .sum();
    sums.iter().sum::<f64>() + rest
}

/// The inner product of `a` and `b`, which have one length.
pub fn dot<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    sum(a, b, |a, b| a * b)
}

/// The length of `a`, its L2 norm.
pub fn norm<A: Copy + Into<f64>>(a: &[A]) -> f64 {
    dot(a, a).sqrt()
}

/// The Euclidean distance of `a` and `b`, which have one length.
pub fn euclidean<A: Copy + Into<f64>, B: Copy + Into<f64>>(a: &[A], b: &[B]) -> f64 {
    sum(a, b, |a, b| (a - b) * (a - b)).sqrt()
}

/// `1 - cos(a, b)` from the inner product and the norms, in [0, 2]; 1 if one of the
/// vectors is zero, as in scikit-learn.
pub fn cosine(dot: f64, norm_a: f64, norm_b: f64) -> f64 {
    if norm_a == 0.0 || norm_b == 0.0 {
        // A zero vector has no direction. NaN on the other side stays NaN.
        return 1.0 + 0.0 * (norm_a + norm_b);
    }
    (1.0 - dot / norm_a / norm_b).clamp(0.0, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_definition(pairs in prop::collection::vec((-1e3f32..1e3, -1e3f64..1e3), 0..50)) {
            let (a, b): (Vec<f32>, Vec<f64>) = pairs.iter().copied().unzip();
            let plain: f64 = pairs.iter().map(|(a, b)| f64::from(*a) * b).sum();
            prop_assert!((dot(&a, &b) - plain).abs() < 1e-6);
            let squares: f64 = pairs.iter().map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
            prop_assert!((euclidean(&a, &b) - squares.sqrt()).abs() < 1e-6);
            let distance = cosine(dot(&a, &b), norm(&a), norm(&b));
            prop_assert!((0.0..=2.0).contains(&distance));
        }
    }

    #[test]
    fn zero_and_nan() {
        assert_eq!(cosine(0.0, 0.0, 3.0), 1.0);
        assert_eq!(cosine(0.0, 0.0, 0.0), 1.0);
        assert!(cosine(f64::NAN, f64::NAN, 0.0).is_nan());
        assert!(cosine(f64::NAN, f64::NAN, 1.0).is_nan());
        assert_eq!(norm::<f32>(&[]), 0.0);
    }
}
