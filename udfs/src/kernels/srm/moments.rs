//! What the iterations need of one subject, gathered in one pass over its voxels.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::start::Start;
use super::{Data, PERTURBATION, Shape, centre, subtract, trace};
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

/// Second moments of one subject's `x`, voxels × TRs, and its random start.
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub(super) name: String,
    pub(super) voxels: usize,
    /// `xᵀx`, TRs × TRs.
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
            (data.read)(i, &mut |mut panel| {
                moments.add(panel.as_mut());
                start.add(panel.as_ref());
            })?;
            (moments.start, _) = start.finish()?;
            moments.finish();
            Ok(moments)
        })
    }

    fn new(shape: Shape<'_>, features: usize, centring: Centring) -> Self {
        let Shape { name, voxels, trs } = shape;
        Self {
            name: name.to_string(),
            voxels,
            gram: Mat::zeros(trs, trs),
            top: Mat::zeros(features, trs),
            start: Mat::new(),
            squares: 0.0,
            mean: Vec::with_capacity(voxels),
            centring,
        }
    }

    /// Adds the next voxels, with all their TRs. Removes their means from the panel, if
    /// means are to be removed.
    fn add(&mut self, mut panel: MatMut<'_, f64>) {
        let first = self.mean.len();
        let rows = panel.nrows();
        if self.centring == Centring::CountedAsNoise {
            self.squares += panel.squared_norm_l2();
        }
        let mean = match self.centring {
            Centring::None => vec![0.0; rows],
            _ => centre(panel.as_mut()),
        };
        self.mean.extend(mean);

        let x = panel.as_ref();
        for i in first..self.top.nrows().min(first + rows) {
            let row = x.row(i - first);
            self.top.row_mut(i).copy_from(row);
        }
        triangular::matmul(
            &mut self.gram,
            BlockStructure::TriangularLower,
            Accum::Add,
            x.transpose(),
            BlockStructure::Rectangular,
            x,
            BlockStructure::Rectangular,
            1.0,
            Par::Seq,
        );
    }

    /// Ends the pass.
    fn finish(&mut self) {
        for j in 0..self.gram.ncols() {
            for i in 0..j {
                self.gram[(i, j)] = self.gram[(j, i)];
            }
        }
        if self.centring != Centring::CountedAsNoise {
            self.squares = trace(self.gram.as_ref());
        }
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
        (data.read)(i, &mut |mut panel| {
            let means = &mean[factor.seen..factor.seen + panel.nrows()];
            subtract(panel.as_mut(), means);
            factor.add(panel.as_ref());
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

    /// Adds the next voxels, their means removed.
    fn add(&mut self, panel: MatRef<'_, f64>) {
        let trs = self.r.ncols() - self.features;
        let above = self.r.nrows();
        let mut stacked = Mat::zeros(above + panel.nrows(), trs + self.features);
        stacked.subrows_mut(0, above).copy_from(&self.r);
        stacked
            .submatrix_mut(above, 0, panel.nrows(), trs)
            .copy_from(panel);
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
