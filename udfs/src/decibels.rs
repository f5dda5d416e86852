//! What `power_to_db` and `amplitude_to_db` have in common: a number, a frame or a spectrogram in decibels.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

use crate::args::{Parameters, result_of};
use crate::frames::{as_lists, frame_type, list_of};
use crate::kernels::decibel::{Decibels, Reference};
use crate::vectors::{VectorBuilder, Vectors, element_type, vector_type, vector_width};

/// One of the two functions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToDecibels {
    /// The value itself, `ref`, `amin` and, last, `top_db`, as NULL means something there: arguments
    /// left out between others are filled with NULL, those at the end are not.
    pub parameters: Parameters,
    /// The default of `amin`.
    pub amin: f64,
    pub convert: fn(&Decibels, &mut [f64]),
}

impl ToDecibels {
    /// The types that [`Self::invoke`] will see.
    pub fn coerce(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = self.parameters.coerce(arg_types)?;
        types[0] = match &types[0] {
            number if number.is_numeric() || number.is_null() => DataType::Float64,
            vector if element_type(vector).is_some() => vector.clone(),
            frames => match frame_type(frames) {
                Some(frame) => list_of(frame.clone()),
                None => {
                    return plan_err!(
                        "{}: {} must be a number, a vector or a list of vectors, got {frames}",
                        self.parameters.function,
                        self.parameters.list[0].0
                    );
                }
            },
        };
        Ok(types)
    }

    /// The type of the result.
    pub fn return_type(arg_types: &[DataType]) -> DataType {
        match &arg_types[0] {
            vector if element_type(vector).is_some() => vector_type(vector_width(vector)),
            frames => match frame_type(frames) {
                Some(frame) => list_of(vector_type(vector_width(frame))),
                None => DataType::Float64,
            },
        }
    }

    /// The decibels of a column.
    pub fn invoke(&self, args: &[ColumnarValue]) -> Result<ColumnarValue> {
        let decibels = self.decibels(args)?;
        let values = match &args[0] {
            ColumnarValue::Array(column) => Arc::clone(column),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        let result: ArrayRef = if element_type(values.data_type()).is_some() {
            let frames = Vectors::try_new(self.parameters.function, &values)?;
            let mut out = Converted::new(self, decibels, &frames);
            for i in 0..frames.len() {
                out.append(&frames, i..i + 1)?;
            }
            out.builder.finish()?
        } else if frame_type(values.data_type()).is_some() {
            self.spectrograms(decibels, &values)?
        } else {
            let numbers = cast(&values, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let converted: Float64Array = numbers.unary(|number| {
                let mut value = [number];
                (self.convert)(&decibels, &mut value);
                value[0]
            });
            Arc::new(converted)
        };
        result_of(args, result)
    }

    /// The constant arguments, checked.
    fn decibels(&self, args: &[ColumnarValue]) -> Result<Decibels> {
        let function = self.parameters.function;
        let constants = self.parameters.of_scalar(args);
        let reference = match args.get(1) {
            None => Reference::Level(1.0),
            Some(ColumnarValue::Scalar(value)) if value.is_null() => Reference::Level(1.0),
            Some(ColumnarValue::Scalar(value)) => reference(function, value)?,
            Some(ColumnarValue::Array(_)) => {
                return exec_err!("{function}: ref must be a constant, the same for all rows");
            }
        };
        let decibels = Decibels {
            reference,
            amin: constants.f64("amin")?.unwrap_or(self.amin),
            top_db: match args.len() {
                ..=3 => Some(80.0),
                _ => constants.f64("top_db")?,
            },
        };
        decibels
            .validate()
            .map_err(|e| exec_datafusion_err!("{function}: {e}"))?;
        Ok(decibels)
    }

    /// A column of lists of frames, each list for itself.
    fn spectrograms(&self, decibels: Decibels, column: &ArrayRef) -> Result<ArrayRef> {
        let column = as_lists(self.parameters.function, column)?;
        let frames = Vectors::try_new(self.parameters.function, column.values())?;
        let mut out = Converted::new(self, decibels, &frames);
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
}

fn reference(function: &str, value: &ScalarValue) -> Result<Reference> {
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
    exec_err!("{function}: ref must be a number, 'max' or 'median', not {value}")
}

/// A column of frames in decibels under way.
struct Converted {
    convert: fn(&Decibels, &mut [f64]),
    decibels: Decibels,
    builder: VectorBuilder,
    values: Vec<f64>,
}

impl Converted {
    fn new(function: &ToDecibels, decibels: Decibels, frames: &Vectors<Float64Type>) -> Self {
        let name = function.parameters.function;
        Self {
            convert: function.convert,
            decibels,
            builder: VectorBuilder::new(name, frames.width(), frames.len()),
            values: Vec::new(),
        }
    }

    /// Converts some frames together, and appends them.
    fn append(&mut self, frames: &Vectors<Float64Type>, rows: Range<usize>) -> Result<()> {
        self.values.clear();
        for i in rows.clone().filter(|&i| !frames.is_null(i)) {
            let elements = frames.elements(i);
            self.values.extend(elements.map(|x| x.unwrap_or(f64::NAN)));
        }
        (self.convert)(&self.decibels, &mut self.values);
        let mut rest = &self.values[..];
        for i in rows {
            let Some(row) = frames.row(i) else {
                self.builder.append_null();
                continue;
            };
            let (converted, after) = rest.split_at(row.len());
            rest = after;
            let elements = converted.iter().zip(frames.elements(i));
            let there = elements.map(|(&value, given)| given.map(|_| value as f32));
            self.builder.append_options(row.len(), there)?;
        }
        Ok(())
    }
}
