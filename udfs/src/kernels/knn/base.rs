//! A block of base vectors, measured once for all queries.

use super::super::dot::dot;
use super::super::metric::{Measure, Metric};
use super::{Element, WORST_OFFSET};

/// Rows of base vectors, and what must be known of each to judge by its product with a query.
///
/// The nearness of row `j` is `product · factor[j] + offset[j]`: the larger, the nearer.
pub struct Base<'a, B> {
    pub(super) values: &'a [B],
    pub(super) width: usize,
    pub(super) factors: Vec<B>,
    pub(super) offsets: Vec<B>,
    /// Rows that are nobody's neighbours.
    left_out: Vec<bool>,
    /// The largest length that a product's error grows with, after its factor.
    pub(super) spread: f64,
}

impl<'a, B: Element> Base<'a, B> {
    /// `rows` vectors of `width` elements one after the other. Those for which `is_there` is false (their
    /// values are arbitrary), and those with elements that are not finite, are left out.
    pub fn new(
        metric: Metric,
        values: &'a [B],
        (rows, width): (usize, usize),
        is_there: impl Fn(usize) -> bool,
    ) -> Self {
        let mut base = Self {
            values,
            width,
            factors: Vec::with_capacity(rows),
            offsets: Vec::with_capacity(rows),
            left_out: Vec::with_capacity(rows),
            spread: 0.0,
        };
        for row in 0..rows {
            let vector = &values[row * width..(row + 1) * width];
            let square = dot(vector, vector);
            let left_out = !(is_there(row) && square.sqrt().is_finite());
            base.left_out.push(left_out);
            let (factor, offset) = match left_out {
                true => (0.0, f64::NEG_INFINITY),
                false => base.judge(metric, vector, square),
            };
            base.factors.push(B::rounded(factor));
            base.offsets.push(B::rounded(offset));
        }
        base
    }

    /// Factor and offset of a row. An infinite offset has it always compared.
    fn judge(&mut self, metric: Metric, vector: &[B], square: f64) -> (f64, f64) {
        let norm = square.sqrt();
        if norm == 0.0 {
            return (0.0, 0.0);
        }
        if !B::SAFE.contains(&norm) {
            return (0.0, f64::INFINITY);
        }
        let (factor, offset) = match metric {
            Metric::Cosine => (1.0 / norm, 0.0),
            Metric::Correlation => {
                let centred = Measure::of(metric, vector).norm;
                if centred == 0.0 {
                    return (0.0, 0.0);
                }
                if norm > WORST_OFFSET * centred {
                    return (0.0, f64::INFINITY);
                }
                (1.0 / centred, 0.0)
            }
            Metric::L2 | Metric::SquaredL2 => (1.0, -square / 2.0),
            Metric::L1 | Metric::InnerProduct => (1.0, 0.0),
        };
        self.spread = self.spread.max(norm * factor);
        (factor, offset)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.left_out.len()
    }

    /// The vector of a row; None of one that is left out.
    pub(super) fn vector(&self, row: usize) -> Option<&'a [B]> {
        let there = !self.left_out[row];
        there.then(|| &self.values[row * self.width..(row + 1) * self.width])
    }
}
