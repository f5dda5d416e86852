//! The repetition time of a run: from the BIDS sidecar, else the header, else `tr =>`.

use std::path::Path;

use datafusion::common::{Result, plan_err};

use crate::readers::bids::sidecar;
use crate::readers::format::file_error;

/// Two times that differ by more than this part of the larger are a conflict.
const TOLERANCE: f64 = 1e-3;

/// Seconds that no scanner takes for a volume: milliseconds without their unit.
const LONGEST: f64 = 100.0;

const NS_PER_DAY: f64 = 86_400e9;

/// A repetition time, and what to tell the user if sources disagree on it, or it cannot well be.
#[derive(Debug, Clone, PartialEq)]
pub struct RepetitionTime {
    /// Whole nanoseconds, from 1 to a day of them.
    pub ns: i64,
    /// When the first volume starts, from the start of the run; within a hundred days.
    start_ns: i64,
    pub doubt: Option<String>,
}

impl RepetitionTime {
    /// The time of the run at `path`; `header` is what the file itself says, in seconds, and
    /// `given`, seconds, has passed [`check_given`].
    ///
    /// `None` where no source has it and it is not `needed`, as for one volume. Errors where
    /// it is, and for a sidecar whose `RepetitionTime` is not a
    /// positive number or which has `VolumeTiming` (volumes at unequal times) instead.
    pub fn of_run(
        path: &Path,
        needed: bool,
        header: Option<f64>,
        given: Option<f64>,
    ) -> Result<Option<Self>> {
        match Self::find(path, header, given)? {
            None if needed => Err(file_error(
                path,
                "neither a BIDS sidecar nor the header has the repetition time; \
                 say it in seconds, such as tr => 2.0",
            )),
            found => Ok(found),
        }
    }

    /// `header` and `given` are seconds. `None` where no source has it.
    fn find(path: &Path, header: Option<f64>, given: Option<f64>) -> Result<Option<Self>> {
        let header = header.filter(|&seconds| nanoseconds(seconds).is_some());
        let sources = [
            ("the BIDS sidecar", from_sidecar(path)?),
            ("the header", header),
            ("tr =>", given),
        ];
        let mut known = sources.iter().filter_map(|(name, s)| Some((*name, (*s)?)));
        let Some((source, seconds)) = known.next() else {
            return Ok(None);
        };
        let others: Vec<String> = known
            .filter(|(_, other)| (other - seconds).abs() > TOLERANCE * other.max(seconds))
            .map(|(name, other)| format!("{name} says {other} s"))
            .collect();
        let doubt = if !others.is_empty() {
            Some(format!("although {}", others.join(" and ")))
        } else if seconds > LONGEST {
            Some(format!(
                "which is long; if it is in milliseconds, a BIDS sidecar with RepetitionTime {} says so",
                seconds / 1e3
            ))
        } else {
            None
        };
        let doubt =
            doubt.map(|doubt| format!("the repetition time is {seconds} s from {source}, {doubt}"));
        match nanoseconds(seconds) {
            Some(ns) => Ok(Some(RepetitionTime {
                ns,
                start_ns: 0,
                doubt,
            })),
            None => Err(file_error(
                path,
                format!("{source} says a repetition time of {seconds} s, which cannot be"),
            )),
        }
    }

    /// The same with a first volume that starts so many seconds after the run; a time that cannot be is
    /// taken as 0.
    pub fn starting_at(mut self, seconds: f64) -> Self {
        let ns = (seconds * 1e9).round();
        let possible = ns.abs() <= 100.0 * NS_PER_DAY;
        self.start_ns = if possible { ns as i64 } else { 0 };
        self
    }

    /// Seconds.
    pub fn seconds(&self) -> f64 {
        self.ns as f64 / 1e9
    }

    /// The start of a volume in seconds: the product is of whole nanoseconds, never of rounded
    /// seconds, so volume 25 at 0.72 s starts at 18.0 s exactly.
    pub fn start_of(&self, volume: usize) -> f64 {
        // Two hundred thousand volumes of a day are more than an `i64` holds.
        let ns = i128::from(self.start_ns) + volume as i128 * i128::from(self.ns);
        ns as f64 / 1e9
    }
}

/// Refuses a `tr =>` that is no time.
pub fn check_given(seconds: Option<f64>) -> Result<()> {
    match seconds {
        Some(s) if nanoseconds(s).is_none() => plan_err!(
            "read_bold: tr => {s} is not a repetition time; \
             give a positive number of seconds, such as tr => 2.0"
        ),
        _ => Ok(()),
    }
}

