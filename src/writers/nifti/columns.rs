//! What the columns of a query are: voxels, or volumes.

use std::path::Path;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{Result, plan_err};
use nifti::NiftiType;

use super::elements::element;
use crate::readers::bids::ENTITIES;

/// The indices of a voxel.
pub const INDEX: [&str; 3] = ["i", "j", "k"];

/// Columns that say more about a voxel: of several columns beside the index, these are not the value.
const OF_VOXELS: [&str; 5] = ["voxel", "x", "y", "z", REPETITION_TIME];
/// Columns that say more about a volume.
const OF_VOLUMES: [&str; 3] = [TR, "time", REPETITION_TIME];

const TR: &str = "tr";
const REPETITION_TIME: &str = "repetition_time";

/// The columns that are written, by their places in the schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    pub rows: Rows,
    /// The type of the image's numbers.
    pub element: NiftiType,
    /// Seconds between volumes, the same in all rows.
    pub repetition_time: Option<usize>,
}

/// What a row is.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// One voxel: `i`, `j`, `k`, and what it has.
    Voxels { index: [usize; 3], value: Value },
    /// One volume: a vector of voxels, and which volume it is; `None` for a single one.
    Volumes { tr: Option<usize>, vector: usize },
}

/// What a voxel has.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: the image is a mask, 1 where there is a row.
    Inside,
    /// One number: a 3-D image.
    Number(usize),
    /// A vector over time, of this length where the schema says it: a 4-D image.
    Series(usize, Option<usize>),
}

impl Columns {
    /// Errors, which name `target`, where the columns are neither voxels nor volumes.
    pub fn of(target: &Path, schema: &Schema) -> Result<Self> {
        Self::find(schema).or_else(|message| plan_err!("COPY TO '{}': {message}", target.display()))
    }

    fn find(schema: &Schema) -> Result<Self, String> {
        match INDEX.map(|name| schema.index_of(name).ok()) {
            [Some(i), Some(j), Some(k)] => Self::voxels(schema, [i, j, k]),
            _ => Self::volumes(schema),
        }
    }

    fn voxels(schema: &Schema, index: [usize; 3]) -> Result<Self, String> {
        for at in index {
            whole_numbers(schema.field(at))?;
        }
        let mut others = values(schema, &INDEX);
        if others.len() > 1 {
            let all = others.clone();
            others.retain(|&at| !OF_VOXELS.contains(&schema.field(at).name().as_str()));
            if others.len() != 1 {
                return Err(format!(
                    "a voxel has one value beside i, j and k, or none for a mask, but the query \
                     has {}; leave the others out",
                    names(schema, &all)
                ));
            }
        }
        let (value, numbers) = match others.first() {
            None => (Value::Inside, &DataType::UInt8),
            Some(&at) => match schema.field(at).data_type() {
                DataType::FixedSizeList(item, length) => {
                    let length = usize::try_from(*length).ok();
                    (Value::Series(at, length), item.data_type())
                }
                DataType::List(item) | DataType::LargeList(item) => {
                    (Value::Series(at, None), item.data_type())
                }
                number => (Value::Number(at), number),
            },
        };
        let element = stored(others.first().map(|&at| schema.field(at)), numbers)?;
        let repetition_time = match value {
            Value::Series(..) => repetition_time(schema)?,
            _ => None,
        };
        Ok(Columns {
            rows: Rows::Voxels { index, value },
            element,
            repetition_time,
        })
    }

    fn volumes(schema: &Schema) -> Result<Self, String> {
        let others = values(schema, &OF_VOLUMES);
        let [vector] = others[..] else {
            return Err(neither(schema));
        };
        let field = schema.field(vector);
        let numbers = match field.data_type() {
            DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
                item.data_type()
            }
            _ => return Err(neither(schema)),
        };
        let tr = schema.index_of(TR).ok();
        if let Some(tr) = tr {
            whole_numbers(schema.field(tr))?;
        }
        Ok(Columns {
            rows: Rows::Volumes { tr, vector },
            element: stored(Some(field), numbers)?,
            repetition_time: repetition_time(schema)?,
        })
    }
}

/// The columns that may be values: not those `known`, nor what a file's name says, which is text.
fn values(schema: &Schema, known: &[&str]) -> Vec<usize> {
    let is_key = |field: &Field| {
        let name = field.name();
        let entity = name == "path" || ENTITIES.iter().any(|(_, column)| column == name);
        entity && (field.data_type().is_string() || field.data_type().is_null())
    };
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| !known.contains(&field.name().as_str()) && !is_key(field))
        .map(|(at, _)| at)
        .collect()
}

fn names(schema: &Schema, columns: &[usize]) -> String {
    let names: Vec<&str> = columns
        .iter()
        .map(|&at| schema.field(at).name().as_str())
        .collect();
    names.join(", ")
}

fn neither(schema: &Schema) -> String {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    format!(
        "an image is made of voxels, i, j, k and one value (or none, for a mask), or of volumes, \
         tr and one vector of voxels (repetition_time and the keys of files may stand beside \
         them); the query has {}",
        names(schema, &all)
    )
}

fn whole_numbers(field: &Field) -> Result<(), String> {
    match field.data_type().is_integer() {
        true => Ok(()),
        false => Err(format!(
            "{name} must be whole numbers, not {}; write CAST({name} AS BIGINT) AS {name}",
            field.data_type(),
            name = field.name()
        )),
    }
}

