//! Which alpha, and in banded ridge which gammas, predict held-out samples best.

use faer::Mat;

use super::folds::Fold;
use super::score::Score;
use super::validate::Held;
use super::{Regression, Targets, parallel};

/// What is tried, and how it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Candidates for the penalty, above 0.
    pub alphas: &'a [f64],
    /// Candidates for the scales of the feature spaces, one number a space.
    pub gammas: &'a [Vec<f64>],
    /// The splits.
    pub folds: &'a [Fold],
    /// What is maximised: its mean over the folds.
    pub score: Score,
    /// An alpha for each target (himalaya's `local_alpha`), or the best one for their mean.
    pub per_target: bool,
}

/// What was found, per target.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The best alpha.
    pub alphas: Vec<f64>,
    /// Which candidate of the gammas.
    pub gammas: Vec<usize>,
    /// The mean score over the folds.
    pub scores: Vec<f64>,
}

impl<Y: Targets> Regression<'_, Y> {
    /// Tries all gammas and alphas. `observe(i, scores)` hears each target's best mean score
    /// with gammas `i`.
    ///
    /// Scores that differ by less than `1e-10 · ln(ratio of the alphas)` count as equal, and the
    /// larger alpha is taken (himalaya's rule); among gammas the earlier.
    ///
    /// # Errors
    /// Nothing to try, alphas not above 0, gammas below 0, folds without samples, or a
    /// decomposition that does not converge.
    pub fn search(
        &self,
        search: &Search<'_>,
        mut observe: impl FnMut(usize, &[f64]),
    ) -> Result<Selection, String> {
        self.check_alphas(search.alphas)?;
        self.check_gammas(search.gammas)?;
        let folds = search.folds;
        if folds.is_empty()
            || folds
                .iter()
                .any(|f| f.train.is_empty() || f.test.is_empty())
        {
            return Err("each fold needs samples to train on and samples to test on".into());
        }
        let targets = self.y.count();
        let blocks = self.blocks();
        let mut selection = Selection {
            alphas: vec![search.alphas[0]; targets],
            gammas: vec![0; targets],
            scores: vec![f64::NEG_INFINITY; targets],
        };
        let mut best = vec![f64::NEG_INFINITY; targets];
        let mut sums = Mat::<f64>::zeros(search.alphas.len(), targets);
        let jobs: Vec<(usize, usize)> = (0..search.gammas.len())
            .flat_map(|g| (0..folds.len()).map(move |f| (g, f)))
            .collect();
        // A few at a time, so that not all decompositions are held.
        for jobs in jobs.chunks(self.threads) {
            let held = parallel::map(self.threads, jobs.len(), |i| {
                let (g, f) = jobs[i];
                self.hold_out(&search.gammas[g], &folds[f], search)
            });
            let held = held.into_iter().collect::<Result<Vec<_>, String>>()?;
            // Each block is read once for all of them.
            let scores = parallel::map(self.threads, blocks.len(), |i| {
                let y = self.y.read(blocks[i].clone())?;
                let held = held.iter();
                Ok(held.map(|fold| fold.scores(&y, self.intercept)).collect())
            });
            let scores = scores
                .into_iter()
                .collect::<Result<Vec<Vec<_>>, String>>()?;
            for (i, (g, f)) in jobs.iter().enumerate() {
                add(&mut sums, scores.iter().map(|block| &block[i]));
                if f + 1 == folds.len() {
                    let found = choose(&sums, folds.len(), search);
                    let scores: Vec<f64> = found.iter().map(|c| c.score).collect();
                    observe(*g, &scores);
                    for (t, choice) in found.iter().enumerate() {
                        if choice.judged > best[t] + f64::EPSILON {
                            best[t] = choice.judged;
                            selection.scores[t] = choice.score;
                            selection.alphas[t] = choice.alpha;
                            selection.gammas[t] = *g;
                        }
                    }
                    sums.fill(0.0);
                }
            }
        }
        Ok(selection)
    }

    fn hold_out<'f>(
        &self,
        gamma: &[f64],
        fold: &'f Fold,
        search: &Search<'_>,
    ) -> Result<Held<'f>, String> {
        let smallest = search.alphas.iter().copied().fold(f64::INFINITY, f64::min);
        let spectrum = self.of_fold(gamma, fold, smallest)?;
        let (alphas, targets) = (search.alphas, self.y.count());
        Ok(Held::new(spectrum, fold, search.score, alphas, targets))
    }
}

/// One target's best alpha.
#[derive(Clone, Copy)]
struct Choice {
    alpha: f64,
    score: f64,
    /// The score by which candidates are compared.
    judged: f64,
}

fn add<'a>(sums: &mut Mat<f64>, blocks: impl Iterator<Item = &'a Mat<f64>>) {
    let columns = blocks.flat_map(Mat::col_iter);
    for (sum, scores) in sums.col_iter_mut().zip(columns) {
        for (sum, score) in sum.iter_mut().zip(scores.iter()) {
            *sum += score;
        }
    }
}

fn choose(sums: &Mat<f64>, folds: usize, search: &Search<'_>) -> Vec<Choice> {
    let folds = folds as f64;
    let choice = |i: usize, t: usize| {
        let (alpha, score) = (search.alphas[i], sums[(i, t)] / folds);
        Choice {
            alpha,
            score,
            judged: score + alpha.ln() * 1e-10,
        }
    };
    let (alphas, targets) = (0..sums.nrows(), 0..sums.ncols());
    let best = |judged: &dyn Fn(usize) -> f64| {
        let mut best = 0;
        for i in alphas.clone() {
            if judged(i) > judged(best) {
                best = i;
            }
        }
        best
    };
    if search.per_target {
        let own = |t| choice(best(&|i| choice(i, t).judged), t);
        return targets.map(own).collect();
    }
    let mean = |i: usize| targets.clone().map(|t| choice(i, t).judged).sum::<f64>();
    let means: Vec<f64> = alphas.clone().map(mean).collect();
    let shared = best(&|i| means[i]);
    targets.clone().map(|t| choice(shared, t)).collect()
}
