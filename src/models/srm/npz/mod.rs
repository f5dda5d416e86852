//! A shared response model as the `.npz` file that BrainIAK's `SRM.save` writes and its `load` reads.
//!
//! `w_` (subjects × voxels × features), `s_` (features × TRs), `sigma_s_`, `mu_` (subjects × voxels),
//! `rho2_`, and `kwargs`: features, iterations, seed. It has one number of voxels for all subjects, and no
//! names for them.

mod npy;
mod zip;

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use faer::{Mat, MatRef};

use self::npy::{Array, Number};
use self::zip::Archive;
use super::options::{Kind, Options};
use super::stored::{self, SubjectMap, SubjectsWriter, subjects};
use crate::models::store::{Description, Models};
use crate::writers::staged_file;

/// Writes the model to `target`, whole or not at all.
///
/// # Errors
/// A model of another kind, or one that BrainIAK's file cannot hold.
pub fn export(models: &Models, model: &Description, target: &Path) -> Result<()> {
    let name = &model.name;
    if model.kind != Kind::Srm.name() {
        return plan_err!(
            "COPY MODEL {name}: BrainIAK saves models of its SRM only, and {name} is of kind {}",
            model.kind
        );
    }
    let subjects = subjects(models, model)?;
    let voxels = model.voxels.first().copied().unwrap_or(0);
    if let Some(i) = model.voxels.iter().position(|n| *n != voxels) {
        return plan_err!(
            "COPY MODEL {name}: BrainIAK's file has one number of voxels for all, but subject {} has {voxels} and \
             subject {} has {}; fit on a common mask, or copy model_weights('{name}') to Parquet",
            model.subjects[0],
            model.subjects[i],
            model.voxels[i]
        );
    }
    let mut rho2 = Vec::with_capacity(subjects.len());
    for subject in subjects.iter() {
        match subject.rho2 {
            Some(value) => rho2.push(value),
            None => {
                return plan_err!(
                    "COPY MODEL {name}: subject {} joined by FROM MODEL and has no noise variance, which \
                     BrainIAK's file needs; copy the model that it joined",
                    subject.name
                );
            }
        }
    }
    let options: Options = model.options()?;
    let (n, k) = (subjects.len(), model.features);
    let mut weights: Vec<f64> = Vec::with_capacity(n * voxels * k);
    let mut means: Vec<f64> = Vec::with_capacity(n * voxels);
    for subject in subjects.iter() {
        let w = subject.w();
        weights.extend((0..voxels).flat_map(|v| w.row(v).iter()));
        means.extend(&subject.mean);
    }
    let numbers = vec![k as i64, options.iterations as i64, i64::from(options.seed)];
    let shared = stored::shared(models, model)?;
    let sigma = stored::sigma(models, model)?;

    let file = staged_file::beside(target)?;
    let written = {
        let mut npz = Npz(Archive::new(BufWriter::new(file.as_file())));
        npz.add("w_", vec![n, voxels, k], weights)
            .and_then(|()| npz.matrix("s_", shared.as_ref()))
            .and_then(|()| npz.matrix("sigma_s_", sigma.as_ref()))
            .and_then(|()| npz.add("mu_", vec![n, voxels], means))
            .and_then(|()| npz.add("rho2_", vec![n], rho2))
            .and_then(|()| npz.add("kwargs", vec![3], numbers))
            .and_then(|()| npz.0.finish())
    };
    if let Err(error) = written {
        return exec_err!("COPY MODEL {name} TO '{}': {error}", target.display());
    }
    file.as_file().sync_all()?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(())
}

/// The file in the making.
struct Npz<'a>(Archive<BufWriter<&'a File>>);

impl Npz<'_> {
    fn add<T: Number>(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        values: Vec<T>,
    ) -> Result<(), String> {
        let array = npy::write(&Array { shape, values });
        self.0.add(&format!("{name}.npy"), &array)
    }

    fn matrix(&mut self, name: &str, matrix: MatRef<'_, f64>) -> Result<(), String> {
        let rows = (0..matrix.nrows()).flat_map(|i| matrix.row(i).iter());
        let values = rows.copied().collect();
        self.add(name, vec![matrix.nrows(), matrix.ncols()], values)
    }
}

