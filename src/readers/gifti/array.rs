//! What a GIFTI `DataArray` says of its numbers.

use std::ops::Range;
use std::path::{Component, Path};

use nifti::NiftiType;
use quick_xml::events::BytesStart;

use crate::readers::values::Encoding;
use crate::readers::xml::{attribute, number, required};

/// GIFTI's own limit.
const MOST_DIMENSIONS: usize = 6;

/// One `DataArray`, without its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its intent is a time series; else it is a map.
    pub is_time: bool,
    /// At least 1.
    pub vertices: usize,
    /// 1 for an array that is one row; else an array of vertices × time.
    pub columns: usize,
    /// Of an array with columns: those of one vertex are not side by side.
    pub column_major: bool,
    pub encoding: Encoding,
    pub storage: Storage,
    /// Where the text of `Data` is in the file, in bytes.
    pub data: Range<u64>,
    /// Pairs of name and value.
    pub metadata: Vec<(String, String)>,
}

/// How the numbers are put into the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Storage {
    Ascii,
    Base64,
    /// Deflated as a zlib stream, then as Base64.
    ZlibBase64,
    /// In a file beside it, from this byte on.
    External {
        name: String,
        offset: u64,
    },
}

impl Array {
    pub fn start(tag: &BytesStart) -> Result<Self, String> {
        let is_time = is_time(&required(tag, "Intent")?)?;
        let count: usize = number(tag, "Dimensionality")?;
        if !(1..=MOST_DIMENSIONS).contains(&count) {
            return Err(format!(
                "damaged XML: a DataArray of {count} dimensions, which GIFTI does not have"
            ));
        }
        let sizes = (0..count).map(|axis| number(tag, &format!("Dim{axis}")));
        let sizes = sizes.collect::<Result<Vec<usize>, _>>()?;
        let (vertices, columns) = match sizes.as_slice() {
            [vertices] => (*vertices, 1),
            [vertices, columns, rest @ ..] if rest.iter().all(|&n| n == 1) => (*vertices, *columns),
            _ => {
                return Err(format!(
                    "a DataArray of {sizes:?} numbers; those of one dimension (vertices) and of \
                     two (vertices × time) are supported"
                ));
            }
        };
        let numbers = vertices.checked_mul(columns);
        if vertices > i32::MAX as usize || numbers.is_none_or(|n| n > isize::MAX as usize / 8) {
            return Err(format!("too large: a DataArray of {sizes:?} numbers"));
        }
        if numbers == Some(0) {
            return Err("a DataArray without numbers: one of its dimensions is 0".to_owned());
        }
        let order = attribute(tag, "ArrayIndexingOrder")?;
        let column_major = match order.as_deref() {
            None | Some("RowMajorOrder") => false,
            Some("ColumnMajorOrder") => true,
            Some(other) => {
                return Err(format!(
                    "damaged XML: ArrayIndexingOrder {other:?} of a DataArray"
                ));
            }
        };
        let endian = attribute(tag, "Endian")?;
        let big_endian = match endian.as_deref() {
            None | Some("LittleEndian" | "") => false,
            Some("BigEndian") => true,
            Some(other) => return Err(format!("damaged XML: Endian {other:?} of a DataArray")),
        };
        Ok(Array {
            is_time,
            vertices,
            columns,
            column_major,
            encoding: Encoding {
                data_type: data_type(&required(tag, "DataType")?)?,
                big_endian,
                scaling: None,
            },
            storage: storage(tag)?,
            data: 0..0,
            metadata: vec![],
        })
    }

    /// Numbers in it.
    pub fn numbers(&self) -> usize {
        self.vertices * self.columns
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        get(&self.metadata, name)
    }
}

/// The value of a name in pairs of metadata, if it has any text.
pub fn get<'a>(metadata: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = metadata.iter().find(|(key, _)| key == name)?;
    Some(value.trim()).filter(|value| !value.is_empty())
}

fn is_time(intent: &str) -> Result<bool, String> {
    let what = match intent {
        "NIFTI_INTENT_TIME_SERIES" => return Ok(true),
        "NIFTI_INTENT_POINTSET" | "NIFTI_INTENT_TRIANGLE" => "the geometry of a surface",
        "NIFTI_INTENT_LABEL" => "labels",
        "NIFTI_INTENT_NODE_INDEX" => "values for some vertices only",
        "NIFTI_INTENT_VECTOR" | "NIFTI_INTENT_RGB_VECTOR" | "NIFTI_INTENT_RGBA_VECTOR" => {
            "more than one value for a vertex"
        }
        _ => return Ok(false),
    };
    Err(format!(
        "a GIFTI file with {what} ({intent}); read_bold reads time series and maps, one value for each vertex"
    ))
}

fn data_type(name: &str) -> Result<NiftiType, String> {
    Ok(match name {
        "NIFTI_TYPE_UINT8" => NiftiType::Uint8,
        "NIFTI_TYPE_INT8" => NiftiType::Int8,
        "NIFTI_TYPE_UINT16" => NiftiType::Uint16,
        "NIFTI_TYPE_INT16" => NiftiType::Int16,
        "NIFTI_TYPE_UINT32" => NiftiType::Uint32,
        "NIFTI_TYPE_INT32" => NiftiType::Int32,
        "NIFTI_TYPE_UINT64" => NiftiType::Uint64,
        "NIFTI_TYPE_INT64" => NiftiType::Int64,
        "NIFTI_TYPE_FLOAT32" => NiftiType::Float32,
        "NIFTI_TYPE_FLOAT64" => NiftiType::Float64,
        other => {
            return Err(format!(
                "a DataArray of type {other} is not supported, only integers of 8 to 64 bits, \
                 NIFTI_TYPE_FLOAT32 and NIFTI_TYPE_FLOAT64"
            ));
        }
    })
}

fn storage(tag: &BytesStart) -> Result<Storage, String> {
    Ok(match required(tag, "Encoding")?.as_str() {
        "ASCII" => Storage::Ascii,
        "Base64Binary" => Storage::Base64,
        "GZipBase64Binary" => Storage::ZlibBase64,
        "ExternalFileBinary" => {
            let name = required(tag, "ExternalFileName")?;
            let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
            if name.is_empty() || !Path::new(&name).components().all(inside) {
                return Err(format!(
                    "its numbers are in the external file {name:?}, which must be beside it or below"
                ));
            }
            let offset = attribute(tag, "ExternalFileOffset")?.unwrap_or_default();
            let offset = match offset.trim() {
                "" => 0,
                _ => number(tag, "ExternalFileOffset")?,
            };
            Storage::External { name, offset }
        }
        other => return Err(format!("damaged XML: Encoding {other:?} of a DataArray")),
    })
}
