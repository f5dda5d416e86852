//! The options of the shared response models.

use std::collections::BTreeMap;
use std::fmt;

use datafusion::common::Result;
use serde::{Deserialize, Serialize};
use voxql_udfs::kernels::srm::{Centring, Stop};

use crate::models::options::Given;

/// The kinds of shared response model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Probabilistic: BrainIAK's `SRM`.
    Srm,
    /// Deterministic: `DetSRM`.
    Detsrm,
    /// Robust: `RSRM`.
    Rsrm,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Srm, Self::Detsrm, Self::Rsrm];

    /// As in `USING srm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Srm => "srm",
            Self::Detsrm => "detsrm",
            Self::Rsrm => "rsrm",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the iterations report.
    pub fn history(self) -> &'static str {
        match self {
            Self::Srm => "log_likelihood",
            Self::Detsrm | Self::Rsrm => "objective",
        }
    }
}

/// `OPTIONS (features 50, iterations 10, seed 0, tolerance 0, demean true)`: BrainIAK's defaults, and
/// the centring that it leaves to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Options {
    pub kind: Kind,
    /// Features of the shared space.
    pub features: usize,
    /// Iterations, at most.
    pub iterations: usize,
    /// BrainIAK's `rand_seed`.
    pub seed: u32,
    /// The fit ends once the likelihood or objective changes by less than this share; with 0 it
    /// never does, as in BrainIAK.
    pub tolerance: f64,
    /// Subtract each voxel's mean over the fitted TRs, in the fit and in `srm_transform`. BrainIAK
    /// does neither: its `SRM` takes the power of uncentred data for noise. `false` gives
    /// its numbers.
    pub demean: bool,
    /// Of `rsrm`: the weight of a subject's own response; the larger, the sparser it is.
    pub gamma: f64,
}

impl Options {
    pub fn from_sql(kind: Kind, given: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Self {
            kind,
            features: 50,
            iterations: 10,
            seed: 0,
            tolerance: 0.0,
            demean: true,
            gamma: 1.0,
        };
        let mut known = vec!["features", "iterations", "seed", "tolerance", "demean"];
        if kind == Kind::Rsrm {
            known.push("gamma");
        }
        let given = Given::new(kind.name(), given, &known)?;
        let whole = "a whole number above 0";
        given.read("features", &mut options.features, whole, |n| *n > 0)?;
        given.read("iterations", &mut options.iterations, whole, |n| *n > 0)?;
        let seed = "a whole number from 0 to 4294967295";
        given.read("seed", &mut options.seed, seed, |_| true)?;
        let tolerance = "a number from 0, the change that ends the fit, up to 1";
        given.read("tolerance", &mut options.tolerance, tolerance, |t| {
            (0.0..1.0).contains(t)
        })?;
        given.read("demean", &mut options.demean, "true or false", |_| true)?;
        given.read("gamma", &mut options.gamma, "a number above 0", |gamma| {
            *gamma > 0.0 && gamma.is_finite()
        })?;
        Ok(options)
    }

    /// Of a model that BrainIAK fitted: it does not subtract means.
    pub fn of_brainiak(features: usize, iterations: usize, seed: u32) -> Self {
        Self {
            kind: Kind::Srm,
            features,
            iterations,
            seed,
            tolerance: 0.0,
            demean: false,
            gamma: 1.0,
        }
    }

    pub fn stop(&self) -> Stop {
        Stop {
            iterations: self.iterations,
            tolerance: self.tolerance,
        }
    }

    pub fn centring(&self) -> Centring {
        match (self.demean, self.kind) {
            (true, _) => Centring::Removed,
            (false, Kind::Srm) => Centring::CountedAsNoise,
            (false, Kind::Detsrm | Kind::Rsrm) => Centring::None,
        }
    }
}

/// For `SHOW MODELS`.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            features,
            iterations,
            seed,
            demean,
            ..
        } = self;
        write!(
            f,
            "features {features}, iterations {iterations}, seed {seed}, demean {demean}"
        )?;
        if self.tolerance > 0.0 {
            write!(f, ", tolerance {}", self.tolerance)?;
        }
        if self.kind == Kind::Rsrm {
            write!(f, ", gamma {}", self.gamma)?;
        }
        Ok(())
    }
}
