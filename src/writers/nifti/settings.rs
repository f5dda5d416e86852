//! The OPTIONS of `COPY … STORED AS NIFTI`.

use std::collections::HashMap;
use std::path::PathBuf;

use datafusion::common::{Result, plan_err};
use voxql_udfs::named_arguments::closest;

const NAMES: [&str; 3] = ["like", "mask", "tr"];

/// What the user said about the image.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The image whose grid, and way to say where it lies, the new one has.
    pub like: Option<PathBuf>,
    /// Which voxels a row of voxels is of.
    pub mask: Option<PathBuf>,
    /// Seconds between volumes.
    pub repetition_time: Option<f64>,
}

impl Settings {
    /// Takes options as DataFusion has them: all values are text.
    pub fn read(options: &HashMap<String, String>) -> Result<Self> {
        let mut settings = Settings::default();
        for (name, value) in options {
            // DataFusion puts `format.` before names without a dot.
            let name = name.strip_prefix("format.").unwrap_or(name);
            match name {
                "like" => settings.like = Some(PathBuf::from(value)),
                "mask" => settings.mask = Some(PathBuf::from(value)),
                "tr" => settings.repetition_time = Some(seconds(value)?),
                _ => return unknown(name),
            }
        }
        Ok(settings)
    }
}

fn seconds(value: &str) -> Result<f64> {
    match value.trim().parse() {
        Ok(seconds) if is_time(seconds) => Ok(seconds),
        _ => plan_err!(
            "COPY … STORED AS NIFTI: tr is the time between volumes, a positive number of \
             seconds, not {value}"
        ),
    }
}

/// Whether a header can say this as the time between volumes, in seconds.
pub fn is_time(seconds: f64) -> bool {
    let stored = seconds as f32;
    stored > 0.0 && stored.is_finite()
}

fn unknown<T>(name: &str) -> Result<T> {
    let meant = match closest(name, NAMES) {
        Some(near) => format!("did you mean {near}? "),
        None => String::new(),
    };
    plan_err!(
        "COPY … STORED AS NIFTI has no option {name}; {meant}There are {}, and overwrite",
        NAMES.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<Settings> {
        let pair = |(name, value): &(&str, &str)| (format!("format.{name}"), (*value).to_owned());
        Settings::read(&options.iter().map(pair).collect())
    }

    #[test]
    fn all_options() {
        let settings = parse(&[("like", "a.nii"), ("mask", "m.nii"), ("tr", "0.72")]).unwrap();
        assert_eq!(settings.like, Some(PathBuf::from("a.nii")));
        assert_eq!(settings.mask, Some(PathBuf::from("m.nii")));
        assert_eq!(settings.repetition_time, Some(0.72));
        assert_eq!(parse(&[]).unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |option| parse(&[option]).unwrap_err().to_string();
        let near = error(("liek", "a.nii"));
        assert!(
            near.contains("no option liek; did you mean like?"),
            "{near}"
        );
        let far = error(("compression", "9"));
        assert!(far.contains("There are like, mask, tr"), "{far}");
        for value in ["0", "-2", "NaN", "inf", "2 s", "1e-60"] {
            assert!(error(("tr", value)).contains(value), "{value}");
        }
    }
}
