//! The weights of all samples, with known alphas and gammas.

use std::collections::BTreeMap;

use faer::Mat;

use super::search::Selection;
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
        let all: Vec<usize> = (0..self.samples()).collect();
        let groups: Vec<_> = groups.into_iter().collect();
        for groups in groups.chunks(self.threads) {
            let spectra = parallel::map(self.threads, groups.len(), |i| {
                let (gamma, targets) = &groups[i];
                let alphas = targets.iter().map(|&t| selection.alphas[t]);
                self.of_all(&gammas[*gamma], alphas.fold(f64::INFINITY, f64::min))
            });
            let spectra = spectra.into_iter().collect::<Result<Vec<_>, String>>()?;
            for ((_, targets), spectrum) in groups.iter().zip(&spectra) {
                let blocks = self.blocks(targets);
                // A few blocks at a time, so that not all weights are held.
                for blocks in blocks.chunks(self.threads) {
                    let done = parallel::map(self.threads, blocks.len(), |i| {
                        let targets = &blocks[i];
                        let mut y = self.y.read(&all, targets);
                        let mut means = vec![0.0; targets.len()];
                        if self.intercept {
                            for (j, mean) in means.iter_mut().enumerate() {
                                *mean = centre(y.col_as_slice_mut(j));
                            }
                        }
                        let mut c = product(spectrum.b.transpose(), y.as_ref());
                        for (j, &target) in targets.iter().enumerate() {
                            let alpha = selection.alphas[target];
                            for (c, value) in c.col_as_slice_mut(j).iter_mut().zip(&spectrum.values)
                            {
                                *c /= value + alpha;
                            }
                        }
                        let coefficients = product(spectrum.a.as_ref(), c.as_ref());
                        Weights {
                            targets: targets.clone(),
                            intercepts: self.intercepts(&coefficients, &means),
                            coefficients,
                            means,
                        }
                    });
                    done.into_iter().try_for_each(&mut sink)?;
                }
            }
        }
        Ok(())
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
