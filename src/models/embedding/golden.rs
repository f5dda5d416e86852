//! The models against sentence-transformers (`golden/sentence`), on both backends.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::Settings;
use super::folder::Folder;
use super::transformer::Transformer;
use crate::cancel::Cancelled;
use crate::models::backend::Backend;

/// A file of the shared data, or `None` and a line that says so.
fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../shared")
        .join(path);
    if !path.exists() {
        note!("skipped: '{}' is not on this machine", path.display());
        return None;
    }
    Some(path)
}

/// The backends of this machine.
pub fn backends() -> Vec<Backend> {
    [Backend::Tract, Backend::OnnxRuntime]
        .into_iter()
        .filter(|backend| {
            let available = backend.is_available();
            if !available {
                note!("skipped: no onnxruntime library on this machine; tested tract alone");
            }
            available
        })
        .collect()
}

struct Golden {
    cases: Vec<Value>,
    arrays: HashMap<String, Vec<f32>>,
}

impl Golden {
    fn load() -> Option<Self> {
        let folder = shared("golden/sentence")?;
        let text = std::fs::read_to_string(folder.join("cases.json")).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        let Value::Array(cases) = json["cases"].take() else {
            panic!("cases.json has no cases");
        };
        let file = File::open(folder.join("arrays.parquet")).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let mut arrays = HashMap::new();
        for batch in reader {
            let batch = batch.unwrap();
            let keys = cast(batch.column_by_name("key").unwrap(), &DataType::Utf8).unwrap();
            let values = batch.column_by_name("f32").unwrap().as_list::<i32>();
            for (i, key) in keys.as_string::<i32>().iter().enumerate() {
                if values.is_valid(i) {
                    let row = values
                        .value(i)
                        .as_primitive::<Float32Type>()
                        .values()
                        .to_vec();
                    arrays.insert(key.unwrap().to_string(), row);
                }
            }
        }
        Some(Self { cases, arrays })
    }

    fn case(&self, id: &str) -> &Value {
        self.cases.iter().find(|case| case["id"] == id).unwrap()
    }

    fn sentences(&self, id: &str) -> Vec<&str> {
        let sentences = self.case(id)["inputs"]["sentences"].as_array().unwrap();
        sentences.iter().map(|s| s.as_str().unwrap()).collect()
    }

    fn array(&self, id: &str, output: &str) -> &[f32] {
        &self.arrays[self.case(id)["outputs"][output]["array"].as_str().unwrap()]
    }
}

fn load(folder: &Folder, backend: Backend) -> Transformer {
    Transformer::load(folder, None, |path, outputs| backend.open(path, outputs)).unwrap()
}

/// The vectors of `texts`, one after the other.
fn embed(transformer: &Transformer, folder: &Folder, texts: &[&str], normalize: bool) -> Vec<f32> {
    let settings = Settings {
        prompt: String::new(),
        normalize,
    };
    let vectors = transformer.embed(folder, texts, &settings, &Cancelled::default());
    vectors.unwrap().concat()
}

/// Largest difference of two lists of one length.
pub fn largest_difference(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    got.iter()
        .zip(want)
        .map(|(g, w)| (g - w).abs())
        .fold(0.0, f32::max)
}

fn check_tokens(golden: &Golden, id: &str, transformer: &Transformer) {
    let want = golden.case(id)["outputs"]["input_ids"].as_array().unwrap();
    let got = transformer.tokenizer.encode(&golden.sentences(id)).unwrap();
    for (got, want) in got.iter().zip(want) {
        let want: Vec<u64> = want
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_u64().unwrap())
            .collect();
        assert_eq!(
            got.ids.iter().map(|id| u64::from(*id)).collect::<Vec<_>>(),
            want
        );
    }
}

