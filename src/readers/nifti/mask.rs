//! Which voxels to read: a NIfTI mask, one for all files or one per subject.

use std::path::{Path, PathBuf};

use datafusion::common::{Result, plan_err};

use super::grid::Grid;
use super::header::Header;
use super::volumes::{Volumes, c_order};
use crate::readers::bids::{ENTITIES, entities};
use crate::readers::format::file_error;

/// A mask that has been read and found to be one.
#[derive(Debug, Clone)]
pub struct Mask {
    path: PathBuf,
    pub grid: Grid,
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
        let encoding = file.header.encoding;
        let (mut is_nan, mut value_inside, mut other) = (0, None, None);
        // Nothing as large as the header claims is allocated before the file has shown to hold it.
        let raw = file.read_raw()?;
        let mut is_inside = Vec::with_capacity(raw.len() / encoding.width());
        encoding.for_each(raw, |_, value: f32| {
            is_inside.push(value != 0.0);
            if value.is_nan() {
                is_nan += 1;
            } else if value != 0.0 && *value_inside.get_or_insert(value) != value {
                other.get_or_insert(value);
            }
        });
        if is_nan > 0 {
            return Err(file_error(
                path,
                format!("a mask cannot hold NaN, this one has {is_nan}; make them 0"),
            ));
        }
        let Some(inside) = value_inside else {
            return Err(file_error(path, "an empty mask: every voxel is 0"));
        };
        if let Some(other) = other {
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
            grid: Grid::of(&file.header),
            voxels: c_order(shape, |position| is_inside[position]),
        })
    }

    /// Errors unless the image lies on the mask's grid ([`Grid::check_fit`]).
    pub fn check(&self, path: &Path, image: &Header) -> Result<()> {
        Grid::of(image).check_fit(path, "mask", &self.path, &self.grid)
    }
}

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
