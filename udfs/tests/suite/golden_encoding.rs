//! Ridge regression against himalaya (golden/encoding).

use crate::common;
use faer::{Mat, MatRef};
use serde_json::Value;
use voxql_udfs::kernels::ridge::score::{correlation, r2, r2_split};
use voxql_udfs::kernels::ridge::{Form, Regression, Score, Search, Selection, contiguous};

/// Weights of all targets in their order.
pub struct Fitted {
    coefficients: Mat<f64>,
    intercepts: Vec<f64>,
}

pub fn fitted(
    regression: &Regression<'_, MatRef<'_, f64>>,
    selection: &Selection,
    gammas: &[Vec<f64>],
) -> Fitted {
    let targets = selection.alphas.len();
    let mut out = Fitted {
        coefficients: Mat::zeros(regression.features(), targets),
        intercepts: vec![f64::NAN; targets],
    };
    regression
        .weights(selection, gammas, |weights| {
            for (j, &target) in weights.targets.iter().enumerate() {
                let column = weights.coefficients.col(j);
                out.coefficients.col_mut(target).copy_from(column);
                out.intercepts[target] = weights.intercepts[j];
            }
            Ok(())
        })
        .unwrap();
    out
}

fn matrix(golden: &common::Cases, value: &Value) -> Mat<f64> {
    let (shape, values) = golden.array(value);
    MatRef::from_row_major_slice(&values, shape[0], shape[1]).to_owned()
}

fn row_major(m: &Mat<f64>) -> Vec<f64> {
    (0..m.nrows())
        .flat_map(|i| (0..m.ncols()).map(move |j| m[(i, j)]))
        .collect()
}

struct Case<'a> {
    golden: &'a common::Cases,
    case: &'a Value,
    x: Mat<f64>,
    y: Mat<f64>,
}

impl<'a> Case<'a> {
    fn new(golden: &'a common::Cases, case: &'a Value) -> Self {
        let input = |name: &str| matrix(golden, &case["inputs"][name]);
        Self {
            golden,
            case,
            x: input("x"),
            y: input("y"),
        }
    }

    fn assert(&self, output: &str, got: &[f64]) {
        let want = &self.case["outputs"][output];
        common::assert_close(got, &self.golden.array(want).1, self.case);
    }

    fn has(&self, output: &str) -> bool {
        !self.case["outputs"][output].is_null()
    }

    fn intercept(&self) -> bool {
        self.case["params"]["fit_intercept"].as_bool().unwrap()
    }

    fn predict(&self, fitted: &Fitted, x: &Mat<f64>) -> Mat<f64> {
        let mut predicted = x * &fitted.coefficients;
        for (j, intercept) in fitted.intercepts.iter().enumerate() {
            predicted
                .col_mut(j)
                .iter_mut()
                .for_each(|v| *v += intercept);
        }
        predicted
    }

    /// Weights, predictions and scores of the test samples.
    fn assert_fitted(&self, fitted: &Fitted) {
        if self.has("coef_") {
            self.assert("coef_", &row_major(&fitted.coefficients));
        }
        if self.has("intercept_") {
            self.assert("intercept_", &fitted.intercepts);
        }
        let predicted = self.predict(fitted, &matrix(self.golden, &self.case["inputs"]["x_test"]));
        self.assert("predict", &row_major(&predicted));
        let measured = matrix(self.golden, &self.case["inputs"]["y_test"]);
        let scores = |score: fn(&[f64], &[f64]) -> f64| -> Vec<f64> {
            (0..measured.ncols())
                .map(|j| score(measured.col_as_slice(j), predicted.col_as_slice(j)))
                .collect()
        };
        self.assert("r2", &scores(r2));
        self.assert("correlation", &scores(correlation));
    }

    /// The dual coefficients are what is left of the targets, over alpha.
    fn assert_dual(&self, fitted: &Fitted, selection: &Selection) {
        let mut dual = &self.y - self.predict(fitted, &self.x);
        for (j, alpha) in selection.alphas.iter().enumerate() {
            dual.col_mut(j).iter_mut().for_each(|v| *v /= alpha);
        }
        self.assert("dual_coef_", &row_major(&dual));
    }
}

