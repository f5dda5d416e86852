//! The shared response models.

mod direct;
mod golden;
mod laws;

use faer::{Mat, MatRef};
use voxql_udfs::kernels::srm::{Data, Polar, Shape, fitted_map, probabilistic};

/// Calls `f` with data that are in memory, read in panels of 7 voxels by two threads.
fn with_data<R>(subjects: &[Mat<f64>], f: impl FnOnce(&Data<'_>) -> R) -> R {
    in_panels(7, subjects, f)
}

/// The same in panels of `voxels`.
fn in_panels<R>(voxels: usize, subjects: &[Mat<f64>], f: impl FnOnce(&Data<'_>) -> R) -> R {
    let names: Vec<String> = (0..subjects.len()).map(|i| format!("s{i}")).collect();
    let shapes = subjects.iter().zip(&names).map(|(x, name)| Shape {
        name,
        voxels: x.nrows(),
        trs: x.ncols(),
    });
    let read = |i: usize, f: &mut dyn FnMut(MatRef<'_, f64>)| {
        let x = &subjects[i];
        for at in (0..x.nrows()).step_by(voxels) {
            f(x.subrows(at, voxels.min(x.nrows() - at)));
        }
        Ok(())
    };
    f(&Data {
        subjects: shapes.collect(),
        read: &read,
        threads: 2,
    })
}

/// All maps of a fitted probabilistic model.
fn maps(data: &Data<'_>, model: &probabilistic::Fit) -> Vec<Mat<f64>> {
    (0..data.subjects.len())
        .map(|i| map(data, i, model.s.as_ref(), &model.polar[i], &model.mean[i]))
        .collect()
}

fn map(data: &Data<'_>, i: usize, s: MatRef<'_, f64>, polar: &Polar, mean: &[f64]) -> Mat<f64> {
    // What is in it before is overwritten.
    let mut w = Mat::full(data.subjects[i].voxels, s.nrows(), f64::NAN);
    fitted_map(data, i, s, polar, mean, w.as_mut()).unwrap();
    w
}

fn views(matrices: &[Mat<f64>]) -> Vec<MatRef<'_, f64>> {
    matrices.iter().map(Mat::as_ref).collect()
}

fn largest_difference(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a - b).norm_max()
}
