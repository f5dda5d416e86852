//! Vectors as bytes: what the graph is walked on.
//!
//! A vector is centred (less the mean of all) and each element becomes one of −127 … 127 times the
//! vector's own scale: a quarter of the memory, of which a walk through a graph is mostly a wait for. All
//! metrics are then one form, `bias(a) + bias(b) − weight·scale(a)·scale(b)·Σ a·b`, with an exact sum of
//! integers. The error of a product is some 5e-4 of the vectors' lengths, and the answers of a walk are
//! put in order by exact distances (see [`super::Hnsw::search`]'s callers).

use std::ops::Range;

/// 64 elements: a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([i8; LINE]);

const LINE: usize = 64;

/// What near means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearness {
    /// The least Euclidean distance. Of vectors of length 1, also the least cosine distance.
    Euclidean,
    /// The greatest inner product.
    InnerProduct,
}

/// Vectors of one dimension as bytes.
#[derive(Debug)]
pub struct Codes {
    nearness: Nearness,
    /// Of all vectors; what is kept is the difference to it.
    mean: Vec<f32>,
    /// Lines of a vector.
    lines: usize,
    data: Vec<Line>,
    scale: Vec<f32>,
    bias: Vec<f32>,
    products: Products,
}

/// A vector that distances are asked from.
#[derive(Debug, Clone)]
pub struct Target {
    code: Vec<Line>,
    scale: f32,
    bias: f32,
}

/// Bytes that a vector of `dimension` elements takes.
pub const fn bytes(dimension: usize) -> usize {
    dimension.div_ceil(LINE) * LINE + 8
}

impl Codes {
    /// No vectors yet, with room for `capacity`. `mean` has as many elements as the vectors will have.
    pub fn new(nearness: Nearness, mean: Vec<f32>, capacity: usize) -> Self {
        let lines = mean.len().div_ceil(LINE);
        Self {
            nearness,
            mean,
            lines,
            data: Vec::with_capacity(capacity * lines),
            scale: Vec::with_capacity(capacity),
            bias: Vec::with_capacity(capacity),
            products: products(),
        }
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.scale.len()
    }

    pub fn is_empty(&self) -> bool {
        self.scale.is_empty()
    }

    /// Elements of a vector.
    pub fn dimension(&self) -> usize {
        self.mean.len()
    }

    /// Adds a vector of finite numbers; its number is the count of those before it.
    pub fn push(&mut self, vector: &[f32]) {
        let start = self.data.len();
        self.data.resize(start + self.lines, Line([0; LINE]));
        let centred = vector.iter().zip(&self.mean).map(|(x, mean)| x - mean);
        let scale = encode(centred.clone(), &mut self.data[start..]);
        let bias = match self.nearness {
            Nearness::Euclidean => centred.map(|x| x * x).sum(),
            Nearness::InnerProduct => {
                let of_mean = vector.iter().zip(&self.mean).map(|(x, mean)| x * mean);
                -of_mean.sum::<f32>()
            }
        };
        self.scale.push(scale);
        self.bias.push(bias);
    }

    /// A query. Its distances differ from the metric's by an amount that is the same for all vectors.
    pub fn target(&self, query: &[f32]) -> Target {
        let mut code = vec![Line([0; LINE]); self.lines];
        let (scale, bias) = match self.nearness {
            Nearness::Euclidean => {
                let centred = query.iter().zip(&self.mean).map(|(x, mean)| x - mean);
                (
                    encode(centred.clone(), &mut code),
                    centred.map(|x| x * x).sum(),
                )
            }
            // −q·v = −q·(v − mean) − q·mean: the last is the same for all, and the bias of `v` is left out.
            Nearness::InnerProduct => (encode(query.iter().copied(), &mut code), f32::NAN),
        };
        Target { code, scale, bias }
    }

    /// A vector of these as a target.
    pub(super) fn own(&self, node: u32) -> Target {
        Target {
            code: self.data[self.range(node)].to_vec(),
            scale: self.scale[node as usize],
            bias: self.bias[node as usize],
        }
    }

