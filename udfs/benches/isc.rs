//! Inter-subject correlation of 10 subjects × 300 TRs × 5,000 voxels.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use faer::Mat;
use voxql_udfs::kernels::isc::bootstrap::{self, bootstrap};
use voxql_udfs::kernels::isc::correlate::{leave_one_out, pairwise};
use voxql_udfs::kernels::isc::isfc::Isfc;
use voxql_udfs::kernels::isc::permutation::{self, Side, permutation_test};
use voxql_udfs::kernels::isc::{Missing, Summary};
use voxql_udfs::kernels::mt19937::Mt19937;
use voxql_udfs::kernels::time_segments::match_segments;

const SUBJECTS: u32 = 10;
const TRS: usize = 300;
const VOXELS: usize = 5000;
const THREADS: usize = 2;

fn study() -> Vec<Vec<Vec<f64>>> {
    let subject = |seed| {
        let mut random = Mt19937::new(seed);
        let mut row = |_| (0..VOXELS).map(|_| random.next_f64()).collect();
        (0..TRS).map(&mut row).collect()
    };
    (0..SUBJECTS).map(subject).collect()
}

fn views(study: &[Vec<Vec<f64>>]) -> Vec<Vec<&[f64]>> {
    study
        .iter()
        .map(|rows| rows.iter().map(Vec::as_slice).collect())
        .collect()
}

fn correlations(c: &mut Criterion) {
    let mut study = study();
    let mut group = c.benchmark_group("isc");
    group.sample_size(10);
    let data = views(&study);
    group.bench_function("leave one out", |b| {
        b.iter(|| black_box(leave_one_out(&data, Missing::Tolerate, THREADS)));
    });
    group.bench_function("pairwise", |b| {
        b.iter(|| black_box(pairwise(&data, Missing::Tolerate, THREADS)));
    });
    group.bench_function("isfc of 500 voxels", |b| {
        let narrow: Vec<Vec<&[f64]>> = data
            .iter()
            .map(|rows| rows.iter().map(|row| &row[..500]).collect())
            .collect();
        b.iter(|| {
            let isfc = Isfc::leave_one_out(&narrow, None, Missing::Tolerate);
            black_box(isfc.summary(Summary::Mean, 0..500, THREADS))
        });
    });
    for voxel in (0..VOXELS).step_by(10) {
        study[3][7][voxel] = f64::NAN;
    }
    let data = views(&study);
    group.bench_function("leave one out, a tenth of the voxels missing", |b| {
        b.iter(|| black_box(leave_one_out(&data, Missing::Tolerate, THREADS)));
    });
    group.finish();
}

fn tests(c: &mut Criterion) {
    let study = study();
    let isc = leave_one_out(&views(&study), Missing::Tolerate, THREADS);
    let rows: Vec<&[f64]> = isc.iter().map(Vec::as_slice).collect();
    let mut group = c.benchmark_group("isc");
    group.sample_size(10);
    for summary in [Summary::Mean, Summary::Median] {
        let options = bootstrap::Options {
            pairwise: false,
            summary,
            resamples: 1000,
            ci_percentile: 95.0,
            side: Side::Right,
            seed: 0,
            threads: THREADS,
        };
        group.bench_function(format!("1,000 bootstraps, {summary:?}"), |b| {
            b.iter(|| black_box(bootstrap(&rows, &options)));
        });
        let options = permutation::Options {
            pairwise: false,
            summary,
            permutations: 1000,
            side: Side::Right,
            seed: 0,
            threads: THREADS,
        };
        group.bench_function(format!("1,000 permutations, {summary:?}"), |b| {
            b.iter(|| black_box(permutation_test(&rows, None, &options)));
        });
    }
    group.finish();
}

fn segments(c: &mut Criterion) {
    let subject = |seed| {
        let mut random = Mt19937::new(seed);
        Mat::from_fn(TRS, 50, |_, _| random.next_f64())
    };
    let subjects: Vec<Mat<f64>> = (0..SUBJECTS).map(subject).collect();
    c.bench_function("time_segment_matching, 50 features", |b| {
        b.iter(|| {
            black_box(match_segments(
                &subjects,
                std::slice::from_ref(&(0..TRS)),
                10,
            ))
        });
    });
}

criterion_group!(benches, correlations, tests, segments);
criterion_main!(benches);
