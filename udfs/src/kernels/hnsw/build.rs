//! Building the graph: Malkov and Yashunin (2018), "Efficient and robust approximate nearest neighbor search
//! using hierarchical navigable small world graphs", algorithms 1 and 4.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::codes::{Codes, Target};
use super::graph::{Graph, MOST_LEVELS};
use super::search::{Near, Scratch};

/// How a graph is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Links of a node above the ground, 2 to [`super::MOST_LINKS`]; on the ground twice as many.
    pub m: usize,
    /// How many near nodes a new node chooses its links from.
    pub ef_construction: usize,
    pub threads: usize,
}

/// A build as others see it.
#[derive(Debug, Default)]
pub struct Progress {
    /// How many nodes are in the graph.
    pub done: AtomicUsize,
    /// Set to true, it ends the build.
    pub stop: AtomicBool,
}

/// Links all vectors; `None` if it was stopped. With one thread the graph is always the same.
pub(super) fn build(codes: &Codes, settings: Settings, progress: &Progress) -> Option<Graph> {
    let levels = (0..codes.len() as u64)
        .map(|i| level(i, settings.m))
        .collect();
    let graph = Graph::new(settings.m, levels);
    let builder = Builder {
        codes,
        locks: (0..codes.len()).map(|_| Mutex::new(())).collect(),
        top: AtomicU64::new(top(&graph, 0)),
        ef: settings.ef_construction.max(settings.m),
        graph,
    };
    let next = AtomicUsize::new(1);
    let work = || {
        let mut room = Room::default();
        while !progress.stop.load(Ordering::Relaxed) {
            let node = next.fetch_add(1, Ordering::Relaxed);
            if node >= codes.len() {
                break;
            }
            builder.insert(node as u32, &mut room);
            progress.done.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..settings.threads {
            scope.spawn(work);
        }
        work();
    });
    if progress.stop.load(Ordering::Relaxed) {
        return None;
    }
    let entry = builder.top.into_inner() as u32;
    let mut graph = builder.graph;
    graph.entry = entry;
    Some(graph)
}

/// The level of a node falls off by a factor of `m`; by a hash of its number, so that it is the same each time.
fn level(node: u64, m: usize) -> u8 {
    // splitmix64
    let mut x = node.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    let uniform = ((x >> 11) + 1) as f64 / (1u64 << 53) as f64;
    let level = -uniform.ln() / (m as f64).ln();
    level.min((MOST_LEVELS - 1) as f64) as u8
}

/// A node with its level above: the greatest is the entry.
fn top(graph: &Graph, node: u32) -> u64 {
    u64::from(graph.levels[node as usize]) << 32 | u64::from(node)
}

struct Builder<'a> {
    codes: &'a Codes,
    graph: Graph,
    /// Held while a node's lists are changed.
    locks: Vec<Mutex<()>>,
    /// The entry, as [`top`] writes it.
    top: AtomicU64,
    ef: usize,
}

/// What a thread keeps from one node to the next.
#[derive(Default)]
struct Room {
    scratch: Scratch,
    near: Vec<Near>,
    nodes: Vec<u32>,
    distances: Vec<f32>,
}

impl Builder<'_> {
    fn insert(&self, node: u32, room: &mut Room) {
        let target = self.codes.own(node);
        let top = self.top.load(Ordering::Acquire);
        let (entry, top_level) = (top as u32, (top >> 32) as usize);
        let own_level = usize::from(self.graph.levels[node as usize]);
        let mut lists: Vec<Vec<Near>> = Vec::new();
        let mut at = vec![room.scratch.near(self.codes, &target, entry)];
        let above = (own_level + 1..=top_level).rev();
        at[0] = room
            .scratch
            .descend(self.codes, &self.graph, &target, at[0], above);
        for level in (0..=own_level.min(top_level)).rev() {
            let how = (level, self.ef, None);
            room.scratch
                .walk(self.codes, &self.graph, &target, &at, how);
            at.clear();
            at.extend(room.scratch.found.drain());
            // A node that is being linked by another thread may be this one.
            at.retain(|near| near.node() != node);
            at.sort_unstable();
            lists.push(self.choose(&at, self.links(level)));
        }
        // Before anybody can come here, the way on is there on all levels.
        for (level, list) in lists.iter().rev().enumerate() {
            let links: Vec<u32> = list.iter().map(|near| near.node()).collect();
            self.graph.set_links(node, level, &links);
        }
        for (level, list) in lists.iter().rev().enumerate() {
            for near in list {
                self.link_back(*near, node, level, room);
            }
        }
        self.top
            .fetch_max(self::top(&self.graph, node), Ordering::AcqRel);
    }

    /// Links that a new node chooses. On the ground three quarters of its room: more than the m of the
    /// paper find more of the nearest, and the rest is for those that come later.
    fn links(&self, level: usize) -> usize {
        match level {
            0 => self.graph.m + self.graph.m / 2,
            _ => self.graph.m,
        }
    }

    /// Of nodes in the order of their distance, those that are nearer to the new node than to any chosen
    /// one: links then lead in all directions, not into the nearest heap only.
    fn choose(&self, near: &[Near], most: usize) -> Vec<Near> {
        let mut chosen: Vec<Near> = Vec::with_capacity(most);
        for &candidate in near {
            if chosen.len() == most {
                break;
            }
            let nearer_to = |other: &Near| {
                self.codes.between(candidate.node(), other.node()) < candidate.distance()
            };
            if !chosen.iter().any(nearer_to) {
                chosen.push(candidate);
            }
        }
        chosen
    }

    /// Links `near` with the new node; if it has no room, it chooses anew.
    fn link_back(&self, near: Near, new: u32, level: usize, room: &mut Room) {
        let node = near.node();
        let lock = &self.locks[node as usize];
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.graph.add_link(node, level, new) {
            return;
        }
        room.nodes.clear();
        room.nodes.extend(self.graph.links(node, level));
        let target: Target = self.codes.own(node);
        self.codes
            .distances(&target, &room.nodes, &mut room.distances);
        room.near.clear();
        let known = room.distances.iter().zip(&room.nodes);
        room.near
            .extend(known.map(|(distance, node)| Near::new(*distance, *node)));
        room.near.push(Near::new(near.distance(), new));
        room.near.sort_unstable();
        let chosen = self.choose(&room.near, self.graph.room(level));
        room.nodes.clear();
        room.nodes.extend(chosen.iter().map(|near| near.node()));
        self.graph.set_links(node, level, &room.nodes);
    }
}
