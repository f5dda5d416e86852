//! Inter-subject correlation against BrainIAK (golden/isc).

use crate::common::{self, Cases, assert_close};
use serde_json::Value;
use voxql_udfs::kernels::isc::bootstrap::{self, bootstrap};
use voxql_udfs::kernels::isc::correlate::{leave_one_out, pairwise};
use voxql_udfs::kernels::isc::isfc::Isfc;
use voxql_udfs::kernels::isc::permutation::{self, Side, permutation_test};
use voxql_udfs::kernels::isc::{Missing, Summary, pairs};
use voxql_udfs::kernels::mt19937::Mt19937;

/// `data[subject][tr]` of an array TRs × voxels × subjects, or TRs × subjects.
fn subjects(golden: &Cases, value: &Value) -> Vec<Vec<Vec<f64>>> {
    let (shape, values) = golden.array(value);
    let (trs, subjects) = (shape[0], shape[shape.len() - 1]);
    let voxels = values.len() / trs / subjects;
    let voxel = |s: usize, t: usize, v: usize| values[(t * voxels + v) * subjects + s];
    let row = |s: usize, t: usize| (0..voxels).map(|v| voxel(s, t, v)).collect();
    (0..subjects)
        .map(|s| (0..trs).map(|t| row(s, t)).collect())
        .collect()
}

fn views(data: &[Vec<Vec<f64>>]) -> Vec<Vec<&[f64]>> {
    data.iter()
        .map(|rows| rows.iter().map(Vec::as_slice).collect())
        .collect()
}

fn missing(case: &Value) -> Missing {
    match &case["params"]["tolerate_nans"] {
        Value::Number(share) => Missing::Share(share.as_f64().unwrap()),
        Value::Bool(false) => Missing::Refuse,
        _ => Missing::Tolerate,
    }
}

fn is_pairwise(case: &Value) -> bool {
    case["params"]["pairwise"] == true
}

fn summary(case: &Value) -> Option<Summary> {
    let name = case["params"]["summary_statistic"].as_str()?;
    Some(Summary::from_name(name).unwrap())
}

fn want(golden: &Cases, case: &Value, name: &str) -> Vec<f64> {
    golden.array(&case["outputs"][name]).1
}

fn summarise(rows: &[Vec<f64>], summary: Summary) -> Vec<f64> {
    let of = |v: usize| summary.of(&mut rows.iter().map(|row| row[v]).collect::<Vec<_>>());
    (0..rows[0].len()).map(of).collect()
}

#[test]
fn isc_equals_brainiak() {
    let Some(golden) = common::load_cases("isc") else {
        return;
    };
    let mut ids = Vec::new();
    for case in golden.of("isc") {
        let data = subjects(&golden, &case["inputs"]["data"]);
        let of = if is_pairwise(case) {
            pairwise
        } else {
            leave_one_out
        };
        let mut want = want(&golden, case, "isc");
        if data.len() == 2 {
            // BrainIAK gives one row, we one a subject.
            want = want.repeat(2);
        }
        for threads in [1, 2] {
            let rows = of(&views(&data), missing(case), threads);
            let got = match summary(case) {
                Some(summary) if data.len() > 2 => summarise(&rows, summary),
                _ => rows.concat(),
            };
            assert_close(&got, &want, case);
        }
        ids.push(case["id"].as_str().unwrap());
    }
    note!("isc: {}", ids.join(", "));
    assert_eq!(ids.len(), 32);
}

/// The matrices above their diagonals, and the diagonals.
fn condensed(matrix: &[f64], voxels: usize) -> (Vec<f64>, Vec<f64>) {
    let upper = pairs(voxels).map(|(i, j)| matrix[i * voxels + j]);
    let diagonal = (0..voxels).map(|i| matrix[i * voxels + i]);
    (upper.collect(), diagonal.collect())
}