/// What a file says of a model whose files were written into a directory.
pub struct Imported {
    pub options: Options,
    pub subjects: Vec<String>,
    pub voxels: Vec<usize>,
    pub trs: usize,
}

/// Reads BrainIAK's file, and writes a model's files into `directory`. Subjects are called by `names`,
/// or 0, 1, ….
///
/// # Errors
/// A file that is not one of BrainIAK's, arrays that do not fit each other, other numbers
/// of names.
pub fn import(source: &Path, names: Option<Vec<String>>, directory: &Path) -> Result<Imported> {
    let damaged = |what: String| {
        DataFusionError::Execution(format!(
            "'{}': {what}; this should be a file of BrainIAK's SRM.save",
            source.display()
        ))
    };
    let mut file = File::open(source).map_err(|error| damaged(error.to_string()))?;
    let w = member::<f64>(&mut file, "w_").map_err(damaged)?;
    let s = member::<f64>(&mut file, "s_").map_err(damaged)?;
    let sigma = member::<f64>(&mut file, "sigma_s_").map_err(damaged)?;
    let mu = member::<f64>(&mut file, "mu_").map_err(damaged)?;
    let rho2 = member::<f64>(&mut file, "rho2_").map_err(damaged)?;
    let kwargs = member::<i64>(&mut file, "kwargs").map_err(damaged)?;

    let shapes = [
        &w.shape,
        &s.shape,
        &sigma.shape,
        &mu.shape,
        &rho2.shape,
        &kwargs.shape,
    ];
    let &[n, voxels, k] = w.shape.as_slice() else {
        return Err(damaged(format!("w_ has the shape {:?}", w.shape)));
    };
    let trs = s.shape.get(1).copied().unwrap_or(0);
    let wanted = [
        vec![n, voxels, k],
        vec![k, trs],
        vec![k, k],
        vec![n, voxels],
        vec![n],
        vec![3],
    ];
    if shapes.into_iter().ne(&wanted) || [voxels, k, trs].contains(&0) {
        return Err(damaged(format!(
            "the shapes of w_, s_, sigma_s_, mu_, rho2_ and kwargs do not fit each other: {shapes:?}"
        )));
    }
    let mut values = w.values.iter().chain(&s.values).chain(&mu.values);
    if !values.all(|value| value.is_finite()) {
        return Err(damaged("it holds NaN or infinite values".to_string()));
    }
    let numbers = &kwargs.values;
    let (Ok(iterations), Ok(seed)) = (usize::try_from(numbers[1]), u32::try_from(numbers[2]))
    else {
        return Err(damaged(format!("kwargs are {numbers:?}")));
    };
    let names = names.unwrap_or_else(|| (0..n).map(|i| i.to_string()).collect());
    if names.len() != n {
        return exec_err!(
            "'{}' has {n} subjects, but {} names are given",
            source.display(),
            names.len()
        );
    }

    stored::write_shared(directory, matrix(&s).as_ref())?;
    stored::write_sigma(directory, matrix(&sigma).as_ref())?;
    let mut writer = SubjectsWriter::create(directory)?;
    let maps = w.values.chunks_exact(voxels * k);
    for (i, (name, map)) in names.iter().zip(maps).enumerate() {
        let column = |j: usize| map[j..].iter().step_by(k).copied();
        writer.write(SubjectMap {
            name: name.clone(),
            voxels,
            weights: (0..k).flat_map(column).collect(),
            mean: mu.values[i * voxels..(i + 1) * voxels].to_vec(),
            rho2: Some(rho2.values[i]),
        })?;
    }
    writer.finish()?;
    Ok(Imported {
        options: Options::of_brainiak(k, iterations, seed),
        voxels: vec![voxels; n],
        subjects: names,
        trs,
    })
}

fn member<T: Number>(file: &mut File, name: &str) -> Result<Array<T>, String> {
    let bytes = zip::member(file, &format!("{name}.npy"));
    let array = bytes.and_then(|bytes| npy::read(&bytes));
    array.map_err(|error| format!("{name}: {error}"))
}

fn matrix(array: &Array<f64>) -> Mat<f64> {
    let (rows, columns) = (array.shape[0], array.shape[1]);
    MatRef::from_row_major_slice(&array.values, rows, columns).to_owned()
}
