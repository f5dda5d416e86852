//! The grid that voxel indices belong to, as metadata of the fields `i`, `j` and `k`.
//!
//! A table of voxels (`epi_mask`, `read_voxels`, …) says in each of the three fields which image
//! they index, so that `COPY … STORED AS NIFTI` can write them back into one.

use std::collections::HashMap;
use std::path::Path;

use datafusion::common::Result;

use super::affine::Affine;
use super::header::{Header, by_times};
use crate::readers::format::file_error;

/// Voxels along x, y and z: `64,64,40`.
pub const SHAPE_KEY: &str = "voxql.shape";
/// The first three rows of the affine, row by row: twelve numbers between commas, each the shortest
/// decimal that is that float64.
pub const AFFINE_KEY: &str = "voxql.affine";

/// The shape of an image and where its voxels lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Voxels along x, y and z, each at least 1.
    pub shape: [usize; 3],
    /// Voxel indices to millimetres.
    pub affine: Affine,
}

impl Grid {
    /// The grid of an image's volumes.
    pub fn of(header: &Header) -> Self {
        Self {
            shape: header.shape,
            affine: header.affine,
        }
    }

    /// Errors unless an image on this grid can be masked, or divided, by another: the same shape and,
    /// nearly, the same affine. `what` the other is, such as `mask`.
    pub fn check_fit(&self, path: &Path, what: &str, other: &Path, grid: &Grid) -> Result<()> {
        let remedy = format!(
            "resample the {what} to the image (read_bold does with resample => '{what}'), \
             or give the {what} made for it"
        );
        if self.shape != grid.shape {
            return Err(file_error(
                path,
                format!(
                    "has {} voxels, the {what} {} has {}; {remedy}. \
                     The affine is {:?}, the {what}'s {:?}",
                    by_times(&self.shape),
                    other.display(),
                    by_times(&grid.shape),
                    self.affine,
                    grid.affine
                ),
            ));
        }
        if !self.lies_with(grid) {
            return Err(file_error(
                path,
                format!(
                    "lies elsewhere than the {what} {}: its affine is {:?}, the {what}'s {:?}; {remedy}",
                    other.display(),
                    self.affine,
                    grid.affine
                ),
            ));
        }
        Ok(())
    }

    /// Whether another grid's affine is nearly this one: elements may differ by 1e-4 plus 1e-5
    /// of the other's size, which is rounding of the stored quaternion, not another place.
    pub fn lies_with(&self, other: &Grid) -> bool {
        let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-4 + 1e-5 * b.abs();
        let elements = self.affine.iter().flatten();
        elements.zip(other.affine.iter().flatten()).all(same)
    }

    /// The indices of the voxel at a position in a volume (x fastest).
    pub fn voxel(&self, position: u32) -> [usize; 3] {
        let [nx, ny, _] = self.shape;
        let at = position as usize;
        [at % nx, at / nx % ny, at / (nx * ny)]
    }

    /// The millimetres of the voxel's centre.
    pub fn place(&self, voxel: [usize; 3]) -> [f64; 3] {
        let [i, j, k] = voxel.map(|index| index as f64);
        self.affine
            .map(|[x, y, z, origin]| x * i + y * j + z * k + origin)
    }
}

/// The metadata of each of `i`, `j` and `k`.
pub fn grid_metadata(shape: [usize; 3], affine: &Affine) -> HashMap<String, String> {
    let joined = |texts: Vec<String>| texts.join(",");
    HashMap::from([
        (
            SHAPE_KEY.to_owned(),
            joined(shape.iter().map(ToString::to_string).collect()),
        ),
        (
            AFFINE_KEY.to_owned(),
            joined(affine.iter().flatten().map(ToString::to_string).collect()),
        ),
    ])
}

/// The grid that a field's metadata names, `None` if it names none.
///
/// Errors, with a message that names the key, for metadata that are there but wrong.
pub fn parse(metadata: &HashMap<String, String>) -> std::result::Result<Option<Grid>, String> {
    let (Some(shape), Some(affine)) = (metadata.get(SHAPE_KEY), metadata.get(AFFINE_KEY)) else {
        return Ok(None);
    };
    let sizes: Option<Vec<usize>> = shape.split(',').map(|n| n.trim().parse().ok()).collect();
    let shape = match sizes.as_deref() {
        Some([x, y, z]) if x.min(y).min(z) > &0 => [*x, *y, *z],
        _ => {
            return Err(format!(
                "{SHAPE_KEY} is '{shape}', not three numbers of voxels such as 64,64,40"
            ));
        }
    };
    let numbers: Option<Vec<f64>> = affine.split(',').map(|n| n.trim().parse().ok()).collect();
    let numbers = numbers.filter(|n| n.len() == 12 && n.iter().all(|v| v.is_finite()));
    let Some(numbers) = numbers else {
        return Err(format!(
            "{AFFINE_KEY} is '{affine}', not the twelve numbers of three rows of an affine"
        ));
    };
    let row = |row: usize| std::array::from_fn(|column| numbers[4 * row + column]);
    Ok(Some(Grid {
        shape,
        affine: std::array::from_fn(row),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AFFINE: Affine = [
        [-3.0, 0.0, 0.0, 36.5],
        [0.0, 0.1, 0.0, -1e-7],
        [0.0, 0.0, 3.5, 1.0 / 3.0],
    ];

    #[test]
    fn written_as_people_would() {
        let metadata = grid_metadata([64, 63, 40], &AFFINE);
        assert_eq!(metadata[SHAPE_KEY], "64,63,40");
        assert_eq!(
            metadata[AFFINE_KEY],
            "-3,0,0,36.5,0,0.1,0,-0.0000001,0,0,3.5,0.3333333333333333"
        );
    }

    #[test]
    fn a_voxel_has_a_place() {
        let grid = Grid {
            shape: [4, 4, 4],
            affine: AFFINE,
        };
        assert_eq!(grid.place([2, 0, 1]), [30.5, -1e-7, 3.5 + 1.0 / 3.0]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse(&HashMap::new()), Ok(None));
        let with = |key: &str, value: &str| {
            let mut metadata = grid_metadata([2, 3, 4], &AFFINE);
            metadata.insert(key.to_owned(), value.to_owned());
            parse(&metadata).unwrap_err()
        };
        for bad in ["", "2,3", "2,3,0", "2,3,4,5", "2,-3,4"] {
            assert!(with(SHAPE_KEY, bad).contains(SHAPE_KEY), "{bad}");
        }
        for bad in ["", "1,2,3", "1,0,0,0,0,1,0,0,0,0,NaN,0"] {
            assert!(with(AFFINE_KEY, bad).contains(AFFINE_KEY), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            shape in prop::array::uniform3(1usize..70_000),
            numbers in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO, 12),
        ) {
            let affine: Affine =
                std::array::from_fn(|r| std::array::from_fn(|c| numbers[4 * r + c]));
            let got = parse(&grid_metadata(shape, &affine));
            prop_assert_eq!(got, Ok(Some(Grid { shape, affine })));
        }
    }
}
