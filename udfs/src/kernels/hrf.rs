//! Haemodynamic response functions as nilearn samples them, and their use on TR-rate data.
//!
//! A response is the difference of two gamma densities. nilearn samples it
//! `oversampling` times per TR and divides by the sum, so that a constant input is
//! passed on unchanged once the response has settled.

use libm::lgamma;

/// The length of a kernel in seconds, nilearn's `time_length`.
pub const TIME_LENGTH: f64 = 32.0;

/// The default number of kernel samples per TR.
pub const OVERSAMPLING: usize = 50;

/// More samples than this per kernel are refused: some input is wrong (TR 1 ns).
const MAX_SAMPLES: f64 = 1e7;

/// A canonical response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// Glover (1999), with nilearn's parameters.
    Glover,
    /// SPM's canonical response.
    Spm,
}

impl Model {
    /// The names that [`Model::from_name`] knows.
    pub const NAMES: [&'static str; 2] = ["glover", "spm"];

    /// The model of that name, `None` if there is none.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "glover" => Some(Self::Glover),
            "spm" => Some(Self::Spm),
            _ => None,
        }
    }

    fn gammas(self) -> Gammas {
        match self {
            Self::Glover => Gammas {
                delay: 6.0,
                undershoot: 12.0,
                dispersion: 0.9,
                u_dispersion: 0.9,
                ratio: 0.48,
            },
            Self::Spm => Gammas {
                delay: 6.0,
                undershoot: 16.0,
                dispersion: 1.0,
                u_dispersion: 1.0,
                ratio: 0.167,
            },
        }
    }
}

/// One column of a model: the response itself, or what lets it come earlier or wider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// [`response`].
    Response,
    /// [`time_derivative`].
    TimeDerivative,
    /// [`dispersion_derivative`].
    DispersionDerivative,
}

impl Component {
    /// The kernel of this component.
    ///
    /// # Errors
    /// As [`response`].
    pub fn kernel(self, model: Model, sampling: Sampling) -> Result<Vec<f64>, String> {
        match self {
            Self::Response => response(model, sampling),
            Self::TimeDerivative => time_derivative(model, sampling),
            Self::DispersionDerivative => dispersion_derivative(model, sampling),
        }
    }
}

/// Where the samples of a kernel lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Repetition time in seconds.
    pub tr: f64,
    /// Samples per TR.
    pub oversampling: usize,
    /// Length of the kernel in seconds.
    pub time_length: f64,
    /// Start of the response in seconds.
    pub onset: f64,
    /// Whether sample `i` is the response at `i · tr / oversampling`. nilearn's samples
    /// lie on a grid that is stretched to end at `time_length`, and are taken one
    /// sample late.
    pub exact: bool,
}

impl Sampling {
    /// `oversampling` samples per TR over [`TIME_LENGTH`] seconds, from 0, as nilearn
    /// takes them.
    pub fn new(tr: f64, oversampling: usize) -> Self {
        Self {
            tr,
            oversampling,
            time_length: TIME_LENGTH,
            onset: 0.0,
            exact: false,
        }
    }
}

/// The response, `rint(time_length · oversampling / tr)` samples with sum 1.
///
/// Equal to nilearn's `glover_hrf` and `spm_hrf`, unless `sampling.exact`.
///
/// # Errors
/// When the sampling leaves no kernel: a TR that is not a positive number, far too
/// short, or longer than the response.
pub fn response(model: Model, sampling: Sampling) -> Result<Vec<f64>, String> {
    model.gammas().sample(sampling)
}

/// The derivative of the response with respect to its onset, by a step of 0.1 s.
///
/// Equal to nilearn's `glover_time_derivative` and `spm_time_derivative`.
///
/// # Errors
/// As [`response`].
pub fn time_derivative(model: Model, sampling: Sampling) -> Result<Vec<f64>, String> {
    const STEP: f64 = 0.1;
    let later = Sampling {
        onset: sampling.onset + STEP,
        ..sampling
    };
    let gammas = model.gammas();
    Ok(difference(
        gammas.sample(sampling)?,
        &gammas.sample(later)?,
        STEP,
    ))
}

/// The derivative of the response with respect to its dispersion, by a step of 0.01.
///
/// Equal to nilearn's `glover_dispersion_derivative` and
/// `spm_dispersion_derivative`, which set the undershoot's dispersion to 1 in both
/// terms: for glover the first term is therefore not [`response`].
///
/// # Errors
/// As [`response`].
pub fn dispersion_derivative(model: Model, sampling: Sampling) -> Result<Vec<f64>, String> {
    const STEP: f64 = 0.01;
    let narrow = Gammas {
        u_dispersion: 1.0,
        ..model.gammas()
    };
    let wide = Gammas {
        dispersion: narrow.dispersion + STEP,
        ..narrow
    };
    Ok(difference(
        narrow.sample(sampling)?,
        &wide.sample(sampling)?,
        STEP,
    ))
}

