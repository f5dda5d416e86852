//! The nearest by products are the nearest one by one, to the last bit, whatever the blocks.

use proptest::prelude::*;
use voxql_udfs::kernels::knn::{Base, Element, Neighbour, Neighbours, Queries, can_be_compared};
use voxql_udfs::kernels::metric::Metric;

type Found = Vec<Vec<Neighbour<usize>>>;

fn widened<A: Element>(vectors: &[Vec<f64>]) -> Vec<Vec<A>> {
    let of = |v: &Vec<f64>| v.iter().map(|x| A::rounded(*x)).collect();
    vectors.iter().map(of).collect()
}

/// By [`Queries::search`], over blocks of the base in the order given.
fn by_products<Q: Element, B: Element>(
    case: &Case,
    queries: &[Vec<Q>],
    base: &[Vec<B>],
    blocks: &[std::ops::Range<usize>],
) -> Found {
    let mut prepared = Queries::<Q, B>::new(case.metric, case.width);
    for query in queries {
        prepared.push(query);
    }
    let mut found = vec![Neighbours::new(case.k, case.radius); queries.len()];
    let mut limits: Vec<f64> = found.iter().map(Neighbours::limit).collect();
    let mut products = Vec::new();
    for block in blocks {
        let values = base[block.clone()].concat();
        let shape = (block.len(), case.width);
        let rows = Base::new(case.metric, &values, shape, |i| {
            !case.missing(block.start + i)
        });
        for queries in prepared.blocks() {
            prepared.search(
                queries,
                &rows,
                &mut limits,
                &mut products,
                |query, row, distance| {
                    found[query].offer(distance, &(block.start + row));
                    found[query].limit()
                },
            );
        }
    }
    found.into_iter().map(Neighbours::sorted).collect()
}

/// By definition: all distances, sorted.
fn one_by_one<Q: Element, B: Element>(case: &Case, queries: &[Vec<Q>], base: &[Vec<B>]) -> Found {
    let of = |query: &Vec<Q>| {
        let there = |row: &usize| !case.missing(*row) && can_be_compared(&base[*row]);
        let neighbour = |row: usize| Neighbour {
            distance: case.metric.distance(&base[row], query),
            key: row,
        };
        let mut all: Vec<_> = (0..base.len()).filter(there).map(neighbour).collect();
        all.retain(|n| n.distance <= case.radius.unwrap_or(f64::INFINITY));
        all.sort();
        all.truncate(case.k.unwrap_or(usize::MAX));
        all
    };
    queries.iter().map(of).collect()
}

#[derive(Debug, Clone)]
struct Case {
    metric: Metric,
    k: Option<usize>,
    radius: Option<f64>,
    width: usize,
    queries: Vec<Vec<f64>>,
    base: Vec<Vec<f64>>,
    /// Every so manieth row is missing, where this is not 0.
    holes: usize,
    blocks: usize,
}

impl Case {
    fn missing(&self, row: usize) -> bool {
        self.holes != 0 && row.is_multiple_of(self.holes)
    }
}

/// Elements that make ties, zeros, lost digits, overflows, and what is no number.
fn element() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-3i32..4).prop_map(f64::from),
        4 => -1.0..1.0,
        1 => (-1e3..1e3).prop_map(|x: f64| 1e5 + x),
    ]
}

fn vectors(width: usize, most: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let scale = prop_oneof![20 => Just(1.0), 1 => Just(1e18), 1 => Just(1e-18), 1 => Just(0.0), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)];
    let scaled = |(vector, scale): (Vec<f64>, f64)| vector.iter().map(|x| x * scale).collect();
    let vector = (prop::collection::vec(element(), width), scale).prop_map(scaled);
    prop::collection::vec(vector, 0..most)
}

fn case() -> impl Strategy<Value = Case> {
    let choices = (
        prop::sample::select(Metric::ALL.to_vec()),
        prop::option::of(1usize..12),
        prop::option::of(0.0..4.0),
        0usize..4,
        1usize..20,
    );
    (
        choices,
        prop_oneof![4 => 1usize..5, 1 => Just(40), 1 => Just(0)],
    )
        .prop_flat_map(|((metric, k, radius, holes, blocks), width)| {
            (vectors(width, 6), vectors(width, 60)).prop_map(move |(queries, base)| Case {
                metric,
                k,
                radius,
                width,
                queries,
                base,
                holes: holes * 3,
                blocks,
            })
        })
}

fn check<Q: Element, B: Element>(case: &Case) -> Result<(), TestCaseError> {
    let mut queries = widened::<Q>(&case.queries);
    queries.retain(|query| can_be_compared(query));
    let base = widened::<B>(&case.base);
    let wanted = one_by_one(case, &queries, &base);
    let whole = 0..base.len();
    prop_assert_eq!(&by_products(case, &queries, &base, &[whole]), &wanted);
    let size = base.len().div_ceil(case.blocks).max(1);
    let mut blocks: Vec<_> = (0..base.len())
        .step_by(size)
        .map(|start| start..(start + size).min(base.len()))
        .collect();
    blocks.reverse();
    prop_assert_eq!(&by_products(case, &queries, &base, &blocks), &wanted);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn products_are_exact(case in case()) {
        check::<f32, f32>(&case)?;
        check::<f64, f32>(&case)?;
        check::<f64, f64>(&case)?;
    }
}

/// Near each other and far from zero, wide and many: where products in Float32 lose digits.
#[test]
fn digits_that_products_lose() {
    let value = |row: usize, i: usize| ((row * 31 + i * 17 + row * i) % 101) as f64;
    for (offset, step) in [(0.0, 1.0), (1.0, 1e-4), (100.0, 1e-2), (1e4, 1e-3)] {
        let vector = |row: usize| (0..384).map(|i| offset + step * value(row, i)).collect();
        for metric in Metric::ALL {
            let case = Case {
                metric,
                k: Some(7),
                radius: None,
                width: 384,
                queries: (1000..1020).map(vector).collect(),
                base: (0..500).map(vector).collect(),
                holes: 0,
                blocks: 3,
            };
            check::<f32, f32>(&case).unwrap();
            check::<f64, f64>(&case).unwrap();
        }
    }
}
