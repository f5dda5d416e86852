//! `OPTIONS (alphas '1, 10, 100', cv 'run', …)`.

use std::collections::BTreeMap;

use datafusion::common::{Result, plan_err};
use serde::{Deserialize, Serialize};
use voxql_udfs::kernels::ridge::Score;
use voxql_udfs::named_arguments::closest;

/// What `CREATE MODEL … USING ridge` can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Candidates for the penalty.
    pub alphas: Vec<f64>,
    /// How samples are held out; None: whole runs where there are several, else five folds.
    pub cv: Option<Cv>,
    /// An alpha for each target, or one for all (himalaya's `local_alpha`).
    pub per_target: bool,
    /// Whether features and targets are centred.
    pub fit_intercept: bool,
    /// What cross-validation maximises: `neg_mse`, `r2` or `correlation`.
    pub score: String,
    /// Candidates for the scales of the feature spaces; empty: drawn.
    pub gammas: Vec<Vec<f64>>,
    /// How many are drawn.
    pub n_iter: usize,
    /// From which seed.
    pub seed: u32,
}

/// Which samples are held out together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Cv {
    /// So many folds of neighbouring samples.
    Folds(usize),
    /// One fold per value of this column.
    Column(String),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // 1, √10, 10, … 100,000
            alphas: (0..=10).map(|i| 10f64.powf(f64::from(i) / 2.0)).collect(),
            cv: None,
            per_target: true,
            fit_intercept: true,
            score: "neg_mse".to_string(),
            gammas: Vec::new(),
            n_iter: 100,
            seed: 0,
        }
    }
}

const NAMES: [&str; 8] = [
    "alphas",
    "cv",
    "per_target",
    "fit_intercept",
    "score",
    "gammas",
    "n_iter",
    "seed",
];

impl Options {
    /// Reads what stands in the statement.
    ///
    /// # Errors
    /// Name the option, its value, and what it must be.
    pub fn from_sql(given: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Self::default();
        for (name, text) in given {
            let text = text.trim();
            match name.as_str() {
                "alphas" => options.alphas = numbers(name, text, ',')?,
                "cv" => options.cv = Some(cv(text)?),
                "per_target" => options.per_target = read(name, text, "true or false")?,
                "fit_intercept" => options.fit_intercept = read(name, text, "true or false")?,
                "score" => options.score = text.to_lowercase(),
                "gammas" => {
                    let candidates = text.split(';').filter(|c| !c.trim().is_empty());
                    options.gammas = candidates
                        .map(|c| numbers(name, c, ','))
                        .collect::<Result<_>>()?;
                }
                "n_iter" => options.n_iter = read(name, text, "a whole number above 0")?,
                "seed" => options.seed = read(name, text, "a whole number from 0 to 4294967295")?,
                _ => {
                    let hint = match closest(name, NAMES) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are {}", NAMES.join(", ")),
                    };
                    return plan_err!("ridge has no option `{name}`; {hint}");
                }
            }
        }
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<()> {
        if let Some(alpha) = self.alphas.iter().find(|a| !(a.is_finite() && **a > 0.0)) {
            return plan_err!("ridge: alphas must be numbers above 0, not {alpha}");
        }
        if let Some(gamma) = self
            .gammas
            .iter()
            .flatten()
            .find(|g| !(g.is_finite() && **g >= 0.0))
        {
            return plan_err!("ridge: gammas must be numbers, 0 or above, not {gamma}");
        }
        if self.n_iter == 0 {
            return plan_err!("ridge: n_iter must be a whole number above 0, not 0");
        }
        self.score().map(|_| ())
    }

    /// What cross-validation maximises.
    pub fn score(&self) -> Result<Score> {
        match self.score.as_str() {
            "neg_mse" => Ok(Score::NegativeError),
            "r2" => Ok(Score::R2),
            "correlation" => Ok(Score::Correlation),
            other => {
                plan_err!("ridge: score must be neg_mse, r2 or correlation, not {other}")
            }
        }
    }

