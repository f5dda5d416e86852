//! Named arguments that say which files of BIDS are wanted: `subject => ['01', '02'], run => 1`.

use std::collections::BTreeSet;

use datafusion::common::{Result, plan_err};

use super::name::{ENTITIES, same_value};
use super::search::Listed;
use crate::readers::format::{BidsUse, Format, Options, Parameter, ParameterKind};

/// Values that an error lists.
const MOST_VALUES: usize = 20;

/// Whether `derivatives/` of a raw data set is searched too.
pub const DERIVATIVES: Parameter = Parameter {
    name: "derivatives",
    kind: ParameterKind::Boolean,
    default: "false",
    description: "Where the path is the directory of a raw BIDS data set: whether its `derivatives` are searched too. \
                  A path within a derivative is searched as it is.",
};

/// What documentation says of all entities at once.
pub const NAMES: &str = "`subject`, `session`, `task`, `run`, `space`, …";
pub const DESCRIPTION: &str = "Only files with this value, or one of these, of a BIDS entity: every entity by the \
    full name that its column has. `run`, `echo`, `flip`, `inversion`, `split` and `chunk` are compared as numbers too: \
    `run => 1` is run-1 and run-01. Other files are not opened, not even for their headers.";

/// The argument of this name for formats that read BIDS data sets.
pub fn parameter(name: &str) -> Option<Parameter> {
    if DERIVATIVES.name.eq_ignore_ascii_case(name) {
        return Some(DERIVATIVES);
    }
    let (_, column) = ENTITIES
        .iter()
        .find(|(_, column)| column.eq_ignore_ascii_case(name))?;
    Some(Parameter {
        name: column,
        kind: ParameterKind::Texts,
        default: "all",
        description: DESCRIPTION,
    })
}

/// The names of those arguments.
pub fn names() -> impl Iterator<Item = &'static str> {
    let entities = ENTITIES.iter().map(|(_, column)| *column);
    entities.chain([DERIVATIVES.name])
}

/// The values wanted of each entity that was given, by its column.
#[derive(Debug, Default)]
pub struct Wanted<'a>(Vec<(&'static str, &'a [String])>);

impl<'a> Wanted<'a> {
    pub fn of(format: &dyn Format, options: &'a Options) -> Self {
        if format.bids() == BidsUse::Nothing {
            return Self::default();
        }
        // A parameter of the format's own may have the name of an entity.
        let is_own = |column: &str| format.parameters().iter().any(|p| p.name == column);
        let columns = ENTITIES.iter().map(|(_, column)| *column);
        let given = columns.filter(|column| !is_own(column));
        Self(given.filter_map(|c| Some((c, options.texts(c)?))).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The subjects, where they were given.
    pub fn subjects(&self) -> Option<&'a [String]> {
        let (_, subjects) = self.0.iter().find(|(column, _)| *column == "subject")?;
        Some(subjects)
    }

    /// Whether a file with these entities is wanted.
    pub fn contains(&self, file: &Listed) -> bool {
        self.0.iter().all(|wanted| has(file, *wanted))
    }

    /// An error if no file of `all` is wanted, which says what there is instead.
    pub fn check(&self, function: &str, all: &[Listed]) -> Result<()> {
        let mut left: Vec<&Listed> = all.iter().collect();
        let mut chosen = String::new();
        for (column, values) in &self.0 {
            let found: BTreeSet<&str> = left.iter().filter_map(|f| f.entity(column)).collect();
            left.retain(|file| has(file, (column, values)));
            let wanted = format!("{column} {}", values.join(" or "));
            if left.is_empty() {
                let there = match found.len() {
                    0 => format!("no name here has a {column}"),
                    n => format!("the values of {column} here: {}", shown(&found, n)),
                };
                let of = match chosen.as_str() {
                    "" => String::new(),
                    chosen => format!(" among those with {chosen}"),
                };
                return plan_err!("{function}: there is no file with {wanted}{of}; {there}");
            }
            if !chosen.is_empty() {
                chosen.push_str(" and ");
            }
            chosen.push_str(&wanted);
        }
        Ok(())
    }
}

fn has(file: &Listed, (column, values): (&'static str, &[String])) -> bool {
    let own = file.entity(column);
    own.is_some_and(|own| values.iter().any(|value| same_value(column, own, value)))
}

fn shown(values: &BTreeSet<&str>, count: usize) -> String {
    let mut values: Vec<&str> = values.iter().copied().take(MOST_VALUES).collect();
    if count > MOST_VALUES {
        values.push("…");
    }
    values.join(", ")
}
