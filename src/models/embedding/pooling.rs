//! From one vector per token to one vector per text.

use std::fmt;
use std::path::Path;

use datafusion::common::{Result, exec_err};
use serde::Deserialize;
use serde_json::Value;

use super::json::read_json;

/// One way to make a vector of a text's token vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The vector of the first token, CLS where the model has one.
    Cls,
    /// The largest value of each dimension.
    Max,
    /// The mean over the tokens, those that the tokenizer adds (CLS, SEP) included.
    Mean,
    /// The sum over the tokens divided by the square root of their number.
    MeanSqrtLen,
    /// The mean in which the first token weighs 1, the second 2, and so on.
    WeightedMean,
    /// The vector of the last token.
    LastToken,
}

/// In the order in which sentence-transformers puts several one after the other.
const MODES: [(Mode, &str, &str); 6] = [
    (Mode::Cls, "cls", "cls_token"),
    (Mode::Max, "max", "max_tokens"),
    (Mode::Mean, "mean", "mean_tokens"),
    (
        Mode::MeanSqrtLen,
        "mean_sqrt_len_tokens",
        "mean_sqrt_len_tokens",
    ),
    (Mode::WeightedMean, "weightedmean", "weightedmean_tokens"),
    (Mode::LastToken, "lasttoken", "lasttoken"),
];

impl Mode {
    /// Pools `tokens`, rows of `out.len()` values without padding, into `out`, leaving
    /// out the first `skip` rows, which are a prompt's. No tokens give zeros.
    fn pool(self, tokens: &[f32], skip: usize, out: &mut [f32]) {
        let width = out.len();
        let all = tokens.chunks_exact(width);
        let count = all.len().saturating_sub(skip);
        let rows = || all.clone().skip(skip);
        out.fill(0.0);
        match self {
            _ if all.len() == 0 => {}
            // Of a text that is all prompt, its first token.
            Mode::Cls => {
                let first = if count == 0 { 0 } else { skip };
                out.copy_from_slice(&tokens[first * width..][..width]);
            }
            _ if count == 0 => {}
            Mode::LastToken => rows()
                .last()
                .into_iter()
                .for_each(|row| out.copy_from_slice(row)),
            Mode::Max => {
                out.fill(f32::NEG_INFINITY);
                for row in rows() {
                    out.iter_mut().zip(row).for_each(|(o, v)| *o = o.max(*v));
                }
            }
            Mode::Mean => sum(rows().map(|row| (1.0, row)), count as f32, out),
            Mode::MeanSqrtLen => sum(rows().map(|row| (1.0, row)), (count as f32).sqrt(), out),
            Mode::WeightedMean => {
                let weights = (skip + 1..).map(|i| i as f32);
                let total = (skip + 1..=skip + count).map(|i| i as f32).sum();
                sum(weights.zip(rows()), total, out);
            }
        }
    }
}

fn sum<'a>(rows: impl Iterator<Item = (f32, &'a [f32])>, divisor: f32, out: &mut [f32]) {
    for (weight, row) in rows {
        out.iter_mut().zip(row).for_each(|(o, v)| *o += weight * v);
    }
    out.iter_mut().for_each(|o| *o /= divisor);
}

/// Where a name stands in [`MODES`].
fn place(name: &str) -> Option<usize> {
    MODES
        .iter()
        .position(|(_, new, old)| name == *new || name == *old)
}

fn text(name: &Value) -> String {
    name.as_str()
        .map_or_else(|| name.to_string(), str::to_string)
}

/// How a sentence-transformers model makes one vector of a text's token vectors: one way, or several
/// whose results stand one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooling {
    pub modes: Vec<Mode>,
    /// Whether the tokens of the prompt count.
    pub include_prompt: bool,
}

/// `1_Pooling/config.json`. Until sentence-transformers 5.3 there is a switch for each mode, after it
/// their names.
#[derive(Deserialize)]
struct Config {
    #[serde(alias = "embedding_dimension")]
    word_embedding_dimension: Option<usize>,
    include_prompt: Option<bool>,
    pooling_mode: Option<Value>,
    #[serde(flatten)]
    switches: serde_json::Map<String, Value>,
}

impl Pooling {
    /// What sentence-transformers does with a folder that does not say.
    pub fn mean() -> Self {
        Self {
            modes: vec![Mode::Mean],
            include_prompt: true,
        }
    }

    /// The pooling that the file at `path` describes, and the width of the token vectors if it says it.
    pub fn read(path: &Path) -> Result<(Self, Option<usize>)> {
        let Some(config) = read_json::<Config>(path)? else {
            return exec_err!("'{}' is missing; modules.json asks for it", path.display());
        };
        let asked: Vec<String> = match &config.pooling_mode {
            Some(Value::Array(names)) => names.iter().map(text).collect(),
            Some(name) => vec![text(name)],
            // In the order of MODES, whatever that of the file.
            None => {
                let switches = config.switches.iter();
                let on = switches.filter(|(_, on)| **on == Value::Bool(true));
                let names = on.filter_map(|(name, _)| name.strip_prefix("pooling_mode_"));
                let mut names: Vec<String> = names.map(str::to_string).collect();
                names.sort_by_key(|name| place(name));
                names
            }
        };
        let modes: Option<Vec<Mode>> = asked
            .iter()
            .map(|name| Some(MODES[place(name)?].0))
            .collect();
        let Some(modes) = modes else {
            return exec_err!(
                "'{}' asks for the pooling [{}]; embed knows cls_token, max_tokens, mean_tokens, \
                 mean_sqrt_len_tokens, weightedmean_tokens and lasttoken",
                path.display(),
                asked.join(", ")
            );
        };
        let pooling = Self {
            modes: match modes.is_empty() {
                true => vec![Mode::Mean],
                false => modes,
            },
            include_prompt: config.include_prompt.unwrap_or(true),
        };
        Ok((pooling, config.word_embedding_dimension))
    }

