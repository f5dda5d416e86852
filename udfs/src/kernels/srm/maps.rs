//! The maps of a fitted model, and their use.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::polar::nearest_orthonormal;
use super::{Centring, Data, PERTURBATION, Polar, means};

/// Makes subject `i`'s map in the fit of a model, voxels × features with orthonormal columns, in `w`. `s`, `polar`
/// and `mean` are the fit's. Reads the subject once.
///
/// # Errors
/// Those of the reader, and data that are not finite.
pub fn fitted_map(
    data: &Data<'_>,
    i: usize,
    s: MatRef<'_, f64>,
    polar: &Polar,
    mean: &[f64],
    mut w: MatMut<'_, f64>,
) -> Result<(), String> {
    // W = (x Sᵀ + ε E) P = x (P S)ᵀ + ε E P
    let k = s.nrows();
    let (right, diagonal) = match polar {
        Polar::Root { root, .. } => (root * s, root.clone()),
        Polar::Svd => (s.to_owned(), Mat::identity(k, k)),
    };
    let mut seen = 0;
    (data.read)(i, &mut |panel| {
        times_transposed(w.as_mut(), seen, panel, right.as_ref());
        seen += panel.nrows();
    })?;
    remove_means(w.as_mut(), mean, right.as_ref());
    for j in 0..k {
        for i in 0..k {
            w[(i, j)] += PERTURBATION * diagonal[(i, j)];
        }
    }
    match polar {
        // Ten digits of sixteen are left, or more.
        Polar::Root { condition, .. } if *condition > 1e-6 => {}
        Polar::Root { .. } => w.copy_from(polished(w.as_ref())),
        Polar::Svd => w.copy_from(nearest_orthonormal(data.subjects[i].name, w.as_ref())?),
    }
    Ok(())
}

/// The map of subject `i` that was not in the fit, from its data for the same TRs: the
/// orthonormal `W` nearest to `x Sᵀ`, as BrainIAK's `transform_subject`; and the
/// means that were removed.
///
/// # Errors
/// When `s` has another number of TRs; else as [`fitted_map`].
pub fn new_map(
    data: &Data<'_>,
    i: usize,
    s: MatRef<'_, f64>,
    centring: Centring,
) -> Result<(Mat<f64>, Vec<f64>), String> {
    let subject = data.subjects[i];
    if subject.trs != s.ncols() {
        return Err(format!(
            "subject {} has {} TRs, the model {}; it needs the same TRs",
            subject.name,
            subject.trs,
            s.ncols()
        ));
    }
    if subject.voxels < s.nrows() {
        return Err(format!(
            "subject {} has {} voxels, fewer than the {} features of the model",
            subject.name,
            subject.voxels,
            s.nrows()
        ));
    }
    let mut a = Mat::zeros(subject.voxels, s.nrows());
    let mut mean = Vec::with_capacity(subject.voxels);
    (data.read)(i, &mut |panel| {
        let seen = mean.len();
        mean.extend(match centring {
            Centring::Removed => means(panel),
            Centring::None | Centring::CountedAsNoise => vec![0.0; panel.nrows()],
        });
        times_transposed(a.as_mut(), seen, panel, s);
    })?;
    remove_means(a.as_mut(), &mean, s);
    Ok((nearest_orthonormal(subject.name, a.as_ref())?, mean))
}

/// Takes a subject's data (voxels × any number of TRs) into the shared space: `Wᵀ X`.
pub fn transform(w: MatRef<'_, f64>, x: MatRef<'_, f64>) -> Mat<f64> {
    w.transpose() * x
}

/// Makes `(x − m 1ᵀ) Sᵀ` of `x Sᵀ`: it is `m (S 1)ᵀ` less.
fn remove_means(a: MatMut<'_, f64>, mean: &[f64], s: MatRef<'_, f64>) {
    for (column, row) in a.col_iter_mut().zip(s.row_iter()) {
        let sum: f64 = row.iter().sum();
        let values = column.iter_mut().zip(mean);
        values.for_each(|(a, m)| *a -= m * sum);
    }
}

/// The rows of `x Sᵀ` that a panel gives, from row `first` on.
fn times_transposed(a: MatMut<'_, f64>, first: usize, panel: MatRef<'_, f64>, s: MatRef<'_, f64>) {
    let rows = a.subrows_mut(first, panel.nrows());
    matmul(rows, Accum::Replace, panel, s.transpose(), 1.0, Par::Seq);
}

/// One step of Newton and Schulz: columns that are orthonormal to eight digits become so to
/// sixteen.
fn polished(w: MatRef<'_, f64>) -> Mat<f64> {
    let k = w.ncols();
    let gram = w.transpose() * w;
    let step = Mat::from_fn(k, k, |i, j| {
        let unit = if i == j { 3.0 } else { 0.0 };
        (unit - gram[(i, j)]) / 2.0
    });
    w * step
}
