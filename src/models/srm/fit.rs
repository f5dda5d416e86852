//! The fit of a shared response model, from gathered rows into the model's files.

use std::path::Path;
use std::sync::mpsc;

use datafusion::common::{DataFusionError, Result, exec_err};
use faer::{MatMut, MatRef};
use voxql_udfs::kernels::srm::{
    BLOCK, Data, Polar, Shape, deterministic, fitted_map, probabilistic, robust,
};

use super::options::{Kind, Options};
use super::stored::{self, SubjectMap, SubjectsWriter};
use crate::models::fitted_times;
use crate::models::rows::{Reader, Rows};

/// Fits the model, writes its files into `directory`, and gives one value per iteration.
///
/// # Errors
/// Subjects of other times; what the kernels refuse; and files.
pub fn fit(
    rows: &mut Rows,
    options: Options,
    threads: usize,
    directory: &Path,
) -> Result<Vec<f64>> {
    rows.check_same_times()?;
    let Some(trs) = rows.subjects.first().map(|subject| subject.trs()) else {
        return exec_err!("CREATE MODEL: the query gave no rows");
    };
    rows.memory.try_grow(memory(rows, options, threads, trs))?;
    let rows = &*rows;
    let size = Reader::usual_panel(trs);
    let read = |i: usize, f: &mut dyn FnMut(MatRef<'_, f64>)| read(rows, i, size, f);
    let data = Data {
        subjects: shapes(rows),
        read: &read,
        threads,
    };
    fitted_times::write(directory, &rows.subjects[0].times)?;
    let Options {
        features,
        seed,
        gamma,
        ..
    } = options;
    let (centring, stop) = (options.centring(), options.stop());
    match options.kind {
        Kind::Srm => {
            let model = probabilistic::fit(&data, features, centring, seed, stop);
            let model = model.map_err(refused)?;
            stored::write_shared(directory, model.s.as_ref())?;
            stored::write_sigma(directory, model.sigma.as_ref())?;
            let maps = Maps {
                data: &data,
                s: model.s.as_ref(),
                polar: &model.polar,
                mean: &model.mean,
            };
            maps.write(directory, |i| Some(model.rho2[i]))?;
            Ok(model.log_likelihood)
        }
        Kind::Detsrm => {
            let model = deterministic::fit(&data, features, centring, seed, stop);
            let model = model.map_err(refused)?;
            stored::write_shared(directory, model.s.as_ref())?;
            let maps = Maps {
                data: &data,
                s: model.before.as_ref(),
                polar: &model.polar,
                mean: &model.mean,
            };
            maps.write(directory, |_| None)?;
            Ok(model.objective)
        }
        Kind::Rsrm => {
            let model = robust::fit(&data, features, gamma, centring, seed, stop);
            let model = model.map_err(refused)?;
            stored::write_shared(directory, model.r.as_ref())?;
            let mut writer = SubjectsWriter::create(directory)?;
            let maps = model.w.iter().zip(model.mean).zip(&rows.subjects);
            for ((w, mean), subject) in maps {
                writer.write_map(&subject.name, w.as_ref(), mean)?;
            }
            writer.finish()?;
            Ok(model.objective)
        }
    }
}

/// Bytes that the fit holds beside the rows.
fn memory(rows: &Rows, options: Options, threads: usize, trs: usize) -> usize {
    let k = options.features;
    let voxels: Vec<usize> = rows.subjects.iter().map(|s| s.widths[0]).collect();
    let most = voxels.iter().max().copied().unwrap_or(0);
    let all: usize = voxels.iter().sum();
    let panel = Reader::usual_panel(trs).min(most) * trs;
    let numbers = match options.kind {
        // The moments of all subjects, and the maps of as many as there are threads.
        Kind::Srm | Kind::Detsrm => {
            let gram = (trs + k) * (trs + k);
            let working = panel + BLOCK / 8 + gram + 3 * most * k;
            voxels.len() * (trs * trs + 3 * k * trs) + all + threads * working
        }
        // All maps, before and after an iteration, and what is subtracted from panels.
        Kind::Rsrm => 2 * all * k + all + voxels.len() * k * trs + threads * (4 * panel + most * k),
    };
    8 * numbers
}

/// Reads a subject's panels for the kernels, which take text for errors.
pub(super) fn read(
    rows: &Rows,
    subject: usize,
    size: usize,
    f: &mut dyn FnMut(MatRef<'_, f64>),
) -> Result<(), String> {
    let mut reader = rows.reader().map_err(|error| error.to_string())?;
    let panels = reader.panels(subject, 0, size, f);
    panels.map_err(|error| format!("a temporary file cannot be read: {error}"))
}

/// The subjects as the kernels see them.
pub(super) fn shapes(rows: &Rows) -> Vec<Shape<'_>> {
    let subjects = rows.subjects.iter().map(|subject| Shape {
        name: &subject.name,
        voxels: subject.widths[0],
        trs: subject.trs(),
    });
    subjects.collect()
}

/// What a kernel refused, as an error of the statement.
pub(super) fn refused(message: String) -> DataFusionError {
    DataFusionError::Execution(format!("CREATE MODEL: {message}"))
}

/// The maps that another pass over the data gives.
struct Maps<'a> {
    data: &'a Data<'a>,
    s: MatRef<'a, f64>,
    polar: &'a [Polar],
    mean: &'a [Vec<f64>],
}

impl Maps<'_> {
    /// The weights of subject `i`, column-major.
    fn make(&self, i: usize) -> Result<Vec<f64>, String> {
        let (voxels, k) = (self.data.subjects[i].voxels, self.s.nrows());
        let mut weights = vec![0.0; voxels * k];
        let w = MatMut::from_column_major_slice_mut(&mut weights, voxels, k);
        fitted_map(self.data, i, self.s, &self.polar[i], &self.mean[i], w)?;
        Ok(weights)
    }

    /// Each thread makes the maps of some subjects, and they are written in the subjects' order as
    /// they come.
    fn write(&self, directory: &Path, rho2: impl Fn(usize) -> Option<f64>) -> Result<()> {
        let mut writer = SubjectsWriter::create(directory)?;
        let subjects = self.data.subjects.len();
        let threads = self.data.threads.clamp(1, subjects.max(1));
        std::thread::scope(|scope| {
            let makers: Vec<_> = (0..threads)
                .map(|first| {
                    let (sender, receiver) = mpsc::sync_channel(1);
                    scope.spawn(move || {
                        for i in (first..subjects).step_by(threads) {
                            let map = self.make(i);
                            // Nobody listens after an error.
                            if sender.send(map).is_err() {
                                return;
                            }
                        }
                    });
                    receiver
                })
                .collect();
            for i in 0..subjects {
                let Ok(map) = makers[i % threads].recv() else {
                    return exec_err!("CREATE MODEL: the thread of a subject's map has ended");
                };
                let name = self.data.subjects[i].name;
                writer.write(SubjectMap {
                    name: name.to_string(),
                    voxels: self.mean[i].len(),
                    weights: map.map_err(refused)?,
                    mean: self.mean[i].clone(),
                    rho2: rho2(i),
                })?;
            }
            Ok(())
        })?;
        writer.finish()
    }
}