    /// From one of these vectors to another.
    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        let mut product = [0];
        (self.products)(&self.data[self.range(a)], &self.data, &[b], &mut product);
        let (i, j) = (a as usize, b as usize);
        let scale = self.weight() * self.scale[i] * self.scale[j];
        self.bias[i] + self.bias[j] - scale * product[0] as f32
    }

    /// From the target to each of `nodes`, into `distances`.
    pub(super) fn distances(&self, from: &Target, nodes: &[u32], distances: &mut Vec<f32>) {
        const AT_ONCE: usize = 64;
        let mut found = [0; AT_ONCE];
        let scale = self.weight() * from.scale;
        // A query of inner products: neither it nor the vectors have a bias.
        let biased = !from.bias.is_nan();
        distances.clear();
        for nodes in nodes.chunks(AT_ONCE) {
            let found = &mut found[..nodes.len()];
            (self.products)(&from.code, &self.data, nodes, found);
            distances.extend(nodes.iter().zip(found).map(|(&node, product)| {
                let node = node as usize;
                let bias = match biased {
                    true => from.bias + self.bias[node],
                    false => 0.0,
                };
                bias - scale * self.scale[node] * *product as f32
            }));
        }
    }

    fn weight(&self) -> f32 {
        match self.nearness {
            Nearness::Euclidean => 2.0,
            Nearness::InnerProduct => 1.0,
        }
    }

    fn range(&self, node: u32) -> Range<usize> {
        let start = node as usize * self.lines;
        start..start + self.lines
    }
}

/// Writes the elements as whole multiples of the scale that is given back.
fn encode(elements: impl Iterator<Item = f32> + Clone, code: &mut [Line]) -> f32 {
    let largest = elements.clone().fold(0.0f32, |most, x| most.max(x.abs()));
    // So small that their squares are nothing: all are zero.
    if largest < f32::MIN_POSITIVE * 127.0 {
        return 0.0;
    }
    let per_step = 127.0 / largest;
    for (i, x) in elements.enumerate() {
        code[i / LINE].0[i % LINE] = (x * per_step).round() as i8;
    }
    largest / 127.0
}

/// The inner products of a code with those of the nodes in `data`.
type Products = fn(code: &[Line], data: &[Line], nodes: &[u32], found: &mut [i32]);

/// The fastest that this machine has.
fn products() -> Products {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has the instructions.
        return |code, data, nodes, found| unsafe { avx2::products(code, data, nodes, found) };
    }
    portable
}

fn portable(code: &[Line], data: &[Line], nodes: &[u32], found: &mut [i32]) {
    for (found, &node) in found.iter_mut().zip(nodes) {
        let start = node as usize * code.len();
        let lines = code.iter().zip(&data[start..start + code.len()]);
        *found = lines.map(|(a, b)| line_product(a, b)).sum();
    }
}

