use super::*;
use proptest::prelude::*;

const ALL: [Statistic; 7] = [
    Statistic::Avg,
    Statistic::Sum,
    Statistic::Std { ddof: 0 },
    Statistic::Std { ddof: 1 },
    Statistic::Min,
    Statistic::Max,
    Statistic::Count,
];

fn row() -> impl Strategy<Value = Vec<Option<f64>>> {
    prop::collection::vec(prop::option::weighted(0.9, -1e3f64..1e3), 3)
}

fn add(stats: &mut VectorStats, group: usize, row: &[Option<f64>]) {
    let values: Vec<f64> = row.iter().map(|x| x.unwrap_or(99.0)).collect();
    let present = |i: usize| row[i].is_some();
    let whole = row.iter().all(Option::is_some);
    let present: Option<&dyn Fn(usize) -> bool> = if whole { None } else { Some(&present) };
    stats.add(group, &values, present).unwrap();
}

fn result(stats: &VectorStats, group: usize) -> Option<Vec<Option<f32>>> {
    stats.result(group).map(Iterator::collect)
}

/// The textbook, two passes.
fn expected(statistic: Statistic, column: &[f64]) -> Option<f64> {
    let n = column.len() as f64;
    let sum: f64 = column.iter().sum();
    let squares: f64 = column.iter().map(|x| (x - sum / n).powi(2)).sum();
    match statistic {
        _ if column.is_empty() => None,
        Statistic::Count => Some(n),
        Statistic::Avg => Some(sum / n),
        Statistic::Sum => Some(sum),
        Statistic::Std { ddof } if column.len() <= ddof => None,
        Statistic::Std { ddof } => Some((squares / (n - ddof as f64)).sqrt()),
        Statistic::Min => column.iter().copied().reduce(f64::min),
        Statistic::Max => column.iter().copied().reduce(f64::max),
    }
}

proptest! {
    /// Every statistic is the textbook's, whatever the order of the rows, what is
    /// missing, and where the rows were split between partial states.
    #[test]
    fn whole_parts_and_textbook_agree(
        rows in prop::collection::vec(row(), 1..20),
        cut in 0usize..20,
    ) {
        let cut = cut.min(rows.len());
        for statistic in ALL {
            let mut whole = VectorStats::new(statistic);
            rows.iter().for_each(|row| add(&mut whole, 1, row));

            let mut backwards = VectorStats::new(statistic);
            rows.iter().rev().for_each(|row| add(&mut backwards, 0, row));

            let mut parts = VectorStats::new(statistic);
            for part in [&rows[cut..], &rows[..cut]] {
                let mut stats = VectorStats::new(statistic);
                stats.resize(1);
                part.iter().for_each(|row| add(&mut stats, 0, row));
                parts.merge(0, stats.partial(0)).unwrap();
            }

            prop_assert!(whole.result(0).is_none());
            for stats in [(&whole, 1), (&backwards, 0), (&parts, 0)] {
                let got = result(stats.0, stats.1).unwrap();
                for i in 0..3 {
                    let column: Vec<f64> = rows.iter().filter_map(|row| row[i]).collect();
                    match (got[i], expected(statistic, &column)) {
                        (Some(g), Some(w)) => prop_assert!(
                            (f64::from(g) - w).abs() <= 1e-3 + 1e-6 * w.abs(),
                            "{statistic:?}: {g} {w}"
                        ),
                        (g, w) => prop_assert_eq!(g.is_some(), w.is_some()),
                    }
                }
            }
        }
    }
}

#[test]
fn nan_stays() {
    for statistic in &ALL[..6] {
        let mut stats = VectorStats::new(*statistic);
        for x in [1.0f32, f32::NAN, 2.0] {
            stats.add(0, &[x], None).unwrap();
        }
        assert!(result(&stats, 0).unwrap()[0].unwrap().is_nan());
    }
}

#[test]
fn widths_may_differ_between_groups_only() {
    let mut stats = VectorStats::new(Statistic::Avg);
    stats.add(1, &[1.0, 2.0], None).unwrap();
    stats.add(0, &[5.0], None).unwrap();
    assert_eq!(stats.add(1, &[1.0], None), Err(UnequalWidths(2, 1)));

    let head = stats.split_first(1);
    assert_eq!(result(&head, 0), Some(vec![Some(5.0)]));
    assert_eq!(stats.groups(), 1);
    stats.add(0, &[3.0, 4.0], None).unwrap();
    assert_eq!(result(&stats, 0), Some(vec![Some(2.0), Some(3.0)]));
}

fn weighted_row() -> impl Strategy<Value = (Vec<Option<f64>>, f64)> {
    let weight = prop_oneof![Just(0.0), 1e-3f64..10.0];
    (row(), weight)
}

