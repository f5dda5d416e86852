//! What a sentence-transformers folder says about its model, without loading it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::pooling::Pooling;

/// Where the graph is, as Hugging Face and sentence-transformers write it.
const GRAPHS: [&str; 2] = ["onnx/model.onnx", "model.onnx"];

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
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub normalize: bool,
    /// Elements of a vector.
    pub dimension: usize,
}

/// One step of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
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

#[derive(Deserialize, Default)]
struct Prompts {
    default_prompt_name: Option<String>,
}

/// `1_Pooling/config.json`.
#[derive(Deserialize)]
struct PoolingConfig {
    word_embedding_dimension: Option<usize>,
    #[serde(flatten)]
    modes: serde_json::Map<String, serde_json::Value>,
}

impl Folder {
    /// Reads the folder's configuration. A folder that lacks something, or asks for a
    /// step that VoxQL does not have, is an error that names it.
    pub fn read(root: &Path) -> Result<Folder> {
        let modules: Option<Vec<Module>> = read_json(&root.join("modules.json"))?;
        let plain = modules.is_none();
        let modules = Modules::of(root, modules.unwrap_or_default())?;
        let transformer = root.join(&modules.transformer);
        let graph = find_graph(root, &transformer)?;
        let tokenizer = find_tokenizer(root, &transformer)?;
        if plain {
            log::warn!(
                "'{}' has no modules.json; its token vectors are averaged and not normalised, as \
                 sentence-transformers does",
                root.display()
            );
        }
        let config: Config = read_json(&transformer.join("config.json"))?.unwrap_or_default();
        let sentence: SentenceConfig =
            read_json(&transformer.join("sentence_bert_config.json"))?.unwrap_or_default();
        let limits: TokenizerConfig =
            read_json(&transformer.join("tokenizer_config.json"))?.unwrap_or_default();
        refuse_prompts(root)?;
        let (pooling, pooled) = match &modules.pooling {
            Some(path) => read_pooling(&root.join(path).join("config.json"))?,
            None => (Pooling::Mean, None),
        };
        let Some(dimension) = pooled.or(config.hidden_size).or(config.dim) else {
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
        Ok(Folder {
            graph,
            tokenizer,
            max_tokens: max_tokens
                .unwrap_or(512)
                .min(positions.unwrap_or(usize::MAX)),
            lower_case: sentence.do_lower_case,
            padding_token: config.pad_token_id.unwrap_or(0),
            pooling,
            normalize: modules.normalize,
            dimension,
        })
    }

    /// SHA-256, in hexadecimal, over everything that decides the vectors: weights,
    /// tokenizer and the steps around them. Two folders with one hash give the same
    /// vectors.
    pub fn content_hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let mut files = vec![self.graph.clone(), self.tokenizer.clone()];
        // Graphs above 2 GB keep their weights beside them.
        for ending in ["_data", ".data"] {
            let mut external = self.graph.clone().into_os_string();
            external.push(ending);
            let external = PathBuf::from(external);
            files.extend(external.is_file().then_some(external));
        }
        for file in &files {
            hash_file(file, &mut hash)
                .map_err(|e| exec_datafusion_err!("cannot read '{}': {e}", file.display()))?;
        }
        let steps = format!(
            "{:?} {} {} {}",
            self.pooling, self.normalize, self.max_tokens, self.lower_case
        );
        hash.update(steps.as_bytes());
        Ok(crate::models::hexadecimal(&hash.finalize()))
    }
}

/// The steps of a model: where they are described.
struct Modules {
    transformer: String,
    pooling: Option<String>,
    normalize: bool,
}

impl Modules {
    /// The one order there is support for: Transformer, Pooling, and maybe Normalize.
    fn of(root: &Path, modules: Vec<Module>) -> Result<Self> {
        let mut steps = Modules {
            transformer: String::new(),
            pooling: None,
            normalize: false,
        };
        for (i, module) in modules.into_iter().enumerate() {
            let kind = module.kind.rsplit('.').next().unwrap_or_default();
            match (i, kind) {
                (0, "Transformer") => steps.transformer = module.path,
                (1, "Pooling") => steps.pooling = Some(module.path),
                (2, "Normalize") => steps.normalize = true,
                _ => {
                    return exec_err!(
                        "model folder '{}' has the module {} as number {i} of its modules.json; embed \
                         knows Transformer, Pooling and Normalize, in this order",
                        root.display(),
                        module.kind
                    );
                }
            }
        }
        Ok(steps)
    }
}