fn line_product(a: &Line, b: &Line) -> i32 {
    let pairs = a.0.iter().zip(&b.0);
    pairs
        .map(|(a, b)| i32::from(i16::from(*a) * i16::from(*b)))
        .sum()
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::Line;

    /// How many nodes ahead are fetched into the cache.
    const AHEAD: usize = 2;

    #[target_feature(enable = "avx2")]
    pub(super) fn products(code: &[Line], data: &[Line], nodes: &[u32], found: &mut [i32]) {
        let of = |node: u32| {
            let start = node as usize * code.len();
            &data[start..start + code.len()]
        };
        for &node in nodes.iter().take(AHEAD) {
            fetch(of(node));
        }
        for (i, found) in found.iter_mut().enumerate() {
            if let Some(&next) = nodes.get(i + AHEAD) {
                fetch(of(next));
            }
            *found = product(code, of(nodes[i]));
        }
    }

    #[target_feature(enable = "avx2")]
    fn fetch(lines: &[Line]) {
        for line in lines {
            _mm_prefetch::<_MM_HINT_T0>(line.0.as_ptr());
        }
    }

    /// No element is −128 (see `encode`), so that |a| fits, and two products fit 16 bits.
    #[target_feature(enable = "avx2")]
    fn product(a: &[Line], b: &[Line]) -> i32 {
        let ones = _mm256_set1_epi16(1);
        let half = |a: __m256i, b: __m256i| {
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
            _mm256_madd_epi16(pairs, ones)
        };
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (
                a.0.as_ptr().cast::<__m256i>(),
                b.0.as_ptr().cast::<__m256i>(),
            );
            // SAFETY: a line is 64 bytes, aligned to 64: two whole registers.
            let (a, b) = unsafe {
                (
                    [_mm256_load_si256(a), _mm256_load_si256(a.add(1))],
                    [_mm256_load_si256(b), _mm256_load_si256(b.add(1))],
                )
            };
            low = _mm256_add_epi32(low, half(a[0], b[0]));
            high = _mm256_add_epi32(high, half(a[1], b[1]));
        }
        let sum = _mm256_add_epi32(low, high);
        let sum = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256::<1>(sum),
        );
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b_01_00_11_10>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b_10_11_00_01>(sum));
        _mm_cvtsi128_si32(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number from -1 to 1 for each `i`.
    fn noise(i: usize) -> f32 {
        let bits = (i as u32)
            .wrapping_mul(2_654_435_761)
            .rotate_left(13)
            .wrapping_mul(2_246_822_519);
        bits as f32 / u32::MAX as f32 * 2.0 - 1.0
    }

    fn vectors(n: usize, dimension: usize) -> Vec<Vec<f32>> {
        let vector = |i| {
            (0..dimension)
                .map(|j| noise(i * dimension + j) + 0.3)
                .collect()
        };
        (0..n).map(vector).collect()
    }

    fn codes(nearness: Nearness, vectors: &[Vec<f32>], mean: f32) -> Codes {
        let mut codes = Codes::new(nearness, vec![mean; vectors[0].len()], vectors.len());
        vectors.iter().for_each(|vector| codes.push(vector));
        codes
    }

    #[test]
    fn distances_are_those_of_floats_but_for_rounding() {
        for dimension in [1, 3, 63, 64, 65, 200] {
            let vectors = vectors(20, dimension);
            let euclidean = codes(Nearness::Euclidean, &vectors, 0.3);
            let product = codes(Nearness::InnerProduct, &vectors, 0.3);
            // Half a step of 1/127 of the largest element, in all elements of both vectors.
            let bound = 4.0 * dimension as f32 * 1.3 * 1.3 / 127.0;
            for (i, a) in vectors.iter().enumerate() {
                for (j, b) in vectors.iter().enumerate() {
                    let pairs = || a.iter().zip(b);
                    let square: f32 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
                    let dot: f32 = pairs().map(|(a, b)| a * b).sum();
                    let got = euclidean.between(i as u32, j as u32);
                    assert!(
                        (got - square).abs() < bound,
                        "{dimension}: {got}, not {square}"
                    );
                    let mean: f32 = 0.3 * 0.3 * dimension as f32;
                    let got = product.between(i as u32, j as u32);
                    assert!(
                        (got + dot + mean).abs() < bound,
                        "{dimension}: {got}, not {dot}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_query_orders_as_its_distances_do() {
        let vectors = vectors(50, 100);
        for nearness in [Nearness::Euclidean, Nearness::InnerProduct] {
            let codes = codes(nearness, &vectors, 0.1);
            let query: Vec<f32> = (0..100).map(|i| noise(i + 77_777)).collect();
            let exact = |vector: &Vec<f32>| -> f32 {
                let pairs = query.iter().zip(vector);
                match nearness {
                    Nearness::Euclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
                    Nearness::InnerProduct => -pairs.map(|(a, b)| a * b).sum::<f32>(),
                }
            };
            let all: Vec<u32> = (0..50).collect();
            let mut distances = Vec::new();
            codes.distances(&codes.target(&query), &all, &mut distances);
            // Differences are the metric's.
            let (first, exact_first) = (distances[0], exact(&vectors[0]));
            for (distance, vector) in distances.iter().zip(&vectors) {
                let (got, wanted) = (distance - first, exact(vector) - exact_first);
                assert!(
                    (got - wanted).abs() < 0.5,
                    "{nearness:?}: {got}, not {wanted}"
                );
            }
        }
    }

    #[test]
    fn products_are_the_same_on_every_machine() {
        let extreme = |i: usize| match i % 3 {
            0 => 127,
            1 => -127,
            _ => (i * 37 % 255) as i8,
        };
        let line = |from: usize| {
            let mut line = [0; LINE];
            line.iter_mut()
                .enumerate()
                .for_each(|(i, x)| *x = extreme(from + i).max(-127));
            Line(line)
        };
        let data: Vec<Line> = (0..30).map(|i| line(i * 65)).collect();
        let full = [Line([127; LINE]), Line([-127; LINE]), Line([127; LINE])];
        let nodes: Vec<u32> = (0..10).rev().collect();
        for code in [&full[..], &data[3..6]] {
            let (mut fast, mut plain) = ([0; 10], [0; 10]);
            products()(code, &data, &nodes, &mut fast);
            portable(code, &data, &nodes, &mut plain);
            assert_eq!(fast, plain);
        }
    }

    #[test]
    fn zero_and_tiny_vectors_have_distances() {
        let vectors = vec![vec![0.0; 5], vec![f32::MIN_POSITIVE; 5], vec![1e-30; 5]];
        let codes = codes(Nearness::Euclidean, &vectors, 0.0);
        for i in 0..3 {
            assert!(codes.between(0, i).abs() < 1e-6);
        }
    }
}
