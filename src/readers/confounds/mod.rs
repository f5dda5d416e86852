//! `read_confounds`: what fMRIPrep knows of the noise in a run
//! (`*_desc-confounds_timeseries.tsv`), one row per volume.
//!
//! Without a strategy the columns of the files as they are ([`batches::Columns`]); with one the
//! confounds that nilearn's `load_confounds` gives ([`strategy`] says which, [`select`] and
//! [`compcor`] find them in a file, [`run`] makes them ready, [`scrub`] marks volumes).

mod batches;
mod compcor;
mod run;
mod scrub;
mod select;
mod strategy;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, plan_err};

use self::batches::{Columns, Regressors};
use self::select::select;
use self::strategy::{Aroma, Strategy};
use super::bids::{Name, entities};
use super::bold::MAX_LENGTH_KEY;
use super::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, ParameterKind,
    until_error,
};
use super::tsv::{KEYS, Table, column_name};
use crate::access::scope;

/// Field metadata of `confounds`: the names of its elements, a JSON array, where all files have the same.
pub const NAMES_KEY: &str = "voxql.names";

/// What stands before the name of a column that would be taken for a key.
const PREFIX: &str = "confounds_";

/// fMRIPrep's confounds.
///
/// Without a strategy: `tr` (Int64, from 0) and every column of the files (Float64; `n/a` is NULL).
///
/// With one:
///
/// | column | type | |
/// | --- | --- | --- |
/// | `tr` | Int64 | the volume, from 0 |
/// | `confounds` | FixedSizeList of Float64, or List where files differ in number or there are none | one element per confound, in the order of their names |
/// | `sample_mask` | Boolean | false at volumes before the steady state, and at scrubbed ones |
/// | `names` | List of Utf8 | the confounds' names, in every row |
///
/// Numbers and defaults are those of nilearn 0.14.1's `load_confounds` and `load_confounds_strategy`: a
/// value that is missing in the first row is the second row's; means are those of the volumes
/// that stay; other missing values stay missing (NULL elements).
#[derive(Debug)]
pub struct Confounds;

impl Format for Confounds {
    fn function(&self) -> &'static str {
        "read_confounds"
    }

    fn stored_as(&self) -> &'static str {
        "CONFOUNDS"
    }

    fn description(&self) -> &'static str {
        "fMRIPrep's confounds (`*_desc-confounds_timeseries.tsv`, formerly `…_regressors.tsv`), or another tab-separated table of numbers with a \
         line of names, one row per volume: `tr` (0-based).\n\n\
         Without `strategy`, every column of the files as Float64, named as there; `n/a` is NULL, and so is a column that one of several files lacks.\n\n\
         With `strategy`, what nilearn's `load_confounds` gives for it:\n\n\
         | column | type | |\n| --- | --- | --- |\n\
         | `confounds` | FixedSizeList of Float64, or List where files have different numbers of them | one element per confound, in the order of their names |\n\
         | `sample_mask` | Boolean | false at volumes before the steady state (always marked) and at scrubbed ones; no row is left out |\n\
         | `names` | List of text | the names of the elements; where all files have the same, also a JSON array in the metadata `voxql.names` of `confounds` |\n\n\
         A strategy is one of nilearn's `load_confounds_strategy`:\n\n\
         | strategy | components |\n| --- | --- |\n\
         | `'simple'` | `high_pass`, `motion`, `wm_csf` |\n\
         | `'scrubbing'` | `high_pass`, `motion`, `wm_csf` (`'full'`), `scrub` |\n\
         | `'compcor'` | `high_pass`, `motion`, `compcor` |\n\
         | `'ica_aroma'` | `high_pass`, `wm_csf`, `ica_aroma`: for images that ICA-AROMA has cleaned (`desc-smoothAROMAnonaggr_bold`) |\n\n\
         or an array of components, with `global_signal` and `non_steady_state` (nothing but the mask) among them. `global_signal => …` adds that component \
         to any of the four. `motion`, `wm_csf` and `global_signal` are `'basic'` (the signals), `'power2'` (and their squares), \
         `'derivatives'` (and their derivatives) or `'full'` (all of them, and the derivatives' squares). \
         A derivative has no first value; it gets the second's. Other values that are missing are NULL elements. A column that the strategy needs and a \
         file lacks is an error that names it, and so is an argument without effect, which nilearn passes over.\n\n\
         ```sql\n\
         SELECT subject, run, tr,\n    \
             clean(b.bold, confounds => c.confounds, sample_mask => c.sample_mask, tr => 2.0)\n        \
                 OVER (PARTITION BY subject, run ORDER BY tr) AS bold\n\
         FROM read_bold('fmriprep/**/*_desc-preproc_bold.nii.gz') AS b\n\
         JOIN read_confounds('fmriprep/', strategy => 'scrubbing') AS c USING (subject, run, tr);\n\
         ```\n\n\
         Files without `run-` in their names have no `run` (NULL) to join by: use the keys that they have, `USING (subject, task, tr)`."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[
            "_desc-confounds_timeseries.tsv",
            "_desc-confounds_regressors.tsv",
        ]
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Files
    }

    fn parameters(&self) -> &'static [Parameter] {
        &PARAMETERS
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let strategy = Strategy::of(options)?;
        let files = leave_out_empty(files)?;
        let schema = match &strategy {
            None => columns(&files)?,
            Some(strategy) => {
                warn_of_aroma(&files, strategy);
                regressors(&files, strategy)?
            }
        };
        Ok(Description { schema, files })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        Ok(match Strategy::of(&scan.options)? {
            None => {
                let mut columns = Columns::open(scan)?;
                until_error(move || columns.batch())
            }
            Some(strategy) => Box::new(Regressors::open(scan, &strategy)?),
        })
    }
}

