//! `read_bold`: fMRI runs stored as NIfTI, one row per volume; `nifti_header`: one row per file.

pub(super) mod affine;
pub(super) mod header;
mod header_table;
pub(super) mod mask;
pub(super) mod pair;
pub(super) mod raw;
pub(super) mod repetition_time;
pub(super) mod volumes;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, plan_err};

pub use self::header_table::NiftiHeader;

use self::header::{Header, by_times};
use self::mask::Mask;
use self::repetition_time::{RepetitionTime, check_given};
use self::volumes::{Volumes, c_order};
use super::format::{
    BatchIterator, BidsUse, Description, FileScan, Format, Options, Parameter, ParameterKind,
    file_error,
};

/// Field metadata of `bold`: the `mask =>` that chose its voxels, as given.
pub const MASK_KEY: &str = "voxql.mask";
/// Field metadata of a `bold` whose files differ in their number of voxels: the largest.
pub const MAX_LENGTH_KEY: &str = "voxql.max_length";

/// Rows per batch where `bold` is not asked for.
const NARROW_ROWS: usize = 8192;

/// Files that one warning names.
const MOST_NAMES: usize = 10;

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
pub struct Nifti;

impl Format for Nifti {
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
         that the arguments leave are read when the query is planned, and only the runs that a condition on keys leaves when it runs."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["_bold.nii.gz", "_bold.nii", "_bold.hdr", "_bold.hdr.gz"]
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
                name: "tr",
                kind: ParameterKind::Float,
                default: "from the BIDS sidecar, else the header",
                description: "The repetition time in seconds, for files whose sidecar and header \
                              do not have it.",
            },
        ]
    }

    fn describe(&self, files: Vec<PathBuf>, options: &Options) -> Result<Description> {
        check_given(options.float("tr"))?;
        let files = leave_out_empty(self.function(), pair::once(files))?;
        // Only the last mask is kept: files of one subject stand together.
        let mut last: Option<(PathBuf, Mask)> = None;
        let mut conflicts: BTreeMap<String, (&Path, usize)> = BTreeMap::new();
        let mut lengths = vec![];
        let mut all_timed = true;
        for path in &files {
            let header = open_bold(path)?.header;
            let time = RepetitionTime::of_run(path, &header, options.float("tr"))?;
            all_timed &= time.is_some();
            if let Some(conflict) = time.and_then(|time| time.conflict) {
                conflicts.entry(conflict).or_insert((path, 0)).1 += 1;
            }
            lengths.push(match mask_path(path, options)? {
                None => header.voxels(),
                Some(file) => {
                    let mask = match last.take() {
                        Some((read, mask)) if read == file => mask,
                        _ => Mask::read(&file)?,
                    };
                    mask.check(path, &header)?;
                    let length = mask.voxels.len();
                    last = Some((file, mask));
                    length
                }
            });
        }
        for (conflict, (path, count)) in conflicts {
            let more = match count {
                1 => String::new(),
                _ => format!(" (and {} more)", count - 1),
            };
            log::warn!("{}{more}: {conflict}", path.display());
        }
        let schema = schema(&lengths, all_timed, options.text("mask"));
        Ok(Description { schema, files })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        Ok(Box::new(Batches::open(scan)?))
    }
}

/// The files that hold anything, with one warning for those that do not; an error if none does.
fn leave_out_empty(function: &str, files: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let is_empty = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.len() == 0);
    let (empty, files): (Vec<_>, Vec<_>) = files.into_iter().partition(is_empty);
    let Some(first) = empty.first() else {
        return Ok(files);
    };
    if files.is_empty() {
        return plan_err!(
            "{function}: all {} files are empty (0 bytes), the first is {}; \
             were the images fetched?",
            empty.len(),
            first.display()
        );
    }
    let mut names: Vec<String> = empty.iter().map(|p| p.display().to_string()).collect();
    if names.len() > MOST_NAMES {
        names.truncate(MOST_NAMES);
        names.push("…".to_owned());
    }
    log::warn!(
        "left out {} empty files (0 bytes): {}",
        empty.len(),
        names.join(", ")
    );
    Ok(files)
}

fn open_bold(path: &Path) -> Result<Volumes> {
    let volumes = Volumes::open(path)?;
    match volumes.header.dimensions {
        3 | 4 => Ok(volumes),
        n => Err(file_error(
            path,
            format!(
                "is {n}-D ({}); read_bold reads 4-D images, whose last dimension is time, \
                 and 3-D ones as one volume",
                by_times(&volumes.header.shape[..n.min(3)])
            ),
        )),
    }
}

fn mask_path(path: &Path, options: &Options) -> Result<Option<PathBuf>> {
    options
        .text("mask")
        .map(|m| mask::fill(m, path))
        .transpose()
}

