//! Which confounds are wanted: nilearn's strategies and components, from the call's arguments.

use datafusion::common::{DataFusionError, Result, plan_datafusion_err, plan_err};
use voxql_udfs::named_arguments::closest;

use super::super::format::{Options, Value};

/// The strategies of nilearn's `load_confounds_strategy`, and their components.
const STRATEGIES: [(&str, &[&str]); 4] = [
    ("simple", &["high_pass", "motion", "wm_csf"]),
    ("scrubbing", &["high_pass", "motion", "wm_csf", "scrub"]),
    ("compcor", &["high_pass", "motion", "compcor"]),
    ("ica_aroma", &["high_pass", "wm_csf", "ica_aroma"]),
];

/// The components of nilearn's `load_confounds`, but for `tedana`, whose files are others.
const COMPONENTS: [&str; 8] = [
    "high_pass",
    "motion",
    "wm_csf",
    "global_signal",
    "compcor",
    "ica_aroma",
    "scrub",
    "non_steady_state",
];

/// Every argument but `strategy` and `demean`, and the component that it belongs to.
const ARGUMENTS: [(&str, &str); 9] = [
    ("motion", "motion"),
    ("wm_csf", "wm_csf"),
    ("global_signal", "global_signal"),
    ("compcor", "compcor"),
    ("n_compcor", "compcor"),
    ("ica_aroma", "ica_aroma"),
    ("scrub", "scrub"),
    ("fd_threshold", "scrub"),
    ("std_dvars_threshold", "scrub"),
];

/// The wanted confounds. Volumes that are not in a steady state are always marked.
#[derive(Debug, Clone, PartialEq)]
pub struct Strategy {
    pub high_pass: bool,
    pub motion: Option<Model>,
    pub wm_csf: Option<Model>,
    pub global_signal: Option<Model>,
    pub compcor: Option<Compcor>,
    pub ica_aroma: Option<Aroma>,
    pub scrub: Option<Scrub>,
    /// Whether each confound's mean over the kept volumes is subtracted.
    pub demean: bool,
}

/// Which expansions of a signal go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    Basic,
    /// And its square.
    Power2,
    /// And its temporal derivative.
    Derivatives,
    /// And its derivative, its square, and the derivative's square.
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compcor {
    pub temporal: bool,
    pub anatomical: Option<Masks>,
    /// The most components of each mask; all where it is `None`.
    pub most: Option<usize>,
}

