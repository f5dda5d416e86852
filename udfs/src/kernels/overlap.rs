//! How long an interval is in each bin of a grid, in whole nanoseconds.

/// A bin that the interval touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The bin's index.
    pub bin: i64,
    /// How many nanoseconds of the interval are in it.
    pub nanoseconds: i64,
}

/// The bins that an interval touches, in order.
#[derive(Clone, Debug)]
pub struct Overlaps {
    /// Relative to the beginning of bin 0.
    onset: i64,
    end: i64,
    tr: i64,
    next: i64,
    left: u64,
}

/// The bins that the half-open interval `[onset, onset + duration)` touches, where bin
/// `k` is `[origin + k * tr, origin + (k + 1) * tr)`. An interval without length touches
/// the one bin in which it is. All in nanoseconds, `tr` positive, `duration` not negative.
/// None where the times overflow.
pub fn overlaps(onset: i64, duration: i64, tr: i64, origin: i64) -> Option<Overlaps> {
    let onset = onset.checked_sub(origin)?;
    let end = onset.checked_add(duration)?;
    let last = if duration > 0 { end - 1 } else { onset };
    let (first, last) = (onset.div_euclid(tr), last.div_euclid(tr));
    Some(Overlaps {
        onset,
        end,
        tr,
        next: first,
        left: last.abs_diff(first).saturating_add(1),
    })
}

impl Overlaps {
    /// How many bins are left to come.
    pub fn count_left(&self) -> u64 {
        self.left
    }
}

impl Iterator for Overlaps {
    type Item = Overlap;

    fn next(&mut self) -> Option<Overlap> {
        self.left = self.left.checked_sub(1)?;
        let bin = self.next;
        self.next = bin.saturating_add(1);
        // Only an edge beyond the interval can be out of range, and it is not used.
        let from = bin.saturating_mul(self.tr).max(self.onset);
        let to = bin.saturating_add(1).saturating_mul(self.tr).min(self.end);
        Some(Overlap {
            bin,
            nanoseconds: to - from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(onset: i64, duration: i64, tr: i64, origin: i64) -> Vec<(i64, i64)> {
        let overlaps = overlaps(onset, duration, tr, origin).unwrap();
        assert_eq!(overlaps.count_left(), overlaps.clone().count() as u64);
        overlaps.map(|o| (o.bin, o.nanoseconds)).collect()
    }

    #[test]
    fn edges() {
        assert_eq!(list(5, 3, 10, 0), [(0, 3)]);
        assert_eq!(list(5, 5, 10, 0), [(0, 5)], "the end is not part of it");
        assert_eq!(list(5, 6, 10, 0), [(0, 5), (1, 1)]);
        assert_eq!(list(10, 10, 10, 0), [(1, 10)]);
        assert_eq!(list(8, 25, 10, 0), [(0, 2), (1, 10), (2, 10), (3, 3)]);
        assert_eq!(list(10, 0, 10, 0), [(1, 0)]);
        assert_eq!(list(9, 0, 10, 0), [(0, 0)]);
        assert_eq!(list(-3, 5, 10, 0), [(-1, 3), (0, 2)]);
        assert_eq!(list(4, 4, 10, 5), [(-1, 1), (0, 3)]);
        assert_eq!(list(i64::MAX - 1, 1, 10, 0).len(), 1);
        assert_eq!(list(i64::MIN, 1, 10, 0), [(i64::MIN / 10 - 1, 1)]);
        assert_eq!(list(i64::MAX, 0, 1, 0), [(i64::MAX, 0)]);
        assert!(overlaps(i64::MAX, 1, 10, 0).is_none());
        assert!(overlaps(i64::MIN, 0, 10, 1).is_none());
    }

    proptest! {
        /// The parts are the whole, each is what the definition says, and the bins
        /// follow each other.
        #[test]
        fn parts_are_the_whole(
            onset in -1_000_000i64..1_000_000,
            duration in 0i64..100_000,
            tr in 100i64..5_000,
            origin in -5_000i64..5_000,
        ) {
            let parts = list(onset, duration, tr, origin);
            prop_assert_eq!(parts.iter().map(|(_, ns)| ns).sum::<i64>(), duration);
            for (i, (bin, ns)) in parts.iter().enumerate() {
                prop_assert_eq!(*bin, parts[0].0 + i as i64);
                let (from, to) = (origin + bin * tr, origin + (bin + 1) * tr);
                prop_assert_eq!(*ns, (onset + duration).min(to) - onset.max(from));
                prop_assert!(*ns > 0 || duration == 0);
            }
        }
    }
}
