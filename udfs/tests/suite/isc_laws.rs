//! Laws of inter-subject correlation.

use proptest::prelude::*;
use voxql_udfs::kernels::isc::bootstrap::{self, bootstrap};
use voxql_udfs::kernels::isc::correlate::{leave_one_out, pairwise};
use voxql_udfs::kernels::isc::isfc::Isfc;
use voxql_udfs::kernels::isc::permutation::{self, Side, permutation_test};
use voxql_udfs::kernels::isc::{Missing, Summary, pairs};

type Study = Vec<Vec<Vec<f64>>>;

/// Subjects × TRs × voxels.
fn study(subjects: std::ops::Range<usize>) -> impl Strategy<Value = Study> {
    (subjects, 4usize..20, 1usize..40).prop_flat_map(|(subjects, trs, voxels)| {
        let row = prop::collection::vec(-1e3..1e3, voxels);
        prop::collection::vec(prop::collection::vec(row, trs), subjects)
    })
}

fn views(data: &Study) -> Vec<Vec<&[f64]>> {
    data.iter()
        .map(|rows| rows.iter().map(Vec::as_slice).collect())
        .collect()
}

/// Pearson's correlation by its definition.
fn corr(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (ma, mb) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| f(a - ma, b - mb)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

fn series(data: &Study, subject: usize, voxel: usize) -> Vec<f64> {
    data[subject].iter().map(|row| row[voxel]).collect()
}

fn mean_of_others(data: &Study, left_out: usize, voxel: usize) -> Vec<f64> {
    let others = (0..data.len()).filter(|s| *s != left_out);
    let all: Vec<Vec<f64>> = others.map(|s| series(data, s, voxel)).collect();
    let mean = |t: usize| {
        let there = all.iter().map(|x| x[t]).filter(|x| !x.is_nan());
        let there: Vec<f64> = there.collect();
        there.iter().sum::<f64>() / there.len() as f64
    };
    (0..data[0].len()).map(mean).collect()
}

fn close(got: &[Vec<f64>], want: &[Vec<f64>], tolerance: f64) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < tolerance || (a.is_nan() && b.is_nan());
    let rows = got.iter().zip(want);
    got.len() == want.len()
        && rows
            .into_iter()
            .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(near))
}

