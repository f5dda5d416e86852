//! `read_voxels`: images with one row per voxel.

mod rows;
mod series;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;

use self::rows::Rows;
use super::bids::sidecar;
use super::bold::MAX_LENGTH_KEY;
use super::files::leave_out_empty;
use super::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, ParameterKind, file_error,
};
use super::nifti::grid::{Grid, grid_metadata};
use super::nifti::header::{Header, by_times};
use super::nifti::mask::{self, Mask};
use super::nifti::pair;
use super::nifti::volumes::Volumes;

/// Field metadata of a vector over time: seconds between its elements.
pub const REPETITION_TIME_KEY: &str = "voxql.repetition_time";

/// NIfTI images, one row per voxel, in C order (z fastest), as nilearn's `apply_mask`.
///
/// - `voxel` (Int64): its place in the vector that `read_bold` gives with the same mask, from 0.
/// - `i`, `j`, `k` (Int64): its indices. Where all files have one grid, the fields' metadata
///   say it ([`grid_metadata`]).
/// - `x`, `y`, `z` (Float64): its centre in mm, by the image's affine.
/// - `value` (Float64), of 3-D images: exact for all whole numbers up to 2⁵³, so for labels.
/// - `bold`, of 4-D images: its values over time. `FixedSizeList<Float32>` where all files have
///   as many volumes, else `List<Float32>`.
#[derive(Debug)]
pub struct Voxels;

impl Format for Voxels {
    fn function(&self) -> &'static str {
        "read_voxels"
    }

    fn stored_as(&self) -> &'static str {
        "NIFTI_VOXELS"
    }

    fn description(&self) -> &'static str {
        "NIfTI images, one row per voxel, those inside the mask in nilearn's order (C order, z fastest): `voxel` (its place in `bold` of \
         `read_bold` with the same mask, from 0), its indices `i`, `j`, `k`, its centre `x`, `y`, `z` in mm by the image's affine, and \
         `value` (`DOUBLE`, scaled by the header's slope and intercept; labels are exact). `COPY (SELECT i, j, k, … FROM read_voxels(…)) \
         TO 'x.nii.gz' STORED AS NIFTI` makes an image again.\n\n\
         Of 4-D images it gives `bold` instead of `value`, the voxel's values over time: the rows are the matrix voxels × time that \
         BrainIAK takes, where `read_bold` has nilearn's time × voxels. `bold` is a `FixedSizeList<Float32, T>` where all files have the \
         same number of volumes, else a `List<Float32>`. A file is turned on its side in blocks of 64 MB: one that has more inside the \
         mask is read, and a `.nii.gz` decompressed, once for each block. \
         3-D and 4-D images do not go into one table. Without `value` and `bold` only headers (and the mask) are read."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".nii.gz", ".nii", ".hdr", ".hdr.gz"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter {
            name: "mask",
            kind: ParameterKind::Text,
            default: "all voxels",
            description: "A 3-D NIfTI mask of the images' shape and affine; voxels that are \
                          not 0 are read. BIDS entities in braces are taken from each file's \
                          name: 'masks/sub-{subject}_mask.nii.gz'.",
        }]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let files = leave_out_empty(self.function(), pair::once(files))?;
        let mut masks = Masks::default();
        let mut images: Vec<(Header, Option<f64>)> = Vec::with_capacity(files.len());
        for path in &files {
            let header = open(path)?.header;
            if let Some((first, _)) = images.first()
                && first.dimensions != header.dimensions
            {
                return Err(file_error(
                    path,
                    format!(
                        "is {}-D, but {} is {}-D; read 3-D and 4-D images into tables of their own",
                        header.dimensions,
                        files[0].display(),
                        first.dimensions
                    ),
                ));
            }
            masks.of(path, &header, options)?;
            let time = repetition_time(path, &header);
            images.push((header, time));
        }
        Ok(Description {
            schema: schema(&images),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        Ok(Box::new(Rows::open(scan)?))
    }
}

fn open(path: &Path) -> Result<Volumes> {
    let volumes = Volumes::open(path)?;
    match volumes.header.dimensions {
        3 | 4 => Ok(volumes),
        n => Err(file_error(
            path,
            format!(
                "is {n}-D ({}); read_voxels reads 3-D images, and 4-D ones, whose last \
                 dimension is time",
                by_times(&volumes.header.shape[..n.min(3)])
            ),
        )),
    }
}

/// The mask that was read last: files of one subject stand together.
#[derive(Default)]
struct Masks(Option<(PathBuf, Mask)>);

impl Masks {
    /// The voxels to read of a file, where a mask says so, by position in the file.
    fn of(&mut self, path: &Path, header: &Header, options: &Options) -> Result<Option<&[u32]>> {
        let Some(pattern) = options.text("mask") else {
            return Ok(None);
        };
        let file = mask::fill(pattern, path)?;
        let mask = match self.0.take() {
            Some((read, mask)) if read == file => mask,
            _ => Mask::read(&file)?,
        };
        mask.check(path, header)?;
        let (_, mask) = self.0.insert((file, mask));
        Ok(Some(&mask.voxels))
    }
}

/// Seconds between volumes: of the BIDS sidecar, else of the header. It is only remembered for
/// images that are written, so a damaged sidecar is no error here.
fn repetition_time(path: &Path, header: &Header) -> Option<f64> {
    let fields = sidecar(path).ok().flatten();
    let seconds = fields.and_then(|fields| fields.get("RepetitionTime")?.as_f64());
    seconds
        .filter(|seconds| *seconds > 0.0)
        .or(header.repetition_time)
}

/// The columns of images, all 3-D or all 4-D, with the times between their volumes.
fn schema(images: &[(Header, Option<f64>)]) -> SchemaRef {
    let mut index = HashMap::new();
    if let Some((first, _)) = images.first()
        && images
            .iter()
            .all(|(other, _)| Grid::of(other) == Grid::of(first))
    {
        index = grid_metadata(first.shape, &first.affine);
    }
    let integer = |name: &str| Field::new(name, DataType::Int64, false);
    let number = |name: &str| Field::new(name, DataType::Float64, false);
    let mut fields = vec![integer("voxel")];
    fields.extend(["i", "j", "k"].map(|name| integer(name).with_metadata(index.clone())));
    fields.extend(["x", "y", "z"].map(number));
    fields.push(match images.first() {
        Some((first, _)) if first.dimensions == 4 => bold(images),
        _ => number("value"),
    });
    Arc::new(Schema::new(fields))
}

fn bold(images: &[(Header, Option<f64>)]) -> Field {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let mut metadata = HashMap::new();
    let lengths = images.iter().map(|(header, _)| header.volumes);
    let longest = lengths.clone().max().unwrap_or(0);
    let data_type = match i32::try_from(longest) {
        Ok(n) if lengths.clone().all(|other| other == longest) => DataType::FixedSizeList(item, n),
        _ => {
            metadata.insert(MAX_LENGTH_KEY.to_owned(), longest.to_string());
            DataType::List(item)
        }
    };
    if let Some((_, Some(seconds))) = images.first()
        && images.iter().all(|(_, other)| *other == Some(*seconds))
    {
        metadata.insert(REPETITION_TIME_KEY.to_owned(), seconds.to_string());
    }
    Field::new("bold", data_type, false).with_metadata(metadata)
}
