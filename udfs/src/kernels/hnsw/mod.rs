//! Approximate nearest neighbours by a hierarchical navigable small world graph (HNSW; Malkov and
//! Yashunin 2018) over vectors of bytes.

mod build;
mod codes;
mod graph;
mod search;

pub use build::{Progress, Settings};
pub use codes::{Codes, Nearness, bytes};
pub use graph::{Graph, MOST_LINKS, NoGraph};
pub use search::{Bits, Scratch};

/// Vectors and the graph that links them.
#[derive(Debug)]
pub struct Hnsw {
    codes: Codes,
    graph: Graph,
}

impl Hnsw {
    /// Builds the graph of all vectors; `None` if it was stopped. With one thread the graph of the same
    /// vectors is always the same.
    pub fn build(codes: Codes, settings: Settings, progress: &Progress) -> Option<Self> {
        let graph = match codes.is_empty() {
            true => Graph::new(settings.m, Vec::new()),
            false => build::build(&codes, settings, progress)?,
        };
        Some(Self { codes, graph })
    }

    /// A graph that was built from the same vectors.
    ///
    /// # Errors
    /// Where the graph has more or fewer nodes than there are vectors.
    pub fn new(codes: Codes, graph: Graph) -> Result<Self, NoGraph> {
        match codes.len() == graph.len() {
            true => Ok(Self { codes, graph }),
            false => Err(NoGraph(format!(
                "it has {} nodes for {} vectors",
                graph.len(),
                codes.len()
            ))),
        }
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Vectors near the query, the nearest first: up to `ef` of them, of those in `wanted`, if it is given.
    /// A walk that finds `k` near ones well needs an `ef` of several times `k`.
    ///
    /// Distances are those of bytes: who wants the right order asks for more than needed, and computes the
    /// exact distances of these. `query` has the vectors' dimension and finite elements.
    pub fn search(
        &self,
        query: &[f32],
        ef: usize,
        wanted: Option<&Bits>,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        if self.codes.is_empty() {
            return Vec::new();
        }
        let target = self.codes.target(query);
        let entry = self.graph.entry;
        let top = usize::from(self.graph.levels[entry as usize]);
        let at = scratch.near(&self.codes, &target, entry);
        let at = scratch.descend(&self.codes, &self.graph, &target, at, (1..=top).rev());
        scratch.walk(&self.codes, &self.graph, &target, &[at], (0, ef, wanted));
        let mut found: Vec<_> = scratch.found.drain().collect();
        found.sort_unstable();
        found.into_iter().map(|near| near.node()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIMENSION: usize = 24;

    /// Vectors around 20 centres, as far from them as the centres are from each other.
    fn clustered(n: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut state = seed;
        let mut uniform = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let mut vector = || -> Vec<f32> { (0..DIMENSION).map(|_| uniform() + uniform()).collect() };
        let centres: Vec<_> = (0..20).map(|_| vector()).collect();
        let around = |i: usize| {
            let noise = vector();
            centres[i % 20]
                .iter()
                .zip(noise)
                .map(|(c, x)| c + x)
                .collect()
        };
        (0..n).map(around).collect()
    }

    fn build(vectors: &[Vec<f32>], nearness: Nearness, threads: usize) -> Hnsw {
        let mut codes = Codes::new(nearness, vec![0.0; DIMENSION], vectors.len());
        vectors.iter().for_each(|vector| codes.push(vector));
        let settings = Settings {
            m: 8,
            ef_construction: 60,
            threads,
        };
        Hnsw::build(codes, settings, &Progress::default()).unwrap()
    }

    fn nearest(vectors: &[Vec<f32>], query: &[f32], nearness: Nearness, k: usize) -> Vec<u32> {
        let distance = |vector: &Vec<f32>| -> f32 {
            let pairs = query.iter().zip(vector);
            match nearness {
                Nearness::Euclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
                Nearness::InnerProduct => -pairs.map(|(a, b)| a * b).sum::<f32>(),
            }
        };
        let mut all: Vec<u32> = (0..vectors.len() as u32).collect();
        all.sort_by(|a, b| {
            distance(&vectors[*a as usize]).total_cmp(&distance(&vectors[*b as usize]))
        });
        all.truncate(k);
        all
    }

    #[test]
    fn it_finds_nearly_all_of_the_nearest() {
        let vectors = clustered(3_000, 1);
        let queries = clustered(100, 2);
        for (nearness, threads) in [
            (Nearness::Euclidean, 1),
            (Nearness::Euclidean, 3),
            (Nearness::InnerProduct, 2),
        ] {
            let hnsw = build(&vectors, nearness, threads);
            let mut scratch = Scratch::default();
            let mut hits = 0;
            for query in &queries {
                let found = hnsw.search(query, 128, None, &mut scratch);
                assert_eq!(found.len(), 128);
                let wanted = nearest(&vectors, query, nearness, 10);
                // Twice as many as wanted, since bytes order but nearly.
                hits += wanted
                    .iter()
                    .filter(|node| found[..20].contains(node))
                    .count();
            }
            assert!(
                hits >= 950,
                "{nearness:?}, {threads} threads: {hits} of 1000"
            );
        }
    }

    #[test]
    fn one_thread_builds_the_same_graph_again() {
        let vectors = clustered(500, 3);
        let bytes = || build(&vectors, Nearness::Euclidean, 1).graph().to_bytes();
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn a_filter_leaves_only_what_is_wanted() {
        let vectors = clustered(1_000, 4);
        let hnsw = build(&vectors, Nearness::Euclidean, 2);
        let mut wanted = Bits::new(1_000);
        (0..1_000).step_by(7).for_each(|node| {
            wanted.insert(node);
        });
        let found = hnsw.search(&vectors[5], 1_000, Some(&wanted), &mut Scratch::default());
        assert_eq!(found.len(), wanted.count());
        assert!(found.iter().all(|node| wanted.contains(*node)));
    }

    #[test]
    fn none_and_one() {
        let none = build(&[], Nearness::Euclidean, 2);
        let query = [0.0; DIMENSION];
        assert!(
            none.search(&query, 5, None, &mut Scratch::default())
                .is_empty()
        );
        let one = build(&clustered(1, 5), Nearness::Euclidean, 2);
        assert_eq!(one.search(&query, 5, None, &mut Scratch::default()), [0]);
    }

    #[test]
    fn a_build_can_be_stopped() {
        let mut codes = Codes::new(Nearness::Euclidean, vec![0.0; DIMENSION], 100);
        clustered(100, 6)
            .iter()
            .for_each(|vector| codes.push(vector));
        let progress = Progress::default();
        progress
            .stop
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let settings = Settings {
            m: 8,
            ef_construction: 60,
            threads: 2,
        };
        assert!(Hnsw::build(codes, settings, &progress).is_none());
    }

    #[test]
    fn a_graph_comes_back_from_its_bytes() {
        let hnsw = build(&clustered(300, 7), Nearness::Euclidean, 1);
        let bytes = hnsw.graph().to_bytes();
        assert_eq!(Graph::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }

    proptest! {
        /// Damaged bytes are an error or a graph that can be walked, and never a panic.
        #[test]
        fn damaged_bytes_are_safe(at in 0usize..100_000, value: u8, cut: bool) {
            let vectors = clustered(60, 8);
            let mut bytes = build(&vectors, Nearness::Euclidean, 1).graph().to_bytes();
            let at = at % bytes.len();
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] = value,
            }
            if let Ok(graph) = Graph::from_bytes(&bytes) {
                let mut codes = Codes::new(Nearness::Euclidean, vec![0.0; DIMENSION], 60);
                vectors.iter().for_each(|vector| codes.push(vector));
                if let Ok(hnsw) = Hnsw::new(codes, graph) {
                    hnsw.search(&vectors[0], 30, None, &mut Scratch::default());
                }
            }
        }
    }
}
