//! `nifti_header`: what the headers of NIfTI files say, one row per file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use datafusion::common::Result;

use super::affine::{self, Affine, Origin};
use super::header::{data_type_name, repetition_time, shortest, sizes};
use super::pair;
use super::raw::Raw;
use super::volumes::header_bytes;
use crate::readers::files::leave_out_empty;
use crate::readers::format::{
    BatchIterator, Description, FileScan, Format, Options, Parameter, file_error, record_batch,
};

/// Headers as rows. Only the header's bytes of a file are read, and only when the query runs,
/// so a condition on keys also decides which files are looked at.
///
/// Images that `read_bold` refuses, such as complex or five-dimensional ones, are rows all
/// the same; a damaged header, or what is no NIfTI, is an error that names the file.
#[derive(Debug)]
pub struct NiftiHeader;

/// Elements of a 4 × 4 matrix.
const MATRIX: i32 = 16;

impl Format for NiftiHeader {
    fn function(&self) -> &'static str {
        "nifti_header"
    }

    fn stored_as(&self) -> &'static str {
        "NIFTI_HEADER"
    }

    fn description(&self) -> &'static str {
        "The headers of NIfTI files, one row per file; nothing else of them is read. `version` (1 or 2), `pair` (true for `.hdr`/`.img`), \
         `byte_order` ('little' or 'big'), `dimensions` (their sizes, time the fourth), `voxel_sizes` along x, y and z and `space_unit` \
         ('mm', 'm' or 'um'), `data_type` as NumPy names it, `scl_slope` and `scl_inter` as stored (a slope of 0 or NaN: values are not \
         scaled), `repetition_time` in seconds (NULL where the header has none, or for 3-D) and `time_unit` as stored ('s', 'ms', 'us', \
         'hz', 'ppm' or 'rads'), `qform_code`, `sform_code`, `affine` (the 4 × 4 matrix from voxel indices to space, row by row, 16 \
         numbers), `affine_from` ('sform' where its code is above 0, else 'qform' likewise, else 'voxel sizes': the origin in the middle \
         and x flipped, as nibabel does), `intent_code` and `intent` (what the numbers mean, in nibabel's words, such as 'z score' or \
         'ConnDenseSeries'; NULL where the header says none), and `descrip`. Units are NULL where the header has none. Empty files are left out with a \
         warning; a damaged header is an error."
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[".nii.gz", ".nii", ".hdr", ".hdr.gz"]
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[]
    }

    fn describe(&self, files: Vec<PathBuf>, _options: &Options) -> Result<Description> {
        let item = |kind| Arc::new(Field::new_list_field(kind, true));
        let matrix = DataType::FixedSizeList(item(DataType::Float64), MATRIX);
        let schema = Schema::new(vec![
            Field::new("version", DataType::Int64, false),
            Field::new("pair", DataType::Boolean, false),
            Field::new("byte_order", DataType::Utf8, false),
            Field::new("dimensions", DataType::List(item(DataType::Int64)), false),
            Field::new(
                "voxel_sizes",
                DataType::List(item(DataType::Float64)),
                false,
            ),
            Field::new("space_unit", DataType::Utf8, true),
            Field::new("data_type", DataType::Utf8, false),
            Field::new("scl_slope", DataType::Float64, false),
            Field::new("scl_inter", DataType::Float64, false),
            Field::new("repetition_time", DataType::Float64, true),
            Field::new("time_unit", DataType::Utf8, true),
            Field::new("qform_code", DataType::Int64, false),
            Field::new("sform_code", DataType::Int64, false),
            Field::new("affine", matrix, false),
            Field::new("affine_from", DataType::Utf8, false),
            Field::new("intent_code", DataType::Int64, false),
            Field::new("intent", DataType::Utf8, true),
            Field::new("descrip", DataType::Utf8, false),
        ]);
        Ok(Description {
            schema: Arc::new(schema),
            files: leave_out_empty(self.function(), pair::once(files))?,
        })
    }

    fn open(&self, scan: &FileScan) -> Result<BatchIterator> {
        let wanted = scan.limit != Some(0);
        let row = wanted.then(|| Row::read(&scan.path)?.batch(scan));
        Ok(Box::new(row.into_iter()))
    }
}

/// One file's header, checked as far as its columns go.
struct Row {
    raw: Raw,
    dimensions: Vec<i64>,
    data_type: &'static str,
    affine: Affine,
}

impl Row {
    fn read(path: &Path) -> Result<Self> {
        let (path, bytes) = header_bytes(path)?;
        Self::parse(&bytes).map_err(|message| file_error(&path, message))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw = Raw::parse(bytes)?;
        let dimensions = sizes(&raw)?.to_vec();
        let Some(data_type) = data_type_name(raw.datatype) else {
            return Err(format!(
                "damaged NIfTI header: {} is no data type code",
                raw.datatype
            ));
        };
        let shape = [0, 1, 2].map(|axis| dimensions.get(axis).map_or(1, |&n| n as usize));
        let affine = affine::affine(&raw, shape)?;
        Ok(Row {
            raw,
            dimensions,
            data_type,
            affine,
        })
    }

