//! Texts per second of `embed`: 64 sentences of 20 tokens, as in ENGINE.md.
//!
//! Run it once with `VOXQL_BACKEND=onnxruntime` and once with `VOXQL_BACKEND=tract`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use voxql::cancel::Cancelled;
use voxql::models::backend;
use voxql::models::embedding::{Embedder, Settings};

const MODEL: &str = "../shared/models/all-MiniLM-L6-v2-int8";

/// Words and numbers that are one token each: with CLS and SEP, a sentence has 20.
const WORDS: [&str; 9] = [
    "the", "man", "woman", "walks", "into", "a", "room", "house", "today",
];

/// 64 different sentences: equal ones would be embedded once.
fn sentences() -> Vec<String> {
    let sentence = |s: usize| {
        let words: Vec<&str> = (0..17)
            .map(|i| WORDS[(i * (s + 1) + s) % WORDS.len()])
            .collect();
        format!("{} {s}", words.join(" "))
    };
    (0..64).map(sentence).collect()
}

fn embed(criterion: &mut Criterion) {
    let sentences = sentences();
    let texts: Vec<Option<&str>> = sentences.iter().map(|text| Some(text.as_str())).collect();
    let settings = Settings {
        prompt: String::new(),
        normalize: true,
    };
    let cancelled = Cancelled::default();
    let mut group = criterion.benchmark_group("embed");
    group.throughput(Throughput::Elements(texts.len() as u64));
    let mut models = vec![("hashing".to_string(), "hashing")];
    match (std::path::Path::new(MODEL).is_dir(), backend::in_use()) {
        (true, Ok(backend)) => models.push((format!("MiniLM int8, {backend}"), MODEL)),
        _ => eprintln!("skipped: no model at '{MODEL}', or no backend"),
    }
    for (name, path) in models {
        let model = Embedder::find(path, None, None).expect("the model is there");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let vectors = model.embed(&texts, &settings, &cancelled);
                vectors.expect("the model runs")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, embed);
criterion_main!(benches);
