//! The clips of tests/data/video decoded ahead, beside the same decoded in turn.

use arrow::array::RecordBatch;
use datafusion::prelude::{col, lit};

use super::ahead::{Ahead, open_again};
use super::colour::Colour;
use super::films::{IN_PROCESS, Noise, clip, coded};
use super::paint::Painter;
use super::stream::Coded;
use super::*;
use crate::readers::bounds::Bounds;
use crate::readers::format::Value;
use crate::readers::testing::{file, options, scan};

#[test]
fn groups_decoded_at_once_are_those_in_turn() {
    let rates = [None, Some(7.0), Some(60.0), Some(1.25)];
    let bounds = [None, Some((0.5, 1.7)), Some((1.0, 1.0))];
    let limits = [None, Some(1), Some(30)];
    for name in IN_PROCESS {
        for (fps, time, limit) in choices(&rates, &bounds, &limits) {
            let given: Vec<_> = fps
                .map(|fps| ("fps", Value::Float(fps)))
                .into_iter()
                .collect();
            let mut scan = scan(&Video, &clip(name), &given).unwrap();
            scan.batch_bytes = 200_000;
            scan.limit = limit;
            if let Some((from, to)) = time {
                scan.bounds = Bounds::of(&[col("time").between(lit(from), lit(to))], &["time"]);
            }
            let rows = |threads: usize| -> Vec<RecordBatch> {
                let scan = FileScan {
                    threads,
                    ..scan.clone()
                };
                Video.open(&scan).unwrap().map(Result::unwrap).collect()
            };
            let in_turn = rows(1);
            for threads in [2, 3] {
                assert!(
                    rows(threads) == in_turn,
                    "{name} {fps:?} {time:?} {limit:?}"
                );
            }
        }
    }
}

/// Every choice of one from each of the three.
fn choices<A: Copy, B: Copy, C: Copy>(a: &[A], b: &[B], c: &[C]) -> Vec<(A, B, C)> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (*a, *b)));
    pairs
        .flat_map(|(a, b)| c.iter().map(move |c| (a, b, *c)))
        .collect()
}

#[test]
fn decoding_ahead_fails_where_decoding_in_turn_does() {
    let whole = std::fs::read(clip("groups.mp4")).unwrap();
    let (_dir, path) = file("damaged.mp4", b"");
    let mut noise = Noise(11);
    for _ in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..6 {
            let at = noise.below(bytes.len());
            bytes[at] = noise.below(256) as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        let Ok(mut scan) = scan(&Video, &path, &[]) else {
            continue;
        };
        scan.batch_bytes = 0;
        let rows = |threads: usize| -> Vec<std::result::Result<RecordBatch, String>> {
            let scan = FileScan {
                threads,
                ..scan.clone()
            };
            match Video.open(&scan) {
                Ok(batches) => batches.map(|b| b.map_err(|e| e.to_string())).collect(),
                Err(e) => vec![Err(e.to_string())],
            }
        };
        assert!(rows(2) == rows(1));
    }
}

#[test]
fn decoding_ahead_ends_with_its_reader() {
    let mut scan = scan(&Video, &clip("groups.mp4"), &[]).unwrap();
    (scan.threads, scan.batch_bytes) = (3, 0);
    for rows in [0, 1, 30] {
        let mut batches = Video.open(&scan).unwrap();
        assert!(batches.by_ref().take(rows).all(|batch| batch.is_ok()));
        // Waits for the threads, and would wait for ever if one waited too.
        drop(batches);
    }
}

#[test]
fn closed_groups_are_decoded_ahead() {
    for (name, threads, is_ahead) in [
        ("groups.mp4", 2, true),
        ("groups.mkv", 2, true),
        ("groups.mp4", 1, false),
        // One group, or groups that cannot be decoded alone.
        ("vfr.mp4", 2, false),
        ("open_groups.mp4", 2, false),
    ] {
        let path = clip(name);
        let (timeline, coded) = coded(&path);
        let Coded {
            length,
            samples,
            avcc,
            ..
        } = coded;
        let wanted = timeline.shown.iter().map(|shown| shown.sample).collect();
        let wide = [("interpolation", Value::Text("area".to_string()))];
        let look = Wanted::new(&options(&wide)).unwrap().look;
        let ahead = Ahead::start(
            wanted,
            threads,
            100,
            || open_again(&path, length, &samples, &avcc),
            || Painter::new(Colour::of_h264(None), 0, 8, 8, look),
        );
        assert_eq!(ahead.unwrap().is_some(), is_ahead, "{name}");
    }
}
