//! What the two dimensions of a CIFTI-2 matrix stand for, as its XML says.

use crate::readers::nifti::affine::Affine;

/// What one dimension of the matrix is.
#[derive(Debug, Clone, PartialEq)]
pub enum Map {
    Series(Series),
    /// The names of maps.
    Scalars(Vec<String>),
    Elements(Elements),
    /// What cannot be a run of rows: `LABELS`.
    Labels,
}

impl Map {
    /// How many of them the XML says there are.
    pub fn length(&self) -> Option<usize> {
        match self {
            Map::Series(series) => Some(series.points),
            Map::Scalars(names) => Some(names.len()),
            Map::Elements(elements) => Some(elements.length()),
            Map::Labels => None,
        }
    }

    /// As CIFTI calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Map::Series(_) => "SERIES",
            Map::Scalars(_) => "SCALARS",
            Map::Elements(Elements::Models { .. }) => "BRAIN_MODELS",
            Map::Elements(Elements::Parcels { .. }) => "PARCELS",
            Map::Labels => "LABELS",
        }
    }
}

/// Time points.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub points: usize,
    /// Seconds; `None` where the file says 0 or less.
    pub step: Option<f64>,
    /// Seconds from the start of the run to the first point.
    pub start: f64,
}

/// Where in the brain the elements of a row are.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// One vertex or one voxel each: a dense file. In the order of their elements, without gaps.
    Models {
        models: Vec<BrainModel>,
        volume: Option<Volume>,
    },
    /// Many vertices and voxels each: a parcellated file.
    Parcels {
        parcels: Vec<Parcel>,
        volume: Option<Volume>,
    },
}

impl Elements {
    /// Values in a row.
    pub fn length(&self) -> usize {
        match self {
            Elements::Models { models, .. } => models.iter().map(|m| m.points.len()).sum(),
            Elements::Parcels { parcels, .. } => parcels.len(),
        }
    }

    pub fn volume(&self) -> Option<&Volume> {
        match self {
            Elements::Models { volume, .. } | Elements::Parcels { volume, .. } => volume.as_ref(),
        }
    }
}

/// Consecutive elements that lie in one structure.
#[derive(Debug, Clone, PartialEq)]
pub struct BrainModel {
    /// Such as `CIFTI_STRUCTURE_CORTEX_LEFT`.
    pub structure: String,
    /// The first element.
    pub offset: usize,
    pub points: Points,
}

/// One element of a parcellated file.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    pub name: String,
    /// Structure and vertices of each surface.
    pub surfaces: Vec<(String, Points)>,
    /// [`Points::Voxels`].
    pub voxels: Points,
}

/// Places, all of one kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Points {
    Vertices {
        /// Vertices of the whole surface; each of `list` is below.
        surface: usize,
        list: Vec<u32>,
    },
    /// Indices into the volume, within its dimensions.
    Voxels(Vec<[u32; 3]>),
}

impl Points {
    pub fn len(&self) -> usize {
        match self {
            Points::Vertices { list, .. } => list.len(),
            Points::Voxels(list) => list.len(),
        }
    }
}

/// The grid that voxels lie on.
#[derive(Debug, Clone, PartialEq)]
pub struct Volume {
    pub dimensions: [u32; 3],
    /// From voxel indices to millimetres.
    pub affine: Affine,
}