/// The masks of anatomical CompCor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Masks {
    /// One, of white matter and cerebrospinal fluid together.
    Combined,
    /// One each.
    Separated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aroma {
    /// The image was cleaned (`desc-smoothAROMAnonaggr_bold`): no columns.
    Full,
    /// The time courses that were classified as motion.
    Basic,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scrub {
    /// Stretches of fewer kept volumes go as well; 0 keeps all.
    pub shortest: usize,
    /// In mm; volumes above it go.
    pub fd_threshold: f64,
    pub std_dvars_threshold: f64,
}

impl Strategy {
    /// The strategy that a call asks for; `None` where it asks for the columns as they are.
    pub fn of(options: &Options) -> Result<Option<Self>> {
        let Some(given) = options.texts("strategy") else {
            let mut rest = ARGUMENTS.iter().map(|(name, _)| *name).chain(["demean"]);
            return match rest.find(|name| options.0.contains_key(*name)) {
                Some(name) => Err(error(format!(
                    "{name} belongs to a strategy; give one, such as strategy => 'simple', or leave {name} out"
                ))),
                None => Ok(None),
            };
        };
        let preset = match options.0.get("strategy") {
            Some(Value::Text(name)) => STRATEGIES.iter().find(|(known, _)| known == name),
            _ => None,
        };
        let components = match preset {
            Some((_, components)) => {
                let mut components = components.to_vec();
                if options.0.contains_key("global_signal") {
                    components.push("global_signal");
                }
                components
            }
            None => components(given)?,
        };
        check_arguments(options, preset.map(|(name, _)| *name), &components)?;

        let has = |component: &str| components.contains(&component);
        let model = |name: &str, default| match has(name) {
            true => Model::of(options, name, default).map(Some),
            false => Ok(None),
        };
        let is_scrubbing = preset.is_some_and(|(name, _)| *name == "scrubbing");
        let csf = if is_scrubbing {
            Model::Full
        } else {
            Model::Basic
        };
        let compcor = has("compcor").then(|| Compcor::of(options)).transpose()?;
        let aroma = has("ica_aroma").then(|| Aroma::of(options)).transpose()?;
        Ok(Some(Self {
            high_pass: has("high_pass"),
            motion: model("motion", Model::Full)?,
            wm_csf: model("wm_csf", csf)?,
            global_signal: model("global_signal", Model::Basic)?,
            compcor,
            ica_aroma: aroma,
            scrub: has("scrub").then(|| Scrub::of(options)).transpose()?,
            demean: options.boolean("demean").unwrap_or(true),
        }))
    }
}

/// The components that were named, each once.
fn components(given: &[String]) -> Result<Vec<&'static str>> {
    let mut found: Vec<&'static str> = Vec::with_capacity(given.len());
    for name in given {
        let Some(&component) = COMPONENTS.iter().find(|known| *known == name) else {
            return Err(unknown(name));
        };
        if found.contains(&component) {
            return Err(error(format!("strategy names {component} twice")));
        }
        found.push(component);
    }
    if found.contains(&"compcor") && !found.contains(&"high_pass") {
        return Err(error(
            "strategy has compcor without high_pass; fMRIPrep computes CompCor from filtered \
             series, so its cosines belong to it: strategy => ['high_pass', 'compcor', …]",
        ));
    }
    Ok(found)
}

fn unknown(name: &str) -> DataFusionError {
    if name == "tedana" {
        return error(
            "tedana's confounds are in files of its own (desc-ICA_mixing.tsv), which are not read",
        );
    }
    if STRATEGIES.iter().any(|(known, _)| *known == name) {
        return error(format!(
            "'{name}' is a whole strategy and stands alone: strategy => '{name}'"
        ));
    }
    let names = STRATEGIES.iter().map(|(name, _)| *name).chain(COMPONENTS);
    let near = match closest(name, names) {
        Some(near) => format!("; did you mean '{near}'?"),
        None => String::new(),
    };
    error(format!(
        "there is no strategy '{name}'{near} strategy is {}, or an array of components: {}",
        quoted(STRATEGIES.map(|(name, _)| name)),
        quoted(COMPONENTS)
    ))
}

/// An argument without effect is a mistake: nilearn warns, or says nothing.
fn check_arguments(options: &Options, preset: Option<&str>, components: &[&str]) -> Result<()> {
    for (name, component) in ARGUMENTS {
        if options.0.contains_key(name) && !components.contains(&component) {
            return Err(error(match preset {
                Some(preset) => {
                    format!("strategy '{preset}' has no {component}; leave {name} out")
                }
                None => format!(
                    "{name} belongs to the component {component}; put '{component}' into strategy, or leave {name} out"
                ),
            }));
        }
    }
    if preset == Some("ica_aroma") && options.text("ica_aroma").is_some_and(|v| v != "full") {
        return Err(error(
            "strategy 'ica_aroma' is for images that ICA-AROMA has cleaned (ica_aroma 'full'); for the \
             noise components as confounds, strategy => ['high_pass', 'wm_csf', 'ica_aroma']",
        ));
    }
    Ok(())
}

impl Model {
    fn of(options: &Options, name: &str, default: Self) -> Result<Self> {
        choice(
            options,
            name,
            default,
            [
                ("basic", Self::Basic),
                ("power2", Self::Power2),
                ("derivatives", Self::Derivatives),
                ("full", Self::Full),
            ],
        )
    }

