//! The query vectors, and the search of a block of base vectors.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::super::dot::norm;
use super::super::metric::{Measure, Metric, Preparation};
use super::{Base, Element, WORST_OFFSET};

/// Rows that are judged at once.
const LANES: usize = 16;

/// Queries that are multiplied with a block of the base at once.
const BLOCK: usize = 512;

/// Queries of element type `Q`, to be compared with base vectors of element type `B`.
pub struct Queries<Q, B> {
    metric: Metric,
    width: usize,
    exact: Vec<Q>,
    /// The same as factors of products: normalised, where the metric is of directions.
    prepared: Vec<B>,
    measured: Vec<Measured>,
}

#[derive(Clone, Copy)]
struct Measured {
    of_metric: Measure,
    /// The norm of the prepared vector.
    norm: f64,
    /// What rounding has left of its mean, times the root of its width: 0 but for correlation.
    mean_left: f64,
    /// Whether products say anything.
    is_safe: bool,
}

impl<Q: Element, B: Element> Queries<Q, B> {
    /// No queries yet.
    pub fn new(metric: Metric, width: usize) -> Self {
        Self {
            metric,
            width,
            exact: Vec::new(),
            prepared: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// What a query of so many elements takes, in bytes.
    pub fn bytes(width: usize) -> usize {
        width * (size_of::<Q>() + size_of::<B>()) + size_of::<Measured>()
    }

    /// The number of queries.
    pub fn len(&self) -> usize {
        self.measured.len()
    }

    /// The elements of each.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn is_empty(&self) -> bool {
        self.measured.is_empty()
    }

    /// Appends a vector of the width, which [can be compared](super::can_be_compared).
    pub fn push(&mut self, vector: &[Q]) {
        debug_assert_eq!(vector.len(), self.width);
        let of_metric = Measure::of(self.metric, vector);
        let length = norm(vector);
        let directions = self.metric.preparation() != Preparation::None;
        let scale = match directions {
            true if of_metric.norm == 0.0 => 0.0,
            true => 1.0 / of_metric.norm,
            false => 1.0,
        };
        let prepare = |x: &Q| B::rounded(((*x).into() - of_metric.mean) * scale);
        self.exact.extend_from_slice(vector);
        self.prepared.extend(vector.iter().map(prepare));
        let norm = match directions {
            true if scale == 0.0 => 0.0,
            true => 1.0,
            false => length,
        };
        let mut mean_left = 0.0;
        if self.metric.preparation() == Preparation::CentreAndNormalise {
            let prepared = &self.prepared[self.prepared.len() - self.width..];
            let sum: f64 = prepared.iter().map(|x| (*x).into()).sum();
            mean_left = sum.abs() / (self.width.max(1) as f64).sqrt();
        }
        self.measured.push(Measured {
            of_metric,
            norm,
            mean_left,
            is_safe: norm == 0.0
                || B::SAFE.contains(&norm) && length * scale <= WORST_OFFSET.max(norm),
        });
    }

    /// All queries, in blocks for [`Self::search`].
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<Q, B> {
        let queries = self.len();
        let starts = (0..queries).step_by(BLOCK);
        starts.map(move |start| start..(start + BLOCK).min(queries))
    }

    /// The vectors of some queries, one after the other.
    pub fn vectors(&self, block: Range<usize>) -> &[Q] {
        &self.exact[block.start * self.width..block.end * self.width]
    }

    /// Offers every base vector that may be within the limit of a query of the block, with its distance:
    /// `offer(query, row, distance)` gives the query's new limit. There is a limit for each query of all
    /// blocks; `products` is working space.
    ///
    /// Base vectors have the queries' width.
    pub fn search(
        &self,
        block: Range<usize>,
        base: &Base<'_, B>,
        limits: &mut [f64],
        products: &mut Vec<B>,
        mut offer: impl FnMut(usize, usize, f64) -> f64,
    ) {
        let error = (self.width + 16) as f64 * B::ROUNDING;
        if self.metric == Metric::L1 || self.width == 0 || error > 0.1 {
            return self.search_one_by_one(block, base, limits, offer);
        }
        let rows = base.rows();
        self.multiply(base, block.clone(), products);
        for query in block.clone() {
            let products = &products[(query - block.start) * rows..][..rows];
            self.scan(base, query, products, error, &mut limits[query], &mut offer);
        }
    }

    /// The bytes of working space that a search of so many rows needs.
    pub fn working_bytes(&self, rows: usize) -> usize {
        self.len().min(BLOCK) * rows * size_of::<B>()
    }

    /// The products of all rows with the first query, with the second, ….
    fn multiply(&self, base: &Base<'_, B>, block: Range<usize>, products: &mut Vec<B>) {
        let (rows, width) = (base.rows(), self.width);
        let queries = block.len();
        products.clear();
        products.resize(rows * queries, B::rounded(0.0));
        let out = MatMut::from_column_major_slice_mut(products, rows, queries);
        let queries = &self.prepared[block.start * width..block.end * width];
        let queries = MatRef::from_column_major_slice(queries, width, block.len());
        let base = MatRef::from_row_major_slice(base.values, rows, width);
        matmul(
            out,
            Accum::Replace,
            base,
            queries,
            B::rounded(1.0),
            Par::Seq,
        );
    }

    fn scan(
        &self,
        base: &Base<'_, B>,
        query: usize,
        products: &[B],
        error: f64,
        limit: &mut f64,
        offer: &mut impl FnMut(usize, usize, f64) -> f64,
    ) {
        let mut least = self.least(query, *limit, base, error);
        let mut compare = |row: usize, limit: &mut f64| {
            if let Some(distance) = self.distance(base, query, row)
                && distance <= *limit
            {
                *limit = offer(query, row, distance);
            }
            self.least(query, *limit, base, error)
        };
        let (chunks, rest) = products.as_chunks::<LANES>();
        let (factors, rest_factors) = base.factors.as_chunks::<LANES>();
        let (offsets, rest_offsets) = base.offsets.as_chunks::<LANES>();
        for (chunk, products) in chunks.iter().enumerate() {
            let (factors, offsets) = (&factors[chunk], &offsets[chunk]);
            let mut any = false;
            for i in 0..LANES {
                any |= may_be_near(products[i], factors[i], offsets[i], least);
            }
            for i in 0..if any { LANES } else { 0 } {
                if may_be_near(products[i], factors[i], offsets[i], least) {
                    least = compare(chunk * LANES + i, limit);
                }
            }
        }
        for (i, product) in rest.iter().enumerate() {
            if may_be_near(*product, rest_factors[i], rest_offsets[i], least) {
                least = compare(chunks.len() * LANES + i, limit);
            }
        }
    }

    /// What is less near than this is surely beyond the limit: the nearness of the limit, less what
    /// products of this width can be wrong by (Higham, Accuracy and Stability, 3.1).
    fn least(&self, query: usize, limit: f64, base: &Base<'_, B>, error: f64) -> B {
        let of = &self.measured[query];
        if !of.is_safe {
            return B::rounded(f64::NEG_INFINITY);
        }
        let mut wrong = (error * of.norm + of.mean_left) * base.spread;
        let nearness = match self.metric {
            Metric::Cosine | Metric::Correlation => 1.0 - limit,
            Metric::InnerProduct | Metric::L1 => -limit,
            Metric::L2 | Metric::SquaredL2 => {
                let limit = match self.metric {
                    Metric::L2 => limit * limit,
                    _ => limit,
                };
                let square = of.norm * of.norm;
                wrong += error * (square + limit + base.spread * base.spread);
                (square - limit) / 2.0
            }
        };
        // Twice: the bound is of products alone, and the last operations round, too.
        B::rounded(nearness - 2.0 * wrong - 4.0 * B::ROUNDING * (1.0 + nearness.abs()))
    }

    fn search_one_by_one(
        &self,
        block: Range<usize>,
        base: &Base<'_, B>,
        limits: &mut [f64],
        mut offer: impl FnMut(usize, usize, f64) -> f64,
    ) {
        for query in block {
            let limit = &mut limits[query];
            for row in 0..base.rows() {
                if let Some(distance) = self.distance(base, query, row)
                    && distance <= *limit
                {
                    *limit = offer(query, row, distance);
                }
            }
        }
    }

    fn distance(&self, base: &Base<'_, B>, query: usize, row: usize) -> Option<f64> {
        let of_metric = &self.measured[query].of_metric;
        let query = &self.exact[query * self.width..(query + 1) * self.width];
        let vector = base.vector(row)?;
        Some(self.metric.distance_to(vector, query, of_metric))
    }
}

/// Whether a row may be as near as `least`. What is not a number must be looked at.
#[inline(always)]
fn may_be_near<B: Element>(product: B, factor: B, offset: B, least: B) -> bool {
    let is_farther = product * factor + offset < least;
    !is_farther
}
