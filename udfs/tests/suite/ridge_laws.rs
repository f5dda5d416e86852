//! Laws of ridge regression.

use faer::{Mat, MatRef};
use proptest::prelude::*;
use voxql_udfs::kernels::ridge::{
    Form, Regression, Score, Search, Selection, Targets, candidates, contiguous, leave_one_out,
};

const ALPHAS: [f64; 4] = [0.1, 1.0, 10.0, 100.0];

#[derive(Debug, Clone)]
struct Data {
    x: Mat<f64>,
    y: Mat<f64>,
    intercept: bool,
    score: Score,
    per_target: bool,
}

impl Data {
    fn regression<'a>(
        &self,
        y: &'a MatRef<'a, f64>,
        form: Form,
    ) -> Regression<'a, MatRef<'a, f64>> {
        let bands = [2, self.x.ncols() - 2];
        Regression::new(self.x.as_ref(), &bands, y, self.intercept, form, 2).unwrap()
    }

    /// What is found, and the weights.
    fn fit<Y: Targets>(&self, regression: &Regression<'_, Y>) -> (Selection, Mat<f64>, Vec<f64>) {
        let gammas = candidates(4, 2, 1);
        let search = Search {
            alphas: &ALPHAS,
            gammas: &gammas,
            folds: &contiguous(self.x.nrows(), 3).unwrap(),
            score: self.score,
            per_target: self.per_target,
        };
        let selection = regression.search(&search, |_, _| ()).unwrap();
        let mut coefficients = Mat::zeros(self.x.ncols(), selection.alphas.len());
        let mut intercepts = vec![f64::NAN; selection.alphas.len()];
        regression
            .weights(&selection, &gammas, |weights| {
                for (j, &target) in weights.targets.iter().enumerate() {
                    coefficients
                        .col_mut(target)
                        .copy_from(weights.coefficients.col(j));
                    intercepts[target] = weights.intercepts[j];
                }
                Ok(())
            })
            .unwrap();
        (selection, coefficients, intercepts)
    }
}

/// More samples than features, and fewer.
fn data() -> impl Strategy<Value = Data> {
    let shape = (9usize..24, 3usize..30, 1usize..7);
    let options = (any::<bool>(), 0usize..3, any::<bool>());
    (shape, options).prop_flat_map(|((n, p, t), (intercept, score, per_target))| {
        prop::collection::vec(-1.0..1.0, n * (p + t)).prop_map(move |values| Data {
            x: Mat::from_fn(n, p, |i, j| values[i * p + j] + 0.5),
            y: Mat::from_fn(n, t, |i, j| values[i * p] + values[n * p + i * t + j]),
            intercept,
            score: [Score::NegativeError, Score::R2, Score::Correlation][score],
            per_target,
        })
    })
}