/// The kernel of a finite impulse response: a box one TR long, `delay` TRs late.
pub fn fir(delay: usize, oversampling: usize) -> Vec<f64> {
    let mut kernel = vec![0.0; delay * oversampling];
    kernel.resize((delay + 1) * oversampling, 1.0 / oversampling as f64);
    kernel
}

/// The kernel for values that are held for a whole TR: one tap per TR.
///
/// `y[t] = Σ taps[k] · x[t − k]` equals repeating every `x` `oversampling` times,
/// convolving with `kernel` and taking the samples `0, oversampling, 2·oversampling…`:
/// sample `s > 0` of the kernel always meets the value of `ceil(s / oversampling)` TRs
/// ago, so the kernel folds once and for all.
pub fn hold_taps(kernel: &[f64], oversampling: usize) -> Vec<f64> {
    let Some((first, rest)) = kernel.split_first() else {
        return Vec::new();
    };
    std::iter::once(*first)
        .chain(rest.chunks(oversampling.max(1)).map(|tr| tr.iter().sum()))
        .collect()
}

/// What an exact kernel gives between a sample and the one before, by the trapezoid
/// rule: sample `s` of the result stands for the time from `s − 1` to `s`.
///
/// A kernel sample weighs values at one moment. A held value lasts, and meets the
/// kernel's mean over that time; taking the sample at the end of it instead would make
/// the response half a sample early.
pub fn between_samples(kernel: &[f64]) -> Vec<f64> {
    let before = std::iter::once(&0.0).chain(kernel);
    let here = kernel.iter().chain(std::iter::once(&0.0));
    // At time 0 nothing has passed yet, whatever the kernel is there.
    let mut between: Vec<f64> = before.zip(here).map(|(a, b)| (a + b) / 2.0).collect();
    between[0] = 0.0;
    between
}

/// The difference of two gamma densities.
#[derive(Debug, Clone, Copy)]
struct Gammas {
    delay: f64,
    undershoot: f64,
    dispersion: f64,
    u_dispersion: f64,
    ratio: f64,
}

impl Gammas {
    fn sample(self, sampling: Sampling) -> Result<Vec<f64>, String> {
        let Sampling {
            tr,
            oversampling,
            time_length,
            onset,
            exact,
        } = sampling;
        if !(tr.is_finite() && tr > 0.0) {
            return Err(format!(
                "tr is the repetition time in seconds and must be positive, got {tr}"
            ));
        }
        if oversampling == 0 {
            return Err("oversampling must be at least 1, got 0".into());
        }
        if !(time_length.is_finite() && time_length > 0.0) {
            return Err(format!(
                "time_length is the length of the kernel in seconds and must be positive, got \
                 {time_length}"
            ));
        }
        if !onset.is_finite() {
            return Err(format!("onset must be a number of seconds, got {onset}"));
        }
        let dt = tr / oversampling as f64;
        let count = (time_length / dt).round_ties_even();
        if count > MAX_SAMPLES {
            return Err(format!(
                "tr => {tr} with oversampling => {oversampling} needs a kernel of {count} samples; \
                 tr is in seconds"
            ));
        }
        let count = count as usize;
        let (step, late) = if exact {
            (dt, 0.0)
        } else {
            // The end point belongs to the grid, so the spacing is not dt.
            (time_length / (count as f64 - 1.0), dt)
        };
        let mut kernel: Vec<f64> = (0..count)
            .map(|i| {
                let t = i as f64 * step - onset - late;
                gamma_density(t, self.delay / self.dispersion, self.dispersion)
                    - self.ratio
                        * gamma_density(t, self.undershoot / self.u_dispersion, self.u_dispersion)
            })
            .collect();
        let sum: f64 = kernel.iter().sum();
        // nilearn's grid of one sample gives NaN.
        if sum.is_nan() || sum <= 0.0 {
            return Err(format!(
                "tr => {tr} with oversampling => {oversampling} leaves nothing of a response that \
                 starts at {onset} s, in a kernel of {time_length} s"
            ));
        }
        kernel.iter_mut().for_each(|h| *h /= sum);
        Ok(kernel)
    }
}

/// The gamma density of that shape and scale at `t`, 0 for `t <= 0`.
fn gamma_density(t: f64, shape: f64, scale: f64) -> f64 {
    let u = t / scale;
    if u > 0.0 {
        ((shape - 1.0) * u.ln() - u - lgamma(shape)).exp() / scale
    } else {
        0.0
    }
}

