//! The image that a query's rows become: what of it is known before the first row.

use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Schema};
use datafusion::common::{Result, plan_err};

use super::columns::{Columns, INDEX, Rows, Value};
use super::placement::Placement;
use super::settings::{Settings, is_time};
use crate::readers::bold::MASK_KEY;
use crate::readers::format::file_error;
use crate::readers::nifti::grid::{self, Grid};
use crate::readers::nifti::header::{Header, by_times};
use crate::readers::nifti::mask::{self, Mask};
use crate::readers::nifti::raw::Raw;
use crate::readers::nifti::volumes::{c_order, header_bytes};
use crate::readers::voxels::REPETITION_TIME_KEY;

/// Everything that writing takes, as plain data.
#[derive(Debug, Clone)]
pub struct Image {
    pub path: PathBuf,
    pub columns: Columns,
    pub placement: Placement,
    /// For volumes: which voxels a row has, as positions in a file (x fastest), in its order.
    pub voxels: Vec<u32>,
    /// Seconds between volumes, whatever a column says.
    pub given_time: Option<f64>,
    /// Seconds between volumes, where no column says them.
    pub usual_time: Option<f64>,
}

impl Image {
    /// Looks at the files that the settings or the fields' metadata name. Blocks on the disk.
    ///
    /// The grid is that of `like`, else of the mask, else what the metadata of `i`, `j`, `k` say.
    pub fn plan(
        path: PathBuf,
        columns: Columns,
        schema: &Schema,
        settings: &Settings,
    ) -> Result<Self> {
        let like = settings.like.as_deref().map(Reference::open).transpose()?;
        let mask = match &settings.mask {
            Some(path) => Some(path.clone()),
            None => remembered_mask(&path, &columns, schema, like.as_ref())?,
        };
        let mask = mask.as_deref().map(read_mask).transpose()?;
        if let (Some(like), Some((mask, _))) = (&like, &mask) {
            mask.check(&like.path, &like.header)?;
        }
        let usual_time = match columns.rows {
            Rows::Voxels {
                value: Value::Series(at, _),
                ..
            } => schema.field(at).metadata().get(REPETITION_TIME_KEY),
            _ => None,
        };
        let usual_time = usual_time
            .and_then(|text| text.parse().ok())
            .filter(|&seconds| is_time(seconds))
            .or(like.as_ref().and_then(|like| like.header.repetition_time));
        let placement = match (&like, &mask) {
            (Some(like), _) => like.placement(),
            (None, Some((_, reference))) => reference.placement(),
            (None, None) => Placement::at(&remembered_grid(&path, &columns, schema)?),
        };
        let voxels = match (&columns.rows, mask) {
            (Rows::Voxels { .. }, _) => vec![],
            (Rows::Volumes { .. }, Some((mask, _))) => mask.voxels,
            (Rows::Volumes { .. }, None) => c_order(placement.shape, |_| true),
        };
        let image = Image {
            path,
            columns,
            placement,
            voxels,
            given_time: settings.repetition_time,
            usual_time,
        };
        image.check_width(schema)?;
        Ok(image)
    }

    /// Errors where the schema says already that rows have another number of voxels.
    fn check_width(&self, schema: &Schema) -> Result<()> {
        let Rows::Volumes { vector, .. } = self.columns.rows else {
            return Ok(());
        };
        match schema.field(vector).data_type() {
            DataType::FixedSizeList(_, n) if *n as usize != self.voxels.len() => {
                plan_err!("{}", self.other_width(*n as usize))
            }
            _ => Ok(()),
        }
    }

    /// What to say where a row has `found` voxels and not as many as there should be.
    pub fn other_width(&self, found: usize) -> String {
        let [all, inside] = [self.placement.voxels(), self.voxels.len()];
        let where_from = match all == inside {
            true => format!(
                "the image has {} = {all}; give the mask by which the vectors were read, \
                 OPTIONS (mask '…')",
                by_times(&self.placement.shape)
            ),
            false => format!("the mask has {inside}; give the mask by which the vectors were read"),
        };
        format!(
            "COPY TO '{}': the vectors have {found} voxels, {where_from}",
            self.path.display()
        )
    }
}

/// An image whose header is taken for an example.
struct Reference {
    path: PathBuf,
    raw: Raw,
    header: Header,
}

impl Reference {
    fn open(path: &Path) -> Result<Self> {
        let (path, bytes) = header_bytes(path)?;
        let header = Header::parse(&path, &bytes)?;
        let raw = Raw::parse(&bytes).map_err(|message| file_error(&path, message))?;
        Ok(Reference { path, raw, header })
    }

    fn placement(&self) -> Placement {
        Placement::like(&self.raw, self.header.shape)
    }
}

fn read_mask(path: &Path) -> Result<(Mask, Reference)> {
    Ok((Mask::read(path)?, Reference::open(path)?))
}

/// The mask that `read_bold` took, as the vectors' field remembers. BIDS entities in it are
/// those of the image that the new one is to be like.
fn remembered_mask(
    target: &Path,
    columns: &Columns,
    schema: &Schema,
    like: Option<&Reference>,
) -> Result<Option<PathBuf>> {
    let Rows::Volumes { vector, .. } = columns.rows else {
        return Ok(None);
    };
    match (schema.field(vector).metadata().get(MASK_KEY), like) {
        (None, _) => Ok(None),
        (Some(mask), Some(like)) => mask::fill(mask, &like.path).map(Some),
        (Some(mask), None) if mask.contains('{') => plan_err!(
            "COPY TO '{}': the vectors were read with mask => '{mask}'; say which mask is \
             theirs, OPTIONS (mask '…')",
            target.display()
        ),
        (Some(mask), None) => Ok(Some(PathBuf::from(mask))),
    }
}

fn remembered_grid(target: &Path, columns: &Columns, schema: &Schema) -> Result<Grid> {
    let target = target.display();
    let mut found = None;
    if let Rows::Voxels { index, .. } = columns.rows {
        for (at, name) in index.into_iter().zip(INDEX) {
            let grid = match grid::parse(schema.field(at).metadata()) {
                Ok(grid) => grid,
                Err(message) => return plan_err!("COPY TO '{target}': column {name}: {message}"),
            };
            match (found, grid) {
                (Some(first), Some(other)) if first != other => {
                    return plan_err!(
                        "COPY TO '{target}': i, j and k are indices of different grids; say which \
                         is meant, OPTIONS (like 'image.nii.gz')"
                    );
                }
                (None, Some(grid)) => found = Some(grid),
                _ => {}
            }
        }
    }
    match found {
        Some(grid) => Ok(grid),
        None => plan_err!(
            "COPY TO '{target}': nothing says how large the image is and where its voxels lie; \
             name an image of the same grid, such as the one that was read: \
             OPTIONS (like 'image.nii.gz')"
        ),
    }
}