fn table(rows: usize, voxels: usize, of: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    let row = |r| (0..voxels).map(|v| of(r, v)).collect();
    (0..rows).map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Blocks, lanes and threads give what the definition gives.
    #[test]
    fn equals_the_definition(data in study(2..6), threads in 1usize..4) {
        let voxels = data[0][0].len();
        let got = leave_one_out(&views(&data), Missing::Tolerate, threads);
        let want = table(data.len(), voxels, |s, v| {
            corr(&series(&data, s, v), &mean_of_others(&data, s, v))
        });
        prop_assert!(close(&got, &want, 1e-9));
        let all: Vec<_> = pairs(data.len()).collect();
        let got = pairwise(&views(&data), Missing::Refuse, threads);
        let want = table(all.len(), voxels, |p, v| {
            corr(&series(&data, all[p].0, v), &series(&data, all[p].1, v))
        });
        prop_assert!(close(&got, &want, 1e-9));
    }

    #[test]
    fn float32_gives_the_same(data in study(2..4)) {
        let single: Vec<Vec<Vec<f32>>> = data
            .iter()
            .map(|s| s.iter().map(|r| r.iter().map(|x| *x as f32).collect()).collect())
            .collect();
        let double: Study = single
            .iter()
            .map(|s| s.iter().map(|r| r.iter().map(|x| f64::from(*x)).collect()).collect())
            .collect();
        let lent: Vec<Vec<&[f32]>> = single
            .iter()
            .map(|s| s.iter().map(Vec::as_slice).collect())
            .collect();
        let a = leave_one_out(&lent, Missing::Tolerate, 2);
        let b = leave_one_out(&views(&double), Missing::Tolerate, 2);
        prop_assert_eq!(a, b);
    }

    /// Subjects that are the same up to scale and offset correlate by 1.
    #[test]
    fn identical_subjects(one in study(1..2), n in 2usize..6, scale in 0.1..100.0, offset in -1e4..1e4) {
        let mut data: Study = vec![one[0].clone(); n];
        for value in data[n - 1].iter_mut().flatten() {
            *value = *value * scale + offset;
        }
        for rows in [
            leave_one_out(&views(&data), Missing::Tolerate, 1),
            pairwise(&views(&data), Missing::Tolerate, 1),
        ] {
            prop_assert!(rows.iter().flatten().all(|r| (r - 1.0).abs() < 1e-9 && *r <= 1.0));
        }
    }

    /// A subject's own scale and offset do not matter to its correlation with others, nor to any
    /// pair's.
    #[test]
    fn scale_and_offset_do_not_matter(data in study(3..5), scale in 0.01..100.0, offset in -1e4..1e4) {
        let mut other = data.clone();
        for value in other[0].iter_mut().flatten() {
            *value = *value * scale + offset;
        }
        let own = |data: &Study| leave_one_out(&views(data), Missing::Tolerate, 1).swap_remove(0);
        prop_assert!(close(&[own(&data)], &[own(&other)], 1e-8));
        let all = |data: &Study| pairwise(&views(data), Missing::Tolerate, 1);
        prop_assert!(close(&all(&data), &all(&other), 1e-8));
    }

    /// Subjects in another order, and TRs in another order, give the same.
    #[test]
    fn orders_do_not_matter(data in study(3..6)) {
        let of = |data: &Study| leave_one_out(&views(data), Missing::Tolerate, 1);
        let mut reversed = of(&data.iter().rev().cloned().collect());
        reversed.reverse();
        prop_assert!(close(&of(&data), &reversed, 1e-9));
        let turned = data.iter().map(|s| s.iter().rev().cloned().collect()).collect();
        prop_assert!(close(&of(&data), &of(&turned), 1e-9));
    }

    /// Two subjects: each with the other is the pair.
    #[test]
    fn two_subjects(data in study(2..3)) {
        let each = leave_one_out(&views(&data), Missing::Tolerate, 1);
        let pair = pairwise(&views(&data), Missing::Tolerate, 1).swap_remove(0);
        prop_assert!(close(&each, &[pair.clone(), pair], 1e-12));
    }

    /// Holes: as the definition has it, by each policy.
    #[test]
    fn missing_values(data in study(3..6), holes in prop::collection::vec((0usize..9, 0usize..99, 0usize..99), 0..12)) {
        let mut data = data;
        let (subjects, trs, voxels) = (data.len(), data[0].len(), data[0][0].len());
        for (s, t, v) in holes {
            data[s % subjects][t % trs][v % voxels] = f64::NAN;
        }
        let complete = |v: usize| (0..subjects).filter(|s| !series(&data, *s, v).iter().any(|x| x.is_nan())).count();
        let tolerated = table(subjects, voxels, |s, v| {
            corr(&series(&data, s, v), &mean_of_others(&data, s, v))
        });
        prop_assert!(close(&leave_one_out(&views(&data), Missing::Tolerate, 2), &tolerated, 1e-9));
        let keep = |least: f64| table(subjects, voxels, |s, v| match complete(v) as f64 >= least {
            true => tolerated[s][v],
            false => f64::NAN,
        });
        let refused = keep(subjects as f64);
        prop_assert!(close(&leave_one_out(&views(&data), Missing::Refuse, 2), &refused, 1e-9));
        for share in [0.0, 0.5, 0.8, 1.0] {
            let want = keep(share * subjects as f64);
            let got = leave_one_out(&views(&data), Missing::Share(share), 2);
            prop_assert!(close(&got, &want, 1e-9));
        }
    }

    /// The diagonal of ISFC is ISC, its matrices are symmetric.
    #[test]
    fn isfc_contains_isc(data in study(2..5)) {
        let voxels = data[0][0].len();
        let lent = views(&data);
        for (isfc, isc) in [
            (Isfc::leave_one_out(&lent, None, Missing::Tolerate), leave_one_out(&lent, Missing::Tolerate, 1)),
            (Isfc::pairwise(&lent, Missing::Tolerate), pairwise(&lent, Missing::Tolerate, 1)),
        ] {
            for (m, isc) in isc.iter().enumerate() {
                let matrix = isfc.rows(m, 0..voxels, 2);
                let diagonal: Vec<f64> = (0..voxels).map(|v| matrix[v * voxels + v]).collect();
                prop_assert!(close(&[diagonal], std::slice::from_ref(isc), 1e-9));
                let differ = |(i, j): (usize, usize)| {
                    (matrix[i * voxels + j] - matrix[j * voxels + i]).abs() > 1e-12
                };
                prop_assert!(!pairs(voxels).any(differ));
            }
        }
    }

    /// p values are above 0 and at most 1; a confidence interval holds its ends in order; a seed
    /// gives the same again on any number of threads.
    #[test]
    fn p_values(
        iscs in (2usize..9).prop_flat_map(|n| prop::collection::vec(prop::collection::vec(-1.0..1.0, 3), n)),
        seed in any::<u32>(),
        mean in any::<bool>(),
        side in prop::sample::select(vec![Side::Right, Side::Left, Side::TwoSided]),
    ) {
        let rows: Vec<&[f64]> = iscs.iter().map(Vec::as_slice).collect();
        let summary = if mean { Summary::Mean } else { Summary::Median };
        let of = |threads| {
            let resample = bootstrap::Options {
                pairwise: false, summary, resamples: 60, ci_percentile: 90.0, side, seed, threads,
            };
            let permute = permutation::Options {
                pairwise: false, summary, permutations: 60, side, seed, threads,
            };
            let second: Vec<bool> = (0..rows.len()).map(|i| i % 2 == 1).collect();
            (
                bootstrap(&rows, &resample).unwrap(),
                permutation_test(&rows, None, &permute).unwrap(),
                permutation_test(&rows, Some(&second), &permute).unwrap(),
            )
        };
        let (one, signs, groups) = of(1);
        for p in one.p.iter().chain(&signs.p).chain(&groups.p) {
            prop_assert!(*p > 0.0 && *p <= 1.0, "{p}");
        }
        for v in 0..3 {
            prop_assert!(one.ci_low[v] <= one.ci_high[v]);
        }
        prop_assert_eq!(of(3), (one, signs, groups));
    }
}