#[test]
fn isfc_equals_brainiak() {
    let Some(golden) = common::load_cases("isc") else {
        return;
    };
    let mut ids = Vec::new();
    for case in golden.of("isfc") {
        let data = subjects(&golden, &case["inputs"]["data"]);
        let data = views(&data);
        let targets = case["inputs"].get("targets");
        let targets = targets.map(|targets| subjects(&golden, targets));
        let targets = targets.as_deref().map(views);
        let isfc = match is_pairwise(case) {
            true => Isfc::pairwise(&data, missing(case)),
            false => Isfc::leave_one_out(&data, targets.as_deref(), missing(case)),
        };
        let voxels = isfc.voxels();
        let matrices: Vec<Vec<f64>> = match summary(case) {
            Some(summary) => vec![isfc.summary(summary, 0..voxels, 2)],
            None => (0..isfc.matrices())
                .map(|m| [isfc.rows(m, 0..2, 2), isfc.rows(m, 2..voxels, 2)].concat())
                .collect(),
        };
        let want = want(&golden, case, "isfc");
        if case["params"]["vectorize_isfcs"] == true {
            let (mut upper, mut diagonal) = (Vec::new(), Vec::new());
            for matrix in &matrices {
                let (off, on) = condensed(matrix, voxels);
                upper.extend(off);
                diagonal.extend(on);
            }
            assert_close(&upper, &want, case);
            assert_close(&diagonal, &golden.array(&case["outputs"]["isc"]).1, case);
        } else {
            // Of two subjects, BrainIAK gives one matrix, we one a subject.
            let times = matrices.concat().len() / want.len();
            assert!(times == 1 || data.len() == 2);
            assert_close(&matrices.concat(), &want.repeat(times), case);
        }
        ids.push(case["id"].as_str().unwrap());
    }
    note!("isfc: {}", ids.join(", "));
    assert_eq!(ids.len(), 8);
}

#[test]
fn summaries_equal_brainiak() {
    let Some(golden) = common::load_cases("isc") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("compute_summary_statistic") {
        let (shape, values) = golden.array(&case["inputs"]["x"]);
        let rows: Vec<Vec<f64>> = values.chunks(shape[1]).map(<[f64]>::to_vec).collect();
        let got = summarise(&rows, summary(case).unwrap());
        assert_close(&got, &want(&golden, case, "y"), case);
        compared += 1;
    }
    note!("{compared} summaries compared");
    assert_eq!(compared, 2);
}

/// BrainIAK's own resamples: its numbers to the last digits, not only to the 0.05 that Monte
/// Carlo would need.
#[test]
fn tests_equal_brainiak() {
    let Some(golden) = common::load_cases("isc") else {
        return;
    };
    let rows = |case: &Value| {
        let (shape, values) = golden.array(&case["inputs"]["iscs"]);
        let rows = values.chunks(shape[1]).map(<[f64]>::to_vec);
        rows.collect::<Vec<_>>()
    };
    let exact = |case: &Value| {
        let mut exact = case.clone();
        exact["tol"] = serde_json::json!({"atol": 1e-12});
        exact
    };
    let mut ids = Vec::new();
    for case in golden.of("bootstrap_isc") {
        let rows = rows(case);
        let views: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let options = bootstrap::Options {
            pairwise: is_pairwise(case),
            summary: summary(case).unwrap(),
            resamples: case["params"]["n_bootstraps"].as_u64().unwrap() as usize,
            ci_percentile: 95.0,
            side: Side::Right,
            seed: case["params"]["random_state"].as_u64().unwrap() as u32,
            threads: 2,
        };
        let got = bootstrap(&views, &options).unwrap();
        let exact = exact(case);
        assert_close(&got.observed, &want(&golden, case, "observed"), &exact);
        assert_close(&got.ci_low, &want(&golden, case, "ci_low"), &exact);
        assert_close(&got.ci_high, &want(&golden, case, "ci_high"), &exact);
        assert_close(&got.p, &want(&golden, case, "p"), &exact);
        ids.push(case["id"].as_str().unwrap());
    }
    for case in golden.of("permutation_isc") {
        let rows = rows(case);
        let views: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let options = permutation::Options {
            pairwise: is_pairwise(case),
            summary: summary(case).unwrap(),
            permutations: case["params"]["n_permutations"].as_u64().unwrap() as usize,
            side: Side::Right,
            seed: 0,
            threads: 2,
        };
        let got = permutation_test(&views, None, &options).unwrap();
        let exact = exact(case);
        assert_close(&got.observed, &want(&golden, case, "observed"), &exact);
        assert_close(&got.p, &want(&golden, case, "p"), &exact);
        ids.push(case["id"].as_str().unwrap());
    }
    note!("tests: {}", ids.join(", "));
    assert_eq!(ids.len(), 3);
}

