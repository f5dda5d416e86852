//! What the iterations need of one subject, gathered in one pass over its voxels.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef, Par};

use super::start::Start;
use super::{Data, PERTURBATION, Shape, means, subtract, trace, without};
use crate::kernels::mt19937::Mt19937;

/// What is done about the voxels' means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centring {
    /// Nothing: BrainIAK's `DetSRM` and `RSRM`.
    None,
    /// They are removed.
    Removed,
    /// They are removed from the data, but not from its sum of squares: BrainIAK's `SRM`, which
    /// so takes the power of uncentred data for noise.
    CountedAsNoise,
}

/// Bytes that are centred and multiplied at once, so that they stay in a core's cache: of some voxels, and of
/// their rows of the random start.
pub const BLOCK: usize = 1 << 20;

/// Second moments of one subject's `x`, voxels × TRs, and its random start.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub(super) name: String,
    pub(super) voxels: usize,
    /// `xᵀx`, TRs × TRs; during the pass the lower triangle of that of `[x, U]`.
    pub(super) gram: Mat<f64>,
    /// The first rows of `x`, features × TRs: those that the perturbation touches.
    pub(super) top: Mat<f64>,
    /// `W₀ᵀx`, features × TRs, of the random start `W₀`.
    pub(super) start: Mat<f64>,
    /// The sum of squares that the noise is measured by.
    pub(super) squares: f64,
    /// Each voxel's mean over the TRs; zero where means are not removed.
    pub(super) mean: Vec<f64>,
    centring: Centring,
}

impl Moments {
    /// Those of every subject, in one pass. The generator of `seed` draws the seeds of the
    /// subjects' starts, as BrainIAK's `SRM` and `DetSRM`.
    pub fn read(
        data: &Data<'_>,
        features: usize,
        centring: Centring,
        seed: u32,
    ) -> Result<Vec<Self>, String> {
        let mut seeds = Mt19937::new(seed);
        let seeds: Vec<u32> = data.subjects.iter().map(|_| seeds.next_u32()).collect();
        data.each(|i| {
            let shape = data.subjects[i];
            let mut moments = Self::new(shape, features, centring);
            let mut start = Start::new(shape, features, Mt19937::new(seeds[i]));
            let mut centred = Mat::new();
            let rows = (BLOCK / 8 / (shape.trs + features)).max(16);
            (data.read)(i, &mut |panel| {
                for first in (0..panel.nrows()).step_by(rows) {
                    let block = panel.subrows(first, rows.min(panel.nrows() - first));
                    let means = moments.means(block);
                    let mut xu = without(block, &means, features, &mut centred);
                    start.draw(xu.as_mut().subcols_mut(shape.trs, features));
                    moments.add(xu.as_ref(), means);
                }
            })?;
            moments.finish(start)
        })
    }

    fn new(shape: Shape<'_>, features: usize, centring: Centring) -> Self {
        let Shape { name, voxels, trs } = shape;
        Self {
            name: name.to_string(),
            voxels,
            gram: Mat::zeros(trs + features, trs + features),
            top: Mat::zeros(features, trs),
            start: Mat::new(),
            squares: 0.0,
            mean: Vec::with_capacity(voxels),
            centring,
        }
    }

    /// The means that are to be removed from the next voxels.
    fn means(&mut self, panel: MatRef<'_, f64>) -> Vec<f64> {
        if self.centring == Centring::CountedAsNoise {
            self.squares += panel.squared_norm_l2();
        }
        match self.centring {
            Centring::None => vec![0.0; panel.nrows()],
            Centring::Removed | Centring::CountedAsNoise => means(panel),
        }
    }

    /// Adds the next voxels: all their TRs, without the means, and their rows of the random start. One
    /// product makes the moments of both.
    fn add(&mut self, xu: MatRef<'_, f64>, means: Vec<f64>) {
        let first = self.mean.len();
        self.mean.extend(means);
        let trs = self.top.ncols();
        for i in first..self.top.nrows().min(first + xu.nrows()) {
            let row = xu.row(i - first).subcols(0, trs);
            self.top.row_mut(i).copy_from(row);
        }
        triangular::matmul(
            &mut self.gram,
            BlockStructure::TriangularLower,
            Accum::Add,
            xu.transpose(),
            BlockStructure::Rectangular,
            xu,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
    }

    /// Ends the pass.
    fn finish(mut self, start: Start) -> Result<Self, String> {
        let (features, trs) = self.top.shape();
        let ux = self.gram.submatrix(trs, 0, features, trs);
        let uu = self.gram.submatrix(trs, trs, features, features);
        (self.start, _) = start.finish(ux, uu)?;
        let lower = &self.gram;
        self.gram = Mat::from_fn(trs, trs, |i, j| lower[(i.max(j), i.min(j))]);
        if self.centring != Centring::CountedAsNoise {
            self.squares = trace(self.gram.as_ref());
        }
        Ok(self)
    }
}

/// The R of a thin QR of `[x, E]`, for subjects whose moments are too badly
/// conditioned: made panel by panel, and never squared.
#[derive(Debug)]
pub(super) struct Factor {
    r: Mat<f64>,
    features: usize,
    seen: usize,
}

impl Factor {
    /// Reads subject `i` once more. `mean` is what its moments removed.
    pub fn read(data: &Data<'_>, i: usize, features: usize, mean: &[f64]) -> Result<Self, String> {
        let mut factor = Self::new(data.subjects[i].trs, features);
        (data.read)(i, &mut |panel| {
            let means = &mean[factor.seen..factor.seen + panel.nrows()];
            factor.add(panel, means);
        })?;
        Ok(factor)
    }

    fn new(trs: usize, features: usize) -> Self {
        Self {
            r: Mat::zeros(0, trs + features),
            features,
            seen: 0,
        }
    }

    /// Adds the next voxels without their means.
    fn add(&mut self, panel: MatRef<'_, f64>, means: &[f64]) {
        let trs = self.r.ncols() - self.features;
        let above = self.r.nrows();
        let mut stacked = Mat::zeros(above + panel.nrows(), trs + self.features);
        stacked.subrows_mut(0, above).copy_from(&self.r);
        let below = stacked.submatrix_mut(above, 0, panel.nrows(), trs);
        subtract(panel, means, below);
        for i in self.seen..self.features.min(self.seen + panel.nrows()) {
            stacked[(above + i - self.seen, trs + i)] = 1.0;
        }
        self.seen += panel.nrows();
        self.r = stacked.qr().thin_R().to_owned();
    }

    /// `R [Sᵀ; εI]`, whose singular vectors are those of `A` in the basis of Q.
    pub(super) fn perturbed(&self, s: MatRef<'_, f64>) -> Mat<f64> {
        let trs = s.ncols();
        let mut right = Mat::zeros(trs + self.features, self.features);
        right.subrows_mut(0, trs).copy_from(s.transpose());
        for j in 0..self.features {
            right[(trs + j, j)] = PERTURBATION;
        }
        &self.r * right
    }

    /// `Qᵀx`.
    pub(super) fn data(&self, trs: usize) -> MatRef<'_, f64> {
        self.r.subcols(0, trs)
    }
}
