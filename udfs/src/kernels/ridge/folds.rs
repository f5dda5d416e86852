//! Which samples are held out together.

/// One split: the weights come from `train`, the score from `test`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// Sample numbers, ascending.
    pub train: Vec<usize>,
    /// Sample numbers, ascending.
    pub test: Vec<usize>,
}

/// `count` folds of neighbouring samples, as scikit-learn's `KFold` without shuffling: of `samples`
/// samples the first `samples mod count` folds hold one more.
///
/// # Errors
/// Fewer than two folds, or more than samples.
pub fn contiguous(samples: usize, count: usize) -> Result<Vec<Fold>, String> {
    if count < 2 || count > samples {
        return Err(format!(
            "{count} folds do not divide {samples} samples; 2 to {samples} do"
        ));
    }
    let label = |i: usize| {
        let (size, larger) = (samples / count, samples % count);
        let boundary = larger * (size + 1);
        match i < boundary {
            true => i / (size + 1),
            false => larger + (i - boundary) / size,
        }
    };
    let labels: Vec<usize> = (0..samples).map(label).collect();
    leave_one_out(&labels)
}

/// One fold per label, in the order of first appearance: all samples with it are held out, such as
/// a whole run.
///
/// # Errors
/// Fewer than two labels.
pub fn leave_one_out<L: PartialEq>(labels: &[L]) -> Result<Vec<Fold>, String> {
    let mut distinct: Vec<&L> = Vec::new();
    for label in labels {
        // Labels come in runs: nearly always it is the last one.
        if !distinct.iter().rev().any(|seen| *seen == label) {
            distinct.push(label);
        }
    }
    if distinct.len() < 2 {
        return Err(format!(
            "cross-validation needs at least 2 groups of samples, there is {}",
            distinct.len()
        ));
    }
    let fold = |held_out: &&L| {
        let (test, train) = (0..labels.len()).partition(|&i| labels[i] == **held_out);
        Fold { train, test }
    };
    Ok(distinct.iter().map(fold).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_as_scikit_learn_makes_them() {
        let folds = contiguous(7, 3).unwrap();
        let tests: Vec<_> = folds.iter().map(|f| f.test.clone()).collect();
        assert_eq!(tests, [vec![0, 1, 2], vec![3, 4], vec![5, 6]]);
        assert_eq!(folds[1].train, [0, 1, 2, 5, 6]);
        assert!(contiguous(3, 4).is_err());
        assert!(contiguous(3, 1).is_err());
    }

    #[test]
    fn whole_runs_are_left_out() {
        let folds = leave_one_out(&["b", "a", "b", "a", "c"]).unwrap();
        assert_eq!(folds.len(), 3);
        assert_eq!(folds[0].test, [0, 2]);
        assert_eq!(folds[1].train, [0, 2, 4]);
        assert!(leave_one_out(&["a", "a"]).is_err());
    }
}