/// What the golden cases lack, from BrainIAK 0.12: groups, pairs, sides, drawn signs. The rows are
/// `RandomState(3).random_sample` less 0.4.
#[test]
fn groups_and_sides_equal_brainiak() {
    let mut random = Mt19937::new(3);
    let mut rows = |n: usize| -> Vec<[f64; 2]> {
        let mut next = || random.next_f64() - 0.4;
        (0..n).map(|_| [next(), next()]).collect()
    };
    let (each, pairs) = (rows(9), rows(36));
    let each: Vec<&[f64]> = each.iter().map(|row| &row[..]).collect();
    let pairs: Vec<&[f64]> = pairs.iter().map(|row| &row[..]).collect();
    let second = [0, 1, 1, 0, 1, 0, 0, 1, 0].map(|group| group == 1);
    let close = |got: &[f64], want: [f64; 2]| {
        let near = got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near, "{got:?}, not {want:?}");
    };
    let options = |pairwise, summary, side| permutation::Options {
        pairwise,
        summary,
        permutations: 200,
        side,
        seed: 7,
        threads: 1,
    };
    for (side, p) in [
        (Side::Right, [0.8009950248756219, 0.7810945273631841]),
        (Side::Left, [0.22388059701492538, 0.2935323383084577]),
        (Side::TwoSided, [0.5174129353233831, 0.5422885572139303]),
    ] {
        let options = options(false, Summary::Median, side);
        let got = permutation_test(&each, Some(&second), &options).unwrap();
        close(&got.observed, [-0.35799450998270155, -0.09401198691229584]);
        close(&got.p, p);
    }
    let mean = options(false, Summary::Mean, Side::Right);
    let got = permutation_test(&each, None, &mean).unwrap();
    close(&got.observed, [-0.03430770320703603, 0.1224943374844633]);
    close(&got.p, [0.582089552238806, 0.05970149253731343]);

    let of_pairs = options(true, Summary::Median, Side::Right);
    let got = permutation_test(&pairs, Some(&second), &of_pairs).unwrap();
    close(&got.observed, [-0.05393025956970021, 0.1412992521665702]);
    // With a stable sort of the groups: BrainIAK's own order of subjects in one group is that of
    // NumPy's unstable sort, which differs between processors.
    close(&got.p, [0.5671641791044776, 0.22388059701492538]);
    let got = permutation_test(&pairs, None, &of_pairs).unwrap();
    close(&got.observed, [0.023486817023494033, 0.0617811621105579]);
    close(&got.p, [0.31343283582089554, 0.263681592039801]);

    let drawn = bootstrap::Options {
        pairwise: true,
        summary: Summary::Mean,
        resamples: 200,
        ci_percentile: 90.0,
        side: Side::TwoSided,
        seed: 7,
        threads: 1,
    };
    let got = bootstrap(&pairs, &drawn).unwrap();
    close(&got.observed, [0.081077956189955, 0.074668307586014]);
    close(&got.ci_low, [-0.035109550264198, -0.059973051533254]);
    close(&got.ci_high, [0.203394109936694, 0.181800519624484]);
    close(&got.p, [0.253731343283582, 0.223880597014925]);
}
