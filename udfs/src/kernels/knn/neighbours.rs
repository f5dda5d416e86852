//! The nearest so far of one query.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// The nearest of what was offered: the `k` nearest, those within a radius, or the `k` nearest of those.
///
/// Of two at one distance the one with the smaller key is nearer, so what is kept does not depend on
/// the order of the offers.
#[derive(Clone, Debug)]
pub struct Neighbours<K> {
    /// The farthest first.
    heap: BinaryHeap<Neighbour<K>>,
    k: usize,
    radius: f64,
}

/// A base vector, by its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbour<K> {
    pub distance: f64,
    pub key: K,
}

impl<K: Ord> Neighbours<K> {
    /// `k` of at least 1, or all; within `radius`, inclusive, or anywhere.
    pub fn new(k: Option<usize>, radius: Option<f64>) -> Self {
        Self {
            heap: BinaryHeap::new(),
            k: k.unwrap_or(usize::MAX),
            radius: radius.unwrap_or(f64::INFINITY),
        }
    }

    /// What is farther will not be kept.
    pub fn limit(&self) -> f64 {
        match self.heap.peek() {
            Some(farthest) if self.heap.len() >= self.k => farthest.distance,
            _ => self.radius,
        }
    }

    /// Keeps the neighbour if it is among the nearest, and says then whose place it took, if anybody's.
    pub fn offer<Q>(&mut self, distance: f64, key: &Q) -> Option<Option<K>>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        if distance.is_nan() || distance > self.limit() {
            return None;
        }
        if self.heap.len() < self.k {
            let key = key.to_owned();
            self.heap.push(Neighbour { distance, key });
            return Some(None);
        }
        let mut farthest = self.heap.peek_mut()?;
        let nearer = distance < farthest.distance || key < farthest.key.borrow();
        nearer.then(|| {
            farthest.distance = distance;
            Some(std::mem::replace(&mut farthest.key, key.to_owned()))
        })
    }

    /// Those of another part of the base, too.
    pub fn merge(&mut self, others: Self) {
        for other in others.heap {
            if self.heap.len() < self.k {
                self.heap.push(other);
            } else if let Some(mut farthest) = self.heap.peek_mut()
                && other < *farthest
            {
                *farthest = other;
            }
        }
    }

    /// From the nearest to the farthest.
    pub fn sorted(self) -> Vec<Neighbour<K>> {
        self.heap.into_sorted_vec()
    }
}

impl<K: Ord> Ord for Neighbour<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_distance = self.distance.total_cmp(&other.distance);
        by_distance.then_with(|| self.key.cmp(&other.key))
    }
}

impl<K: Ord> PartialOrd for Neighbour<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> Eq for Neighbour<K> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_stay_and_ties_go_by_key() {
        let mut nearest = Neighbours::new(Some(2), Some(5.0));
        let offers = [
            (6.0, 1),
            (5.0, 9),
            (f64::NAN, 0),
            (3.0, 8),
            (3.0, 7),
            (3.0, 4),
            (3.0, 6),
        ];
        for (distance, key) in offers {
            nearest.offer(distance, &key);
        }
        let got: Vec<_> = nearest
            .sorted()
            .iter()
            .map(|n| (n.distance, n.key))
            .collect();
        assert_eq!(got, [(3.0, 4), (3.0, 6)]);
    }

    #[test]
    fn parts_are_merged() {
        let mut one = Neighbours::new(Some(2), None);
        let mut other = one.clone();
        one.offer(1.0, "b");
        other.offer(1.0, "a");
        other.offer(0.5, "z");
        one.merge(other);
        let keys: Vec<String> = one.sorted().into_iter().map(|n| n.key).collect();
        assert_eq!(keys, ["z", "a"]);
    }
}