/// Which voxels of a file to read, in the order of the row.
fn voxels(path: &Path, header: &Header, options: &Options) -> Result<Vec<u32>> {
    let Some(file) = mask_path(path, options)? else {
        return Ok(c_order(header.shape, |_| true));
    };
    let mask = Mask::read(&file)?;
    mask.check(path, header)?;
    Ok(mask.voxels)
}

/// `lengths` are the voxels of each file's rows; `all_timed`: all files have a repetition time.
fn schema(lengths: &[usize], all_timed: bool, mask: Option<&str>) -> SchemaRef {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let mut metadata = HashMap::new();
    if let Some(mask) = mask {
        metadata.insert(MASK_KEY.to_owned(), mask.to_owned());
    }
    let bold = if lengths.iter().all(|&n| n == longest) {
        // The header's check keeps volumes within an i32.
        DataType::FixedSizeList(item, longest as i32)
    } else {
        metadata.insert(MAX_LENGTH_KEY.to_owned(), longest.to_string());
        DataType::List(item)
    };
    Arc::new(Schema::new(vec![
        Field::new("tr", DataType::Int64, false),
        Field::new("time", DataType::Float64, false),
        Field::new("repetition_time", DataType::Float64, !all_timed),
        Field::new("bold", bold, false).with_metadata(metadata),
    ]))
}

/// One file's rows.
struct Batches {
    path: PathBuf,
    schema: SchemaRef,
    volumes: Volumes,
    /// `None`: one volume, which needs none.
    time: Option<RepetitionTime>,
    /// `None` where `bold` is not asked for: then no voxel is decompressed.
    voxels: Option<Vec<u32>>,
    rows_per_batch: usize,
    next: usize,
    end: usize,
}

impl Batches {
    fn open(scan: &FileScan) -> Result<Self> {
        let volumes = open_bold(&scan.path)?;
        let header = &volumes.header;
        let tr = scan.options.float("tr");
        let time = RepetitionTime::of_run(&scan.path, header, tr)?;
        let mut rows_per_batch = NARROW_ROWS;
        let mut chosen = None;
        if scan.schema.column_with_name("bold").is_some() {
            let voxels = voxels(&scan.path, header, &scan.options)?;
            let row_bytes = voxels.len().max(1) * size_of::<f32>();
            // The offsets of a List are i32.
            let most = (i32::MAX as usize / voxels.len().max(1)).max(1);
            rows_per_batch = (scan.batch_bytes / row_bytes).clamp(1, most);
            chosen = Some(voxels);
        }
        let end = header.volumes.min(scan.limit.unwrap_or(usize::MAX));
        Ok(Batches {
            path: scan.path.clone(),
            schema: Arc::clone(&scan.schema),
            volumes,
            time,
            voxels: chosen,
            rows_per_batch,
            next: 0,
            end,
        })
    }

    fn batch(&mut self) -> Result<RecordBatch> {
        let first = self.next;
        let last = self.end.min(first + self.rows_per_batch);
        let rows = last - first;
        let mut values = vec![];
        if let Some(voxels) = &self.voxels {
            values.reserve_exact(rows * voxels.len());
            for _ in first..last {
                self.volumes.read(voxels, &mut values)?;
            }
        }
        self.next = last;

        let mut bold = Some(values);
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "tr" => Ok(Arc::new(Int64Array::from_iter_values(
                    (first..last).map(|volume| volume as i64),
                )) as ArrayRef),
                "time" => Ok(Arc::new(Float64Array::from_iter_values(
                    (first..last).map(|volume| self.start_of(volume)),
                )) as ArrayRef),
                "repetition_time" => {
                    let seconds = vec![self.time.as_ref().map(RepetitionTime::seconds); rows];
                    Ok(Arc::new(Float64Array::from(seconds)) as ArrayRef)
                }
                _ => self.bold(field, bold.take().unwrap_or_default(), rows),
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns,
            &options,
        )?)
    }

    /// Seconds; volume 0 starts at 0 whatever the time between volumes.
    fn start_of(&self, volume: usize) -> f64 {
        self.time.as_ref().map_or(0.0, |time| time.start_of(volume))
    }

    fn bold(&self, field: &Field, values: Vec<f32>, rows: usize) -> Result<ArrayRef> {
        let length = self.voxels.as_ref().map_or(0, Vec::len);
        let values = Arc::new(Float32Array::from(values));
        match field.data_type() {
            DataType::FixedSizeList(item, n) if *n as usize == length => Ok(Arc::new(
                FixedSizeListArray::try_new(Arc::clone(item), *n, values, None)?,
            )),
            DataType::List(item) => {
                let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(length, rows));
                let list = ListArray::try_new(Arc::clone(item), offsets, values, None)?;
                Ok(Arc::new(list))
            }
            other => Err(file_error(
                &self.path,
                format!(
                    "has {length} voxels in its mask, but the table's bold is {other}; \
                     the image or the mask has changed since the table was described, \
                     create it again"
                ),
            )),
        }
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let batch = self.batch();
        if batch.is_err() {
            self.next = self.end;
        }
        Some(batch)
    }
}
