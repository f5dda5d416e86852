//! `CREATE MODEL m USING srm`: the shared response model as an object of the database.

use std::collections::BTreeMap;

use datafusion::common::{DataFusionError, Result, exec_err, plan_err};
use faer::MatRef;
use voxql_udfs::kernels::srm as kernel;
use voxql_udfs::named_arguments::closest;

use super::fit::Rows;

/// `OPTIONS (features 50, iterations 10, seed 0, demean true)`: BrainIAK's defaults, and
/// the centring that it leaves to its caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Features of the shared space.
    pub features: usize,
    /// Iterations; their number is fixed, as in BrainIAK.
    pub iterations: usize,
    /// BrainIAK's `rand_seed`.
    pub seed: u32,
    /// Subtract each voxel's mean over the fitted TRs, in the fit and in
    /// `srm_transform`. BrainIAK does neither: it takes the power of uncentred data for
    /// noise. `false` gives its numbers.
    pub demean: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            features: 50,
            iterations: 10,
            seed: 0,
            demean: true,
        }
    }
}

impl Options {
    const NAMES: [&str; 4] = ["features", "iterations", "seed", "demean"];

    pub fn from_sql(given: &BTreeMap<String, String>) -> Result<Self> {
        let mut options = Self::default();
        for (name, text) in given {
            match name.as_str() {
                "features" => options.features = read(name, text, "a whole number above 0")?,
                "iterations" => options.iterations = read(name, text, "a whole number above 0")?,
                "seed" => options.seed = read(name, text, "a whole number from 0 to 4294967295")?,
                "demean" => options.demean = read(name, text, "true or false")?,
                _ => {
                    let hint = match closest(name, Self::NAMES) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are {}", Self::NAMES.join(", ")),
                    };
                    return plan_err!("srm has no option `{name}`; {hint}");
                }
            }
        }
        for (name, value) in [
            ("features", options.features),
            ("iterations", options.iterations),
        ] {
            if value == 0 {
                return plan_err!("srm: {name} must be a whole number above 0, not 0");
            }
        }
        Ok(options)
    }
}

fn read<T: std::str::FromStr>(name: &str, text: &str, wanted: &str) -> Result<T> {
    match text.trim().parse() {
        Ok(value) => Ok(value),
        Err(_) => plan_err!("srm: {name} must be {wanted}, not {text}"),
    }
}

/// A fitted model.
#[derive(Debug, Clone)]
pub struct SrmModel {
    pub options: Options,
    /// Names and types of the query's columns.
    pub schema: Vec<(String, String)>,
    pub subjects: Vec<SubjectMap>,
    /// The shared response, TR after TR, each `features` long.
    pub shared: Vec<f64>,
    /// Covariance of the shared response, features × features.
    pub sigma: Vec<f64>,
    /// The log-likelihood of each iteration, up to a constant.
    pub log_likelihood: Vec<f64>,
}

/// What the model knows of one subject.
#[derive(Debug, Clone, PartialEq)]
pub struct SubjectMap {
    pub name: String,
    pub voxels: usize,
    /// W: voxels × features, column-major, orthonormal columns.
    pub weights: Vec<f64>,
    /// Each voxel's mean over the fitted TRs.
    pub mean: Vec<f64>,
    /// Variance of the noise.
    pub rho2: f64,
}

impl SubjectMap {
    pub fn features(&self) -> usize {
        self.weights.len() / self.voxels.max(1)
    }

    /// W' mean: where the subject's mean lies in the shared space.
    pub fn shared_mean(&self) -> Vec<f64> {
        let columns = self.weights.chunks_exact(self.voxels.max(1));
        let dot = |w: &[f64]| w.iter().zip(&self.mean).map(|(w, m)| w * m).sum();
        columns.map(dot).collect()
    }
}

/// Fits on a blocking thread.
pub async fn fit(rows: Rows, options: Options) -> Result<SrmModel> {
    tokio::task::spawn_blocking(move || fit_blocking(rows, options))
        .await
        .map_err(|error| DataFusionError::External(Box::new(error)))?
}

fn fit_blocking(mut rows: Rows, options: Options) -> Result<SrmModel> {
    let trs = rows.trs();
    let mut means = Vec::new();
    for subject in &mut rows.subjects {
        let mean = voxel_means(&subject.data, subject.voxels);
        if options.demean {
            for tr in subject.data.chunks_exact_mut(subject.voxels.max(1)) {
                tr.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m);
            }
        }
        means.push(mean);
    }
    // The maps and the products of an iteration.
    for subject in &rows.subjects {
        rows.memory
            .try_grow(4 * 8 * subject.voxels * options.features)?;
    }
    let data: Vec<MatRef<'_, f64>> = rows
        .subjects
        .iter()
        .map(|s| MatRef::from_column_major_slice(&s.data, s.voxels, trs))
        .collect();
    let fitted = match kernel::fit(&data, options.features, options.iterations, options.seed) {
        Ok(fitted) => fitted,
        Err(message) => {
            let names: Vec<_> = rows.subjects.iter().map(|s| s.name.as_str()).collect();
            return exec_err!(
                "CREATE MODEL: {message} (subjects in order: {})",
                names.join(", ")
            );
        }
    };
    let subjects = rows.subjects.iter().zip(means).enumerate();
    Ok(SrmModel {
        options,
        schema: rows
            .schema
            .fields()
            .iter()
            .map(|f| (f.name().clone(), f.data_type().to_string()))
            .collect(),
        subjects: subjects
            .map(|(i, (subject, mean))| SubjectMap {
                name: subject.name.clone(),
                voxels: subject.voxels,
                weights: column_major(fitted.w[i].as_ref()),
                mean,
                rho2: fitted.rho2[i],
            })
            .collect(),
        shared: column_major(fitted.s.as_ref()),
        sigma: column_major(fitted.sigma.as_ref()),
        log_likelihood: fitted.log_likelihood,
    })
}

fn voxel_means(data: &[f64], voxels: usize) -> Vec<f64> {
    let mut mean = vec![0.0; voxels];
    let trs = data.len() / voxels.max(1);
    for tr in data.chunks_exact(voxels.max(1)) {
        mean.iter_mut().zip(tr).for_each(|(m, x)| *m += x);
    }
    mean.iter_mut().for_each(|m| *m /= trs as f64);
    mean
}

fn column_major(matrix: MatRef<'_, f64>) -> Vec<f64> {
    let columns = 0..matrix.ncols();
    columns
        .flat_map(|j| (0..matrix.nrows()).map(move |i| matrix[(i, j)]))
        .collect()
}