/// A voxel that is constant has no correlation, whatever the constant is.
#[test]
fn constants_are_undefined() {
    let row = |t: usize, s: usize| {
        vec![
            0.1,
            (t * (s + 1)) as f64 % 7.0,
            if s == 0 { t as f64 } else { 0.3 },
        ]
    };
    let data: Study = (0..3)
        .map(|s| (0..10).map(|t| row(t, s)).collect())
        .collect();
    for missing in [Missing::Tolerate, Missing::Refuse, Missing::Share(0.5)] {
        let isc = leave_one_out(&views(&data), missing, 1);
        for row in &isc {
            assert!(row[0].is_nan() && row[1].is_finite() && row[2].is_nan());
        }
        assert!(pairwise(&views(&data), missing, 1)[0][2].is_nan());
        let isfc = Isfc::leave_one_out(&views(&data), None, missing).rows(0, 0..3, 1);
        assert!(isfc[0].is_nan() && isfc[1].is_nan() && isfc[4].is_finite());
    }
}

/// Two groups, few enough to deal them in all ways: 4 of 2 + 2 subjects, 24 orders.
#[test]
fn groups_are_told_apart() {
    let iscs = [[0.9], [0.8], [0.1], [0.2]];
    let rows: Vec<&[f64]> = iscs.iter().map(|row| &row[..]).collect();
    let options = permutation::Options {
        pairwise: false,
        summary: Summary::Median,
        permutations: 24,
        side: Side::Right,
        seed: 0,
        threads: 1,
    };
    let second = [false, false, true, true];
    let exact = permutation_test(&rows, Some(&second), &options).unwrap();
    assert!((exact.observed[0] - 0.7).abs() < 1e-15);
    assert!((exact.p[0] - 1.0 / 6.0).abs() < 1e-15);
    let error = permutation_test(&rows, Some(&second[..3]), &options).unwrap_err();
    assert!(error.contains("groups of 3 subjects"), "{error}");
    let pairs = permutation::Options {
        pairwise: true,
        ..options
    };
    let error = permutation_test(&rows, None, &pairs).unwrap_err();
    assert!(error.contains("4 rows are not all pairs"), "{error}");
}
