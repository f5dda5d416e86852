//! Events, and which columns a condition gets.

use crate::kernels::hrf::{self, Sampling};

/// The samples of one FIR kernel that are not refused.
const MAX_FIR: usize = 10_000_000;

/// Something that happened: a row of BIDS events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Seconds, on the clock of the frame times.
    pub onset: f64,
    /// Seconds; 0 is one sample of the fine grid.
    pub duration: f64,
    /// The height of the box, BIDS's and nilearn's `modulation`.
    pub amplitude: f64,
}

impl Event {
    /// Checks what cannot be a time or a height.
    ///
    /// # Errors
    /// Name the value and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            onset,
            duration,
            amplitude,
        } = *self;
        if !onset.is_finite() {
            return Err(format!(
                "an event has the onset {onset}; it must be a number of seconds"
            ));
        }
        if !duration.is_finite() || duration < 0.0 {
            return Err(format!(
                "the event at {onset} s has the duration {duration}; it must be 0 or more seconds"
            ));
        }
        if !amplitude.is_finite() {
            return Err(format!(
                "the event at {onset} s has the modulation {amplitude}; it must be a finite number"
            ));
        }
        Ok(())
    }
}

/// Which columns a condition gets: nilearn's `hrf_model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Model {
    /// A canonical response, with its derivatives by time and by dispersion.
    Response {
        response: hrf::Model,
        derivative: bool,
        dispersion: bool,
    },
    /// A finite impulse response: one column per delay, in TRs.
    Fir(Vec<usize>),
    /// The boxes themselves, nilearn's `None`.
    Boxes,
}

impl Model {
    /// The names that [`Model::from_name`] knows.
    pub const NAMES: [&'static str; 8] = [
        "glover",
        "glover + derivative",
        "glover + derivative + dispersion",
        "spm",
        "spm + derivative",
        "spm + derivative + dispersion",
        "fir",
        "none",
    ];

    /// The model of that name, upper or lower case; `delays` are those of `fir`.
    ///
    /// # Errors
    /// When there is no such model, or the delays are none, or one of them is there
    /// twice, negative, no whole number or absurdly large.
    pub fn from_name(name: &str, delays: &[f64]) -> Result<Self, String> {
        let lower = name.to_lowercase();
        let parts: Vec<&str> = lower.split('+').map(str::trim).collect();
        let response = parts.first().copied().and_then(hrf::Model::from_name);
        match (response, &parts[..]) {
            (Some(response), [_, derivatives @ ..]) => {
                let derivatives = match derivatives {
                    [] => Some((false, false)),
                    ["derivative"] => Some((true, false)),
                    ["derivative", "dispersion"] => Some((true, true)),
                    _ => None,
                };
                if let Some((derivative, dispersion)) = derivatives {
                    return Ok(Self::Response {
                        response,
                        derivative,
                        dispersion,
                    });
                }
            }
            (None, ["fir"]) => return Ok(Self::Fir(whole_delays(delays)?)),
            (None, ["none"]) => return Ok(Self::Boxes),
            _ => {}
        }
        Err(format!(
            "there is no model {name}; the models are {}",
            Self::NAMES.join(", ")
        ))
    }

    /// The number of columns per condition.
    pub fn columns(&self) -> usize {
        match self {
            Self::Response {
                derivative,
                dispersion,
                ..
            } => 1 + usize::from(*derivative) + usize::from(*dispersion),
            Self::Fir(delays) => delays.len(),
            Self::Boxes => 1,
        }
    }

    /// The columns' names, as nilearn gives them: `c`, `c_derivative`,
    /// `c_dispersion`, `c_delay_2`.
    pub fn names(&self, condition: &str) -> Vec<String> {
        match self {
            Self::Response { .. } | Self::Boxes => ["", "_derivative", "_dispersion"]
                .iter()
                .take(self.columns())
                .map(|ending| format!("{condition}{ending}"))
                .collect(),
            Self::Fir(delays) => delays
                .iter()
                .map(|delay| format!("{condition}_delay_{delay}"))
                .collect(),
        }
    }

    /// One kernel per column.
    pub fn kernels(&self, tr: f64, oversampling: usize) -> Result<Vec<Vec<f64>>, String> {
        match self {
            Self::Response {
                response,
                derivative,
                dispersion,
            } => {
                let sampling = Sampling::new(tr, oversampling);
                let mut kernels = vec![hrf::response(*response, sampling)?];
                if *derivative {
                    kernels.push(hrf::time_derivative(*response, sampling)?);
                }
                if *dispersion {
                    kernels.push(hrf::dispersion_derivative(*response, sampling)?);
                }
                Ok(kernels)
            }
            Self::Fir(delays) => {
                let too_long = |delay: &usize| {
                    (delay + 1)
                        .checked_mul(oversampling)
                        .is_none_or(|n| n > MAX_FIR)
                };
                if let Some(delay) = delays.iter().find(|delay| too_long(delay)) {
                    return Err(format!(
                        "fir_delays: {delay} TRs at oversampling {oversampling} are too many samples"
                    ));
                }
                Ok(delays.iter().map(|d| hrf::fir(*d, oversampling)).collect())
            }
            Self::Boxes => Ok(vec![vec![1.0]]),
        }
    }
}

fn whole_delays(delays: &[f64]) -> Result<Vec<usize>, String> {
    let mut whole: Vec<usize> = Vec::with_capacity(delays.len());
    for delay in delays {
        if !(*delay >= 0.0 && delay.fract() == 0.0 && *delay < MAX_FIR as f64) {
            return Err(format!(
                "fir_delays are whole numbers of TRs from 0, got {delay}"
            ));
        }
        let delay = *delay as usize;
        if whole.contains(&delay) {
            return Err(format!("fir_delays has {delay} twice"));
        }
        whole.push(delay);
    }
    match whole.is_empty() {
        true => Err("fir_delays is empty; the model fir needs one delay or more".into()),
        false => Ok(whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_models() {
        let names = |name: &str| Model::from_name(name, &[0.0, 2.0]).unwrap().names("c");
        assert_eq!(names("SPM"), ["c"]);
        assert_eq!(names("none"), ["c"]);
        assert_eq!(
            names("glover+derivative + dispersion"),
            ["c", "c_derivative", "c_dispersion"]
        );
        assert_eq!(names("fir"), ["c_delay_0", "c_delay_2"]);
        for name in ["glover + dispersion", "gamma", "", "fir + derivative", "+"] {
            let error = Model::from_name(name, &[0.0]).unwrap_err();
            assert!(
                error.contains("glover + derivative + dispersion, spm"),
                "{error}"
            );
        }
        for delays in [&[][..], &[-1.0], &[0.5], &[1.0, 1.0], &[f64::NAN], &[1e300]] {
            assert!(Model::from_name("fir", delays).is_err(), "{delays:?}");
        }
    }

    #[test]
    fn what_is_no_event() {
        for (onset, duration, amplitude) in [
            (f64::NAN, 0.0, 1.0),
            (f64::INFINITY, 0.0, 1.0),
            (0.0, -1.0, 1.0),
            (0.0, f64::NAN, 1.0),
            (0.0, 0.0, f64::NAN),
        ] {
            assert!(
                Event {
                    onset,
                    duration,
                    amplitude
                }
                .check()
                .is_err()
            );
        }
    }
}