fn difference(mut a: Vec<f64>, b: &[f64], step: f64) -> Vec<f64> {
    for (a, b) in a.iter_mut().zip(b) {
        *a = (*a - b) / step;
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_equals_convolving_the_held_values() {
        let x = [1.0, -2.0, 0.5, 3.0, 0.0, 1.5];
        for oversampling in [1, 3, 16] {
            let kernel = response(Model::Glover, Sampling::new(1.49, oversampling)).unwrap();
            let taps = hold_taps(&kernel, oversampling);
            for t in 0..x.len() {
                let held = |s: usize| x[s / oversampling];
                let want: f64 = (0..kernel.len().min(t * oversampling + 1))
                    .map(|s| kernel[s] * held(t * oversampling - s))
                    .sum();
                let got: f64 = (0..=t.min(taps.len() - 1))
                    .map(|k| taps[k] * x[t - k])
                    .sum();
                assert!((got - want).abs() < 1e-12, "{got} {want}");
            }
        }
    }

    /// Held values meet the integral of the response, at any oversampling.
    #[test]
    fn exact_taps_converge_without_a_shift() {
        let taps = |oversampling: usize| {
            let sampling = Sampling {
                exact: true,
                ..Sampling::new(1.0, oversampling)
            };
            let kernel = response(Model::Glover, sampling).unwrap();
            hold_taps(&between_samples(&kernel), oversampling)
        };
        let fine = taps(10_000);
        let centre =
            |taps: &[f64]| -> f64 { taps.iter().zip(0..).map(|(h, k)| h * f64::from(k)).sum() };
        for (oversampling, error) in [(1, 0.03), (10, 3e-4), (50, 1.2e-5)] {
            let taps = taps(oversampling);
            assert!((taps.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (k, tap) in fine.iter().enumerate() {
                assert!((tap - taps[k]).abs() < error, "{oversampling}: {k}");
            }
            assert!(
                (centre(&taps) - centre(&fine)).abs() < error,
                "{oversampling}"
            );
        }
    }

    /// Sample i is the response at i · dt: the true peak is where it belongs, at any
    /// oversampling, and coarse samples are among the fine ones.
    #[test]
    fn exact_samples_lie_on_their_grid() {
        let exact = |tr, oversampling| Sampling {
            exact: true,
            ..Sampling::new(tr, oversampling)
        };
        for model in [Model::Glover, Model::Spm] {
            let fine = response(model, exact(1.0, 100)).unwrap();
            assert_eq!(fine.len(), 3200);
            assert_eq!(fine[0], 0.0);
            let coarse = response(model, exact(1.0, 1)).unwrap();
            assert!((coarse.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let ratio = coarse[5] / fine[500];
            for (i, sample) in coarse.iter().enumerate() {
                assert!((sample - ratio * fine[100 * i]).abs() < 1e-12);
            }
        }
        // It peaks at 5.0053 s.
        let peak =
            |kernel: &[f64]| (0..kernel.len()).max_by(|a, b| kernel[*a].total_cmp(&kernel[*b]));
        assert_eq!(
            peak(&response(Model::Glover, exact(1.0, 100)).unwrap()),
            Some(501)
        );
        assert_eq!(
            peak(&response(Model::Glover, exact(1.0, 1)).unwrap()),
            Some(5)
        );
        // nilearn's is a TR late there.
        assert_eq!(
            peak(&response(Model::Glover, Sampling::new(1.0, 1)).unwrap()),
            Some(6)
        );
    }

    #[test]
    fn taps_sum_to_one() {
        for tr in [0.72, 1.0, 1.49, 2.0] {
            let kernel = response(Model::Spm, Sampling::new(tr, OVERSAMPLING)).unwrap();
            let sum: f64 = hold_taps(&kernel, OVERSAMPLING).iter().sum();
            assert!((sum - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn impossible_sampling_is_an_error() {
        for tr in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9, 1e5] {
            for oversampling in [1, 50] {
                assert!(response(Model::Glover, Sampling::new(tr, oversampling)).is_err());
            }
        }
        assert!(response(Model::Glover, Sampling::new(1.0, 0)).is_err());
        for (time_length, onset) in [(f64::NAN, 0.0), (-1.0, 0.0), (32.0, f64::NAN), (32.0, 40.0)] {
            let sampling = Sampling {
                time_length,
                onset,
                ..Sampling::new(1.0, 50)
            };
            assert!(response(Model::Glover, sampling).is_err());
        }
    }
}
