//! `modules.json`: the steps of a sentence-transformers model, in order.

use std::path::Path;

use datafusion::common::{Result, exec_err};
use serde::Deserialize;

use super::dense::Dense;
use super::folder::Step;
use super::json::read_json;
use super::pooling::Pooling;

/// One entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    #[serde(default)]
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The steps of a model.
pub struct Modules {
    /// Whether the folder has a `modules.json`.
    pub are_said: bool,
    /// The folder of the transformer, in the model's.
    pub transformer: String,
    pub pooling: Pooling,
    /// Elements of a token's vector, where the pooling says it.
    pub token_width: Option<usize>,
    pub steps: Vec<Step>,
}

impl Modules {
    /// The one order there is support for: Transformer, Pooling, and then any of Dense and Normalize.
    pub fn read(root: &Path) -> Result<Self> {
        let modules: Option<Vec<Module>> = read_json(&root.join("modules.json"))?;
        let mut steps = Modules {
            are_said: modules.is_some(),
            transformer: String::new(),
            pooling: Pooling::mean(),
            token_width: None,
            steps: Vec::new(),
        };
        for (i, module) in modules.unwrap_or_default().into_iter().enumerate() {
            let folder = root.join(&module.path);
            match (i, module.kind.rsplit('.').next().unwrap_or_default()) {
                (0, "Transformer") => steps.transformer = module.path,
                (1, "Pooling") => {
                    (steps.pooling, steps.token_width) =
                        Pooling::read(&folder.join("config.json"))?;
                }
                (2.., "Dense") => steps.steps.push(Step::Dense(Dense::read(&folder)?)),
                (2.., "Normalize") => steps.steps.push(Step::Normalize),
                _ => {
                    return exec_err!(
                        "model folder '{}' has the module {} as number {i} of its modules.json; embed \
                         knows Transformer, then Pooling, then Dense and Normalize",
                        root.display(),
                        module.kind
                    );
                }
            }
        }
        Ok(steps)
    }
}
