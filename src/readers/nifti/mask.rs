//! Which voxels to read: a NIfTI mask, one for all files or one per subject.

use std::path::{Path, PathBuf};

use datafusion::common::{Result, plan_err};

use super::affine::Affine;
use super::header::{Header, by_times};
use super::volumes::{Volumes, c_order};
use crate::readers::bids::{ENTITIES, entities};
use crate::readers::format::file_error;

/// A mask that has been read and found to be one.
#[derive(Debug, Clone)]
pub struct Mask {
    path: PathBuf,
    shape: [usize; 3],
    affine: Affine,
    /// Positions in a file of this shape, in C order; at least one.
    pub voxels: Vec<u32>,
}

impl Mask {
    /// Reads a 3-D mask: voxels with the one value that is not 0 are inside.
    ///
    /// NaN, more than one value beside 0, and no voxel inside are errors.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = Volumes::open(path)?;
        let shape = file.header.shape;
        if file.header.volumes != 1 {
            let volumes = file.header.volumes;
            return Err(file_error(
                path,
                format!("a mask must be 3-D, this image has {volumes} volumes"),
            ));
        }
        let in_file: Vec<u32> = (0..file.header.voxels() as u32).collect();
        let mut values = vec![];
        file.read(&in_file, &mut values)?;

        let is_nan = values.iter().filter(|v| v.is_nan()).count();
        if is_nan > 0 {
            return Err(file_error(
                path,
                format!("a mask cannot hold NaN, this one has {is_nan}; make them 0"),
            ));
        }
        let Some(inside) = values.iter().copied().find(|&v| v != 0.0) else {
            return Err(file_error(path, "an empty mask: every voxel is 0"));
        };
        if let Some(other) = values.iter().find(|&&v| v != 0.0 && v != inside) {
            return Err(file_error(
                path,
                format!(
                    "a mask has one value beside 0, this one has {inside} and {other} at least; \
                     make it 0 and 1, by a threshold for example"
                ),
            ));
        }
        Ok(Mask {
            path: path.to_owned(),
            shape,
            affine: file.header.affine,
            voxels: c_order(shape, |position| values[position] != 0.0),
        })
    }

    /// Errors unless the image has the mask's shape and, nearly, its affine.
    ///
    /// Elements of the affines may differ by 1e-4 plus 1e-5 of their size: rounding
    /// of the stored quaternion, not another place.
    pub fn check(&self, path: &Path, image: &Header) -> Result<()> {
        if self.shape != image.shape {
            return Err(file_error(
                path,
                format!(
                    "has {} voxels, the mask {} has {}; {REMEDY}",
                    by_times(&image.shape),
                    self.path.display(),
                    by_times(&self.shape)
                ),
            ));
        }
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-4 + 1e-5 * b.abs();
        let mut pairs = image
            .affine
            .iter()
            .flatten()
            .zip(self.affine.iter().flatten());
        if !pairs.all(|(a, b)| same(*a, *b)) {
            return Err(file_error(
                path,
                format!(
                    "lies elsewhere than the mask {}: its affine is {:?}, the mask's {:?}; {REMEDY}",
                    self.path.display(),
                    image.affine,
                    self.affine
                ),
            ));
        }
        Ok(())
    }
}

const REMEDY: &str = "resample the mask to the image, or give the mask made for it";

/// The mask's path for one file: the pattern with each `{subject}`, `{task}`, … replaced by
/// what the file's name says.
pub fn fill(pattern: &str, file: &Path) -> Result<PathBuf> {
    let mut filled = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return plan_err!("mask => '{pattern}' has a {{ without its }}");
        };
        if !ENTITIES.iter().any(|(_, column)| *column == name) {
            let names: Vec<&str> = ENTITIES.iter().map(|(_, column)| *column).collect();
            return plan_err!(
                "mask => '{pattern}': {{{name}}} is no BIDS entity; there are {}",
                names.join(", ")
            );
        }
        let Some((_, value)) = entities(file).into_iter().find(|(n, _)| *n == name) else {
            return plan_err!(
                "mask => '{pattern}': the name of {} does not say its {name}",
                file.display()
            );
        };
        filled.push_str(before);
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(PathBuf::from(filled))
}
