//! CompCor components by mask: the JSON beside a confounds file says which is of which.

use std::path::Path;

use datafusion::common::Result;
use serde_json::{Map, Value};

use super::super::bids::read_fields;
use super::super::format::file_error;
use super::strategy::{Compcor, Masks};

/// The names of the components that are wanted, as nilearn finds them: the JSON
/// beside `path` is asked for how many there are, and for the `Mask` of those named `a_comp_cor_…`.
///
/// fMRIPrep before 20.2 numbers the components of all anatomical masks in one row (`a_`); later ones
/// have `w_` (white matter) and `c_` (CSF) beside `a_` (combined).
pub fn components(path: &Path, compcor: &Compcor) -> Result<Vec<String>> {
    let json = path.with_extension("json");
    if !json.exists() {
        let message = format!(
            "compcor needs the JSON that says how the components were made, and there is no {}; \
             copy it from fMRIPrep's output (1.4 or newer)",
            json.display()
        );
        return Err(file_error(path, message));
    }
    let found = read_fields(&json).and_then(|fields| named(&fields, compcor));
    found.map_err(|message| file_error(&json, message))
}

fn named(fields: &Map<String, Value>, compcor: &Compcor) -> Result<Vec<String>, String> {
    let most = compcor.most.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    if compcor.temporal {
        found.extend(numbered(fields, "t").take(most));
    }
    match compcor.anatomical {
        Some(Masks::Combined) => found.extend(of_mask(fields, "combined", most)?),
        Some(Masks::Separated) => {
            found.extend(of_mask(fields, "WM", most)?);
            found.extend(of_mask(fields, "CSF", most)?);
            found.extend(numbered(fields, "w").take(most));
            found.extend(numbered(fields, "c").take(most));
        }
        None => {}
    }
    match found.is_empty() {
        true => Err(
            "it describes no component of the compcor that is asked for; \
                     choose another compcor, or another strategy"
                .to_string(),
        ),
        false => Ok(found),
    }
}

/// As many names as the JSON has components with this prefix; numbers have two digits, from 100 on three.
fn numbered(fields: &Map<String, Value>, prefix: &'static str) -> impl Iterator<Item = String> {
    let part = format!("{prefix}_comp_cor");
    let count = fields.keys().filter(|name| name.contains(&part)).count();
    (0..count).map(move |number| format!("{prefix}_comp_cor_{number:02}"))
}

/// The first components `a_comp_cor_…` of a mask.
fn of_mask(fields: &Map<String, Value>, mask: &str, most: usize) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for name in numbered(fields, "a") {
        let Some(component) = fields.get(&name) else {
            return Err(format!(
                "there is no {name}, though components are numbered from 00 without gaps; \
                 is the file whole?"
            ));
        };
        match component.get("Mask").and_then(Value::as_str) {
            Some(of) if of == mask => found.push(name),
            Some(_) => {}
            None => {
                return Err(format!(
                    "{name} does not say its \"Mask\" (combined, WM or CSF), which compcor goes by"
                ));
            }
        }
    }
    found.truncate(most);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Components with their masks, as fMRIPrep before 20.2 (`a_` alone) or after.
    fn fields(components: &[(&str, &str)]) -> Map<String, Value> {
        let component = |mask: &str| serde_json::json!({"Mask": mask, "Retained": true});
        let pairs = components.iter();
        pairs
            .map(|(name, mask)| (name.to_string(), component(mask)))
            .collect()
    }

    fn of(
        fields: &Map<String, Value>,
        temporal: bool,
        masks: Option<Masks>,
        most: Option<usize>,
    ) -> String {
        let compcor = Compcor {
            temporal,
            anatomical: masks,
            most,
        };
        match named(fields, &compcor) {
            Ok(names) => names.join(" ").replace("_comp_cor_", ""),
            Err(message) => message,
        }
    }

    #[test]
    fn masks_by_number_or_by_prefix() {
        let old = fields(&[
            ("a_comp_cor_00", "combined"),
            ("a_comp_cor_01", "combined"),
            ("a_comp_cor_02", "CSF"),
            ("a_comp_cor_03", "WM"),
            ("a_comp_cor_04", "WM"),
            ("t_comp_cor_00", ""),
            ("t_comp_cor_01", ""),
        ]);
        assert_eq!(of(&old, false, Some(Masks::Combined), None), "a00 a01");
        assert_eq!(of(&old, false, Some(Masks::Separated), Some(1)), "a03 a02");
        assert_eq!(of(&old, true, Some(Masks::Combined), Some(1)), "t00 a00");
        assert_eq!(of(&old, true, None, Some(9)), "t00 t01");
        let new = fields(&[
            ("a_comp_cor_00", "combined"),
            ("c_comp_cor_00", "CSF"),
            ("w_comp_cor_00", "WM"),
            ("w_comp_cor_01", "WM"),
            ("dropped_0", "WM"),
        ]);
        assert_eq!(of(&new, false, Some(Masks::Separated), None), "w00 w01 c00");
        assert!(of(&new, true, None, None).contains("no component"));
    }

    #[test]
    fn a_json_that_does_not_say_it() {
        let holed = fields(&[("a_comp_cor_00", "WM"), ("a_comp_cor_02", "WM")]);
        let message = of(&holed, false, Some(Masks::Combined), None);
        assert!(message.contains("there is no a_comp_cor_01"), "{message}");
        let mut bare = fields(&[("a_comp_cor_00", "WM")]);
        bare["a_comp_cor_00"] = serde_json::json!({"Method": "aCompCor"});
        let message = of(&bare, false, Some(Masks::Combined), None);
        assert!(
            message.contains("a_comp_cor_00 does not say its \"Mask\""),
            "{message}"
        );
    }
}
