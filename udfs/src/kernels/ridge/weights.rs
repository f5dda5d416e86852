//! The weights of all samples, with known alphas and gammas.

use std::collections::BTreeMap;
use std::ops::Range;

use faer::Mat;

use super::search::Selection;
use super::spectrum::Spectrum;
use super::{Regression, Targets, centre, parallel, product};

/// The weights of a block of targets.
pub struct Weights {
    /// The targets' numbers.
    pub targets: Vec<usize>,
    /// Features × targets.
    pub coefficients: Mat<f64>,
    /// Per target the prediction for features at their means: the mean of the target, or 0
    /// without an intercept.
    pub means: Vec<f64>,
    /// Per target the prediction for features of 0; 0 without an intercept.
    pub intercepts: Vec<f64>,
}

impl<Y: Targets> Regression<'_, Y> {
    /// The weights with one alpha for all targets.
    ///
    /// # Errors
    /// As [`Self::weights`].
    pub fn weights_of_alpha(
        &self,
        alpha: f64,
        sink: impl FnMut(Weights) -> Result<(), String>,
    ) -> Result<(), String> {
        let selection = Selection {
            alphas: vec![alpha; self.y.count()],
            gammas: vec![0; self.y.count()],
            scores: Vec::new(),
        };
        self.weights(&selection, &[vec![1.0; self.spaces()]], sink)
    }

    /// The weights with what [`Self::search`] found among `gammas`. `sink` gets each target once,
    /// in blocks; targets with the same gammas come together.
    ///
    /// # Errors
    /// Alphas that are not above 0, gammas below 0, a decomposition that does not converge, or
    /// what `sink` says.
    pub fn weights(
        &self,
        selection: &Selection,
        gammas: &[Vec<f64>],
        mut sink: impl FnMut(Weights) -> Result<(), String>,
    ) -> Result<(), String> {
        self.check_alphas(&selection.alphas)?;
        self.check_gammas(gammas)?;
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (target, gamma) in selection.gammas.iter().enumerate() {
            groups.entry(*gamma).or_default().push(target);
        }
        let groups: Vec<_> = groups.into_iter().collect();
        for groups in groups.chunks(self.threads) {
            let spectra = parallel::map(self.threads, groups.len(), |i| {
                let (gamma, targets) = &groups[i];
                let alphas = targets.iter().map(|&t| selection.alphas[t]);
                self.of_all(&gammas[*gamma], alphas.fold(f64::INFINITY, f64::min))
            });
            let spectra = spectra.into_iter().collect::<Result<Vec<_>, String>>()?;
            // A few blocks at a time, so that not all weights are held.
            for blocks in self.blocks().chunks(self.threads) {
                let done = parallel::map(self.threads, blocks.len(), |i| {
                    self.of_block(&blocks[i], groups, &spectra, &selection.alphas)
                });
                for weights in done {
                    weights?.into_iter().try_for_each(&mut sink)?;
                }
            }
        }
        Ok(())
    }

    /// The weights of those targets of a block that are in one of the groups.
    fn of_block(
        &self,
        block: &Range<usize>,
        groups: &[(usize, Vec<usize>)],
        spectra: &[Spectrum],
        alphas: &[f64],
    ) -> Result<Vec<Weights>, String> {
        let mut parts = Vec::new();
        for ((_, targets), spectrum) in groups.iter().zip(spectra) {
            let start = targets.partition_point(|t| *t < block.start);
            let end = targets.partition_point(|t| *t < block.end);
            if start < end {
                parts.push((&targets[start..end], spectrum));
            }
        }
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let y = self.y.read(block.clone())?;
        let weights = parts.into_iter().map(|(targets, spectrum)| {
            let y = Mat::from_fn(y.nrows(), targets.len(), |i, j| {
                y[(i, targets[j] - block.start)]
            });
            self.of_targets(targets, y, spectrum, alphas)
        });
        Ok(weights.collect())
    }

    fn of_targets(
        &self,
        targets: &[usize],
        mut y: Mat<f64>,
        spectrum: &Spectrum,
        alphas: &[f64],
    ) -> Weights {
        let mut means = vec![0.0; targets.len()];
        if self.intercept {
            for (j, mean) in means.iter_mut().enumerate() {
                *mean = centre(y.col_as_slice_mut(j));
            }
        }
        let mut c = product(spectrum.b.transpose(), y.as_ref());
        for (j, &target) in targets.iter().enumerate() {
            for (c, value) in c.col_as_slice_mut(j).iter_mut().zip(&spectrum.values) {
                *c /= value + alphas[target];
            }
        }
        let coefficients = product(spectrum.a.as_ref(), c.as_ref());
        Weights {
            targets: targets.to_vec(),
            intercepts: self.intercepts(&coefficients, &means),
            coefficients,
            means,
        }
    }

    fn intercepts(&self, coefficients: &Mat<f64>, means: &[f64]) -> Vec<f64> {
        let of_target = |(j, mean): (usize, &f64)| {
            let weights = coefficients.col_as_slice(j);
            let at_means: f64 = weights.iter().zip(&self.means).map(|(w, m)| w * m).sum();
            mean - at_means
        };
        means.iter().enumerate().map(of_target).collect()
    }
}