fn stored(field: Option<&Field>, numbers: &DataType) -> Result<NiftiType, String> {
    let name = field.map_or("", |field| field.name());
    element(numbers).ok_or_else(|| {
        format!(
            "{name} is of {numbers}, for which NIfTI has no type; it has integers of 8 to 64 \
             bits, float32 and float64: CAST it to one of them"
        )
    })
}

fn repetition_time(schema: &Schema) -> Result<Option<usize>, String> {
    let Ok(at) = schema.index_of(REPETITION_TIME) else {
        return Ok(None);
    };
    let data_type = schema.field(at).data_type();
    match data_type.is_numeric() || data_type.is_null() {
        true => Ok(Some(at)),
        false => Err(format!("repetition_time must be seconds, not {data_type}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn vector(item: DataType, length: i32) -> DataType {
        DataType::FixedSizeList(Arc::new(Field::new_list_field(item, true)), length)
    }

    fn find(columns: &[(&str, DataType)]) -> Result<Columns, String> {
        let fields = columns
            .iter()
            .map(|(name, kind)| Field::new(*name, kind.clone(), true));
        Columns::find(&Schema::new(fields.collect::<Vec<_>>()))
    }

    /// With `i`, `j`, `k` before.
    fn voxels(columns: &[(&str, DataType)]) -> Result<Columns, String> {
        let index = INDEX.map(|name| (name, DataType::Int32));
        find(&[&index, columns].concat())
    }

    #[test]
    fn voxels_have_one_value_or_none() {
        let of = |columns: &[(&str, DataType)]| voxels(columns).unwrap();
        let rows = |value| Rows::Voxels {
            index: [0, 1, 2],
            value,
        };
        let mask = of(&[]);
        assert_eq!(
            (mask.rows, mask.element),
            (rows(Value::Inside), NiftiType::Uint8)
        );
        let map = of(&[("t", DataType::Float64)]);
        assert_eq!(
            (map.rows, map.element),
            (rows(Value::Number(3)), NiftiType::Float64)
        );
        // What read_voxels gives, whole.
        let all = of(&[
            ("subject", DataType::Utf8),
            ("voxel", DataType::Int64),
            ("x", DataType::Float64),
            ("y", DataType::Float64),
            ("z", DataType::Float64),
            ("bold", vector(DataType::Int16, 7)),
            ("repetition_time", DataType::Float64),
            ("path", DataType::Utf8),
        ]);
        assert_eq!(all.rows, rows(Value::Series(8, Some(7))));
        assert_eq!(
            (all.element, all.repetition_time),
            (NiftiType::Int16, Some(9))
        );
        // Alone, they are the value; and a number is no key, whatever its name.
        assert_eq!(of(&[("x", DataType::Float32)]).rows, rows(Value::Number(3)));
        assert_eq!(
            of(&[("label", DataType::Int64)]).rows,
            rows(Value::Number(3))
        );
    }

    #[test]
    fn volumes_are_one_vector_a_row() {
        let bold = vector(DataType::Float32, 7);
        let run = find(&[
            ("run", DataType::Utf8),
            ("tr", DataType::Int64),
            ("time", DataType::Float64),
            ("repetition_time", DataType::Float64),
            ("bold", bold.clone()),
        ]);
        let run = run.unwrap();
        assert_eq!(
            run.rows,
            Rows::Volumes {
                tr: Some(1),
                vector: 4
            }
        );
        assert_eq!(
            (run.element, run.repetition_time),
            (NiftiType::Float32, Some(3))
        );
        let one = find(&[("mean", bold)]).unwrap();
        assert_eq!(
            one.rows,
            Rows::Volumes {
                tr: None,
                vector: 0
            }
        );
    }

    #[test]
    fn what_is_neither_is_named() {
        let fails = |found: Result<Columns, String>, parts: &[&str]| {
            let message = found.unwrap_err();
            for part in parts {
                assert!(message.contains(part), "{message}");
            }
        };
        let float = DataType::Float64;
        let bold = vector(DataType::Float32, 7);
        fails(
            voxels(&[("a", float.clone()), ("b", float.clone())]),
            &["has a, b"],
        );
        fails(
            voxels(&[("x", float.clone()), ("y", float.clone())]),
            &["has x, y"],
        );
        fails(
            voxels(&[("name", DataType::Utf8)]),
            &["name is of Utf8", "CAST"],
        );
        fails(voxels(&[("v", DataType::Float16)]), &["v is of Float16"]);
        fails(
            voxels(&[("v", vector(DataType::Utf8, 2))]),
            &["v is of Utf8"],
        );
        fails(
            find(&[("a", float.clone())]),
            &["the query has a", "i, j, k"],
        );
        fails(
            find(&[("i", DataType::Int64), ("bold", bold.clone())]),
            &["has i, bold"],
        );
        fails(
            find(&[("tr", float.clone()), ("bold", bold.clone())]),
            &["CAST(tr AS BIGINT)"],
        );
        fails(
            find(&[("i", float), ("j", DataType::Int8), ("k", DataType::Int8)]),
            &["i must be whole numbers, not Float64"],
        );
        fails(
            find(&[("bold", bold), ("repetition_time", DataType::Utf8)]),
            &["repetition_time must be seconds"],
        );
    }
}
