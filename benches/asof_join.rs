//! `ASOF JOIN` of 5 million with 5 million rows from Parquet files, on two threads.
//!
//! `asof_join.py` beside this file runs the same queries on the same files in DuckDB; the
//! files stay in the folder that `ASOF_FILES` names, if it is set.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use tokio::runtime::Runtime;
use voxql::session::{Session, Settings};

const ROWS: u64 = 5_000_000;
const RUNS: u64 = 64;

/// A number that follows from `i` and looks like chance.
fn chance(i: u64) -> u64 {
    let mut x = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Rows sorted by run and time, or in disorder.
fn write(path: &Path, seed: u64, runs: u64, sorted: bool) {
    let per_run = ROWS / runs;
    let mut order: Vec<u64> = (0..ROWS).collect();
    if !sorted {
        for i in (1..order.len()).rev() {
            order.swap(i, (chance(i as u64 ^ seed) % (i as u64 + 1)) as usize);
        }
    }
    let mut writer: Option<ArrowWriter<File>> = None;
    for rows in order.chunks(1 << 16) {
        let run = rows.iter().map(|i| format!("{:02}", i / per_run));
        // Steps of 10 ms, each row somewhere in its step.
        let time = rows.iter().map(|i| {
            let micros = i % per_run * 10_000 + chance(i ^ seed) % 10_000;
            micros as f64 / 1e6
        });
        let value = rows.iter().map(|i| (chance(i * 3 + seed) % 1_000) as f32);
        let batch = RecordBatch::try_from_iter([
            (
                "run",
                Arc::new(StringArray::from_iter_values(run)) as ArrayRef,
            ),
            ("time", Arc::new(Float64Array::from_iter_values(time))),
            ("value", Arc::new(Float32Array::from_iter_values(value))),
        ])
        .unwrap();
        let writer = writer.get_or_insert_with(|| {
            ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap()
        });
        writer.write(&batch).unwrap();
    }
    writer.unwrap().close().unwrap();
}

async fn run(session: &Session, sql: &str) -> Vec<RecordBatch> {
    let answer = session.sql(sql).await.unwrap();
    answer.stream.try_collect().await.unwrap()
}

fn asof_join(c: &mut Criterion) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = match std::env::var_os("ASOF_FILES") {
        Some(folder) => PathBuf::from(folder),
        None => temporary.path().to_path_buf(),
    };
    let runtime = Runtime::new().unwrap();
    let settings = Settings {
        threads: Some(2),
        ..Settings::default()
    };
    let session = runtime.block_on(Session::open(settings)).unwrap();
    for (side, seed) in [("a", 1), ("b", 2)] {
        for sorted in [true, false] {
            let word = if sorted { "sorted" } else { "shuffled" };
            for (runs, table, order) in [
                (RUNS, format!("{side}_{word}"), "(run, time)"),
                (1, format!("{side}_{word}_one"), "(time)"),
            ] {
                let path = folder.join(format!("{table}.parquet"));
                if !path.exists() {
                    write(&path, seed, runs, sorted);
                }
                let with_order = match sorted {
                    true => format!("WITH ORDER {order}"),
                    false => String::new(),
                };
                let sql = format!(
                    "CREATE EXTERNAL TABLE {table} STORED AS PARQUET {with_order} LOCATION '{}'",
                    path.display()
                );
                runtime.block_on(run(&session, &sql));
            }
        }
    }

    let mut group = c.benchmark_group("asof_join");
    group.sample_size(10);
    group.throughput(Throughput::Elements(2 * ROWS));
    for (name, tables, on) in [
        ("sorted, 64 runs", "sorted", "ON a.run = b.run"),
        ("shuffled, 64 runs", "shuffled", "ON a.run = b.run"),
        ("sorted, no key", "sorted_one", ""),
        ("shuffled, no key", "shuffled_one", ""),
    ] {
        for (kind, condition) in [
            ("backward", "a.time >= b.time"),
            ("nearest", "nearest(a.time, b.time, tolerance => 0.005)"),
        ] {
            let sql = format!(
                "SELECT count(b.value), sum(a.value - b.value) FROM a_{tables} AS a \
                 ASOF JOIN b_{tables} AS b MATCH_CONDITION ({condition}) {on}"
            );
            group.bench_function(format!("{name}, {kind}"), |bencher| {
                bencher.iter(|| runtime.block_on(run(&session, &sql)))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, asof_join);
criterion_main!(benches);
