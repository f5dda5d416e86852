//! What a sentence-transformers folder says about its model, without loading it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::dense::Dense;
use super::json::read_json;
use super::modules::Modules;
use super::pooling::Pooling;
use super::prompts::Prompts;
use crate::models::graphs::{external_data, find_graph, named_graph};

/// A model folder: its files and how it is to be run.
#[derive(Debug)]
pub struct Folder {
    pub graph: PathBuf,
    pub tokenizer: PathBuf,
    /// Longer texts are cut at this many tokens, CLS and SEP included.
    pub max_tokens: usize,
    /// Whether the text is put in lower case before it comes to the tokenizer.
    pub lower_case: bool,
    /// The token that fills the shorter texts of a batch.
    pub padding_token: i64,
    pub prompts: Prompts,
    /// Elements of a token's vector.
    pub token_width: usize,
    pub pooling: Pooling,
    /// What is done with the pooled vector, in this order.
    pub steps: Vec<Step>,
}

/// One step after the pooling.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Dense(Dense),
    /// To length 1.
    Normalize,
}

/// `config.json` of the transformer.
#[derive(Deserialize, Default)]
struct Config {
    hidden_size: Option<usize>,
    /// DistilBERT's name for the hidden size.
    dim: Option<usize>,
    max_position_embeddings: Option<usize>,
    pad_token_id: Option<i64>,
}

#[derive(Deserialize, Default)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    model_max_length: Option<f64>,
}

impl Folder {
    /// Reads the folder's configuration. `file_name` is the graph, where it is not the
    /// usual one. A folder that lacks something, or asks for a step that VoxQL does not
    /// have, is an error that names it.
    pub fn read(root: &Path, file_name: Option<&str>) -> Result<Folder> {
        let modules = Modules::read(root)?;
        let transformer = root.join(&modules.transformer);
        let graph = match file_name {
            Some(name) => named_graph(root, name)?,
            None => find_graph(root, &transformer)?,
        };
        let tokenizer = find_tokenizer(root, &transformer)?;
        let config: Config = read_json(&transformer.join("config.json"))?.unwrap_or_default();
        let sentence: SentenceConfig =
            read_json(&transformer.join("sentence_bert_config.json"))?.unwrap_or_default();
        let limits: TokenizerConfig =
            read_json(&transformer.join("tokenizer_config.json"))?.unwrap_or_default();
        let Some(token_width) = modules.token_width.or(config.hidden_size).or(config.dim) else {
            return exec_err!(
                "model folder '{}' does not say how long its vectors are: neither config.json \
                 (hidden_size) nor 1_Pooling/config.json (word_embedding_dimension) is there",
                root.display()
            );
        };
        // Tokenizers without a limit write 1e30.
        let model_limit = limits
            .model_max_length
            .filter(|n| *n >= 1.0 && *n < 1e6)
            .map(|n| n as usize);
        let positions = config.max_position_embeddings;
        let max_tokens = sentence.max_seq_length.or(model_limit).or(positions);
        let folder = Folder {
            graph,
            tokenizer,
            max_tokens: max_tokens
                .unwrap_or(512)
                .min(positions.unwrap_or(usize::MAX)),
            lower_case: sentence.do_lower_case,
            padding_token: config.pad_token_id.unwrap_or(0),
            prompts: Prompts::read(root)?,
            token_width,
            pooling: modules.pooling,
            steps: modules.steps,
        };
        folder.check_widths(root)?;
        if !modules.are_said {
            log::warn!(
                "'{}' has no modules.json; its token vectors are averaged and not normalised, as \
                 sentence-transformers does",
                root.display()
            );
        }
        Ok(folder)
    }

    /// Elements of a pooled vector.
    pub fn pooled_width(&self) -> usize {
        self.token_width * self.pooling.modes.len()
    }

    /// Elements of a text's vector.
    pub fn dimension(&self) -> usize {
        let last = self.dense().last();
        last.map_or(self.pooled_width(), |dense| dense.outputs)
    }

