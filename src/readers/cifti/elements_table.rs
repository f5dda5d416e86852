//! `cifti_elements`: where in the brain the values of a CIFTI-2 file's rows are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, exec_err};

use super::content::Content;
use super::maps::{BrainModel, Elements, Map, Parcel, Points, Volume};
use super::read_maps;
use crate::readers::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, file_error, record_batch,
};

/// The elements of a CIFTI-2 file as rows: one for each vertex and voxel.
///
/// Only the header and the XML of a file are read, and only when the query runs.
#[derive(Debug)]
pub struct CiftiElements;

const BATCH_ROWS: usize = 8192;

impl Format for CiftiElements {
    fn function(&self) -> &'static str {
        "cifti_elements"
    }

    fn stored_as(&self) -> &'static str {
        "CIFTI_ELEMENTS"
    }

    fn description(&self) -> &'static str {
        "Where in the brain the values of a CIFTI-2 file are, one row for each vertex and voxel; no values are read. \
         `element` is the place in the rows that `read_bold` gives, from 0, so the value is `bold[element + 1]`. `structure` is such as \
         'CIFTI_STRUCTURE_CORTEX_LEFT' (NULL for the voxels of a parcel, of which the file does not say it), `kind` 'vertex' or 'voxel'. `vertex` is the \
         index into the structure's surface; `i`, `j`, `k` are a voxel's indices into the volume and `x`, `y`, `z` its centre in mm; all from 0. \
         `parcel` is the parcel's name in a parcellated file, where an element has many rows (one of NULLs, where the parcel is empty), else NULL."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[
            ".dtseries.nii",
            ".ptseries.nii",
            ".dscalar.nii",
            ".pscalar.nii",
            ".dlabel.nii",
            ".plabel.nii",
        ]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        let mut fields = vec![
            Field::new("element", DataType::Int64, false),
            Field::new("structure", DataType::Utf8, true),
            Field::new("kind", DataType::Utf8, true),
        ];
        for name in ["vertex", "i", "j", "k"] {
            fields.push(Field::new(name, DataType::Int64, true));
        }
        for name in ["x", "y", "z"] {
            fields.push(Field::new(name, DataType::Float64, true));
        }
        fields.push(Field::new("parcel", DataType::Utf8, true));
        Ok(Description {
            schema: Arc::new(Schema::new(fields)),
            files,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let table = Table::read(&scan.path)?;
        let end = table.places.len().min(scan.limit.unwrap_or(usize::MAX));
        let scan = scan.clone();
        let starts = (0..end).step_by(BATCH_ROWS);
        Ok(Box::new(starts.map(move |first| {
            table.batch(&scan, first..end.min(first + BATCH_ROWS))
        })))
    }
}

/// The elements of one file, and the order in which they are rows.
struct Table {
    elements: Elements,
    places: Vec<Place>,
}

/// One row, as indices into [`Elements`].
#[derive(Clone, Copy)]
struct Place {
    element: usize,
    /// The brain model or parcel.
    part: usize,
    group: Group,
}

#[derive(Clone, Copy)]
enum Group {
    /// Place in the list of a brain model.
    Model(usize),
    /// A parcel's surface, and the place in its list.
    Surface(usize, usize),
    /// Place in the list of a parcel's voxels.
    Voxel(usize),
    /// A parcel without vertices and voxels.
    Empty,
}