#[test]
fn ridge_equals_himalaya() {
    let Some(golden) = common::load_cases("encoding") else {
        return;
    };
    let mut compared = Vec::new();
    for case in golden.of("Ridge") {
        let this = Case::new(&golden, case);
        let y = this.y.as_ref();
        let alpha = case["params"]["alpha"].as_f64().unwrap();
        let selection = Selection {
            alphas: vec![alpha; y.ncols()],
            gammas: vec![0; y.ncols()],
            scores: Vec::new(),
        };
        for form in [Form::Auto, Form::Primal, Form::Dual] {
            let bands = [this.x.ncols()];
            let regression =
                Regression::new(this.x.as_ref(), &bands, &y, this.intercept(), form, 2).unwrap();
            this.assert_fitted(&fitted(&regression, &selection, &[vec![1.0]]));
        }
        compared.push(case["id"].as_str().unwrap());
    }
    note!("compared {}", compared.join(", "));
    assert_eq!(compared.len(), 6);
}

#[test]
fn cross_validated_ridge_equals_himalaya() {
    let Some(golden) = common::load_cases("encoding") else {
        return;
    };
    let mut compared = Vec::new();
    for (function, forms) in [
        ("RidgeCV", [Form::Auto, Form::Primal]),
        ("KernelRidgeCV", [Form::Dual, Form::Dual]),
        ("GroupRidgeCV", [Form::Auto, Form::Dual]),
    ] {
        for case in golden.of(function) {
            for form in forms {
                assert_cross_validated(&Case::new(&golden, case), form);
            }
            compared.push(case["id"].as_str().unwrap());
        }
    }
    note!("compared {}", compared.join(", "));
    assert_eq!(compared.len(), 19);
}

fn assert_cross_validated(this: &Case<'_>, form: Form) {
    let params = &this.case["params"];
    let alphas = this.golden.array(&params["alphas"]).1;
    let inputs = &this.case["inputs"];
    let (bands, gammas) = match inputs["groups"].as_array() {
        None => (vec![this.x.ncols()], vec![vec![1.0]]),
        Some(groups) => {
            let mut bands = vec![0; 3];
            groups
                .iter()
                .for_each(|g| bands[g.as_u64().unwrap() as usize] += 1);
            let gammas = matrix(this.golden, &inputs["gammas"]);
            let rows = gammas.row_iter();
            (bands, rows.map(|r| r.iter().copied().collect()).collect())
        }
    };
    let y = this.y.as_ref();
    let regression =
        Regression::new(this.x.as_ref(), &bands, &y, this.intercept(), form, 2).unwrap();
    let folds = params["cv"].as_u64().unwrap() as usize;
    let search = Search {
        alphas: &alphas,
        gammas: &gammas,
        folds: &contiguous(this.x.nrows(), folds).unwrap(),
        score: match params["score_func"].as_str() {
            Some("correlation") => Score::Correlation,
            _ => Score::NegativeError,
        },
        per_target: params["local_alpha"].as_bool().unwrap_or(true),
    };
    let mut scores = Vec::new();
    let selection = regression
        .search(&search, |_, found| scores.extend_from_slice(found))
        .unwrap();
    this.assert("cv_scores_", &scores);
    this.assert("best_alphas_", &selection.alphas);
    if this.has("deltas_") {
        let delta =
            |k: usize, t: usize| (gammas[selection.gammas[t]][k] / selection.alphas[t]).ln();
        let targets = 0..y.ncols();
        let deltas: Vec<f64> = (0..bands.len())
            .flat_map(|k| targets.clone().map(move |t| (k, t)))
            .map(|(k, t)| delta(k, t))
            .collect();
        this.assert("deltas_", &deltas);
    }
    let fitted = fitted(&regression, &selection, &gammas);
    this.assert_fitted(&fitted);
    if this.has("dual_coef_") {
        this.assert_dual(&fitted, &selection);
    }
}

#[test]
fn split_r2_equals_himalaya() {
    let Some(golden) = common::load_cases("encoding") else {
        return;
    };
    let mut compared = 0;
    for case in golden.of("r2_score_split") {
        let measured = matrix(&golden, &case["inputs"]["y_true"]);
        let (shape, predicted) = golden.array(&case["inputs"]["y_pred"]);
        let (spaces, samples, targets) = (shape[0], shape[1], shape[2]);
        let mut shares = vec![0.0; spaces * targets];
        for t in 0..targets {
            let of_space = |k: usize| -> Vec<f64> {
                (0..samples)
                    .map(|i| predicted[(k * samples + i) * targets + t])
                    .collect()
            };
            let predicted: Vec<_> = (0..spaces).map(of_space).collect();
            let predicted: Vec<_> = predicted.iter().map(Vec::as_slice).collect();
            for (k, share) in r2_split(measured.col_as_slice(t), &predicted)
                .iter()
                .enumerate()
            {
                shares[k * targets + t] = *share;
            }
        }
        common::assert_close(&shares, &golden.array(&case["outputs"]["r2"]).1, case);
        note!("compared {}", case["id"]);
        compared += 1;
    }
    assert_eq!(compared, 1);
}
