//! Walks through the graph: always on from the nearest node that was not yet left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::codes::{Codes, Target};
use super::graph::Graph;

/// Which of the numbers from 0 are in a set.
#[derive(Debug, Clone, Default)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// An empty set of numbers below `n`.
    pub fn new(n: usize) -> Self {
        let mut bits = Self::default();
        bits.clear(n);
        bits
    }

    fn clear(&mut self, n: usize) {
        self.words.clear();
        self.words.resize(n.div_ceil(64), 0);
    }

    /// Puts `i` in; true if it was not there.
    pub fn insert(&mut self, i: u32) -> bool {
        let (word, bit) = (&mut self.words[i as usize / 64], 1 << (i % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub fn contains(&self, i: u32) -> bool {
        self.words[i as usize / 64] & (1 << (i % 64)) != 0
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }
}

/// A node and its distance, ordered by distance, and where that is the same by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Near(u64);

impl Near {
    pub(super) fn new(distance: f32, node: u32) -> Self {
        let bits = distance.to_bits();
        // The order of floats as the order of unsigned numbers.
        let ordered = match bits >> 31 {
            0 => bits | 1 << 31,
            _ => !bits,
        };
        Self(u64::from(ordered) << 32 | u64::from(node))
    }

    pub(super) fn node(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(match ordered >> 31 {
            1 => ordered & !(1 << 31),
            _ => !ordered,
        })
    }
}

/// What a walk needs, kept from one to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    seen: Bits,
    /// Where to go on from, nearest first.
    open: BinaryHeap<Reverse<Near>>,
    /// The nearest found, farthest first.
    pub(super) found: BinaryHeap<Near>,
    unseen: Vec<u32>,
    distances: Vec<f32>,
}

impl Scratch {
    /// On from `at` to ever nearer nodes of the levels from `top` down to one above `bottom`.
    pub(super) fn descend(
        &mut self,
        codes: &Codes,
        graph: &Graph,
        target: &Target,
        mut at: Near,
        levels: impl Iterator<Item = usize>,
    ) -> Near {
        for level in levels {
            loop {
                self.unseen.clear();
                self.unseen.extend(graph.links(at.node(), level));
                codes.distances(target, &self.unseen, &mut self.distances);
                let links = self.distances.iter().zip(&self.unseen);
                match links.map(|(d, node)| Near::new(*d, *node)).min() {
                    Some(near) if near < at => at = near,
                    _ => break,
                }
            }
        }
        at
    }

    /// Finds up to `ef` nodes of a level that are near the target, of those in `wanted`, if it is given; they
    /// are then in `found`.
    pub(super) fn walk(
        &mut self,
        codes: &Codes,
        graph: &Graph,
        target: &Target,
        from: &[Near],
        (level, ef, wanted): (usize, usize, Option<&Bits>),
    ) {
        let is_wanted = |node| wanted.is_none_or(|wanted| wanted.contains(node));
        self.seen.clear(graph.len());
        self.open.clear();
        self.found.clear();
        for &near in from {
            self.seen.insert(near.node());
            self.open.push(Reverse(near));
            if is_wanted(near.node()) {
                self.found.push(near);
            }
        }
        while let Some(Reverse(next)) = self.open.pop() {
            let is_full = self.found.len() >= ef;
            if is_full && self.found.peek().is_some_and(|worst| next > *worst) {
                break;
            }
            self.unseen.clear();
            let seen = &mut self.seen;
            self.unseen.extend(
                graph
                    .links(next.node(), level)
                    .filter(|node| seen.insert(*node)),
            );
            codes.distances(target, &self.unseen, &mut self.distances);
            for (distance, &node) in self.distances.iter().zip(&self.unseen) {
                let near = Near::new(*distance, node);
                if self.found.len() >= ef && self.found.peek().is_some_and(|worst| near > *worst) {
                    continue;
                }
                self.open.push(Reverse(near));
                if is_wanted(node) {
                    self.found.push(near);
                    if self.found.len() > ef {
                        self.found.pop();
                    }
                }
            }
        }
    }

    /// From the target to one node.
    pub(super) fn near(&mut self, codes: &Codes, target: &Target, node: u32) -> Near {
        codes.distances(target, &[node], &mut self.distances);
        Near::new(self.distances[0], node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_ordered_as_floats_are() {
        let distances = [
            f32::NEG_INFINITY,
            -2.5,
            -1e-30,
            0.0,
            1e-30,
            2.5,
            f32::INFINITY,
        ];
        for pair in distances.windows(2) {
            assert!(Near::new(pair[0], 9) < Near::new(pair[1], 3));
        }
        for distance in distances {
            let near = Near::new(distance, 7);
            assert_eq!((near.distance(), near.node()), (distance, 7));
        }
        assert!(Near::new(1.0, 3) < Near::new(1.0, 4));
    }

    #[test]
    fn bits() {
        let mut bits = Bits::new(130);
        assert!(bits.insert(0) && bits.insert(129) && !bits.insert(129));
        assert!(bits.contains(129) && !bits.contains(64));
        assert_eq!(bits.count(), 2);
    }
}
