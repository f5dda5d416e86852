//! Voxels that enough masks have in common, as nilearn's `intersect_masks`.

use super::components::largest;
use super::{Shape, count};

/// A threshold of 1 is lowered by this much, since a voxel must be in more masks than
/// threshold times their number.
const ROOM: f64 = 1e-7;

/// Masks are added one by one; only how many have each voxel is kept.
#[derive(Clone, Debug)]
pub struct Intersection {
    shape: Shape,
    threshold: f64,
    connected: bool,
    masks: usize,
    counts: Vec<u32>,
}

impl Intersection {
    /// `threshold` is from 0 (all voxels that any mask has) to 1 (those that all have): a voxel is
    /// kept if **more** than `threshold` times the number of masks have it, so that 0.5 of four
    /// needs three. `connected` keeps only the largest component of the result.
    ///
    /// Errors for a threshold outside 0 to 1.
    pub fn new(shape: Shape, threshold: f64, connected: bool) -> Result<Self, String> {
        if !(0.0..=1.0).contains(&threshold) {
            return Err(format!(
                "threshold is {threshold}; it must be from 0 (the union) to 1 (the intersection)"
            ));
        }
        Ok(Self {
            shape,
            threshold,
            connected,
            masks: 0,
            counts: vec![0; count(shape)],
        })
    }

    /// Adds one mask.
    ///
    /// # Panics
    ///
    /// If the mask is not of the shape given first.
    pub fn add(&mut self, mask: &[bool]) {
        assert_eq!(mask.len(), self.counts.len(), "the mask's voxels");
        for (count, inside) in self.counts.iter_mut().zip(mask) {
            *count += u32::from(*inside);
        }
        self.masks += 1;
    }

    /// The voxels that enough of the masks have; possibly none.
    pub fn finish(self) -> Vec<bool> {
        let needed = self.threshold.min(1.0 - ROOM) * self.masks as f64;
        let counts = self.counts.into_iter();
        let kept: Vec<bool> = counts.map(|count| f64::from(count) > needed).collect();
        if !self.connected {
            return kept;
        }
        largest(&kept, self.shape).unwrap_or(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intersect(threshold: f64, connected: bool) -> Vec<bool> {
        let mut all = Intersection::new([5, 1, 1], threshold, connected).unwrap();
        for mask in [
            [true, false, true, true, true],
            [true, false, false, true, true],
            [true, false, false, false, true],
            [false, false, false, true, true],
        ] {
            all.add(&mask);
        }
        all.finish()
    }

    #[test]
    fn more_than_the_threshold_are_needed() {
        assert_eq!(
            intersect(0.0, false),
            [true, false, true, true, true],
            "the union"
        );
        assert_eq!(
            intersect(0.5, false),
            [true, false, false, true, true],
            "three of four"
        );
        assert_eq!(
            intersect(1.0, false),
            [false, false, false, false, true],
            "all"
        );
    }

    #[test]
    fn the_largest_component_is_kept() {
        assert_eq!(intersect(0.5, true), [false, false, false, true, true]);
    }

    #[test]
    fn nothing_in_common_is_nothing() {
        let mut all = Intersection::new([2, 1, 1], 1.0, true).unwrap();
        all.add(&[true, false]);
        all.add(&[false, true]);
        assert_eq!(all.finish(), [false, false]);
    }

    #[test]
    fn thresholds_outside_are_refused() {
        for threshold in [-0.1, 1.1, f64::NAN] {
            assert!(Intersection::new([1, 1, 1], threshold, true).is_err());
        }
    }
}