#[test]
fn tiny_equals_the_reference() {
    let Some(golden) = Golden::load() else { return };
    let Some(path) = shared("golden/sentence/files/tiny") else {
        return;
    };
    let sentences = golden.sentences("tiny");
    let folder = Folder::read(&path, None).unwrap();
    assert_eq!(
        (folder.dimension(), folder.max_tokens, folder.normalizes()),
        (32, 64, false)
    );
    for backend in backends() {
        let transformer = load(&folder, backend);
        check_tokens(&golden, "tiny", &transformer);
        let one_by_one: Vec<f32> = sentences
            .iter()
            .flat_map(|s| embed(&transformer, &folder, &[s], false))
            .collect();
        let difference = largest_difference(&one_by_one, golden.array("tiny", "embeddings"));
        assert!(difference <= 2e-5, "{backend}: {difference}");
        let batch = embed(&transformer, &folder, &sentences, false);
        let difference =
            largest_difference(&batch, golden.array("tiny_padded_batch", "embeddings"));
        assert!(difference <= 2e-5, "{backend}, padded: {difference}");
        let batch = embed(&transformer, &folder, &sentences, true);
        let want = golden.array("tiny", "embeddings_normalized");
        assert!(
            largest_difference(&batch, want) <= 2e-5,
            "{backend}, normalised"
        );
    }
}

/// The shipped weights are the reference's rounded to 8 bits, so its tolerance of 1e-5
/// does not apply: vectors lie within a cosine of 0.99 of the reference's, and cosines
/// between texts within 0.02.
#[test]
fn minilm_is_near_the_reference() {
    let Some(golden) = Golden::load() else { return };
    let Some(path) = shared("models/all-MiniLM-L6-v2-int8") else {
        return;
    };
    let sentences = golden.sentences("minilm");
    let folder = Folder::read(&path, None).unwrap();
    assert_eq!(
        (folder.dimension(), folder.max_tokens, folder.normalizes()),
        (384, 256, true)
    );
    let want = golden.array("minilm", "embeddings");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    for backend in backends() {
        let transformer = load(&folder, backend);
        check_tokens(&golden, "minilm", &transformer);
        let got = embed(&transformer, &folder, &sentences, true);
        let rows: Vec<&[f32]> = got.chunks_exact(384).collect();
        let worst = rows
            .iter()
            .zip(want.chunks_exact(384))
            .map(|(g, w)| dot(g, w))
            .fold(1.0, f32::min);
        let cosines: Vec<f32> = rows
            .iter()
            .flat_map(|a| rows.iter().map(|b| dot(a, b)))
            .collect();
        let apart = largest_difference(&cosines, golden.array("minilm_cosine", "cos"));
        eprintln!("{backend}: cosine to the reference >= {worst}, cosines within {apart}");
        assert!(worst > 0.99, "{backend}: {worst}");
        assert!(apart < 0.02, "{backend}: {apart}");
        let alone = embed(&transformer, &folder, &sentences[..1], true);
        assert!(
            largest_difference(&alone, rows[0]) < 1e-5,
            "{backend}: padding matters"
        );
    }
}

#[test]
fn many_texts_keep_their_order() {
    let Some(path) = shared("golden/sentence/files/tiny") else {
        return;
    };
    let folder = Folder::read(&path, None).unwrap();
    let texts: Vec<String> = (0..150)
        .map(|i| "the cat sat ".repeat(i * 7 % 23))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for backend in backends() {
        let transformer = load(&folder, backend);
        let vectors = embed(&transformer, &folder, &texts, false);
        for (text, vector) in texts.iter().zip(vectors.chunks_exact(32)).step_by(13) {
            let alone = embed(&transformer, &folder, &[text], false);
            assert!(
                largest_difference(vector, &alone) < 1e-5,
                "{backend}: '{text}'"
            );
        }
    }
}

#[test]
fn what_is_not_a_graph_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for content in [&b""[..], b"not a graph", &[0xff; 4096]] {
        std::fs::write(&path, content).unwrap();
        for backend in backends() {
            let Err(error) = backend.open(&path, &[]) else {
                panic!("{backend} opened {content:?}");
            };
            let message = error.to_string();
            assert!(
                message.contains("cannot run") && message.contains("model.onnx"),
                "{message}"
            );
        }
    }
}