const PARAMETERS: [Parameter; 11] = [
    Parameter {
        name: "strategy",
        kind: ParameterKind::Texts,
        default: "all columns as they are",
        description: "A strategy, or an array of components.",
    },
    Parameter {
        name: "motion",
        kind: ParameterKind::Text,
        default: "'full'",
        description: "Head motion: three translations and three rotations, `'basic'` to `'full'` (24).",
    },
    Parameter {
        name: "wm_csf",
        kind: ParameterKind::Text,
        default: "'basic'; 'full' in 'scrubbing'",
        description: "Mean signals of white matter and cerebrospinal fluid.",
    },
    Parameter {
        name: "global_signal",
        kind: ParameterKind::Text,
        default: "'basic' as a component; none in the strategies",
        description: "Mean signal of the brain.",
    },
    Parameter {
        name: "compcor",
        kind: ParameterKind::Text,
        default: "'anat_combined'",
        description: "CompCor of which masks: `'anat_combined'`, `'anat_separated'` (white matter and CSF), `'temporal'`, \
                      `'temporal_anat_combined'`, `'temporal_anat_separated'`. The JSON beside the file says which component is of which.",
    },
    Parameter {
        name: "n_compcor",
        kind: ParameterKind::Texts,
        default: "'all'",
        description: "The most components of each mask.",
    },
    Parameter {
        name: "ica_aroma",
        kind: ParameterKind::Text,
        default: "'full'",
        description: "`'full'`: the image was cleaned, no columns; `'basic'`: the components that are noise.",
    },
    Parameter {
        name: "scrub",
        kind: ParameterKind::Integer,
        default: "5",
        description: "Stretches of fewer volumes between scrubbed ones, and at the ends, go as well.",
    },
    Parameter {
        name: "fd_threshold",
        kind: ParameterKind::Float,
        default: "0.5",
        description: "Framewise displacement in mm above which a volume is scrubbed.",
    },
    Parameter {
        name: "std_dvars_threshold",
        kind: ParameterKind::Float,
        default: "1.5",
        description: "Standardised DVARS above which a volume is scrubbed.",
    },
    Parameter {
        name: "demean",
        kind: ParameterKind::Boolean,
        default: "true",
        description: "Subtract each confound's mean over the volumes that stay.",
    },
];

/// The files that hold anything, with a warning for those that do not; an error if none does.
fn leave_out_empty(files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let is_empty = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|m| m.len() == 0);
    let (empty, files): (Vec<_>, Vec<_>) = files.into_iter().partition(is_empty);
    if let (Some(first), true) = (empty.first(), files.is_empty()) {
        return plan_err!(
            "read_confounds: {}: the file is empty (0 bytes), and there is no other; was it fetched?",
            first.display()
        );
    }
    for path in empty {
        log::warn!("{}: the file is empty; it is left out", path.display());
    }
    Ok(files)
}

