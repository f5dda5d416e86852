//! Prompts: what some models want before a text, as `config_sentence_transformers.json` says.

use std::path::Path;

use datafusion::common::{Result, exec_err, plan_err};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::read_json;

/// A model's prompts, by name.
#[derive(Debug, Clone, Default)]
pub struct Prompts {
    /// In the order of the file.
    list: Vec<(String, String)>,
    /// The one that stands before a text where nothing else is asked for.
    default: Option<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    prompts: Map<String, Value>,
    default_prompt_name: Option<String>,
}

impl Prompts {
    /// The prompts of the model in `root`, and the default's name checked.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join("config_sentence_transformers.json");
        let Some(config) = read_json::<Config>(&path)? else {
            return Ok(Self::default());
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let list = config
            .prompts
            .iter()
            .map(|(name, prompt)| (name.clone(), text(prompt)));
        let prompts = Self {
            list: list.collect(),
            default: config.default_prompt_name,
        };
        match &prompts.default {
            Some(name) if prompts.named(name).is_none() => exec_err!(
                "'{}': default_prompt_name is '{name}', and the prompts are {}",
                path.display(),
                prompts.names()
            ),
            _ => Ok(prompts),
        }
    }

    /// The text before every text of a call: `prompt` as it stands, or the one called `prompt_name`, or
    /// the model's default, or none.
    pub fn choose(
        &self,
        model: &str,
        prompt: Option<&str>,
        prompt_name: Option<&str>,
    ) -> Result<String> {
        let chosen = match (prompt, prompt_name) {
            (Some(_), Some(_)) => {
                return plan_err!(
                    "embed: prompt is the text before every text, prompt_name the name of one that the model \
                     {model} has; give one of them"
                );
            }
            (Some(prompt), None) => Some(prompt),
            (None, Some(name)) => match self.named(name) {
                Some(prompt) => Some(prompt),
                None => {
                    return plan_err!(
                        "embed: the model {model} has no prompt '{name}'; it has {}. A text of your own goes \
                         before every text with prompt => 'text'",
                        self.names()
                    );
                }
            },
            (None, None) => self.default.as_deref().and_then(|name| self.named(name)),
        };
        Ok(chosen.unwrap_or_default().to_string())
    }

    fn named(&self, name: &str) -> Option<&str> {
        let mut list = self.list.iter();
        list.find(|(known, _)| known == name)
            .map(|(_, prompt)| prompt.as_str())
    }

    fn names(&self) -> String {
        let names: Vec<String> = self
            .list
            .iter()
            .map(|(name, _)| format!("'{name}'"))
            .collect();
        match names.is_empty() {
            true => "none".to_string(),
            false => names.join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(config: &str) -> Result<Prompts> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(
            root.path().join("config_sentence_transformers.json"),
            config,
        )
        .unwrap();
        Prompts::read(root.path())
    }

    const TWO: &str =
        r#"{"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}"#;

    #[test]
    fn by_name_by_text_and_by_default() {
        let two = prompts(TWO).unwrap();
        let choose = |prompt, name| two.choose("m", prompt, name).unwrap();
        assert_eq!(choose(None, None), "query: ");
        assert_eq!(choose(None, Some("document")), "");
        assert_eq!(choose(Some("say: "), None), "say: ");
        assert_eq!(choose(Some(""), None), "");
        assert_eq!(Prompts::default().choose("m", None, None).unwrap(), "");
    }

    #[test]
    fn wrong_names_are_errors_that_list_the_right_ones() {
        let two = prompts(TWO).unwrap();
        let message = two
            .choose("m", None, Some("passage"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("'query', 'document'"), "{message}");
        let message = two
            .choose("m", Some("a"), Some("query"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("give one of them"), "{message}");
        let message = prompts(r#"{"default_prompt_name": "query"}"#)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("'query'") && message.contains("none"),
            "{message}"
        );
    }
}
