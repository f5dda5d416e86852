//! The XML of a CIFTI-2 file, read in one pass and checked.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::maps::{BrainModel, Elements, Map, Parcel, Points, Series, Volume};
use crate::readers::nifti::header::shortest;
use crate::readers::xml::{append_text, damaged, number, numbers, required};

/// The maps of the matrix's dimensions: that along a row of the file (`dim[5]`, the fastest), and that
/// from row to row (`dim[6]`). Every list of indices has been compared with its count and its range.
pub fn parse(xml: &str) -> Result<[Map; 2], String> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut parser = Parser::default();
    loop {
        let event = reader.read_event().map_err(|e| damaged(&e))?;
        match &event {
            Event::Start(tag) => parser.start(tag)?,
            Event::End(tag) => parser.end(tag.local_name().as_ref())?,
            Event::Eof => return parser.finish(),
            text if parser.in_text => append_text(text, &mut parser.text)?,
            _ => {}
        }
    }
}

/// What has been read so far, and the elements that are open.
#[derive(Default)]
struct Parser {
    complete: bool,
    found: [Option<Map>; 2],
    open: Option<OpenMap>,
    /// The open brain model; its count.
    model: Option<(BrainModel, usize)>,
    parcel: Option<Parcel>,
    volume: Option<OpenVolume>,
    /// The structure of the open `Vertices`.
    structure: String,
    /// Whether the text of the open element counts, and that text.
    in_text: bool,
    text: String,
}

/// An open `MatrixIndicesMap`.
struct OpenMap {
    dimensions: Vec<usize>,
    kind: String,
    series: Option<Series>,
    names: Vec<String>,
    models: Vec<BrainModel>,
    parcels: Vec<Parcel>,
    /// Structures and the vertices of their surfaces, of a map of parcels.
    surfaces: Vec<(String, usize)>,
    volume: Option<Volume>,
}

struct OpenVolume {
    dimensions: [u32; 3],
    exponent: i32,
    matrix: Vec<f64>,
}

impl Parser {
    fn start(&mut self, tag: &BytesStart) -> Result<(), String> {
        self.in_text = false;
        match tag.local_name().as_ref() {
            "CIFTI" => check_version(&required(tag, "Version")?)?,
            "MatrixIndicesMap" => self.open = Some(OpenMap::start(tag)?),
            "NamedMap" => self.map()?.names.push(String::new()),
            "BrainModel" => self.model = Some(brain_model(tag)?),
            "Parcel" => {
                self.parcel = Some(Parcel {
                    name: required(tag, "Name")?,
                    surfaces: vec![],
                    voxels: Points::Voxels(vec![]),
                });
            }
            "Surface" => {
                let surface = required(tag, "BrainStructure")?;
                let vertices = number(tag, "SurfaceNumberOfVertices")?;
                self.map()?.surfaces.push((surface, vertices));
            }
            "Volume" => {
                let text = required(tag, "VolumeDimensions")?;
                let dimensions = numbers(&text, "VolumeDimensions")?;
                let Ok(dimensions) = dimensions.try_into() else {
                    return Err(format!(
                        "damaged XML: VolumeDimensions is {text:?}, not three numbers"
                    ));
                };
                self.volume = Some(OpenVolume {
                    dimensions,
                    exponent: -3,
                    matrix: vec![],
                });
            }
            "TransformationMatrixVoxelIndicesIJKtoXYZ" => {
                let exponent = number(tag, "MeterExponent")?;
                if let Some(volume) = &mut self.volume {
                    volume.exponent = exponent;
                }
                self.collect();
            }
            "Vertices" => {
                self.structure = required(tag, "BrainStructure")?;
                self.collect();
            }
            "MapName" | "VertexIndices" | "VoxelIndicesIJK" => self.collect(),
            _ => {}
        }
        Ok(())
    }

    fn collect(&mut self) {
        self.in_text = true;
        self.text.clear();
    }

