//! Texts per second of `embed`: 64 sentences of 20 tokens, as in ENGINE.md.
//!
//! Run it once with `VOXQL_BACKEND=onnxruntime` and once with `VOXQL_BACKEND=tract`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use voxql::cancel::Cancelled;
use voxql::models::backend;
use voxql::models::embedding::{Embedder, Settings};

const MODEL: &str = "../shared/models/all-MiniLM-L6-v2-int8";

/// Words and numbers that are one token each: with CLS and SEP, a sentence has 20.
const WORDS: [&str; 9] = [
    "the", "man", "woman", "walks", "into", "a", "room", "house", "today",
];

/// 64 sentences that no batch before had: a text that comes again is not embedded again.
fn sentences(batch: u32) -> Vec<String> {
    let sentence = |number: u32| {
        let word = |i: u32| WORDS[((number / 9_u32.pow(i % 6)) % 9) as usize];
        (0..18).map(word).collect::<Vec<_>>().join(" ")
    };
    (batch * 64..(batch + 1) * 64).map(sentence).collect()
}

fn embed(criterion: &mut Criterion) {
    let settings = Settings {
        prompt: String::new(),
        normalize: true,
    };
    let cancelled = Cancelled::default();
    let mut group = criterion.benchmark_group("embed");
    group.throughput(Throughput::Elements(64));
    let mut models = vec![("hashing".to_string(), "hashing")];
    match (std::path::Path::new(MODEL).is_dir(), backend::in_use()) {
        (true, Ok(backend)) => models.push((format!("MiniLM int8, {backend}"), MODEL)),
        _ => eprintln!("skipped: no model at '{MODEL}', or no backend"),
    }
    let mut batches = 0..;
    let mut next = || sentences(batches.next().unwrap_or_default());
    for (name, path) in models {
        let model = Embedder::find(path, None, None).expect("the model is there");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                &mut next,
                |sentences| {
                    let texts: Vec<_> = sentences.iter().map(|text| Some(text.as_str())).collect();
                    let vectors = model.embed(&texts, &settings, &cancelled);
                    vectors.expect("the model runs")
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, embed);
criterion_main!(benches);