    pub fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Basic => &[""],
            Self::Power2 => &["", "_power2"],
            Self::Derivatives => &["", "_derivative1"],
            Self::Full => &["", "_derivative1", "_power2", "_derivative1_power2"],
        }
    }
}

impl Compcor {
    fn of(options: &Options) -> Result<Self> {
        let (temporal, anatomical) = choice(
            options,
            "compcor",
            (false, Some(Masks::Combined)),
            [
                ("anat_combined", (false, Some(Masks::Combined))),
                ("anat_separated", (false, Some(Masks::Separated))),
                ("temporal", (true, None)),
                ("temporal_anat_combined", (true, Some(Masks::Combined))),
                ("temporal_anat_separated", (true, Some(Masks::Separated))),
            ],
        )?;
        let most = match options.texts("n_compcor") {
            None => None,
            Some([one]) if one == "all" => None,
            Some(given) => match given {
                [one] if one.parse::<usize>().is_ok_and(|n| n > 0) => one.parse().ok(),
                _ => {
                    return Err(error(format!(
                        "n_compcor must be 'all' or the number of components of each mask, from 1, not {}",
                        given.join(", ")
                    )));
                }
            },
        };
        Ok(Self {
            temporal,
            anatomical,
            most,
        })
    }
}

impl Aroma {
    fn of(options: &Options) -> Result<Self> {
        let values = [("full", Self::Full), ("basic", Self::Basic)];
        choice(options, "ica_aroma", Self::Full, values)
    }
}

impl Scrub {
    fn of(options: &Options) -> Result<Self> {
        let shortest = options.integer("scrub").unwrap_or(5);
        let Ok(shortest) = usize::try_from(shortest) else {
            return plan_err!("read_confounds: scrub must be 0 or more volumes, not {shortest}");
        };
        let threshold = |name: &str, default| {
            let value = options.float(name).unwrap_or(default);
            match value >= 0.0 {
                true => Ok(value),
                false => Err(error(format!("{name} must be 0 or more, not {value}"))),
            }
        };
        Ok(Self {
            shortest,
            fd_threshold: threshold("fd_threshold", 0.5)?,
            std_dvars_threshold: threshold("std_dvars_threshold", 1.5)?,
        })
    }
}