fn read_pooling(path: &Path) -> Result<(Pooling, Option<usize>)> {
    let Some(config) = read_json::<PoolingConfig>(path)? else {
        return exec_err!("'{}' is missing; modules.json asks for it", path.display());
    };
    let chosen: Vec<&str> = config
        .modes
        .iter()
        .filter(|(_, on)| **on == serde_json::Value::Bool(true))
        .filter_map(|(name, _)| name.strip_prefix("pooling_mode_"))
        .collect();
    let pooling = match chosen[..] {
        ["cls_token"] => Pooling::Cls,
        ["mean_tokens"] => Pooling::Mean,
        ["mean_sqrt_len_tokens"] => Pooling::MeanSqrtLen,
        ["max_tokens"] => Pooling::Max,
        _ => {
            return exec_err!(
                "'{}' asks for the pooling [{}]; embed knows one of cls_token, mean_tokens, \
                 mean_sqrt_len_tokens and max_tokens",
                path.display(),
                chosen.join(", ")
            );
        }
    };
    Ok((pooling, config.word_embedding_dimension))
}

/// A model that wants a prompt before each text would silently give other vectors.
fn refuse_prompts(root: &Path) -> Result<()> {
    let path = root.join("config_sentence_transformers.json");
    match read_json::<Prompts>(&path)?.and_then(|p| p.default_prompt_name) {
        None => Ok(()),
        Some(name) => exec_err!(
            "'{}' wants the prompt '{name}' before every text, which embed does not add; put the \
             prompt into the text and default_prompt_name to null",
            path.display()
        ),
    }
}

/// Whether `root` holds a graph: what tells a model folder from any other.
pub fn has_graph(root: &Path) -> bool {
    graph_in(root).is_some()
}

fn graph_in(folder: &Path) -> Option<PathBuf> {
    GRAPHS
        .iter()
        .map(|graph| folder.join(graph))
        .find(|path| path.is_file())
}

fn find_graph(root: &Path, transformer: &Path) -> Result<PathBuf> {
    graph_in(root)
        .or_else(|| graph_in(transformer))
        .ok_or_else(|| {
            exec_datafusion_err!(
                "model folder '{}' has no {}; models on Hugging Face keep it in the folder onnx/, and \
                 `optimum-cli export onnx` makes it of other weights",
                root.display(),
                GRAPHS.join(" and no ")
            )
        })
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

/// A JSON file's content, or `None` where there is no such file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return exec_err!("cannot read '{}': {e}", path.display()),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| exec_datafusion_err!("'{}' is not what it should be: {e}", path.display()))
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
        Folder::read(root.path()).unwrap_err().to_string()
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
        let folder = Folder::read(root.path()).unwrap();
        assert_eq!(folder.pooling, Pooling::Cls);
        assert_eq!((folder.dimension, folder.max_tokens), (8, 32));
        assert!(folder.normalize && folder.lower_case);
        assert!(folder.graph.ends_with("onnx/model.onnx"));
    }

    #[test]
    fn without_modules_tokens_are_averaged() {
        let root = folder(&[]);
        let folder = Folder::read(root.path()).unwrap();
        assert_eq!(folder.pooling, Pooling::Mean);
        assert_eq!((folder.max_tokens, folder.normalize), (64, false));
    }

    #[test]
    fn a_tokenizer_without_limit_leaves_the_positions() {
        let root = folder(&[("tokenizer_config.json", r#"{"model_max_length": 1e30}"#)]);
        assert_eq!(Folder::read(root.path()).unwrap().max_tokens, 64);
    }

    #[test]
    fn unknown_steps_are_refused_by_name() {
        let dense = MODULES.replace("models.Normalize", "models.Dense");
        let message = error(&[
            ("modules.json", &dense),
            (
                "1_Pooling/config.json",
                r#"{"pooling_mode_mean_tokens": true}"#,
            ),
        ]);
        assert!(
            message.contains("sentence_transformers.models.Dense"),
            "{message}"
        );
        let message = error(&[
            ("modules.json", MODULES),
            (
                "1_Pooling/config.json",
                r#"{"pooling_mode_lasttoken": true, "pooling_mode_mean_tokens": true}"#,
            ),
        ]);
        assert!(message.contains("[lasttoken, mean_tokens]"), "{message}");
        let message = error(&[(
            "config_sentence_transformers.json",
            r#"{"default_prompt_name": "query"}"#,
        )]);
        assert!(message.contains("'query'"), "{message}");
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
            let message = Folder::read(root.path()).unwrap_err().to_string();
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
        let hash = || Folder::read(root.path()).unwrap().content_hash().unwrap();
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