    fn batch(&self, scan: &FileScan) -> Result<RecordBatch> {
        let fields = scan.schema.fields().iter();
        let columns = fields
            .map(|field| self.column(field))
            .collect::<Result<_>>()?;
        record_batch(&scan.schema, columns, 1)
    }

    /// The one value of a column that [`NiftiHeader::describe`] lists.
    fn column(&self, field: &Field) -> Result<ArrayRef> {
        let raw = &self.raw;
        let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let float = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
        let integer = |value: i32| Arc::new(Int64Array::from(vec![i64::from(value)])) as ArrayRef;
        Ok(match field.name().as_str() {
            "version" => integer(raw.version.into()),
            "pair" => Arc::new(arrow::array::BooleanArray::from(vec![raw.pair])),
            "byte_order" => text(Some(if raw.big_endian { "big" } else { "little" })),
            "dimensions" => {
                let sizes = self.dimensions.iter().copied().map(Some);
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(
                    sizes,
                )]))
            }
            "voxel_sizes" => {
                let axes = self.dimensions.len().min(3);
                let sizes = raw.pixdim[1..=axes]
                    .iter()
                    .map(|&size| Some(shortest(size)));
                Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(
                    sizes,
                )]))
            }
            "space_unit" => text(space_unit(raw)),
            "data_type" => text(Some(self.data_type)),
            "scl_slope" => float(raw.scl_slope),
            "scl_inter" => float(raw.scl_inter),
            "repetition_time" => Arc::new(Float64Array::from(vec![repetition_time(raw)])),
            "time_unit" => text(time_unit(raw)),
            "qform_code" => integer(raw.qform_code),
            "sform_code" => integer(raw.sform_code),
            "affine" => {
                let rows = self.affine.iter().chain([&[0.0, 0.0, 0.0, 1.0]]);
                let values = Float64Array::from_iter_values(rows.flatten().copied());
                let item = Arc::new(Field::new_list_field(DataType::Float64, true));
                Arc::new(FixedSizeListArray::try_new(
                    item,
                    MATRIX,
                    Arc::new(values),
                    None,
                )?)
            }
            "affine_from" => text(Some(Origin::of(raw).name())),
            "intent_code" => integer(raw.intent_code),
            "intent" => text(intent(raw.intent_code)),
            // The schema has no other column.
            _ => text(Some(&raw.descrip)),
        })
    }
}

fn space_unit(raw: &Raw) -> Option<&'static str> {
    match raw.xyzt_units & 0o7 {
        1 => Some("m"),
        2 => Some("mm"),
        3 => Some("um"),
        _ => None,
    }
}

fn time_unit(raw: &Raw) -> Option<&'static str> {
    match raw.xyzt_units & 0o70 {
        8 => Some("s"),
        16 => Some("ms"),
        24 => Some("us"),
        32 => Some("hz"),
        40 => Some("ppm"),
        48 => Some("rads"),
        _ => None,
    }
}

/// What the standard's code for the meaning of the numbers says, in nibabel's words.
fn intent(code: i32) -> Option<&'static str> {
    Some(match code {
        2 => "correlation",
        3 => "t test",
        4 => "f test",
        5 => "z score",
        6 => "chi2",
        7 => "beta",
        8 => "binomial",
        9 => "gamma",
        10 => "poisson",
        11 => "normal",
        12 => "non central f test",
        13 => "non central chi2",
        14 => "logistic",
        15 => "laplace",
        16 => "uniform",
        17 => "non central t test",
        18 => "weibull",
        19 => "chi",
        20 => "inverse gaussian",
        21 => "extreme value 1",
        22 => "p value",
        23 => "log p value",
        24 => "log10 p value",
        1001 => "estimate",
        1002 => "label",
        1003 => "neuroname",
        1004 => "general matrix",
        1005 => "symmetric matrix",
        1006 => "displacement vector",
        1007 => "vector",
        1008 => "pointset",
        1009 => "triangle",
        1010 => "quaternion",
        1011 => "dimensionless",
        2001 => "time series",
        2002 => "node index",
        2003 => "rgb vector",
        2004 => "rgba vector",
        2005 => "shape",
        2006 => "fnirt disp field",
        2007 => "fnirt cubic spline coef",
        2008 => "fnirt dct coef",
        2009 => "fnirt quad spline coef",
        2016 => "topup cubic spline coef",
        2017 => "topup quad spline coef",
        2018 => "topup field",
        3000 => "ConnUnknown",
        3001 => "ConnDense",
        3002 => "ConnDenseSeries",
        3003 => "ConnParcels",
        3004 => "ConnParcelSries",
        3006 => "ConnDenseScalar",
        3007 => "ConnDenseLabel",
        3008 => "ConnParcelScalr",
        3009 => "ConnParcelDense",
        3010 => "ConnDenseParcel",
        3011 => "ConnPPSr",
        3012 => "ConnPPSc",
        _ => return None,
    })
}