/// `tr` and the columns of all files.
fn columns(files: &[PathBuf]) -> Result<SchemaRef> {
    let mut keys = KEYS.to_vec();
    keys.push("tr");
    let in_names = files.iter().flat_map(|path| entities(path));
    keys.extend(in_names.map(|(column, _)| column));
    let mut names = vec!["tr".to_string()];
    for path in files {
        let table = open(path)?;
        for header in &table.headers {
            let name = column_name(header, &table.headers, &keys, PREFIX);
            if names.contains(&name) {
                continue;
            }
            if name != *header {
                log::warn!(
                    "{}: column {header} has the name of a key; it is called {name}",
                    path.display()
                );
            }
            names.push(name);
        }
    }
    let field = |name: String| match name.as_str() {
        "tr" => Field::new(name, DataType::Int64, false),
        _ => Field::new(name, DataType::Float64, true),
    };
    let fields: Vec<_> = names.into_iter().map(field).collect();
    Ok(Arc::new(Schema::new(fields)))
}

/// The columns that a strategy gives.
fn regressors(files: &[PathBuf], strategy: &Strategy) -> Result<SchemaRef> {
    let mut all = Vec::with_capacity(files.len());
    for path in files {
        all.push(select(path, &open(path)?, strategy)?.names);
    }
    let longest = all.iter().map(Vec::len).max().unwrap_or(0);
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let mut metadata = HashMap::new();
    // A fixed size of 0 is more than other programs understand.
    let vector = match i32::try_from(longest) {
        Ok(width) if width > 0 && all.iter().all(|names| names.len() == longest) => {
            DataType::FixedSizeList(item, width)
        }
        _ => {
            metadata.insert(MAX_LENGTH_KEY.to_string(), longest.to_string());
            DataType::List(item)
        }
    };
    if let Some(first) = all.first()
        && all.iter().all(|names| names == first)
    {
        let names = serde_json::Value::from(first.clone());
        metadata.insert(NAMES_KEY.to_string(), names.to_string());
    }
    Ok(Arc::new(Schema::new(vec![
        Field::new("tr", DataType::Int64, false),
        Field::new("confounds", vector, false).with_metadata(metadata),
        Field::new("sample_mask", DataType::Boolean, false),
        Field::new("names", DataType::new_list(DataType::Utf8, false), false),
    ])))
}

/// `ica_aroma 'full'` has no confounds of its own: the images must have been cleaned, and nothing
/// here can see whether those that are joined were. One warning where none lies beside the confounds.
fn warn_of_aroma(files: &[PathBuf], strategy: &Strategy) {
    if strategy.ica_aroma != Some(Aroma::Full) {
        return;
    }
    let mut without = files.iter().filter(|path| !has_cleaned_image(path));
    if let Some(first) = without.next() {
        log::warn!(
            "{} (and {} more): ica_aroma 'full' is for images that ICA-AROMA has cleaned, and there is no \
             desc-smoothAROMAnonaggr_bold beside these confounds",
            first.display(),
            without.count()
        );
    }
}

/// Whether an image of the same run, as ICA-AROMA cleaned it, lies beside a confounds file.
fn has_cleaned_image(confounds: &Path) -> bool {
    let name = confounds.file_name().and_then(|name| name.to_str());
    let (Some(name), Some(directory)) = (name.and_then(Name::parse), confounds.parent()) else {
        return false;
    };
    let of_run = |file: &str| {
        Name::parse(file).is_some_and(|image| {
            let mut pairs = name.pairs.iter().filter(|(key, _)| *key != "desc");
            image.suffix == "bold"
                && image.pairs.contains(&("desc", "smoothAROMAnonaggr"))
                && pairs.all(|pair| image.pairs.contains(pair))
        })
    };
    let Ok(entries) = scope::read_dir(directory) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_str().is_some_and(of_run))
}

/// A file's table.
fn open(path: &Path) -> Result<Table> {
    let table = Table::open(path, "confounds")?;
    if table.headers.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(table.error(
            "its first line holds numbers, not names; give the columns names in the first line",
        ));
    }
    Ok(table)
}

/// A number of the current row; `None` where it is missing.
fn number(table: &Table, index: usize) -> Result<Option<f64>> {
    let Some(text) = table.value(index)? else {
        return Ok(None);
    };
    match text.parse::<f64>() {
        Ok(value) if value.is_nan() => Ok(None),
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(table.line_error(format!(
            "{} is {text:?}, not a number; confounds are numbers, and n/a where there is none",
            table.headers[index]
        ))),
    }
}
