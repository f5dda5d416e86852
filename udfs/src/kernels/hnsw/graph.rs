//! The graph's links, flat: one list of fixed room per node and level.

use std::sync::atomic::{AtomicU32, Ordering};

/// No node has more levels. With 2 links a node this is room for 2^32 nodes.
pub(super) const MOST_LEVELS: usize = 32;

/// Who is linked with whom. Nodes are numbered from 0.
///
/// Links are atomic so that threads can read lists while one thread changes them: what they then see is a
/// mixture of old and new links, all of them nodes.
#[derive(Debug)]
pub struct Graph {
    /// Links that a node has above the ground; on the ground it has twice as many.
    pub(super) m: usize,
    /// Highest level of each node.
    pub(super) levels: Vec<u8>,
    /// Where a node's lists above the ground begin.
    starts: Vec<u32>,
    /// A count and room for 2·m links per node.
    ground: Vec<AtomicU32>,
    /// A count and room for m links per node and level.
    above: Vec<AtomicU32>,
    /// Where every walk begins: a node of the highest level.
    pub(super) entry: u32,
}

/// Why bytes are no graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoGraph(pub String);

impl Graph {
    /// Nodes without links.
    pub(super) fn new(m: usize, levels: Vec<u8>) -> Self {
        let mut starts = Vec::with_capacity(levels.len());
        let mut lists = 0;
        for &level in &levels {
            starts.push(lists);
            lists += u32::from(level);
        }
        let zeros = |n: usize| (0..n).map(|_| AtomicU32::new(0)).collect();
        Self {
            m,
            ground: zeros(levels.len() * (2 * m + 1)),
            above: zeros(lists as usize * (m + 1)),
            levels,
            starts,
            entry: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.levels.len()
    }

    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Links that a node can have on a level.
    pub(super) fn room(&self, level: usize) -> usize {
        match level {
            0 => 2 * self.m,
            _ => self.m,
        }
    }

    /// The list of a node on a level that it has: a count, and room for links.
    pub(super) fn list(&self, node: u32, level: usize) -> &[AtomicU32] {
        let node = node as usize;
        match level {
            0 => &self.ground[node * (2 * self.m + 1)..][..2 * self.m + 1],
            level => {
                &self.above[(self.starts[node] as usize + level - 1) * (self.m + 1)..][..self.m + 1]
            }
        }
    }

    pub(super) fn links(&self, node: u32, level: usize) -> impl Iterator<Item = u32> {
        let (count, links) = self.list(node, level).split_at(1);
        let count = count[0].load(Ordering::Acquire) as usize;
        links[..count]
            .iter()
            .map(|link| link.load(Ordering::Relaxed))
    }

    /// One thread at a time may change a list.
    pub(super) fn set_links(&self, node: u32, level: usize, links: &[u32]) {
        let list = self.list(node, level);
        for (place, link) in list[1..].iter().zip(links) {
            place.store(*link, Ordering::Relaxed);
        }
        list[0].store(links.len() as u32, Ordering::Release);
    }

    /// False if there is no room left.
    pub(super) fn add_link(&self, node: u32, level: usize, link: u32) -> bool {
        let list = self.list(node, level);
        let count = list[0].load(Ordering::Relaxed) as usize;
        let Some(place) = list[1..].get(count) else {
            return false;
        };
        place.store(link, Ordering::Relaxed);
        list[0].store(count as u32 + 1, Ordering::Release);
        true
    }

    /// The graph as bytes: m, the entry and the levels, then all lists, numbers as little-endian u32.
    pub fn to_bytes(&self) -> Vec<u8> {
        let words = 3 + self.ground.len() + self.above.len();
        let mut bytes = Vec::with_capacity(4 * words + self.levels.len());
        for word in [self.len() as u32, self.m as u32, self.entry] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.levels);
        for word in self.ground.iter().chain(&self.above) {
            bytes.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        bytes
    }

    /// The opposite of [`Graph::to_bytes`].
    ///
    /// # Errors
    /// Bytes that are no graph, down to each link: no later step can go astray.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoGraph> {
        let no = |why: &str| Err(NoGraph(why.to_string()));
        let Some((head, rest)) = bytes.split_at_checked(12) else {
            return no("it is cut off");
        };
        let head = words(head);
        let (nodes, m, entry) = (head[0] as usize, head[1] as usize, head[2]);
        if !(2..=MOST_LINKS).contains(&m) || (entry as usize >= nodes.max(1)) {
            return no("its head is wrong");
        }
        let Some((levels, rest)) = rest.split_at_checked(nodes) else {
            return no("it is cut off");
        };
        if levels
            .iter()
            .any(|level| usize::from(*level) >= MOST_LEVELS)
        {
            return no("a node has too many levels");
        }
        let lists: usize = levels.iter().map(|level| usize::from(*level)).sum();
        let (ground, above) = (nodes * (2 * m + 1), lists * (m + 1));
        if u32::try_from(lists).is_err() || rest.len() != 4 * (ground + above) {
            return no("its length is wrong");
        }
        let mut graph = Self::new(m, levels.to_vec());
        graph.entry = entry;
        let (ground, above) = rest.split_at(4 * ground);
        graph.ground = words(ground).into_iter().map(AtomicU32::new).collect();
        graph.above = words(above).into_iter().map(AtomicU32::new).collect();
        graph.check()?;
        Ok(graph)
    }

    /// Every list has room for what it says, and links nodes that have its level.
    fn check(&self) -> Result<(), NoGraph> {
        let no = |why: String| Err(NoGraph(why));
        for node in 0..self.len() as u32 {
            for level in 0..=usize::from(self.levels[node as usize]) {
                if self.list(node, level)[0].load(Ordering::Relaxed) as usize > self.room(level) {
                    return no(format!("node {node} has too many links"));
                }
                let has_level = |link: u32| {
                    let of_link = self.levels.get(link as usize);
                    of_link.is_some_and(|of_link| usize::from(*of_link) >= level)
                };
                if !self.links(node, level).all(has_level) {
                    return no(format!("node {node} has a link to nowhere"));
                }
            }
        }
        Ok(())
    }
}

/// Most links that a node may ask for.
pub const MOST_LINKS: usize = 256;

fn words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}