fn add_weighted(stats: &mut VectorStats, (row, weight): &(Vec<Option<f64>>, f64)) {
    let values: Vec<f64> = row.iter().map(|x| x.unwrap_or(f64::NAN)).collect();
    let present = |i: usize| row[i].is_some();
    stats
        .add_weighted(0, &values, *weight, Some(&present))
        .unwrap();
}

/// The textbook with weights, two passes.
fn expected_weighted(statistic: Statistic, column: &[(f64, f64)]) -> Option<f64> {
    let total: f64 = column.iter().map(|(_, w)| w).sum();
    let sum: f64 = column.iter().map(|(x, w)| x * w).sum();
    let squares: f64 = column
        .iter()
        .map(|(x, w)| w * (x - sum / total).powi(2))
        .sum();
    match statistic {
        Statistic::Sum => (!column.is_empty()).then_some(sum),
        _ if total == 0.0 => None,
        Statistic::Avg => Some(sum / total),
        _ => Some((squares / total).sqrt()),
    }
}

proptest! {
    /// Weighted statistics are the textbook's, whole or in parts that were merged.
    #[test]
    fn weighted_parts_and_textbook_agree(
        rows in prop::collection::vec(weighted_row(), 1..20),
        cut in 0usize..20,
    ) {
        let cut = cut.min(rows.len());
        for statistic in [Statistic::Avg, Statistic::Sum, Statistic::Std { ddof: 0 }] {
            let mut whole = VectorStats::weighted(statistic);
            rows.iter().for_each(|row| add_weighted(&mut whole, row));
            let mut parts = VectorStats::weighted(statistic);
            for part in [&rows[cut..], &rows[..cut]] {
                let mut stats = VectorStats::weighted(statistic);
                stats.resize(1);
                part.iter().for_each(|row| add_weighted(&mut stats, row));
                parts.merge(0, stats.partial(0)).unwrap();
            }
            for stats in [&whole, &parts] {
                let got = result(stats, 0).unwrap();
                for i in 0..3 {
                    let column: Vec<_> = rows.iter().filter_map(|(row, w)| Some((row[i]?, *w))).collect();
                    match (got[i], expected_weighted(statistic, &column)) {
                        (Some(g), Some(w)) => prop_assert!(
                            (f64::from(g) - w).abs() <= 1e-3 + 1e-6 * w.abs(),
                            "{statistic:?}: {g} {w}"
                        ),
                        (g, w) => prop_assert_eq!(g.is_some(), w.is_some()),
                    }
                }
            }
        }
    }

    /// Equal weights are no weights.
    #[test]
    fn equal_weights(rows in prop::collection::vec(row(), 1..20), weight in 0.1f64..10.0) {
        for statistic in [Statistic::Avg, Statistic::Std { ddof: 0 }] {
            let mut plain = VectorStats::new(statistic);
            let mut weighted = VectorStats::weighted(statistic);
            for row in &rows {
                add(&mut plain, 0, row);
                add_weighted(&mut weighted, &(row.clone(), weight));
            }
            let (plain, weighted) = (result(&plain, 0).unwrap(), result(&weighted, 0).unwrap());
            for (a, b) in plain.iter().zip(&weighted) {
                prop_assert_eq!(a.is_some(), b.is_some());
                let (a, b) = (a.unwrap_or(0.0), b.unwrap_or(0.0));
                prop_assert!((a - b).abs() <= 1e-3 + 1e-5 * a.abs());
            }
        }
    }
}

#[test]
fn weight_nought_adds_nothing() {
    for (statistic, want) in [
        (Statistic::Avg, None),
        (Statistic::Sum, Some(0.0)),
        (Statistic::Std { ddof: 0 }, None),
    ] {
        let mut stats = VectorStats::weighted(statistic);
        stats.add_weighted(0, &[f32::NAN], 0.0, None).unwrap();
        assert_eq!(result(&stats, 0), Some(vec![want]));
        stats.add_weighted(0, &[2.0], 0.5, None).unwrap();
        let head = stats.split_first(1);
        assert_eq!(stats.groups(), 0);
        assert!(result(&head, 0).unwrap()[0].unwrap().is_finite());
    }
}

#[test]
fn counts_are_of_values() {
    let mut stats = VectorStats::new(Statistic::Count);
    add(&mut stats, 0, &[Some(1.0), None, Some(f64::NAN)]);
    add(&mut stats, 0, &[Some(1.0), None, None]);
    assert_eq!(stats.counts(0).unwrap().collect::<Vec<_>>(), [2, 0, 1]);
    assert!(stats.counts(1).is_none());
}