fn difference(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a - b).norm_max()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn primal_equals_dual(data in data()) {
        let y = data.y.as_ref();
        let (a, weights_a, intercepts_a) = data.fit(&data.regression(&y, Form::Primal));
        let (b, weights_b, intercepts_b) = data.fit(&data.regression(&y, Form::Dual));
        for (a, b) in a.scores.iter().zip(&b.scores) {
            prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        // A tie may fall either way.
        if (&a.alphas, &a.gammas) == (&b.alphas, &b.gammas) {
            prop_assert!(difference(&weights_a, &weights_b) < 1e-8);
            for (a, b) in intercepts_a.iter().zip(&intercepts_b) {
                prop_assert!((a - b).abs() < 1e-8);
            }
        }
    }

    /// Weights satisfy `(XᵀX + alpha) b = Xᵀ y`, tiny alphas (by the SVD) and large ones alike.
    #[test]
    fn weights_solve_the_normal_equations(data in data(), exponent in -9i32..9) {
        let alpha = 10f64.powi(exponent);
        let y = data.y.as_ref();
        for form in [Form::Primal, Form::Dual] {
            let regression = data.regression(&y, form);
            let centre = |m: &Mat<f64>| {
                let n = m.nrows() as f64;
                let means: Vec<f64> = m.col_iter().map(|c| c.sum() / n).collect();
                match data.intercept {
                    true => Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)] - means[j]),
                    false => m.clone(),
                }
            };
            let (x, y) = (centre(&data.x), centre(&data.y));
            regression.weights_of_alpha(alpha, |weights| {
                let b = &weights.coefficients;
                let y = Mat::from_fn(y.nrows(), b.ncols(), |i, j| y[(i, weights.targets[j])]);
                let gradient = x.transpose() * (&x * b - &y) + b * faer::Scale(alpha);
                let largest = 1.0 + b.norm_max();
                assert!(gradient.norm_max() < 1e-8 * largest, "{}", gradient.norm_max());
                Ok(())
            }).unwrap();
        }
    }

    #[test]
    fn an_infinite_alpha_leaves_nothing(data in data()) {
        let y = data.y.as_ref();
        data.regression(&y, Form::Auto).weights_of_alpha(1e14, |weights| {
            assert!(weights.coefficients.norm_max() < 1e-10);
            Ok(())
        }).unwrap();
    }

    /// Each target is on its own: neither the block, nor the order, nor a twin matter.
    #[test]
    fn blocks_and_order_of_targets_do_not_matter(data in data(), block in 1usize..8) {
        let data = Data { per_target: true, ..data };
        let y = data.y.as_ref();
        let (a, weights_a, _) = data.fit(&data.regression(&y, Form::Auto));
        let t = y.ncols();
        let turned = Mat::from_fn(y.nrows(), 2 * t, |i, j| y[(i, (2 * t - 1 - j) % t)]);
        let turned = turned.as_ref();
        let (b, weights_b, _) = data.fit(&data.regression(&turned, Form::Auto).with_block(block));
        for j in 0..2 * t {
            let original = (2 * t - 1 - j) % t;
            prop_assert!((a.scores[original] - b.scores[j]).abs() < 1e-10);
            if (a.alphas[original], a.gammas[original]) == (b.alphas[j], b.gammas[j]) {
                let difference = weights_a.col(original) - weights_b.col(j);
                prop_assert!(difference.norm_max() < 1e-10);
            }
        }
    }
}

/// The candidates that `himalaya.kernel_ridge.generate_dirichlet_samples` gives for this seed.
#[test]
fn candidates_are_himalayas() {
    let got = candidates(5, 3, 7);
    let want: [[f64; 3]; 5] = [
        [0.3333333333333333, 0.3333333333333333, 0.3333333333333333],
        [
            0.7395016225729754,
            0.006966248196618014,
            0.25353212923040647,
        ],
        [0.04559779822644356, 8.871116747643245e-05, 0.95431349060608],
        [0.7393704436567153, 0.06454811546840798, 0.19608144087487667],
        [
            0.9395381328630611,
            0.05760439643103957,
            0.0028574707058993515,
        ],
    ];
    for (got, want) in got.iter().zip(want) {
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= 1e-12 * want, "{got} {want}");
        }
    }
}

#[test]
fn errors_say_what_to_do() {
    let x = Mat::from_fn(6, 2, |i, j| (i * 3 + j * 5) as f64 % 7.0);
    let y = Mat::from_fn(6, 3, |i, j| (i + j) as f64);
    let y = y.as_ref();
    let make = |bands: &[usize]| Regression::new(x.as_ref(), bands, &y, true, Form::Auto, 1);
    assert!(make(&[1]).err().unwrap().contains("[1] features"));
    let short = Mat::<f64>::zeros(5, 3);
    let short = short.as_ref();
    let error = Regression::new(x.as_ref(), &[2], &short, true, Form::Auto, 1).err();
    assert!(error.unwrap().contains("6 samples, the targets 5"));

    let regression = make(&[2]).unwrap();
    let folds = leave_one_out(&[1, 1, 2, 2, 3, 3]).unwrap();
    let error = |alphas: &[f64], gammas: &[Vec<f64>]| {
        let search = Search {
            alphas,
            gammas,
            folds: &folds,
            score: Score::R2,
            per_target: true,
        };
        regression.search(&search, |_, _| ()).unwrap_err()
    };
    assert!(error(&[], &[vec![1.0]]).contains("at least one alpha"));
    assert!(error(&[1.0, 0.0], &[vec![1.0]]).contains("above 0 and finite, not 0"));
    assert!(error(&[1.0], &[vec![1.0, 2.0]]).contains("2 gammas for 1 feature spaces"));
    assert!(error(&[1.0], &[vec![-1.0]]).contains("0 or above"));
    let mut hole = x.clone();
    hole[(1, 1)] = f64::NAN;
    let error = Regression::new(hole.as_ref(), &[2], &y, true, Form::Auto, 1).err();
    assert!(error.unwrap().contains("NaN"));
}
