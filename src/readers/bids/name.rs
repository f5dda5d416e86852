//! What a BIDS file name says.

use std::path::Path;

/// The entities of BIDS in the order in which file names list them: the key as
/// written in a name, and the name of the column. With those that fMRIPrep adds
/// (`from`, `to`, `mode` of transforms, `fmapid`).
pub const ENTITIES: [(&str, &str); 39] = [
    ("sub", "subject"),
    ("tpl", "template"),
    ("ses", "session"),
    ("cohort", "cohort"),
    ("sample", "sample"),
    ("task", "task"),
    ("tracksys", "tracksys"),
    ("acq", "acquisition"),
    ("nuc", "nucleus"),
    ("voi", "volume"),
    ("ce", "ceagent"),
    ("trc", "tracer"),
    ("stain", "stain"),
    ("rec", "reconstruction"),
    ("dir", "direction"),
    ("run", "run"),
    ("mod", "modality"),
    ("echo", "echo"),
    ("flip", "flip"),
    ("inv", "inversion"),
    ("mt", "mtransfer"),
    ("part", "part"),
    ("proc", "processing"),
    ("hemi", "hemisphere"),
    ("space", "space"),
    ("from", "from"),
    ("to", "to"),
    ("mode", "mode"),
    ("split", "split"),
    ("recording", "recording"),
    ("chunk", "chunk"),
    ("atlas", "atlas"),
    ("seg", "segmentation"),
    ("scale", "scale"),
    ("res", "resolution"),
    ("den", "density"),
    ("label", "label"),
    ("fmapid", "fmapid"),
    ("desc", "desc"),
];

/// The entities in a file's name, in BIDS order, values as written: `01`, never 1.
///
/// `sub-01_task-rest_run-2_bold.nii.gz` gives subject 01, task rest, run 2. Directories
/// are not looked at. A name that is not BIDS-like has no entities: every chunk
/// must be `key-value` with a known key, given once, and a suffix must follow.
/// The suffix may itself hold underscores (`run-01_bold_25mm.nii.gz`).
pub fn entities(path: &Path) -> Vec<(&'static str, String)> {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return vec![];
    };
    let Some(name) = Name::parse(name) else {
        return vec![];
    };
    ENTITIES
        .iter()
        .filter_map(|&(key, column)| {
            let (_, value) = name.pairs.iter().find(|(k, _)| *k == key)?;
            Some((column, (*value).to_owned()))
        })
        .collect()
}

/// A BIDS-like file name, without its extension.
pub struct Name<'a> {
    /// Keys as in [`ENTITIES`], in the order of the name.
    pub pairs: Vec<(&'static str, &'a str)>,
    pub suffix: &'a str,
}

impl<'a> Name<'a> {
    /// `None` for a name that is not BIDS-like. A name may have no pairs at all (`bold.json`).
    pub fn parse(file_name: &'a str) -> Option<Self> {
        let mut rest = stem(file_name);
        let mut pairs: Vec<(&'static str, &str)> = vec![];
        while let Some((chunk, after)) = rest.split_once('_') {
            let Some((key, value)) = chunk.split_once('-') else {
                break;
            };
            let (key, _) = *ENTITIES.iter().find(|(known, _)| *known == key)?;
            let repeated = pairs.iter().any(|(k, _)| *k == key);
            if repeated || value.is_empty() || value.contains('-') {
                return None;
            }
            pairs.push((key, value));
            rest = after;
        }
        let is_suffix = !rest.is_empty() && !rest.contains('-');
        is_suffix.then_some(Name {
            pairs,
            suffix: rest,
        })
    }

    /// The value of an entity, by its key (`sub`).
    pub fn value(&self, key: &str) -> Option<&'a str> {
        let (_, value) = self.pairs.iter().find(|(k, _)| *k == key)?;
        Some(value)
    }
}

/// The keys and columns of entities whose values are numbers to BIDS, so that 1 and 01 are the same.
const INDICES: [&str; 7] = ["run", "echo", "flip", "inv", "inversion", "split", "chunk"];

/// Whether two values of an entity, by its key or column, mean the same: as text, or as number
/// where BIDS has it as an index.
pub fn same_value(entity: &str, a: &str, b: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    a == b || (INDICES.contains(&entity) && number(a).is_some() && number(a) == number(b))
}

/// The name up to its first dot.
pub fn stem(file_name: &str) -> &str {
    file_name.split('.').next().unwrap_or(file_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Vec<(&'static str, String)> {
        entities(Path::new(name))
    }

    fn pairs(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        list.iter().map(|(k, v)| (*k, (*v).to_owned())).collect()
    }

    #[test]
    fn entities_keep_bids_order_and_their_digits() {
        assert_eq!(
            of("ds/sub-01/func/sub-01_run-01_task-x_ses-test_bold.nii.gz"),
            pairs(&[
                ("subject", "01"),
                ("session", "test"),
                ("task", "x"),
                ("run", "01")
            ])
        );
        assert_eq!(
            of("sub-A_task-b_space-MNI152NLin6Asym_res-2_den-91k_desc-preproc_bold.nii.gz"),
            pairs(&[
                ("subject", "A"),
                ("task", "b"),
                ("space", "MNI152NLin6Asym"),
                ("resolution", "2"),
                ("density", "91k"),
                ("desc", "preproc")
            ])
        );
        assert_eq!(of("run-01_bold_25mm.nii.gz"), pairs(&[("run", "01")]));
    }

    #[test]
    fn other_names_have_no_entities() {
        for name in [
            "bold.nii.gz",
            "sub-01/ses-1/bold.nii.gz",
            "sub-01.nii.gz",
            "sub-01_run-2.nii.gz",
            "sub-01_colour-red_bold.nii.gz",
            "sub-01_sub-02_bold.nii.gz",
            "sub-_bold.nii.gz",
            "sub-a-b_bold.nii.gz",
            "sub-01_bold_run-2.nii.gz",
            "sub-01_",
            "",
            "..",
            "_",
            "-",
        ] {
            assert_eq!(of(name), vec![], "{name}");
        }
    }

    #[test]
    fn indices_are_numbers_too() {
        assert!(same_value("run", "01", "1") && same_value("inversion", "2", "02"));
        assert!(!same_value("run", "10", "1") && !same_value("run", "a", "b"));
        assert!(!same_value("subject", "01", "1") && !same_value("session", "1", "01"));
    }
}