    fn end(&mut self, name: &str) -> Result<(), String> {
        self.in_text = false;
        match name {
            "CIFTI" => self.complete = true,
            "MapName" => {
                let name = self.text.trim().to_owned();
                if let Some(last) = self.map()?.names.last_mut() {
                    *last = name;
                }
            }
            "VertexIndices" => {
                let read = numbers(&self.text, name)?;
                match &mut self.model {
                    Some((model, _)) if matches!(model.points, Points::Vertices { .. }) => {
                        if let Points::Vertices { list, .. } = &mut model.points {
                            *list = read;
                        }
                    }
                    _ => return Err(misplaced(name)),
                }
            }
            "VoxelIndicesIJK" => {
                let read = Points::Voxels(triples(&self.text)?);
                match (&mut self.model, &mut self.parcel) {
                    (Some((model, _)), _) if matches!(model.points, Points::Voxels(_)) => {
                        model.points = read;
                    }
                    (None, Some(parcel)) => parcel.voxels = read,
                    _ => return Err(misplaced(name)),
                }
            }
            "Vertices" => {
                let list = numbers(&self.text, name)?;
                let structure = std::mem::take(&mut self.structure);
                let Some(parcel) = &mut self.parcel else {
                    return Err(misplaced(name));
                };
                let points = Points::Vertices { surface: 0, list };
                parcel.surfaces.push((structure, points));
            }
            "TransformationMatrixVoxelIndicesIJKtoXYZ" => {
                let matrix = numbers(&self.text, name)?;
                if let Some(volume) = &mut self.volume {
                    volume.matrix = matrix;
                }
            }
            "Volume" => {
                if let Some(volume) = self.volume.take() {
                    self.map()?.volume = Some(volume.finish()?);
                }
            }
            "BrainModel" => {
                if let Some((model, count)) = self.model.take() {
                    check_count(&model, count)?;
                    self.map()?.models.push(model);
                }
            }
            "Parcel" => {
                if let Some(parcel) = self.parcel.take() {
                    self.map()?.parcels.push(parcel);
                }
            }
            "MatrixIndicesMap" => {
                if let Some(open) = self.open.take() {
                    self.close(open)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self) -> Result<&mut OpenMap, String> {
        let outside = || "damaged XML: an element outside of MatrixIndicesMap".to_owned();
        self.open.as_mut().ok_or_else(outside)
    }

    fn close(&mut self, open: OpenMap) -> Result<(), String> {
        let dimensions = open.dimensions.clone();
        let map = open.finish()?;
        for dimension in dimensions {
            match self.found.get_mut(dimension) {
                Some(found @ None) => *found = Some(map.clone()),
                Some(_) => {
                    return Err(format!(
                        "damaged XML: two maps for matrix dimension {dimension}"
                    ));
                }
                None => {
                    return Err(
                        "a CIFTI-2 matrix of more than two dimensions is not supported".to_owned(),
                    );
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<[Map; 2], String> {
        if !self.complete {
            return Err("damaged XML: it ends before </CIFTI>".to_owned());
        }
        match self.found {
            [Some(along), Some(across)] => Ok([along, across]),
            [None, _] => Err(no_map(0)),
            [_, None] => Err(no_map(1)),
        }
    }
}

fn no_map(dimension: usize) -> String {
    format!("damaged XML: no MatrixIndicesMap for matrix dimension {dimension}")
}

fn misplaced(name: &str) -> String {
    format!("damaged XML: {name} stands where it does not belong")
}

fn check_version(version: &str) -> Result<(), String> {
    match version.trim().split('.').next() {
        Some("2") => Ok(()),
        _ => Err(format!(
            "is CIFTI version {version}; only version 2 is supported, to which \
             wb_command -file-convert -cifti-version-convert brings it"
        )),
    }
}

impl OpenMap {
    fn start(tag: &BytesStart) -> Result<Self, String> {
        let kind = required(tag, "IndicesMapToDataType")?;
        let series = match kind.as_str() {
            "CIFTI_INDEX_TYPE_SERIES" => Some(series(tag)?),
            _ => None,
        };
        let name = "AppliesToMatrixDimension";
        Ok(OpenMap {
            dimensions: numbers(&required(tag, name)?, name)?,
            kind,
            series,
            names: vec![],
            models: vec![],
            parcels: vec![],
            surfaces: vec![],
            volume: None,
        })
    }

    fn finish(self) -> Result<Map, String> {
        let volume = self.volume;
        match (self.kind.as_str(), self.series) {
            (_, Some(series)) => Ok(Map::Series(series)),
            ("CIFTI_INDEX_TYPE_SCALARS", _) => Ok(Map::Scalars(self.names)),
            ("CIFTI_INDEX_TYPE_LABELS", _) => Ok(Map::Labels),
            ("CIFTI_INDEX_TYPE_BRAIN_MODELS", _) => {
                let mut models = self.models;
                models.sort_by_key(|model| model.offset);
                let mut next = 0;
                for model in &models {
                    if model.offset != next {
                        return Err(format!(
                            "damaged XML: the brain model {} begins at element {}, where {next} is next",
                            model.structure, model.offset
                        ));
                    }
                    next += model.points.len();
                    check_voxels(&model.points, volume.as_ref(), &model.structure)?;
                }
                Ok(Map::Elements(Elements::Models { models, volume }))
            }
            ("CIFTI_INDEX_TYPE_PARCELS", _) => {
                let mut parcels = self.parcels;
                for parcel in &mut parcels {
                    check_voxels(&parcel.voxels, volume.as_ref(), &parcel.name)?;
                    for (structure, points) in &mut parcel.surfaces {
                        let known = self.surfaces.iter().find(|(name, _)| name == structure);
                        let Some((_, vertices)) = known else {
                            return Err(format!(
                                "damaged XML: the parcel {} lies on {structure}, of which there is no Surface",
                                parcel.name
                            ));
                        };
                        if let Points::Vertices { surface, list } = points {
                            *surface = *vertices;
                            check_vertices(list, *surface, &parcel.name)?;
                        }
                    }
                }
                Ok(Map::Elements(Elements::Parcels { parcels, volume }))
            }
            (other, _) => Err(format!("damaged XML: {other:?} is no kind of index map")),
        }
    }
}

impl OpenVolume {
    fn finish(self) -> Result<Volume, String> {
        let scale = 10f64.powi(self.exponent.clamp(-300, 300) + 3);
        let Ok(matrix): Result<[f64; 16], _> = self.matrix.try_into() else {
            return Err(
                "damaged XML: TransformationMatrixVoxelIndicesIJKtoXYZ must be 16 numbers"
                    .to_owned(),
            );
        };
        let element = |row: usize, column: usize| matrix[4 * row + column] * scale;
        Ok(Volume {
            dimensions: self.dimensions,
            affine: std::array::from_fn(|row| std::array::from_fn(|column| element(row, column))),
        })
    }
}

fn series(tag: &BytesStart) -> Result<Series, String> {
    let unit = required(tag, "SeriesUnit")?;
    if unit != "SECOND" {
        return Err(format!(
            "its series is in {unit}, not in time (SECOND); read_bold reads runs, whose rows are time points"
        ));
    }
    let exponent: i32 = number(tag, "SeriesExponent")?;
    let seconds = |name: &str| -> Result<f64, String> {
        let value: f64 = number(tag, name)?;
        // Put together as decimals, so that 720 · 10⁻³ is 0.72 and not near it.
        let seconds = format!("{value}e{exponent}").parse().unwrap_or(f64::NAN);
        Some(shortest_decimal(seconds))
            .filter(|s| s.is_finite())
            .ok_or_else(|| format!("damaged XML: {name} is {value} · 10^{exponent} seconds"))
    };
    let step = seconds("SeriesStep")?;
    Ok(Series {
        points: number(tag, "NumberOfSeriesPoints")?,
        step: (step > 0.0).then_some(step),
        start: seconds("SeriesStart")?,
    })
}

/// A float32 that was written with too many digits (0.72000002861) as the decimal that it stands for;
/// other numbers as they are.
fn shortest_decimal(value: f64) -> f64 {
    let single = shortest(f64::from(value as f32));
    let close = (single - value).abs() <= 1e-7 * value.abs();
    let digits = |v: f64| v.to_string().len();
    if close && digits(single) + 3 <= digits(value) {
        return single;
    }
    value
}

fn brain_model(tag: &BytesStart) -> Result<(BrainModel, usize), String> {
    let points = match required(tag, "ModelType")?.as_str() {
        "CIFTI_MODEL_TYPE_SURFACE" => Points::Vertices {
            surface: number(tag, "SurfaceNumberOfVertices")?,
            list: vec![],
        },
        "CIFTI_MODEL_TYPE_VOXELS" => Points::Voxels(vec![]),
        other => return Err(format!("damaged XML: {other:?} is no kind of brain model")),
    };
    let model = BrainModel {
        structure: required(tag, "BrainStructure")?,
        offset: number(tag, "IndexOffset")?,
        points,
    };
    Ok((model, number(tag, "IndexCount")?))
}

fn triples(text: &str) -> Result<Vec<[u32; 3]>, String> {
    let flat: Vec<u32> = numbers(text, "VoxelIndicesIJK")?;
    match flat.as_chunks::<3>() {
        (triples, []) => Ok(triples.to_vec()),
        _ => Err(format!(
            "damaged XML: VoxelIndicesIJK has {} numbers, which are no triples",
            flat.len()
        )),
    }
}

fn check_count(model: &BrainModel, count: usize) -> Result<(), String> {
    if model.points.len() != count {
        return Err(format!(
            "damaged XML: the brain model {} says {count} elements and lists {}",
            model.structure,
            model.points.len()
        ));
    }
    match &model.points {
        Points::Vertices { surface, list } => check_vertices(list, *surface, &model.structure),
        Points::Voxels(_) => Ok(()),
    }
}

fn check_vertices(list: &[u32], surface: usize, of: &str) -> Result<(), String> {
    match list.iter().find(|&&vertex| vertex as usize >= surface) {
        None => Ok(()),
        Some(vertex) => Err(format!(
            "damaged XML: {of} has vertex {vertex}, but its surface has {surface} vertices, from 0"
        )),
    }
}

fn check_voxels(points: &Points, volume: Option<&Volume>, of: &str) -> Result<(), String> {
    let Points::Voxels(list) = points else {
        return Ok(());
    };
    let Some(first) = list.first() else {
        return Ok(());
    };
    let Some(volume) = volume else {
        return Err(format!(
            "damaged XML: {of} has voxels such as {first:?}, but there is no Volume"
        ));
    };
    let outside = |ijk: &&[u32; 3]| {
        ijk.iter()
            .zip(volume.dimensions)
            .any(|(&at, size)| at >= size)
    };
    match list.iter().find(outside) {
        None => Ok(()),
        Some(ijk) => Err(format!(
            "damaged XML: {of} has voxel {ijk:?}, outside of the volume of {:?}",
            volume.dimensions
        )),
    }
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
