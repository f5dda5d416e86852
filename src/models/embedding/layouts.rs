//! The layouts of well-known models, and every kind of step, against sentence-transformers
//! (`tests/data/embedding`, made by `make.py` there), on both backends.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::folder::Folder;
use super::golden::{backends, largest_difference};
use super::transformer::Transformer;
use super::{Embedder, Settings};
use crate::cancel::Cancelled;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/embedding");

/// The files of a case on the graph that it is about.
fn folder(case: &Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let base = Path::new(DATA).join(case["base"].as_str().unwrap());
    fs::create_dir(folder.path().join("onnx")).unwrap();
    for file in [
        "onnx/model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
        "config.json",
    ] {
        fs::copy(base.join(file), folder.path().join(file)).unwrap();
    }
    for (name, content) in case["files"].as_object().unwrap() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content.to_string()).unwrap();
        if name.contains("Dense") {
            let weights = path.with_file_name("model.safetensors");
            fs::copy(Path::new(DATA).join("dense.safetensors"), weights).unwrap();
        }
    }
    folder
}

#[test]
fn every_layout_gives_the_vectors_of_sentence_transformers() {
    let text = fs::read_to_string(Path::new(DATA).join("expected.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        let root = folder(case);
        let folder = Folder::read(root.path(), None).unwrap();
        let prompt_name = case["prompt_name"].as_str();
        let settings = Settings {
            prompt: folder.prompts.choose("m", None, prompt_name).unwrap(),
            normalize: folder.normalizes(),
        };
        let prompted = |text: &Value| format!("{}{}", settings.prompt, text.as_str().unwrap());
        let texts: Vec<String> = case["sentences"]
            .as_array()
            .unwrap()
            .iter()
            .map(prompted)
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for backend in backends() {
            let transformer =
                Transformer::load(&folder, None, |path, outputs| backend.open(path, outputs))
                    .unwrap();
            let got = transformer
                .embed(&folder, &texts, &settings, &Cancelled::default())
                .unwrap();
            let want = case["embeddings"].as_array().unwrap();
            assert_eq!(got.len(), want.len());
            for ((got, want), text) in got.iter().zip(want).zip(&texts) {
                let want = want
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|v| v.as_f64().unwrap() as f32);
                let difference = largest_difference(got, &want.collect::<Vec<f32>>());
                assert!(
                    difference <= 1e-5,
                    "{backend}, {}, '{text}': {difference}",
                    case["name"]
                );
            }
        }
    }
}

fn bert() -> PathBuf {
    Path::new(DATA).join("bert")
}

#[test]
fn a_layer_is_an_output_of_the_graph() {
    let folder = Folder::read(&bert(), None).unwrap();
    for backend in backends() {
        let load = |layer| {
            Transformer::load(&folder, Some(layer), |path, outputs| {
                backend.open(path, outputs)
            })
        };
        for layer in ["hidden_states.0", "hidden_states.1", "last_hidden_state"] {
            load(layer).unwrap();
        }
        let message = load("hidden_states.7").err().unwrap().to_string();
        assert!(
            message.contains("last_hidden_state, hidden_states.0, hidden_states.1"),
            "{backend}: {message}"
        );
    }
}

/// Pooling the tokens of `embed_tokens`, and the spans that cover a text, are the same numbers.
#[test]
fn tokens_spans_and_texts_agree() {
    let model = Embedder::find(bert().to_str().unwrap(), None, None).unwrap();
    let text = "The naïve cat  sat on the mat.";
    let never = Cancelled::default();
    let tokens = &model.token_vectors(&[text], None, &never).unwrap()[0];
    assert_eq!(
        tokens.tokens[..3],
        ["[CLS]", "the", "n"],
        "{:?}",
        tokens.tokens
    );
    assert_eq!(tokens.tokens.len() * 16, tokens.vectors.len());
    let words: Vec<usize> = tokens.words.iter().flatten().copied().collect();
    assert_eq!(tokens.words.first(), Some(&None));
    assert_eq!(tokens.words.last(), Some(&None));
    assert!(
        words.is_sorted() && words.len() == tokens.words.len() - 2,
        "{words:?}"
    );
    assert_eq!(words.last(), Some(&6));

    for (number, place) in super::layers::words(text).into_iter().enumerate() {
        let span = &model.span_vectors(&[(text, place)], None, &never).unwrap()[0];
        let rows = tokens.vectors.chunks_exact(16).zip(&tokens.words);
        let own: Vec<&[f32]> = rows
            .filter(|(_, word)| **word == Some(number))
            .map(|(row, _)| row)
            .collect();
        let mean: Vec<f32> = (0..16)
            .map(|i| own.iter().map(|row| row[i]).sum::<f32>() / own.len() as f32)
            .collect();
        assert!(
            largest_difference(span.as_ref().unwrap(), &mean) < 1e-5,
            "word {number}"
        );
    }
    let settings = model.settings(None, None, Some(false)).unwrap();
    let whole = model.embed(&[Some(text)], &settings, &never).unwrap();
    let count = tokens.tokens.len() as f32;
    let mean: Vec<f32> = (0..16)
        .map(|i| {
            tokens
                .vectors
                .chunks_exact(16)
                .map(|row| row[i])
                .sum::<f32>()
                / count
        })
        .collect();
    assert!(largest_difference(&whole, &mean) < 1e-5);
}

/// A context longer than the model takes is cut around the span, which stays whole.
#[test]
fn a_long_context_is_cut_around_the_span() {
    let model = Embedder::find(bert().to_str().unwrap(), None, None).unwrap();
    let never = Cancelled::default();
    let vector = |text: &str, word: &str| {
        let at = text.find(word).unwrap();
        let spans = [(text, at..at + word.len())];
        model
            .span_vectors(&spans, None, &never)
            .unwrap()
            .remove(0)
            .unwrap()
    };
    let (long, longer) = ("the ".repeat(100), "the ".repeat(300));
    let at_end = |before: &str| vector(&format!("{before}mat"), "mat");
    // 64 tokens are seen: both end with the same ones.
    assert!(largest_difference(&at_end(&long), &at_end(&longer)) < 1e-6);
    assert!(
        largest_difference(&at_end(&long), &at_end("the ")) > 1e-3,
        "context matters"
    );
    let in_the_middle = |around: &str| vector(&format!("{around}mat {around}"), "mat");
    assert!(largest_difference(&in_the_middle(&long), &in_the_middle(&longer)) < 1e-6);
    let whole = longer.trim();
    assert!(
        model
            .span_vectors(&[(whole, 0..whole.len())], None, &never)
            .unwrap()[0]
            .is_some()
    );
}