    /// Whether the folder's last step scales vectors to length 1.
    pub fn normalizes(&self) -> bool {
        self.steps.last() == Some(&Step::Normalize)
    }

    fn dense(&self) -> impl Iterator<Item = &Dense> {
        self.steps.iter().filter_map(|step| match step {
            Step::Dense(dense) => Some(dense),
            Step::Normalize => None,
        })
    }

    /// Each step takes what the one before gives.
    fn check_widths(&self, root: &Path) -> Result<()> {
        if self.token_width == 0 || self.dimension() == 0 {
            return exec_err!(
                "model folder '{}' says that its vectors have no elements",
                root.display()
            );
        }
        let mut width = self.pooled_width();
        for dense in self.dense() {
            if dense.inputs != width {
                return exec_err!(
                    "model folder '{}': a step Dense takes vectors of {} elements, and the step before it gives {width}",
                    root.display(),
                    dense.inputs
                );
            }
            width = dense.outputs;
        }
        Ok(())
    }

    /// The files that hold the model's weights and vocabulary.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.graph.clone(), self.tokenizer.clone()];
        files.extend(external_data(&self.graph));
        files.extend(self.dense().map(|dense| dense.weights().to_path_buf()));
        files
    }

    /// SHA-256, in hexadecimal, over everything that decides the vectors: weights,
    /// tokenizer and the steps around them. Two folders with one hash give the same
    /// vectors.
    pub fn content_hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for file in &self.files() {
            hash_file(file, &mut hash)
                .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", file.display()))?;
        }
        hash.update(format!(
            "{} {} {} {}",
            self.pooling, self.pooling.include_prompt, self.max_tokens, self.lower_case
        ));
        for step in &self.steps {
            hash.update(match step {
                Step::Dense(dense) => dense.describe(),
                Step::Normalize => "normalize".to_string(),
            });
        }
        Ok(crate::models::hexadecimal(&hash.finalize()))
    }
}

fn find_tokenizer(root: &Path, transformer: &Path) -> Result<PathBuf> {
    [root, transformer]
        .iter()
        .map(|folder| folder.join("tokenizer.json"))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            exec_datafusion_err!(
                "model folder '{}' has no tokenizer.json; download it from the model's page on \
                 Hugging Face, or write it in Python with \
                 AutoTokenizer.from_pretrained('…').save_pretrained('{}')",
                root.display(),
                root.display()
            )
        })
}

