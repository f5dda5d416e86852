//! The `OPTIONS (name value, …)` of `CREATE MODEL`.

use std::collections::BTreeMap;
use std::str::FromStr;

use datafusion::common::{Result, plan_err};
use voxql_udfs::named_arguments::closest;

/// What was given, for one kind of model.
pub struct Given<'a> {
    kind: &'a str,
    options: &'a BTreeMap<String, String>,
}

impl<'a> Given<'a> {
    /// # Errors
    /// An option that is not among `known`, with the nearest that is.
    pub fn new(
        kind: &'a str,
        options: &'a BTreeMap<String, String>,
        known: &[&str],
    ) -> Result<Self> {
        for name in options.keys() {
            if known.contains(&name.as_str()) {
                continue;
            }
            return match closest(name, known.iter().copied()) {
                Some(near) => plan_err!("{kind} has no option `{name}`; did you mean `{near}`?"),
                None => plan_err!(
                    "{kind} has no option `{name}`; there are {}",
                    known.join(", ")
                ),
            };
        }
        Ok(Self { kind, options })
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).map(|text| text.trim())
    }

    /// Reads an option into `value`, which keeps its default where it is not given.
    ///
    /// # Errors
    /// Say that the option must be `wanted`.
    pub fn read<T: FromStr>(
        &self,
        name: &str,
        value: &mut T,
        wanted: &str,
        allowed: impl FnOnce(&T) -> bool,
    ) -> Result<()> {
        let Some(text) = self.text(name) else {
            return Ok(());
        };
        match text.parse() {
            Ok(read) if allowed(&read) => *value = read,
            _ => return plan_err!("{}: {name} must be {wanted}, not {text}", self.kind),
        }
        Ok(())
    }
}
