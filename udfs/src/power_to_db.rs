//! `power_to_db(power, …)`: power in decibels, of a number, a frame or a spectrogram.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, result_of};
use crate::datafusion_doc;
use crate::kernels::decibel::{Decibels, Reference};
use crate::vectors::{VectorBuilder, Vectors, element_type, vector_type, vector_width};

const PARAMETERS: Parameters = Parameters {
    function: "power_to_db",
    required: 1,
    list: &[
        ("power", Kind::Any),
        ("ref", Kind::Any),
        ("amin", Kind::Number),
        // Last, as NULL means something here: arguments left out between others are
        // filled with NULL, those at the end are not.
        ("top_db", Kind::Number),
    ],
};

/// The scalar function `power_to_db`.
pub fn power_to_db() -> ScalarUDF {
    PowerToDb {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Audio Functions"),
    description = "Power in decibels, as `librosa.power_to_db`: `10 log10(max(amin, power)) - 10 log10(max(amin, |ref|))`, \
and nothing more than `top_db` below the largest value. Both a `ref` of `'max'` and `top_db` look at the value given: \
a number, one frame (a vector), or a spectrogram (a list of frames, as `mel_spectrogram` gives it). librosa looks at the whole \
file: where frames are rows, as in `read_mel`, give `top_db => NULL` and clip at the file's own maximum, or gather them first with \
`array_agg(mel ORDER BY frame)`. NULL gives NULL; missing (NULL) and NaN elements stay so and do not count.",
    syntax_example = "power_to_db(power [, ref => 1.0, amin => 1e-10, top_db => 80.0])",
    sql_example = r#"```sql
> SELECT power_to_db([1.0, 0.001, 0.0], ref => 'max') AS db;
+---------------------+
| db                  |
+---------------------+
| [0.0, -30.0, -80.0] |
+---------------------+
```"#,
    argument(
        name = "power",
        description = "A number, a vector, or a list of vectors. Numbers give Float64, vectors Float32."
    ),
    argument(
        name = "ref",
        description = "The power that is 0 dB (default 1.0), or `'max'` or `'median'` of the value given."
    ),
    argument(
        name = "amin",
        description = "Smaller powers are raised to this. Default 1e-10."
    ),
    argument(
        name = "top_db",
        description = "The largest distance below the maximum in dB. Default 80; NULL for no limit."
    ),
    related_udf(name = "mel_spectrogram")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct PowerToDb {
    signature: Signature,
}

impl ScalarUDFImpl for PowerToDb {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = PARAMETERS.coerce(arg_types)?;
        types[0] = match &types[0] {
            number if number.is_numeric() || number.is_null() => DataType::Float64,
            vector if element_type(vector).is_some() => vector.clone(),
            frames => match frame_type(frames) {
                Some(frame) => list_of(frame.clone()),
                None => {
                    return plan_err!(
                        "power_to_db: power must be a number, a vector or a list of vectors, got {frames}"
                    );
                }
            },
        };
        Ok(types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(match &arg_types[0] {
            vector if element_type(vector).is_some() => vector_type(vector_width(vector)),
            frames => match frame_type(frames) {
                Some(frame) => list_of(vector_type(vector_width(frame))),
                None => DataType::Float64,
            },
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let decibels = decibels(&args.args)?;
        let power = match &args.args[0] {
            ColumnarValue::Array(column) => Arc::clone(column),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        let result: ArrayRef = if element_type(power.data_type()).is_some() {
            let frames = Vectors::try_new(PARAMETERS.function, &power)?;
            let mut out = Converted::new(decibels, &frames);
            for i in 0..frames.len() {
                out.append(&frames, i..i + 1)?;
            }
            out.builder.finish()?
        } else if frame_type(power.data_type()).is_some() {
            spectrograms(decibels, &power)?
        } else {
            let numbers = cast(&power, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let converted: Float64Array = numbers.unary(|power| {
                let mut value = [power];
                decibels.convert(&mut value);
                value[0]
            });
            Arc::new(converted)
        };
        result_of(&args.args, result)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The type of the frames, if `data_type` is a list of vectors.
fn frame_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            element_type(item.data_type()).map(|_| item.data_type())
        }
        _ => None,
    }
}

fn list_of(frame: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(frame, true)))
}

/// The constant arguments, checked.
fn decibels(args: &[ColumnarValue]) -> Result<Decibels> {
    let constants = PARAMETERS.of_scalar(args);
    let reference = match args.get(1) {
        None => Reference::Level(1.0),
        Some(ColumnarValue::Scalar(value)) if value.is_null() => Reference::Level(1.0),
        Some(ColumnarValue::Scalar(value)) => reference(value)?,
        Some(ColumnarValue::Array(_)) => {
            return exec_err!("power_to_db: ref must be a constant, the same for all rows");
        }
    };
    let decibels = Decibels {
        reference,
        amin: constants.f64("amin")?.unwrap_or(1e-10),
        top_db: match args.len() {
            ..=3 => Some(80.0),
            _ => constants.f64("top_db")?,
        },
    };
    decibels
        .validate()
        .map_err(|e| exec_datafusion_err!("power_to_db: {e}"))?;
    Ok(decibels)
}

fn reference(value: &ScalarValue) -> Result<Reference> {
    match value.try_as_str() {
        Some(Some("max")) => return Ok(Reference::Max),
        Some(Some("median")) => return Ok(Reference::Median),
        _ => (),
    }
    if value.data_type().is_numeric()
        && let ScalarValue::Float64(Some(level)) = value.cast_to(&DataType::Float64)?
    {
        return Ok(Reference::Level(level));
    }
    exec_err!("power_to_db: ref must be a number, 'max' or 'median', not {value}")
}

/// A column of lists of frames, each list for itself.
fn spectrograms(decibels: Decibels, column: &ArrayRef) -> Result<ArrayRef> {
    let Some(frame) = frame_type(column.data_type()) else {
        return exec_err!(
            "power_to_db: expected a list of vectors, got {}",
            column.data_type()
        );
    };
    let column = cast(column, &list_of(frame.clone()))?;
    let column = column.as_list::<i32>();
    let frames = Vectors::try_new(PARAMETERS.function, column.values())?;
    let mut out = Converted::new(decibels, &frames);
    let mut lengths = Vec::with_capacity(column.len());
    for (i, bounds) in column.value_offsets().windows(2).enumerate() {
        let rows = bounds[0] as usize..bounds[1] as usize;
        let rows = if column.is_null(i) { 0..0 } else { rows };
        lengths.push(rows.len());
        out.append(&frames, rows)?;
    }
    Ok(Arc::new(ListArray::try_new(
        Arc::new(Field::new_list_field(vector_type(frames.width()), true)),
        OffsetBuffer::from_lengths(lengths),
        out.builder.finish()?,
        column.nulls().cloned(),
    )?))
}

/// A column of frames in decibels under way.
struct Converted {
    decibels: Decibels,
    builder: VectorBuilder,
    values: Vec<f64>,
}

impl Converted {
    fn new(decibels: Decibels, frames: &Vectors<Float64Type>) -> Self {
        Self {
            decibels,
            builder: VectorBuilder::new(PARAMETERS.function, frames.width(), frames.len()),
            values: Vec::new(),
        }
    }

    /// Converts some frames together, and appends them.
    fn append(&mut self, frames: &Vectors<Float64Type>, rows: Range<usize>) -> Result<()> {
        self.values.clear();
        for i in rows.clone().filter(|&i| !frames.is_null(i)) {
            let powers = frames.elements(i);
            self.values
                .extend(powers.map(|power| power.unwrap_or(f64::NAN)));
        }
        self.decibels.convert(&mut self.values);
        let mut rest = &self.values[..];
        for i in rows {
            let Some(row) = frames.row(i) else {
                self.builder.append_null();
                continue;
            };
            let (converted, after) = rest.split_at(row.len());
            rest = after;
            let elements = converted.iter().zip(frames.elements(i));
            let there = elements.map(|(&value, power)| power.map(|_| value as f32));
            self.builder.append_options(row.len(), there)?;
        }
        Ok(())
    }
}
