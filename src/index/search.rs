//! Which rows of an index can be among the nearest.

use std::fs::File;
use std::path::PathBuf;

use datafusion::common::{Result, exec_err};
use datafusion::execution::memory_pool::MemoryReservation;
use voxql_udfs::kernels::hnsw::{Bits, Hnsw, Scratch};
use voxql_udfs::kernels::metric::{Measure, Metric};

use super::collect::{NULL, OTHER};
use super::manifest::{Manifest, VECTORS, damaged};

/// An index in memory.
#[derive(Debug)]
pub struct Loaded {
    pub manifest: Manifest,
    pub(super) directory: PathBuf,
    pub(super) metric: Metric,
    pub(super) hnsw: Hnsw,
    pub(super) vectors: File,
    pub(super) rows: RowsOfVectors,
    pub(super) _memory: MemoryReservation,
}

/// Which rows have which vector.
#[derive(Debug)]
pub struct RowsOfVectors {
    of_row: Vec<u32>,
    /// Where the rows of each vector begin in `rows`, and the end of the last.
    starts: Vec<u32>,
    rows: Vec<u32>,
    nulls: Vec<u32>,
    others: Vec<u32>,
}

/// What is asked of an index.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// How many rows.
    pub k: usize,
    pub ef: usize,
    /// The rows that pass a filter, if there is one.
    pub passing: Option<&'a Bits>,
    /// How many rows without a distance are given too.
    pub most_nulls: usize,
    pub threads: usize,
}

/// What passes a filter.
struct Passing<'a> {
    rows: Option<&'a Bits>,
    /// The vectors of which a row passes; all without it.
    vectors: Option<Bits>,
    /// How many rows with a vector pass.
    count: usize,
}

impl Passing<'_> {
    fn row(&self, row: u32) -> bool {
        self.rows.is_none_or(|rows| rows.contains(row))
    }
}

impl RowsOfVectors {
    /// None where a row has a vector that there is not.
    pub fn new(of_row: Vec<u32>, vectors: usize) -> Option<Self> {
        let mut starts = vec![0u32; vectors + 1];
        let (mut nulls, mut others) = (Vec::new(), Vec::new());
        for (row, &vector) in (0u32..).zip(&of_row) {
            match vector {
                NULL => nulls.push(row),
                OTHER => others.push(row),
                vector => *starts.get_mut(vector as usize + 1)? += 1,
            }
        }
        for i in 0..vectors {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts[vectors] as usize];
        for (row, &vector) in (0u32..).zip(&of_row) {
            if vector < OTHER {
                let place = &mut next[vector as usize];
                rows[*place as usize] = row;
                *place += 1;
            }
        }
        Some(Self {
            of_row,
            starts,
            rows,
            nulls,
            others,
        })
    }

    fn of(&self, vector: u32) -> &[u32] {
        let vector = vector as usize;
        &self.rows[self.starts[vector] as usize..self.starts[vector + 1] as usize]
    }

    fn count(&self) -> usize {
        self.rows.len()
    }
}