/// The value of an argument that has a few.
fn choice<T: Copy, const N: usize>(
    options: &Options,
    name: &str,
    default: T,
    values: [(&'static str, T); N],
) -> Result<T> {
    let Some(given) = options.text(name) else {
        return Ok(default);
    };
    match values.iter().find(|(known, _)| *known == given) {
        Some((_, value)) => Ok(*value),
        None => Err(error(format!(
            "there is no {name} '{given}'; it is {}",
            quoted(values.map(|(known, _)| known))
        ))),
    }
}

/// `'a', 'b' or 'c'`
fn quoted<const N: usize>(names: [&str; N]) -> String {
    let names = names.map(|name| format!("'{name}'"));
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn error(message: impl std::fmt::Display) -> DataFusionError {
    plan_datafusion_err!("read_confounds: {message}")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::options;
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.to_string())
    }

    fn texts<const N: usize>(values: [&str; N]) -> Value {
        Value::Texts(values.map(str::to_string).to_vec())
    }

    fn of(given: &[(&str, Value)]) -> Strategy {
        Strategy::of(&options(given)).unwrap().unwrap()
    }

    #[test]
    fn strategies_have_their_defaults() {
        let simple = of(&[("strategy", text("simple"))]);
        let components = texts(["motion", "high_pass", "wm_csf"]);
        assert_eq!(simple, of(&[("strategy", components)]));
        assert_eq!(simple.motion, Some(Model::Full));
        assert_eq!(simple.wm_csf, Some(Model::Basic));
        assert!(simple.demean && simple.high_pass && simple.global_signal.is_none());

        let scrubbing = of(&[("strategy", text("scrubbing"))]);
        assert_eq!(scrubbing.wm_csf, Some(Model::Full));
        let scrub = scrubbing.scrub.unwrap();
        assert_eq!((scrub.shortest, scrub.fd_threshold), (5, 0.5));
        assert_eq!(scrub.std_dvars_threshold, 1.5);

        let components = texts(["scrub", "wm_csf"]);
        assert_eq!(of(&[("strategy", components)]).wm_csf, Some(Model::Basic));

        let compcor = of(&[("strategy", text("compcor")), ("n_compcor", text("6"))]);
        let wanted = Compcor {
            temporal: false,
            anatomical: Some(Masks::Combined),
            most: Some(6),
        };
        assert_eq!((compcor.compcor, compcor.wm_csf), (Some(wanted), None));

        let aroma = of(&[("strategy", text("ica_aroma"))]);
        assert_eq!((aroma.ica_aroma, aroma.motion), (Some(Aroma::Full), None));
    }

    #[test]
    fn a_text_is_a_strategy_and_an_array_its_components() {
        let basic = ("ica_aroma", text("basic"));
        let found = of(&[("strategy", texts(["ica_aroma"])), basic]);
        assert_eq!(
            (found.ica_aroma, found.high_pass),
            (Some(Aroma::Basic), false)
        );
        // Only a component has this name.
        assert!(of(&[("strategy", text("high_pass"))]).high_pass);
        let with_global = [
            ("strategy", text("simple")),
            ("global_signal", text("full")),
        ];
        assert_eq!(of(&with_global).global_signal, Some(Model::Full));
        assert_eq!(Strategy::of(&options(&[])).unwrap(), None);
    }

    #[test]
    fn mistakes_are_said() {
        let simple = || ("strategy", text("simple"));
        for (given, message) in [
            (
                vec![("motion", text("full"))],
                "motion belongs to a strategy; give one",
            ),
            (
                vec![("demean", Value::Boolean(true))],
                "demean belongs to a strategy",
            ),
            (vec![("strategy", text("simpel"))], "did you mean 'simple'?"),
            (
                vec![("strategy", texts(["simple", "scrub"]))],
                "'simple' is a whole strategy",
            ),
            (vec![("strategy", texts(["tedana"]))], "desc-ICA_mixing.tsv"),
            (
                vec![("strategy", texts(["motion", "motion"]))],
                "names motion twice",
            ),
            (
                vec![("strategy", texts(["compcor"]))],
                "compcor without high_pass",
            ),
            (
                vec![simple(), ("motion", text("all"))],
                "there is no motion 'all'; it is 'basic', 'power2', 'derivatives' or 'full'",
            ),
            (
                vec![simple(), ("scrub", Value::Integer(5))],
                "strategy 'simple' has no scrub; leave scrub out",
            ),
            (
                vec![("strategy", texts(["motion"])), ("wm_csf", text("full"))],
                "put 'wm_csf' into strategy",
            ),
            (
                vec![
                    ("strategy", text("ica_aroma")),
                    ("ica_aroma", text("basic")),
                ],
                "['high_pass', 'wm_csf', 'ica_aroma']",
            ),
            (
                vec![("strategy", text("compcor")), ("n_compcor", text("0"))],
                "n_compcor must be 'all' or",
            ),
            (
                vec![
                    ("strategy", text("compcor")),
                    ("n_compcor", texts(["1", "2"])),
                ],
                "from 1, not 1, 2",
            ),
            (
                vec![("strategy", text("compcor")), ("compcor", text("anat"))],
                "there is no compcor 'anat'",
            ),
            (
                vec![
                    ("strategy", text("scrubbing")),
                    ("scrub", Value::Integer(-1)),
                ],
                "0 or more volumes, not -1",
            ),
            (
                vec![
                    ("strategy", text("scrubbing")),
                    ("fd_threshold", Value::Float(f64::NAN)),
                ],
                "fd_threshold must be 0 or more, not NaN",
            ),
        ] {
            let error = Strategy::of(&options(&given)).unwrap_err().to_string();
            assert!(
                error.contains("read_confounds: ") && error.contains(message),
                "{error}"
            );
        }
    }
}
