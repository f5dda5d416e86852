//! The arguments that say how events become regressors.

use datafusion::common::{Result, plan_err};

use crate::args::Arguments;
use crate::kernels::hrf;
use crate::kernels::regressor::{MIN_ONSET, Model, Regressors, frame_times};

/// How events become regressors: the constant arguments of `regressor` and of
/// `design_matrix`.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    function: &'static str,
    pub n_scans: usize,
    pub tr: f64,
    pub slice_time_ref: f64,
    pub model: Model,
    oversampling: usize,
    min_onset: f64,
}

impl Settings {
    /// Reads `tr`, `n_scans`, `oversampling`, `min_onset`, `slice_time_ref`,
    /// `fir_delays`, and the model under the name `model`.
    ///
    /// # Errors
    /// Name the argument and what it must be.
    pub fn read(function: &'static str, arguments: &Arguments<'_>, model: &str) -> Result<Self> {
        let name = arguments.str(model)?.unwrap_or("glover");
        let delays = arguments.f64s("fir_delays")?.unwrap_or_else(|| vec![0.0]);
        let model = match Model::from_name(name, &delays) {
            Ok(model) => model,
            Err(message) => return plan_err!("{function}: {message}"),
        };
        let settings = Self {
            function,
            n_scans: arguments.required("n_scans", arguments.usize("n_scans")?)?,
            tr: arguments.required("tr", arguments.f64("tr")?)?,
            slice_time_ref: arguments.f64("slice_time_ref")?.unwrap_or(0.0),
            model,
            oversampling: arguments
                .usize("oversampling")?
                .unwrap_or(hrf::OVERSAMPLING),
            min_onset: arguments.f64("min_onset")?.unwrap_or(MIN_ONSET),
        };
        Ok(settings)
    }

    /// The times at which nilearn samples the volumes.
    ///
    /// # Errors
    /// When the settings allow none.
    pub fn frame_times(&self) -> Result<Vec<f64>> {
        match frame_times(self.n_scans, self.tr, self.slice_time_ref) {
            Ok(times) => Ok(times),
            Err(message) => plan_err!("{}: {message}", self.function),
        }
    }

    /// The kernels and the grid.
    ///
    /// # Errors
    /// When the settings allow none.
    pub fn regressors(&self) -> Result<Regressors> {
        let times = self.frame_times()?;
        match Regressors::new(&times, &self.model, self.oversampling, self.min_onset) {
            Ok(regressors) => Ok(regressors),
            Err(message) => plan_err!("{}: {message}", self.function),
        }
    }
}
