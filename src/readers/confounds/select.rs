//! Which columns of a file a strategy takes.

use std::path::Path;

use datafusion::common::{DataFusionError, Result};

use super::super::format::file_error;
use super::super::tsv::Table;
use super::compcor;
use super::strategy::{Aroma, Model, Strategy};

const MOTION: [&str; 6] = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"];

/// Columns by their places in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The confounds' names in the order of their names, as nilearn has them.
    pub names: Vec<String>,
    /// Their places.
    pub confounds: Vec<usize>,
    /// Columns that are not 0 at a volume before the steady state.
    pub non_steady: Vec<usize>,
    /// Framewise displacement and standardised DVARS, where a strategy scrubs.
    pub movement: Option<(usize, usize)>,
}

/// The columns that `strategy` takes from the file at `path`, whose header `table` has read.
///
/// # Errors
///
/// Columns that are not there, all of them by name; a missing or broken JSON where CompCor needs it.
pub fn select(path: &Path, table: &Table, strategy: &Strategy) -> Result<Selection> {
    let mut wanted: Vec<String> = Vec::new();
    let mut missing: Vec<String> = Vec::new();
    let containing = |part: &str| {
        let names = table.headers.iter().filter(|name| name.contains(part));
        names.cloned().collect::<Vec<_>>()
    };
    let lacking = |names: &[String]| {
        let names = names.iter().filter(|name| table.column(name).is_none());
        names.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut want = |component: &str, names: Vec<String>| {
        let lacking = lacking(&names);
        if !lacking.is_empty() {
            missing.push(format!("{lacking} (for {component})"));
        }
        wanted.extend(names);
    };

    if strategy.high_pass {
        // A short run has none.
        want("high_pass", containing("cosine"));
    }
    if let Some(model) = strategy.motion {
        want("motion", expanded(&MOTION, model));
    }
    if let Some(model) = strategy.wm_csf {
        want("wm_csf", expanded(&["csf", "white_matter"], model));
    }
    if let Some(model) = strategy.global_signal {
        want("global_signal", expanded(&["global_signal"], model));
    }
    if let Some(compcor) = &strategy.compcor {
        want("compcor", compcor::components(path, compcor)?);
    }
    if strategy.ica_aroma == Some(Aroma::Basic) {
        let names = containing("aroma");
        match names.is_empty() {
            true => want("ica_aroma", vec!["aroma_motion_…".to_string()]),
            false => want("ica_aroma", names),
        }
    }
    let movement = ["framewise_displacement", "std_dvars"];
    if strategy.scrub.is_some() {
        let lacking = lacking(&movement.map(str::to_string));
        if !lacking.is_empty() {
            missing.push(format!("{lacking} (for scrub)"));
        }
    }
    if !missing.is_empty() {
        return Err(lacks(path, table, &missing));
    }

    wanted.sort_unstable();
    let confounds = wanted.iter().filter_map(|name| table.column(name));
    let non_steady = containing("non_steady_state");
    Ok(Selection {
        confounds: confounds.collect(),
        non_steady: non_steady.iter().filter_map(|n| table.column(n)).collect(),
        movement: match strategy.scrub {
            Some(_) => table.column(movement[0]).zip(table.column(movement[1])),
            None => None,
        },
        names: wanted,
    })
}

/// Each signal with its expansions.
fn expanded(signals: &[&str], model: Model) -> Vec<String> {
    let suffixed = |signal| {
        let suffixes = model.suffixes().iter();
        suffixes.map(move |suffix| format!("{signal}{suffix}"))
    };
    signals.iter().flat_map(suffixed).collect()
}

fn lacks(path: &Path, table: &Table, missing: &[String]) -> DataFusionError {
    let is_camel = |name: &String| {
        !name.contains('_')
            && name.contains(char::is_lowercase)
            && name.contains(char::is_uppercase)
    };
    let hint = match table.headers.iter().find(|name| is_camel(name)) {
        Some(name) => {
            format!("names such as {name} are those of fMRIPrep before 1.2, run a newer one")
        }
        None => "choose another strategy, or another model of the component".to_string(),
    };
    file_error(
        path,
        format!(
            "the strategy needs columns that this file lacks: {}; {hint}",
            missing.join("; ")
        ),
    )
}