    /// Pools `tokens`, rows of `out.len() / modes` values without padding, of which the first `prompt`
    /// are a prompt's, into `out`.
    pub fn pool(&self, tokens: &[f32], prompt: usize, out: &mut [f32]) {
        let skip = if self.include_prompt { 0 } else { prompt };
        let width = out.len() / self.modes.len().max(1);
        for (mode, part) in self.modes.iter().zip(out.chunks_exact_mut(width.max(1))) {
            mode.pool(tokens, skip, part);
        }
    }
}

/// `cls+mean`
impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |mode: &Mode| MODES.iter().find(|(known, _, _)| known == mode);
        let names: Vec<&str> = self
            .modes
            .iter()
            .filter_map(named)
            .map(|(_, name, _)| *name)
            .collect();
        f.write_str(&names.join("+"))
    }
}

/// Scales `vector` to length 1. A vector of zeros stays as it is.
pub fn normalize(vector: &mut [f32]) {
    let squares: f64 = vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    let length = squares.sqrt();
    if length > 1e-12 {
        vector
            .iter_mut()
            .for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [f32; 6] = [1.0, -2.0, 3.0, 0.0, 2.0, 5.0];

    fn pooled(mode: Mode, prompt: usize) -> [f32; 2] {
        let pooling = Pooling {
            modes: vec![mode],
            include_prompt: false,
        };
        let mut out = [f32::NAN; 2];
        pooling.pool(&TOKENS, prompt, &mut out);
        out
    }

    #[test]
    fn pools_three_tokens_of_two_values() {
        assert_eq!(pooled(Mode::Cls, 0), [1.0, -2.0]);
        assert_eq!(pooled(Mode::Mean, 0), [2.0, 1.0]);
        assert_eq!(pooled(Mode::Max, 0), [3.0, 5.0]);
        assert_eq!(pooled(Mode::LastToken, 0), [2.0, 5.0]);
        assert_eq!(pooled(Mode::WeightedMean, 0), [13.0 / 6.0, 13.0 / 6.0]);
        let root = 3f32.sqrt();
        assert_eq!(pooled(Mode::MeanSqrtLen, 0), [6.0 / root, 3.0 / root]);
    }

    #[test]
    fn a_prompt_is_left_out() {
        assert_eq!(pooled(Mode::Cls, 1), [3.0, 0.0]);
        assert_eq!(pooled(Mode::Cls, 3), [1.0, -2.0]);
        assert_eq!(pooled(Mode::Mean, 1), [2.5, 2.5]);
        assert_eq!(pooled(Mode::Max, 2), [2.0, 5.0]);
        assert_eq!(pooled(Mode::WeightedMean, 1), [12.0 / 5.0, 3.0]);
        assert_eq!(pooled(Mode::Mean, 3), [0.0; 2]);
        let mut out = [f32::NAN; 2];
        Pooling::mean().pool(&TOKENS, 1, &mut out);
        assert_eq!(out, [2.0, 1.0], "include_prompt");
    }

    #[test]
    fn several_ways_stand_one_after_the_other() {
        let pooling = Pooling {
            modes: vec![Mode::Cls, Mode::Mean],
            include_prompt: true,
        };
        let mut out = [f32::NAN; 4];
        pooling.pool(&TOKENS, 0, &mut out);
        assert_eq!(out, [1.0, -2.0, 2.0, 1.0]);
        assert_eq!(pooling.to_string(), "cls+mean");
    }

    #[test]
    fn both_ways_to_write_modes_are_read() {
        let read = |config: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), config).unwrap();
            Pooling::read(file.path()).map(|(pooling, width)| (pooling.to_string(), width))
        };
        let old = r#"{"word_embedding_dimension": 4, "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#;
        assert_eq!(read(old).unwrap(), ("cls+mean".to_string(), Some(4)));
        let new = r#"{"embedding_dimension": 4, "pooling_mode": ["mean", "cls"]}"#;
        assert_eq!(read(new).unwrap(), ("mean+cls".to_string(), Some(4)));
        assert_eq!(
            read(r#"{"pooling_mode": "lasttoken"}"#).unwrap().0,
            "lasttoken"
        );
        assert_eq!(read("{}").unwrap().0, "mean");
        let message = read(r#"{"pooling_mode": "attention"}"#)
            .unwrap_err()
            .to_string();
        assert!(message.contains("[attention]"), "{message}");
    }

    #[test]
    fn no_tokens_give_zeros() {
        for (mode, _, _) in MODES {
            let mut out = [f32::NAN; 2];
            mode.pool(&[], 0, &mut out);
            assert_eq!(out, [0.0; 2], "{mode:?}");
        }
    }

    #[test]
    fn normalized_vectors_have_length_one() {
        let mut vector = [3.0, 4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut zeros = [0.0; 3];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0; 3]);
    }
}
