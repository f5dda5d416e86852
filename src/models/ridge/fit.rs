//! The fit of an encoding model, from gathered rows into the model's files.

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err, plan_err};
use faer::Mat;
use voxql_udfs::kernels::ridge::{
    Fold, Form, Regression, Search, Targets, candidates, contiguous, leave_one_out,
};
use voxql_udfs::identity::MODEL_METADATA;

use super::options::{Cv, Options, Settings, Space};
use super::stored::Writer;
use crate::models::fitted_times;
use crate::models::rows::{Reader, Rows, Subject, Vector};

/// The folds where nothing is said and there are no runs.
const FOLDS: usize = 5;

/// What was fitted.
pub struct Fitted {
    pub settings: Settings,
    /// Per subject.
    pub targets: Vec<usize>,
}

impl Fitted {
    /// For the answer of `CREATE MODEL`.
    pub fn summary(&self, rows: &Rows) -> String {
        let trs: Vec<usize> = rows.subjects.iter().map(Subject::trs).collect();
        let range = |values: &[usize]| {
            let (least, most) = (values.iter().min(), values.iter().max());
            match (least, most) {
                (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
                (least, _) => least.copied().unwrap_or(0).to_string(),
            }
        };
        let subjects = match rows.columns.subject {
            Some(_) => format!("{} subjects, ", rows.subjects.len()),
            None => String::new(),
        };
        format!(
            "{subjects}{} TRs, {} features, {} targets",
            range(&trs),
            self.settings.features(),
            range(&self.targets)
        )
    }
}

/// Fits one regression per subject and writes them into `directory`.
///
/// # Errors
/// No rows, subjects of different features, folds that cannot be made, gammas of another number
/// than the feature spaces; and files.
pub fn fit(rows: &mut Rows, options: Options, threads: usize, directory: &Path) -> Result<Fitted> {
    let Some(first) = rows.subjects.first() else {
        return exec_err!("CREATE MODEL: the query gave no rows");
    };
    let settings = Settings {
        spaces: spaces(rows, first),
        options,
    };
    let threads = threads.max(1);
    let mut writer = Writer::create(directory, settings.features())?;
    for subject in 0..rows.subjects.len() {
        let bytes = memory(&rows.subjects[subject], &settings, threads);
        rows.memory.try_grow(bytes)?;
        one(rows, subject, &settings, threads, &mut writer)?;
        rows.memory.shrink(bytes);
    }
    writer.finish(directory)?;
    if rows.check_same_times().is_ok() {
        fitted_times::write(directory, &rows.subjects[0].times)?;
    }
    let target = settings.spaces.len();
    let targets = rows.subjects.iter().map(|s| s.widths[target]);
    Ok(Fitted {
        targets: targets.collect(),
        settings,
    })
}

/// All vector columns but the last.
fn spaces(rows: &Rows, first: &Subject) -> Vec<Space> {
    let vectors = rows.columns.vectors.iter().zip(&first.widths);
    let spaces = vectors.take(first.widths.len() - 1);
    let space = |(vector, width): (&Vector, &usize)| {
        let field = rows.schema.field(vector.at);
        Space {
            name: field.name().clone(),
            width: *width,
            model: field.metadata().get(MODEL_METADATA).cloned(),
        }
    };
    spaces.map(space).collect()
}

fn one(
    rows: &Rows,
    number: usize,
    settings: &Settings,
    threads: usize,
    writer: &mut Writer,
) -> Result<()> {
    let (options, spaces) = (&settings.options, &settings.spaces);
    let subject = &rows.subjects[number];
    let failed = |message: String| match subject.name.as_str() {
        "" => exec_datafusion_err!("CREATE MODEL: {message}"),
        name => exec_datafusion_err!("CREATE MODEL: subject {name}: {message}"),
    };
    for (space, width) in spaces.iter().zip(&subject.widths) {
        if space.width != *width {
            return exec_err!(
                "CREATE MODEL: {} has {width} elements for {} and {} for {}; the features must be the same",
                space.name,
                subject.title(),
                space.width,
                rows.subjects[0].title()
            );
        }
    }
    let folds = folds(subject, options)?.map_err(failed)?;
    let x = features(rows, number, spaces)?;
    let y = Spilled {
        rows,
        subject: number,
        column: spaces.len(),
        readers: Mutex::default(),
    };
    let bands: Vec<usize> = spaces.iter().map(|space| space.width).collect();
    let (intercept, form) = (options.fit_intercept, Form::Auto);
    let regression = Regression::new(x.as_ref(), &bands, &y, intercept, form, threads);
    let regression = regression.map_err(failed)?;
    drop(x);

    let gammas = match options.gammas.as_slice() {
        [] if spaces.len() == 1 => vec![vec![1.0]],
        [] => candidates(options.n_iter, spaces.len(), options.seed),
        given => given.to_vec(),
    };
    let search = Search {
        alphas: &options.alphas,
        gammas: &gammas,
        folds: &folds,
        score: options.score(),
        per_target: options.per_target,
    };
    let selection = regression.search(&search, |_, _| ()).map_err(failed)?;

    // What a sink says passes through the kernel as text; the error itself waits here.
    let mut trouble: Option<DataFusionError> = None;
    let written = regression.weights(&selection, &gammas, |weights| {
        let written = writer.weights(&subject.name, &selection, &gammas, &weights);
        written.map_err(|error| {
            let message = error.to_string();
            trouble = Some(error);
            message
        })
    });
    match (trouble, written) {
        (Some(error), _) => Err(error),
        (None, written) => {
            written.map_err(failed)?;
            writer.means(&subject.name, regression.means());
            Ok(())
        }
    }
}

/// What is held out together. The outer error is about the column that `cv` names.
fn folds(subject: &Subject, options: &Options) -> Result<Result<Vec<Fold>, String>> {
    let trs = subject.trs();
    match &options.cv {
        Some(Cv::Folds(count)) => Ok(contiguous(trs, *count)),
        Some(Cv::Column(column)) => match groups(subject, column)? {
            Some(groups) => Ok(leave_one_out(&groups).map_err(|error| {
                format!("cv is '{column}': {error}; name a column of several values, or give a number of folds")
            })),
            None => plan_err!(
                "CREATE MODEL: cv is '{column}', and the query has no such key; its keys are {}",
                subject.times.names.join(", ")
            ),
        },
        None => {
            let runs = groups(subject, "run")?.map(|runs| leave_one_out(&runs));
            match runs {
                Some(Ok(runs)) => Ok(Ok(runs)),
                _ => Ok(contiguous(trs, FOLDS.min(trs))),
            }
        }
    }
}

/// The values of a key, row by row; None where there is no such key.
fn groups(subject: &Subject, column: &str) -> Result<Option<Vec<String>>> {
    let Some(at) = subject.times.names.iter().position(|name| name == column) else {
        return Ok(None);
    };
    let column = &subject.times.arrays()?[at];
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let values = (0..column.len()).map(|i| formatter.value(i).to_string());
    Ok(Some(values.collect()))
}

/// TRs × features of all spaces.
fn features(rows: &Rows, subject: usize, spaces: &[Space]) -> Result<Mat<f64>> {
    let trs = rows.subjects[subject].trs();
    let total = spaces.iter().map(|space| space.width).sum();
    let mut x = Mat::zeros(trs, total);
    let mut reader = rows.reader()?;
    let mut start = 0;
    for (column, space) in spaces.iter().enumerate() {
        let mut panel = Mat::zeros(space.width, trs);
        reader.read(subject, column, 0, panel.as_mut())?;
        x.subcols_mut(start, space.width)
            .copy_from(panel.transpose());
        start += space.width;
    }
    Ok(x)
}

/// Bytes that the fit of a subject holds: nothing of it grows with the targets but the scores.
fn memory(subject: &Subject, settings: &Settings, threads: usize) -> usize {
    let (n, p) = (subject.trs(), settings.features());
    let targets = subject.widths[settings.spaces.len()];
    let (smaller, alphas) = (n.min(p), settings.options.alphas.len());
    let kernels = if 5 * p > 4 * n {
        settings.spaces.len() * n * n
    } else {
        0
    };
    // A thread has a fold's features, its decomposition, a matrix per alpha, and blocks of targets.
    let thread = 2 * n * p + 4 * smaller * smaller + alphas * n * n / 2 + (4 << 20);
    8 * (3 * n * p + kernels + threads * thread + (2 * alphas + 4) * targets)
}

/// A subject's targets in the temporary file.
struct Spilled<'a> {
    rows: &'a Rows,
    subject: usize,
    column: usize,
    /// One for each thread that reads.
    readers: Mutex<Vec<Reader<'a>>>,
}

impl Targets for Spilled<'_> {
    fn samples(&self) -> usize {
        self.rows.subjects[self.subject].trs()
    }

    fn count(&self) -> usize {
        self.rows.subjects[self.subject].widths[self.column]
    }

    fn read(&self, targets: Range<usize>) -> Result<Mat<f64>, String> {
        let readers = || self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let free = readers().pop();
        let mut reader = match free {
            Some(reader) => reader,
            None => self.rows.reader().map_err(|error| error.to_string())?,
        };
        let mut panel = Mat::zeros(targets.len(), self.samples());
        reader
            .read(self.subject, self.column, targets.start, panel.as_mut())
            .map_err(|error| format!("a temporary file cannot be read: {error}"))?;
        readers().push(reader);
        Ok(panel.transpose().to_owned())
    }
}
