//! `OPTIONS (alphas '1, 10, 100', cv 'run', …)`.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::common::{Result, plan_err};
use serde::{Deserialize, Serialize};
use voxql_udfs::kernels::ridge::Score;

use super::KIND;
use crate::models::options::Given;

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

/// What `model.json` keeps of a ridge model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    pub options: Options,
    /// The feature spaces, in the order of the query.
    pub spaces: Vec<Space>,
}

impl Settings {
    /// Features of all spaces.
    pub fn features(&self) -> usize {
        self.spaces.iter().map(|space| space.width).sum()
    }

    /// The names of the feature spaces, for messages.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.spaces.iter().map(|s| s.name.as_str()).collect();
        names.join(", ")
    }
}

/// One feature space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// The column's name.
    pub name: String,
    /// Features.
    pub width: usize,
    /// The model that made the column, where it remembers one.
    pub model: Option<String>,
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
        let given = Given::new(KIND, given, &NAMES)?;
        if let Some(text) = given.text("alphas") {
            options.alphas = numbers("alphas", text)?;
        }
        if let Some(text) = given.text("cv") {
            options.cv = Some(cv(text)?);
        }
        if let Some(text) = given.text("gammas") {
            let candidates = text.split(';').filter(|c| !c.trim().is_empty());
            options.gammas = candidates
                .map(|c| numbers("gammas", c))
                .collect::<Result<_>>()?;
        }
        let flag = "true or false";
        given.read("per_target", &mut options.per_target, flag, |_| true)?;
        given.read("fit_intercept", &mut options.fit_intercept, flag, |_| true)?;
        given.read(
            "score",
            &mut options.score,
            "neg_mse, r2 or correlation",
            |s| score(s).is_some(),
        )?;
        let whole = "a whole number above 0";
        given.read("n_iter", &mut options.n_iter, whole, |n| *n > 0)?;
        let seed = "a whole number from 0 to 4294967295";
        given.read("seed", &mut options.seed, seed, |_| true)?;
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
        Ok(())
    }

    /// What cross-validation maximises.
    pub fn score(&self) -> Score {
        score(&self.score).unwrap_or_default()
    }
}

fn score(name: &str) -> Option<Score> {
    match name {
        "neg_mse" => Some(Score::NegativeError),
        "r2" => Some(Score::R2),
        "correlation" => Some(Score::Correlation),
        _ => None,
    }
}

/// For `SHOW MODELS`: as people write them.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alphas '{}'", list(&self.alphas))?;
        match &self.cv {
            None => {}
            Some(Cv::Folds(count)) => write!(f, ", cv {count}")?,
            Some(Cv::Column(column)) => write!(f, ", cv '{column}'")?,
        }
        write!(
            f,
            ", per_target {}, fit_intercept {}, score '{}'",
            self.per_target, self.fit_intercept, self.score
        )?;
        if self.gammas.is_empty() {
            return write!(f, ", n_iter {}, seed {}", self.n_iter, self.seed);
        }
        let gammas: Vec<String> = self.gammas.iter().map(|g| list(g)).collect();
        write!(f, ", gammas '{}'", gammas.join("; "))
    }
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    values.join(", ")
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

fn numbers(name: &str, text: &str) -> Result<Vec<f64>> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let number = |number: &str| match number.trim().parse() {
        Ok(number) => Ok(number),
        Err(_) => plan_err!(
            "ridge: {name} must be a list of numbers such as '0.1, 1, 10', not '{}'",
            number.trim()
        ),
    };
    text.split(',').map(number).collect()
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
            ("score", "r2"),
        ])
        .unwrap();
        assert_eq!(read.alphas, [0.1, 1.0, 10.0]);
        assert_eq!(read.cv, Some(Cv::Column("run".to_string())));
        assert_eq!(read.gammas, [vec![0.5, 0.5], vec![1.0, 0.0]]);
        assert_eq!(read.score(), Score::R2);
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