/// Rounded; `None` where that is not from 1 ns to a day, or the value is NaN.
fn nanoseconds(seconds: f64) -> Option<i64> {
    let ns = (seconds * 1e9).round();
    (1.0..=NS_PER_DAY).contains(&ns).then_some(ns as i64)
}

fn from_sidecar(path: &Path) -> Result<Option<f64>> {
    let Some(fields) = sidecar(path)? else {
        return Ok(None);
    };
    let Some(value) = fields.get("RepetitionTime") else {
        if fields.contains_key("VolumeTiming") {
            return Err(file_error(
                path,
                "its BIDS sidecar has VolumeTiming, volumes at unequal times, which is not \
                 supported; if they are equal, write RepetitionTime instead",
            ));
        }
        return Ok(None);
    };
    match value.as_f64().filter(|&s| nanoseconds(s).is_some()) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(file_error(
            path,
            format!(
                "its BIDS sidecar has RepetitionTime {value}; it must be a positive number of seconds"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The repetition time of a run of so many volumes with a sidecar of this text.
    fn of_run(
        volumes: usize,
        text: &str,
        header: Option<f64>,
        given: Option<f64>,
    ) -> Result<Option<RepetitionTime>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("sub-1_bold.json"), text).unwrap();
        let path = dir.path().join("sub-1_bold.nii");
        RepetitionTime::of_run(&path, volumes > 1, header, given)
    }

    fn find(text: &str, header: Option<f64>, given: Option<f64>) -> Result<RepetitionTime> {
        of_run(2, text, header, given).map(Option::unwrap)
    }

    #[test]
    fn one_volume_needs_no_time() {
        assert_eq!(of_run(1, "{}", None, None).unwrap(), None);
        let given = of_run(1, "{}", None, Some(2.0)).unwrap();
        assert_eq!(given.unwrap().seconds(), 2.0);
    }

    #[test]
    fn the_sidecar_wins_and_the_doubt_names_both() {
        let found = find(r#"{"RepetitionTime": 2.5}"#, Some(1.0), None).unwrap();
        assert_eq!(found.seconds(), 2.5);
        let doubt = found.doubt.unwrap();
        assert!(
            doubt.contains("2.5 s from the BIDS sidecar") && doubt.contains("the header says 1 s"),
            "{doubt}"
        );
        let found = find("{}", Some(1.49), Some(2.0)).unwrap();
        assert_eq!(found.ns, 1_490_000_000);
        assert!(found.doubt.unwrap().contains("tr => says 2 s"));
        assert_eq!(find("{}", None, Some(0.72)).unwrap().ns, 720_000_000);
    }

    #[test]
    fn milliseconds_that_are_called_seconds_are_told() {
        let found = find("{}", Some(2500.0), None).unwrap();
        assert_eq!(found.seconds(), 2500.0);
        let doubt = found.doubt.unwrap();
        assert!(doubt.contains("RepetitionTime 2.5 "), "{doubt}");
        assert_eq!(find("{}", Some(20.0), None).unwrap().doubt, None);
    }

    #[test]
    fn nearly_equal_times_are_no_conflict() {
        let found = find(r#"{"RepetitionTime": 2}"#, Some(2.0019), Some(2.0)).unwrap();
        assert_eq!(found.doubt, None);
        assert_eq!(found.seconds(), 2.0);
    }

    #[test]
    fn without_a_time_the_error_says_what_to_give() {
        for header in [None, Some(1e-12), Some(1e12)] {
            let message = find("{}", header, None).unwrap_err().to_string();
            assert!(message.contains("tr => 2.0"), "{message}");
        }
    }

    #[test]
    fn bad_sidecars_and_arguments_are_refused() {
        for text in [
            r#"{"RepetitionTime": 0}"#,
            r#"{"RepetitionTime": -2}"#,
            r#"{"RepetitionTime": "2.5"}"#,
            r#"{"RepetitionTime": null}"#,
            r#"{"VolumeTiming": [0, 3, 7]}"#,
        ] {
            assert!(find(text, Some(2.0), None).is_err(), "{text}");
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-10] {
            let message = check_given(Some(bad)).unwrap_err().to_string();
            assert!(message.contains("positive number of seconds"), "{message}");
        }
        assert!(check_given(Some(0.72)).is_ok() && check_given(None).is_ok());
    }

    #[test]
    fn starts_of_volumes_are_exact() {
        for (seconds, volume, start) in [
            (0.72, 25, 18.0),
            (1.49, 1000, 1490.0),
            (2.0, 3, 6.0),
            (80_000.0, 200_000, 1.6e10),
        ] {
            let time = find("{}", Some(seconds), None).unwrap();
            assert_eq!(time.start_of(volume), start);
        }
    }
}