fn hash_file(path: &Path, hash: &mut Sha256) -> std::io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut buffer = vec![0; 1 << 18];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(()),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pooling::Mode;
    use super::super::safetensors::tests::file;
    use super::*;

    /// A folder with the smallest files that make a model of 8 dimensions.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in [
            (
                "config.json",
                r#"{"hidden_size": 8, "max_position_embeddings": 64}"#,
            ),
            ("tokenizer.json", "{}"),
            ("onnx/model.onnx", "graph"),
        ]
        .iter()
        .chain(files)
        {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        root
    }

    fn error(files: &[(&str, &str)]) -> String {
        let root = folder(files);
        Folder::read(root.path(), None).unwrap_err().to_string()
    }

    const MODULES: &str = r#"[
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]"#;

    #[test]
    fn reads_the_steps() {
        let root = folder(&[
            ("modules.json", MODULES),
            (
                "sentence_bert_config.json",
                r#"{"max_seq_length": 32, "do_lower_case": true}"#,
            ),
            (
                "1_Pooling/config.json",
                r#"{"word_embedding_dimension": 8, "pooling_mode_cls_token": true,
                    "pooling_mode_mean_tokens": false}"#,
            ),
        ]);
        let folder = Folder::read(root.path(), None).unwrap();
        assert_eq!(folder.pooling.modes, [Mode::Cls]);
        assert_eq!((folder.dimension(), folder.max_tokens), (8, 32));
        assert!(folder.normalizes() && folder.lower_case);
        assert!(folder.graph.ends_with("onnx/model.onnx"));
    }

    #[test]
    fn without_modules_tokens_are_averaged() {
        let root = folder(&[]);
        let folder = Folder::read(root.path(), None).unwrap();
        assert_eq!(folder.pooling, Pooling::mean());
        assert_eq!((folder.max_tokens, folder.normalizes()), (64, false));
    }

    #[test]
    fn a_tokenizer_without_limit_leaves_the_positions() {
        let root = folder(&[("tokenizer_config.json", r#"{"model_max_length": 1e30}"#)]);
        assert_eq!(Folder::read(root.path(), None).unwrap().max_tokens, 64);
    }

    const POOLING: &str = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}"#;

    #[test]
    fn dense_steps_take_what_the_pooling_gives() {
        let modules = MODULES
            .replace("2_Normalize", "2_Dense")
            .replace("Normalize", "Dense");
        let dense = |inputs: usize| format!(r#"{{"in_features": {inputs}, "out_features": 3}}"#);
        let read = |inputs: usize| {
            let root = folder(&[
                ("modules.json", &modules),
                ("1_Pooling/config.json", POOLING),
                ("2_Dense/config.json", &dense(inputs)),
            ]);
            let weights = file(&[("linear.weight", &[3, 16], &[0.0; 48])]);
            std::fs::write(root.path().join("2_Dense/model.safetensors"), weights).unwrap();
            Folder::read(root.path(), None)
        };
        let two = read(16).unwrap();
        assert_eq!(
            (two.pooled_width(), two.dimension(), two.normalizes()),
            (16, 3, false)
        );
        let message = read(8).unwrap_err().to_string();
        assert!(
            message.contains("takes vectors of 8 elements, and the step before it gives 16"),
            "{message}"
        );
    }

    #[test]
    fn unknown_steps_are_refused_by_name() {
        let unknown = MODULES.replace("models.Normalize", "models.LSTM");
        let message = error(&[
            ("modules.json", &unknown),
            ("1_Pooling/config.json", POOLING),
        ]);
        assert!(
            message.contains("sentence_transformers.models.LSTM"),
            "{message}"
        );
        let message = error(&[
            ("modules.json", MODULES),
            (
                "1_Pooling/config.json",
                r#"{"pooling_mode_attention": true, "pooling_mode_mean_tokens": true}"#,
            ),
        ]);
        assert!(message.contains("[attention, mean_tokens]"), "{message}");
    }

    #[test]
    fn weights_beside_the_graph_count() {
        let root = folder(&[]);
        let hash = || {
            Folder::read(root.path(), None)
                .unwrap()
                .content_hash()
                .unwrap()
        };
        let first = hash();
        std::fs::write(root.path().join("onnx/model.onnx_data"), "weights").unwrap();
        assert_ne!(hash(), first);
    }

    #[test]
    fn missing_files_are_named() {
        for (file, says) in [
            ("tokenizer.json", "has no tokenizer.json"),
            (
                "onnx/model.onnx",
                "has no onnx/model.onnx and no model.onnx",
            ),
            ("config.json", "hidden_size"),
        ] {
            let root = folder(&[]);
            std::fs::remove_file(root.path().join(file)).unwrap();
            let message = Folder::read(root.path(), None).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
        let message = error(&[("modules.json", MODULES)]);
        assert!(
            message.contains("1_Pooling/config.json' is missing"),
            "{message}"
        );
        let message = error(&[("config.json", "{")]);
        assert!(message.contains("config.json' is not"), "{message}");
    }

    #[test]
    fn the_hash_follows_what_decides_the_vectors() {
        let root = folder(&[]);
        let hash = || {
            Folder::read(root.path(), None)
                .unwrap()
                .content_hash()
                .unwrap()
        };
        let first = hash();
        assert_eq!(first.len(), 64);
        assert_eq!(hash(), first);
        std::fs::write(root.path().join("README.md"), "words").unwrap();
        assert_eq!(hash(), first);
        let config = r#"{"max_seq_length": 16}"#;
        std::fs::write(root.path().join("sentence_bert_config.json"), config).unwrap();
        assert_ne!(hash(), first);
    }
}
