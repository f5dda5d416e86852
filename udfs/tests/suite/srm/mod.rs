//! The shared response models.

mod direct;
mod golden;
mod laws;

use faer::{Mat, MatMut, MatRef};
use voxql_udfs::kernels::srm::{Data, Shape, fitted_map, probabilistic};

/// Calls `f` with data that are in memory, read in panels of 7 voxels by two threads.
fn with_data<R>(subjects: &[Mat<f64>], f: impl FnOnce(&Data<'_>) -> R) -> R {
    let names: Vec<String> = (0..subjects.len()).map(|i| format!("s{i}")).collect();
    let shapes = subjects.iter().zip(&names).map(|(x, name)| Shape {
        name,
        voxels: x.nrows(),
        trs: x.ncols(),
    });
    let read = |i: usize, f: &mut dyn FnMut(MatMut<'_, f64>)| {
        let x = &subjects[i];
        for at in (0..x.nrows()).step_by(7) {
            let mut panel = x.subrows(at, 7.min(x.nrows() - at)).to_owned();
            f(panel.as_mut());
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
        .map(|i| fitted_map(data, i, model.s.as_ref(), &model.polar[i], &model.mean[i]).unwrap())
        .collect()
}

fn views(matrices: &[Mat<f64>]) -> Vec<MatRef<'_, f64>> {
    matrices.iter().map(Mat::as_ref).collect()
}

fn largest_difference(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (a - b).norm_max()
}
