//! `read_bold`: fMRI runs as tables, one row per time point.
//!
//! ```text
//!   Bold          the format: arguments, columns
//!   Request       the arguments, checked
//!   Run           an open file, whatever its kind: rows of numbers
//!   Batches       a run's rows as record batches
//! ```

mod batches;
mod metadata;
mod region;
mod repetition_time;
mod request;
mod run;
mod surface_run;
mod volume_run;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;

use self::batches::Batches;
use self::metadata::Metadata;
use self::request::Request;
use self::run::Run;
use self::volume_run::{Length, Regions};
use super::files::leave_out_empty;
use super::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, ParameterKind,
    file_error,
};
use super::nifti::pair;

/// Field metadata of `bold`: the `mask =>` that chose its voxels, as given.
pub const MASK_KEY: &str = "voxql.mask";
/// Field metadata of a `bold` of parcels: the label of each element, `1,2,5`.
pub const LABELS_KEY: &str = "voxql.labels";
/// Field metadata of lists that differ in length, such as a `bold` whose files differ in their number of
/// voxels: the largest. Batches have the fewer rows, the longer they are.
pub const MAX_LENGTH_KEY: &str = "voxql.max_length";

/// Functional MRI in NIfTI-1 or NIfTI-2, in one file or a `.hdr`/`.img` pair, compressed or
/// not; 4-D, or 3-D (a statistical map, a mean image), which is a run of one volume.
///
/// Columns, one row per volume:
///
/// - `tr` (Int64): the volume, from 0.
/// - `time` (Float64): seconds from the start of the run to the start of the volume.
/// - `repetition_time` (Float64): seconds between volumes, from the BIDS sidecar, else
///   the header, else `tr =>`. A run of one volume needs none: NULL where no source has it.
/// - `bold`: the values of the voxels inside the mask, or of all, scaled as the header says,
///   in C order (z fastest), as nilearn's `apply_mask` gives them. `FixedSizeList<Float32>` where
///   all files have as many voxels, else `List<Float32>`.
#[derive(Debug)]
pub struct Bold;

impl Format for Bold {
    fn function(&self) -> &'static str {
        "read_bold"
    }

    fn stored_as(&self) -> &'static str {
        "NIFTI"
    }

    fn description(&self) -> &'static str {
        "NIfTI-1 and NIfTI-2 images (`.nii`, `.nii.gz`, `.hdr`/`.img` pairs, either byte order), one row per volume: `tr` (0-based), \
         `time` (its start in seconds), `repetition_time`, and `bold`, the voxels inside the mask in nilearn's order (C order, z fastest), \
         scaled by the header's slope and intercept. `bold` is a `FixedSizeList<Float32, N>` where all files have the same number of voxels, \
         else a `List<Float32>`. A 3-D image, such as a statistical map, is a run of one volume: `tr` 0 at `time` 0. \
         The path of a pair is its `.hdr` or its `.img`. \
         The repetition time comes from the BIDS sidecar, else from the header, else from `tr`; a run of one volume needs none (NULL); \
         where they differ, a warning names them. Empty files are left out with a warning. \
         In a BIDS data set, `mask_path`, `events_path` and `confounds_path` are the files that belong to the run. The headers of all files \
         that the arguments leave are read when the query is planned, and only the runs that a condition on keys leaves when it runs.\n\n\
         CIFTI-2 (`.dtseries.nii`, `.ptseries.nii`) and GIFTI (`.func.gii`) give the same columns, one row per time point; `bold` has the \
         grayordinates, the parcels, or the vertices of one hemisphere (the key `hemisphere` says which), in the file's order. `cifti_elements` says where each is. \
         The series' own step is the repetition time where no sidecar has it (GIFTI's `TimeStep` counts as milliseconds from 50 on, as \
         FreeSurfer writes it, else as seconds), and its start is the first row's time. `.dscalar.nii`, `.pscalar.nii`, `.shape.gii` and other maps \
         are one row per map, `tr` its place; several in a file have no time (NULL). The field `bold` carries what the files say in its metadata: \
         `voxql.brain_models`, `voxql.parcels`, `voxql.volume`, `voxql.maps` (JSON), `voxql.structure`, and `voxql.elements`, the same where elements mean the \
         same; what differs between files is left out, with a warning. `mask` is for volumes only."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[
            "_bold.nii.gz",
            "_bold.nii",
            "_bold.hdr",
            "_bold.hdr.gz",
            ".dtseries.nii",
            ".ptseries.nii",
            ".func.gii",
        ]
    }

    fn bids(&self) -> BidsUse {
        BidsUse::Runs
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[
            Parameter {
                name: "mask",
                kind: ParameterKind::Text,
                default: "all voxels",
                description: "A 3-D NIfTI mask of the images' shape and affine; voxels that are \
                              not 0 are read. BIDS entities in braces are taken from each file's \
                              name: 'masks/sub-{subject}_mask.nii.gz'.",
            },
            Parameter {
                name: "brain_mask",
                kind: ParameterKind::Text,
                default: "none",
                description: "Instead of `mask`: 'bids' is the mask beside each run, by its name (fMRIPrep's \
                              `desc-brain_mask`); 'epi' is computed from each run as `epi_mask` does, which reads the run \
                              once more; 'auto' is the first where there is one, else the second. Computed masks are known only \
                              when the query runs, so `bold` is then a `List<Float32>`.",
            },
            Parameter {
                name: "atlas",
                kind: ParameterKind::Text,
                default: "voxels, not parcels",
                description: "A 3-D NIfTI image of labels; `bold` then has one element per label inside the mask, \
                              ascending, and its metadata name them (`voxql.labels`). Entities in braces as for `mask`. Values that are not \
                              finite count as 0.",
            },
            Parameter {
                name: "strategy",
                kind: ParameterKind::Text,
                default: "mean",
                description: "How a parcel's voxels become one number, by nilearn's names: 'mean', 'median', 'sum', \
                              'minimum', 'maximum', 'standard_deviation' or 'variance' (of the voxels, divided by their number).",
            },
            Parameter {
                name: "background_label",
                kind: ParameterKind::Integer,
                default: "0",
                description: "The label of voxels that belong to no parcel.",
            },
            Parameter {
                name: "smoothing_fwhm",
                kind: ParameterKind::Floats,
                default: "not smoothed",
                description: "Full width at half maximum of a Gaussian in millimetres, one number or one for each of x, y and z. Volumes are \
                              smoothed whole, before the mask is applied, as nilearn does; values that are not finite become 0 first.",
            },
            Parameter {
                name: "resample",
                kind: ParameterKind::Texts,
                default: "nothing; other grids are an error",
                description: "'mask' or 'atlas' (or both in an array) are resampled to the run's grid, by the nearest voxel. \
                              'bold' is the run, resampled to the mask's grid, or the atlas' where there is no mask; \
                              voxels outside of the run are 0.",
            },
            Parameter {
                name: "interpolation",
                kind: ParameterKind::Text,
                default: "continuous",
                description: "How 'bold' is resampled: 'continuous' (cubic spline), 'linear' or 'nearest'.",
            },
            Parameter {
                name: "tr",
                kind: ParameterKind::Float,
                default: "from the BIDS sidecar, else the header",
                description: "The repetition time in seconds, for files whose sidecar and header \
                              do not have it.",
            },
        ]
    }

    fn bounded(&self) -> &'static [&'static str] {
        &["tr", "time"]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        let request = Request::parse(options)?;
        let files = leave_out_empty(self.function(), pair::once(files))?;
        let mut regions = Regions::default();
        let mut doubts: BTreeMap<String, (&Path, usize)> = BTreeMap::new();
        let mut lengths = vec![];
        let mut metadata = Metadata::default();
        let mut timed = Timed::All;
        for path in &files {
            let run = Run::open(path)?;
            let time = run.time(path, request.tr)?;
            if time.is_none() {
                timed = timed.max(match run.rows() {
                    1 => Timed::AllButSingleRows,
                    _ => Timed::NotMaps,
                });
            }
            metadata.add(path, run.metadata());
            if let Some(doubt) = time.and_then(|time| time.doubt) {
                doubts.entry(doubt).or_insert((path, 0)).1 += 1;
            }
            lengths.push(run.length(&request, &mut regions)?);
        }
        for (doubt, (path, count)) in doubts {
            let more = match count {
                1 => String::new(),
                _ => format!(" (and {} more)", count - 1),
            };
            log::warn!("{}{more}: {doubt}", path.display());
        }
        let mut metadata = metadata.common();
        if let Some(mask) = options.text("mask") {
            metadata.insert(MASK_KEY.to_owned(), mask.to_owned());
        }
        let schema = schema(&files, &lengths, timed, metadata)?;
        Ok(Description { schema, files })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        Ok(Box::new(Batches::open(scan)?))
    }
}