impl Loaded {
    /// Rows among which the `k` nearest to each query are, as far as the graph tells, sorted; `None` where a
    /// query is one that a graph cannot be asked for, such as NaN.
    ///
    /// There are always enough of them: `k` with a distance, or all.
    pub fn candidates(&self, queries: &[Vec<f64>], wanted: &Wanted) -> Result<Option<Vec<u32>>> {
        let passing = self.passing(wanted.passing);
        let passes = |row: &&u32| passing.row(**row);
        let mut found: Vec<u32> = self.rows.others.iter().filter(passes).copied().collect();
        found.extend(
            self.rows
                .nulls
                .iter()
                .filter(passes)
                .take(wanted.most_nulls),
        );
        let of_thread = queries.len().div_ceil(wanted.threads.max(1)).max(1);
        let parts = std::thread::scope(|scope| {
            let mut chunks = queries.chunks(of_thread);
            let own = chunks.next();
            let passing = &passing;
            let start = |queries| scope.spawn(move || self.nearest(queries, wanted, passing));
            let others: Vec<_> = chunks.map(start).collect();
            let own = own.map(|queries| Ok(self.nearest(queries, wanted, passing)));
            let joined = others.into_iter().map(|thread| thread.join());
            own.into_iter().chain(joined).collect::<Vec<_>>()
        });
        for part in parts {
            let Ok(part) = part else {
                return exec_err!("index {}: a search failed", self.manifest.name);
            };
            match part? {
                Some(rows) => found.extend(rows),
                None => return Ok(None),
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(Some(found))
    }

    /// Whether the row's vector is one of the graph's.
    pub fn has_vector(&self, row: u32) -> bool {
        let vector = self.rows.of_row.get(row as usize);
        vector.is_some_and(|vector| *vector < OTHER)
    }

    /// The vectors of rows that have one, one after the other.
    pub fn vectors_of(&self, rows: &[u32]) -> Result<Vec<f32>> {
        let dimension = self.manifest.dimension;
        let mut bytes = vec![0; 4 * dimension];
        let mut values = Vec::with_capacity(rows.len() * dimension);
        for row in rows {
            let vector = self.rows.of_row[*row as usize];
            read_at(&self.vectors, &mut bytes, u64::from(vector))
                .map_err(|error| damaged(&self.directory.join(VECTORS), error))?;
            let numbers = bytes.as_chunks::<4>().0.iter();
            values.extend(numbers.map(|bytes| f32::from_le_bytes(*bytes)));
        }
        Ok(values)
    }

    /// The rows of the nearest vectors.
    fn nearest(
        &self,
        queries: &[Vec<f64>],
        wanted: &Wanted,
        passing: &Passing,
    ) -> Result<Option<Vec<u32>>> {
        let mut found = Vec::new();
        let (mut scratch, mut prepared) = (Scratch::default(), Vec::new());
        let need = wanted.k.min(passing.count);
        for query in queries {
            let rounded: Vec<f32> = query.iter().map(|x| *x as f32).collect();
            if rounded.len() != self.manifest.dimension
                || !prepare(self.metric, &rounded, &mut prepared)
            {
                return Ok(None);
            }
            let near = self.near(&prepared, wanted, passing, &mut scratch);
            let mut near = self.distances(query, near)?;
            near.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let (mut taken, mut last) = (0, None);
            for (distance, vector) in near {
                // Those as near as the last one, too: who is first among them is decided elsewhere.
                if taken >= need && last != Some(distance) {
                    break;
                }
                last = Some(distance);
                let before = found.len();
                let rows = self.rows.of(vector).iter();
                found.extend(rows.filter(|row| passing.row(**row)));
                taken += found.len() - before;
            }
        }
        Ok(Some(found))
    }

    /// Vectors among which the nearest are, with `k` rows that pass or all.
    fn near(
        &self,
        prepared: &[f32],
        wanted: &Wanted,
        passing: &Passing,
        scratch: &mut Scratch,
    ) -> Vec<u32> {
        let need = wanted.k.min(passing.count);
        let vectors = passing.vectors.as_ref();
        let mut ef = wanted.ef.max(need);
        if self.exact_is_less_work(ef, passing.count) {
            return self.all(vectors);
        }
        loop {
            let mut near = self.hnsw.search(prepared, ef, vectors, scratch);
            // The order of bytes is nearly that of the distances: those far behind need no exact one.
            near.truncate(2 * need + 16);
            let passes = |row: &&u32| passing.row(**row);
            let rows = near
                .iter()
                .map(|vector| self.rows.of(*vector).iter().filter(passes).count());
            if rows.sum::<usize>() >= need {
                return near;
            }
            if ef >= self.manifest.vectors {
                // The graph does not lead to some of them.
                return self.all(vectors);
            }
            ef = ef.saturating_mul(4);
        }
    }

    fn passing<'a>(&self, rows: Option<&'a Bits>) -> Passing<'a> {
        let mut passing = Passing {
            rows,
            vectors: None,
            count: self.rows.count(),
        };
        if let Some(rows) = rows {
            let mut vectors = Bits::new(self.manifest.vectors);
            passing.count = 0;
            for (row, &vector) in (0u32..).zip(&self.rows.of_row) {
                if vector < OTHER && rows.contains(row) {
                    vectors.insert(vector);
                    passing.count += 1;
                }
            }
            passing.vectors = Some(vectors);
        }
        passing
    }

    /// A walk through the graph looks at some 30 `ef` vectors, and at more the fewer of them pass, each a
    /// wait for memory; exact distances look at all that pass.
    fn exact_is_less_work(&self, ef: usize, passing: usize) -> bool {
        let share = passing as f64 / self.manifest.vectors.max(1) as f64;
        passing as f64 * share <= 8.0 * ef as f64 || passing <= 2 * ef
    }

    fn all(&self, vectors: Option<&Bits>) -> Vec<u32> {
        let is_wanted = |vector: &u32| vectors.is_none_or(|vectors| vectors.contains(*vector));
        (0..self.manifest.vectors as u32)
            .filter(is_wanted)
            .collect()
    }

    /// The exact distance of each vector.
    fn distances(&self, query: &[f64], vectors: Vec<u32>) -> Result<Vec<(f64, u32)>> {
        let measure = Measure::of(self.metric, query);
        let mut bytes = vec![0; 4 * self.manifest.dimension];
        let mut vector = vec![0f32; self.manifest.dimension];
        let of = |number: u32| {
            read_at(&self.vectors, &mut bytes, u64::from(number))
                .map_err(|error| damaged(&self.directory.join(VECTORS), error))?;
            for (x, bytes) in vector.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *x = f32::from_le_bytes(*bytes);
            }
            Ok((self.metric.distance_to(&vector, query, &measure), number))
        };
        vectors.into_iter().map(of).collect()
    }
}

/// Reads the vector of that number.
fn read_at(file: &File, bytes: &mut [u8], number: u64) -> std::io::Result<()> {
    let at = number * bytes.len() as u64;
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, at);
    #[cfg(not(unix))]
    {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(bytes)
    }
}

/// Beyond it squares and their sums leave the numbers that Float32 has.
const LARGEST: f32 = 1e15;

/// A vector as the graph knows it: for cosine distances of length 1. False if a graph cannot have it.
pub fn prepare(metric: Metric, vector: &[f32], prepared: &mut Vec<f32>) -> bool {
    prepared.clear();
    if !vector.iter().all(|x| x.abs() < LARGEST) {
        return false;
    }
    if metric != Metric::Cosine {
        prepared.extend_from_slice(vector);
        return true;
    }
    let norm = Measure::of(metric, vector).norm;
    if norm == 0.0 {
        return false;
    }
    prepared.extend(vector.iter().map(|x| (f64::from(*x) / norm) as f32));
    true
}
