//! One subject's regression.

use std::thread::available_parallelism;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::Float64Type;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use faer::MatRef;
use std::sync::Arc;
use voxql_udfs::kernels::ridge::{
    Form, Regression, RowsF32, Search, Selection, Weights, candidates, contiguous, leave_one_out,
};

use super::files::{Writer, weights_schema};
use super::options::{Cv, Options};
use super::rows::Subject;

/// The folds where nothing is said and there are no runs.
const FOLDS: usize = 5;

/// What was fitted.
pub struct Fitted {
    pub subject: Option<String>,
    pub samples: usize,
    pub features: usize,
    pub targets: usize,
}

/// Fits on a blocking thread, writes the weights, and gives the writer back.
pub async fn subject(
    subject: Subject,
    options: Options,
    mut writer: Writer,
) -> Result<(Fitted, Writer)> {
    let fit = move || {
        let fitted = fit(subject, &options, &mut writer)?;
        Ok((fitted, writer))
    };
    tokio::task::spawn_blocking(fit)
        .await
        .map_err(|error| DataFusionError::External(Box::new(error)))?
}

fn fit(mut subject: Subject, options: &Options, writer: &mut Writer) -> Result<Fitted> {
    let who = match &subject.name {
        Some(name) => format!("subject {name}: "),
        None => String::new(),
    };
    let failed = |message: String| exec_datafusion_err!("CREATE MODEL: {who}{message}");
    let (samples, features) = (subject.samples(), subject.widths.iter().sum());
    let threads = available_parallelism().map_or(1, usize::from);
    reserve(&mut subject, options, threads)?;

    let x = MatRef::from_row_major_slice(&subject.x, samples, features);
    let y = RowsF32 {
        values: &subject.y,
        count: subject.targets,
    };
    let intercept = options.fit_intercept;
    let regression =
        Regression::new(x, &subject.widths, &y, intercept, Form::Auto, threads).map_err(failed)?;
    let spaces = subject.widths.len();
    let gammas = match (spaces, options.gammas.as_slice()) {
        (1, []) => vec![vec![1.0]],
        (_, []) => candidates(options.n_iter, spaces, options.seed),
        (_, given) => given.to_vec(),
    };
    let runs = leave_one_out(&subject.groups);
    let folds = match (&options.cv, runs) {
        (Some(Cv::Folds(count)), _) => contiguous(samples, *count),
        (None, Ok(folds)) => Ok(folds),
        (None, Err(_)) => contiguous(samples, FOLDS.min(samples)),
        (Some(Cv::Column(column)), runs) => runs.map_err(|error| {
            format!(
                "cv is '{column}': {error}; choose a column of several values, or a number of folds"
            )
        }),
    };
    let search = Search {
        alphas: &options.alphas,
        gammas: &gammas,
        folds: &folds.map_err(failed)?,
        score: options.score()?,
        per_target: options.per_target,
    };
    let selection = regression.search(&search, |_, _| ()).map_err(failed)?;

    // What a sink says passes through the kernel as text; the error itself waits here.
    let mut trouble = None;
    let written = regression.weights(&selection, &gammas, |weights| {
        let batch = batch(subject.name.as_deref(), &selection, &gammas, &weights);
        batch
            .and_then(|batch| writer.weights(&batch))
            .map_err(|error| {
                trouble = Some(error);
                String::new()
            })
    });
    if let Some(error) = trouble {
        return Err(error);
    }
    written.map_err(failed)?;
    writer.subject(subject.name.as_deref(), regression.means());
    Ok(Fitted {
        samples,
        features,
        targets: subject.targets,
        subject: subject.name,
    })
}

/// Asks for what the fit holds beside the rows.
fn reserve(subject: &mut Subject, options: &Options, threads: usize) -> Result<()> {
    let (n, t) = (subject.samples(), subject.targets);
    let p: usize = subject.widths.iter().sum();
    let (small, bands) = (n.min(p), subject.widths.len());
    // The centred features, and the kernels of the dual form.
    let features = n * p + if p > n { bands * n * n } else { 0 };
    // Per thread a fold's copies, its decomposition, and one matrix per alpha.
    let fold = 2 * n * p + 4 * small * small + options.alphas.len() * n * n / 2;
    let blocks = 8 << 20;
    let scores = (2 * options.alphas.len() + 4) * t;
    let bytes = 8 * (features + threads * (fold + blocks) + scores);
    subject.memory.try_grow(bytes)
}

fn batch(
    subject: Option<&str>,
    selection: &Selection,
    gammas: &[Vec<f64>],
    weights: &Weights,
) -> Result<RecordBatch> {
    let targets = &weights.targets;
    let number = |of: &dyn Fn(usize) -> f64| {
        Arc::new(Float64Array::from_iter_values(
            targets.iter().map(|&t| of(t)),
        )) as ArrayRef
    };
    let gamma = targets
        .iter()
        .map(|&t| Some(gammas[selection.gammas[t]].iter().copied().map(Some)));
    let features = weights.coefficients.nrows();
    let coefficients: Vec<f32> = (0..targets.len())
        .flat_map(|j| weights.coefficients.col_as_slice(j))
        .map(|v| *v as f32)
        .collect();
    let coefficients = arrow::array::FixedSizeListArray::try_new(
        Arc::new(arrow::datatypes::Field::new_list_field(
            arrow::datatypes::DataType::Float32,
            true,
        )),
        i32::try_from(features)
            .map_err(|_| exec_datafusion_err!("CREATE MODEL: {features} features are too many"))?,
        Arc::new(Float32Array::from(coefficients)),
        None,
    )?;
    Ok(RecordBatch::try_new(
        weights_schema(features),
        vec![
            Arc::new(StringArray::from(vec![subject; targets.len()])),
            Arc::new(Int64Array::from_iter_values(
                targets.iter().map(|&t| t as i64),
            )),
            number(&|t| selection.alphas[t]),
            number(&|t| selection.scores[t]),
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(gamma)),
            Arc::new(Float64Array::from(weights.means.clone())),
            Arc::new(Float64Array::from(weights.intercepts.clone())),
            Arc::new(coefficients),
        ],
    )?)
}