#[derive(Clone, Copy)]
enum Point {
    Vertex(u32),
    Voxel([u32; 3]),
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let (_, maps) = read_maps(path, &mut Content::open(path)?)?;
        let mut found = maps.into_iter().filter_map(|map| match map {
            Map::Elements(elements) => Some(elements),
            _ => None,
        });
        let (Some(elements), None) = (found.next(), found.next()) else {
            return Err(file_error(
                path,
                "cifti_elements reads files of which one dimension is BRAIN_MODELS or PARCELS, no connectivity matrices",
            ));
        };
        let places = match &elements {
            Elements::Models { models, .. } => of_models(models),
            Elements::Parcels { parcels, .. } => of_parcels(parcels),
        };
        Ok(Table { elements, places })
    }

    fn batch(&self, scan: &FileScan, rows: std::ops::Range<usize>) -> Result<RecordBatch> {
        let places = &self.places[rows];
        let columns = scan
            .schema
            .fields()
            .iter()
            .map(|field| self.column(field.name(), places))
            .collect::<Result<_>>()?;
        record_batch(&scan.schema, columns, places.len())
    }

    fn column(&self, name: &str, places: &[Place]) -> Result<ArrayRef> {
        let points = places.iter().map(|place| self.point(place));
        let voxel = |axis: usize| {
            let index = points.clone().map(move |point| match point {
                Some(Point::Voxel(ijk)) => Some(i64::from(ijk[axis])),
                _ => None,
            });
            Arc::new(Int64Array::from_iter(index)) as ArrayRef
        };
        let millimetres = |axis: usize| {
            let volume = self.elements.volume();
            let centre = points.clone().map(move |point| match (point, volume) {
                (Some(Point::Voxel(ijk)), Some(volume)) => Some(centre(volume, ijk)[axis]),
                _ => None,
            });
            Arc::new(Float64Array::from_iter(centre)) as ArrayRef
        };
        Ok(match name {
            "element" => Arc::new(Int64Array::from_iter_values(
                places.iter().map(|place| place.element as i64),
            )),
            "structure" => Arc::new(StringArray::from_iter(
                places.iter().map(|place| self.structure(place)),
            )),
            "kind" => Arc::new(StringArray::from_iter(points.map(|point| {
                point.map(|point| match point {
                    Point::Vertex(_) => "vertex",
                    Point::Voxel(_) => "voxel",
                })
            }))),
            "vertex" => Arc::new(Int64Array::from_iter(points.map(|point| match point {
                Some(Point::Vertex(vertex)) => Some(i64::from(vertex)),
                _ => None,
            }))),
            "i" => voxel(0),
            "j" => voxel(1),
            "k" => voxel(2),
            "x" => millimetres(0),
            "y" => millimetres(1),
            "z" => millimetres(2),
            "parcel" => Arc::new(StringArray::from_iter(
                places
                    .iter()
                    .map(|place| Some(self.parcel(place)?.name.as_str())),
            )),
            other => return exec_err!("cifti_elements has no column {other}"),
        })
    }

    fn model(&self, place: &Place) -> Option<&BrainModel> {
        match &self.elements {
            Elements::Models { models, .. } => models.get(place.part),
            Elements::Parcels { .. } => None,
        }
    }

    fn parcel(&self, place: &Place) -> Option<&Parcel> {
        match &self.elements {
            Elements::Models { .. } => None,
            Elements::Parcels { parcels, .. } => parcels.get(place.part),
        }
    }

    fn structure(&self, place: &Place) -> Option<&str> {
        match place.group {
            Group::Model(_) => Some(&self.model(place)?.structure),
            Group::Surface(surface, _) => Some(&self.parcel(place)?.surfaces.get(surface)?.0),
            Group::Voxel(_) | Group::Empty => None,
        }
    }

    fn point(&self, place: &Place) -> Option<Point> {
        let (points, at) = match place.group {
            Group::Model(at) => (&self.model(place)?.points, at),
            Group::Surface(surface, at) => (&self.parcel(place)?.surfaces.get(surface)?.1, at),
            Group::Voxel(at) => (&self.parcel(place)?.voxels, at),
            Group::Empty => return None,
        };
        match points {
            Points::Vertices { list, .. } => list.get(at).copied().map(Point::Vertex),
            Points::Voxels(list) => list.get(at).copied().map(Point::Voxel),
        }
    }
}

fn of_models(models: &[BrainModel]) -> Vec<Place> {
    let mut places = vec![];
    for (part, model) in models.iter().enumerate() {
        places.extend((0..model.points.len()).map(|at| Place {
            element: model.offset + at,
            part,
            group: Group::Model(at),
        }));
    }
    places
}

fn of_parcels(parcels: &[Parcel]) -> Vec<Place> {
    let mut places = vec![];
    for (part, parcel) in parcels.iter().enumerate() {
        let before = places.len();
        let mut push = |group| {
            places.push(Place {
                element: part,
                part,
                group,
            });
        };
        for (surface, (_, points)) in parcel.surfaces.iter().enumerate() {
            (0..points.len()).for_each(|at| push(Group::Surface(surface, at)));
        }
        (0..parcel.voxels.len()).for_each(|at| push(Group::Voxel(at)));
        if places.len() == before {
            places.push(Place {
                element: part,
                part,
                group: Group::Empty,
            });
        }
    }
    places
}

fn centre(volume: &Volume, ijk: [u32; 3]) -> [f64; 3] {
    let [i, j, k] = ijk.map(f64::from);
    volume
        .affine
        .map(|[a, b, c, origin]| a * i + b * j + c * k + origin)
}
