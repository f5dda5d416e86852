//! Volumes of voxels: smoothing, brain masks, parcels, and other grids.
//!
//! A volume of shape `[nx, ny, nz]` is a slice in the order of NIfTI files, x fastest: voxel
//! (x, y, z) is at `x + nx * (y + ny * z)`. NumPy's C order, in which nilearn lists voxels, is the
//! other way round, z fastest; it matters here only where nilearn breaks a tie by it.

pub mod components;
pub mod epi_mask;
pub mod intersect;
pub mod morphology;
pub mod parcels;
pub mod resample;
pub mod smooth;

use super::signal::Sample;

/// Voxels along x, y and z.
pub type Shape = [usize; 3];

/// The first three rows of the matrix that takes voxel indices to millimetres.
pub type Affine = [[f64; 4]; 3];

/// Makes NaN and the infinities 0, as nilearn does before it smooths or averages.
pub fn ensure_finite<T: Sample>(volume: &mut [T]) {
    for value in volume {
        *value = finite(*value);
    }
}

/// The value, or 0 for NaN and the infinities.
fn finite<T: Sample>(value: T) -> T {
    let number: f64 = value.into();
    if number.is_finite() {
        value
    } else {
        T::from_f64(0.0)
    }
}

/// Voxels in a volume.
fn count(shape: Shape) -> usize {
    shape.iter().product()
}