/// Which files have a repetition time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timed {
    All,
    /// A single row starts at 0 all the same.
    AllButSingleRows,
    /// Some files are several maps, which have no time at all.
    NotMaps,
}

/// `lengths` are the elements of each file's rows; `metadata` are those of `bold`.
fn schema(
    files: &[PathBuf],
    lengths: &[Length],
    timed: Timed,
    mut metadata: HashMap<String, String>,
) -> Result<SchemaRef> {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    if let Some(labels) = same_labels(files, lengths)? {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        metadata.insert(LABELS_KEY.to_owned(), labels.join(","));
    }
    let longest = lengths.iter().map(Length::most).max().unwrap_or(0);
    let known = |length: &Length| !matches!(length, Length::AtMost(_)) && length.most() == longest;
    let bold = if lengths.iter().all(known) {
        // The header's check keeps volumes within an i32.
        DataType::FixedSizeList(item, longest as i32)
    } else {
        metadata.insert(MAX_LENGTH_KEY.to_owned(), longest.to_string());
        DataType::List(item)
    };
    Ok(Arc::new(Schema::new(vec![
        Field::new("tr", DataType::Int64, false),
        Field::new("time", DataType::Float64, timed == Timed::NotMaps),
        Field::new("repetition_time", DataType::Float64, timed != Timed::All),
        Field::new("bold", bold, false).with_metadata(metadata),
    ])))
}

/// The labels of parcels; an error where they differ, for then an element would not mean the
/// same in all rows.
fn same_labels<'a>(files: &[PathBuf], lengths: &'a [Length]) -> Result<Option<&'a [i64]>> {
    let mut first: Option<(&Path, &[i64])> = None;
    for (path, length) in files.iter().zip(lengths) {
        let Length::Parcels(labels) = length else {
            continue;
        };
        match first {
            Some((other, known)) if known != labels => {
                let odd = |a: &[i64], b: &[i64]| a.iter().copied().find(|label| !b.contains(label));
                let label = odd(labels, known).or_else(|| odd(known, labels));
                return Err(file_error(
                    path,
                    format!(
                        "{} parcels are inside its mask, {} in {} (label {} is only in one of them); an element of \
                         bold must mean the same in all rows: give an atlas and a mask that leave the same labels, or read them apart",
                        labels.len(),
                        known.len(),
                        other.display(),
                        label.unwrap_or_default()
                    ),
                ));
            }
            _ => first = Some((path, labels)),
        }
    }
    Ok(first.map(|(_, labels)| labels))
}