    /// As people write them.
    pub fn summary(&self) -> String {
        let list = |values: &[f64]| {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            values.join(", ")
        };
        let mut parts = vec![format!("alphas '{}'", list(&self.alphas))];
        match &self.cv {
            None => {}
            Some(Cv::Folds(count)) => parts.push(format!("cv {count}")),
            Some(Cv::Column(column)) => parts.push(format!("cv '{column}'")),
        }
        parts.push(format!("per_target {}", self.per_target));
        parts.push(format!("fit_intercept {}", self.fit_intercept));
        parts.push(format!("score '{}'", self.score));
        match self.gammas.is_empty() {
            true => parts.push(format!("n_iter {}, seed {}", self.n_iter, self.seed)),
            false => {
                let gammas: Vec<String> = self.gammas.iter().map(|g| list(g)).collect();
                parts.push(format!("gammas '{}'", gammas.join("; ")));
            }
        }
        parts.join(", ")
    }
}

fn cv(text: &str) -> Result<Cv> {
    match text.parse::<i64>() {
        Ok(count) => match usize::try_from(count) {
            Ok(count) if count >= 2 => Ok(Cv::Folds(count)),
            _ => plan_err!(
                "ridge: cv must be 2 folds or more, or a column such as 'run', not {count}"
            ),
        },
        Err(_) if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) => {
            plan_err!("ridge: cv must be 2 folds or more, or a column such as 'run', not '{text}'")
        }
        Err(_) => Ok(Cv::Column(text.to_string())),
    }
}

fn numbers(name: &str, text: &str, separator: char) -> Result<Vec<f64>> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let wanted = "a list of numbers such as '0.1, 1, 10'";
    text.split(separator)
        .map(|number| read(name, number.trim(), wanted))
        .collect()
}

fn read<T: std::str::FromStr>(name: &str, text: &str, wanted: &str) -> Result<T> {
    match text.parse() {
        Ok(value) => Ok(value),
        Err(_) => plan_err!("ridge: {name} must be {wanted}, not '{text}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Options> {
        let pairs = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        Options::from_sql(&pairs.collect())
    }

    #[test]
    fn options_are_read() {
        let read = options(&[
            ("alphas", "0.1, 1,10"),
            ("cv", "run"),
            ("gammas", "0.5, 0.5; 1, 0"),
            ("score", "R2"),
        ])
        .unwrap();
        assert_eq!(read.alphas, [0.1, 1.0, 10.0]);
        assert_eq!(read.cv, Some(Cv::Column("run".to_string())));
        assert_eq!(read.gammas, [vec![0.5, 0.5], vec![1.0, 0.0]]);
        assert_eq!(read.score().unwrap(), Score::R2);
        assert_eq!(options(&[("cv", "4")]).unwrap().cv, Some(Cv::Folds(4)));
        let alphas = Options::default().alphas;
        assert_eq!((alphas[0], alphas[10], alphas.len()), (1.0, 1e5, 11));
    }

    #[test]
    fn errors_name_option_and_value() {
        for (name, text, message) in [
            (
                "alphas",
                "1, two",
                "alphas must be a list of numbers such as '0.1, 1, 10', not 'two'",
            ),
            ("alphas", "0", "alphas must be numbers above 0, not 0"),
            ("alphas", "", "alphas must be a list"),
            (
                "gammas",
                "-1, 2",
                "gammas must be numbers, 0 or above, not -1",
            ),
            ("cv", "1", "cv must be 2 folds or more"),
            ("cv", "2.5", "or a column such as 'run', not '2.5'"),
            (
                "score",
                "mse",
                "score must be neg_mse, r2 or correlation, not mse",
            ),
            ("n_iter", "0", "n_iter must be a whole number above 0"),
            ("per_target", "maybe", "per_target must be true or false"),
            (
                "alpha",
                "1",
                "ridge has no option `alpha`; did you mean `alphas`?",
            ),
        ] {
            let error = options(&[(name, text)]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
