//! What `power_to_db` and `amplitude_to_db` have in common: decibels of a number, a frame or a
//! spectrogram.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::ColumnarValue;

use crate::args::{Kind, Parameters, result_of};
use crate::kernels::decibel::{Decibels, Reference};
use crate::spectra::{frame_type, list_of};
use crate::vectors::{VectorBuilder, Vectors, element_type, vector_type, vector_width};

/// What is turned into decibels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    Power,
    Amplitude,
}

impl Quantity {
    pub const fn parameters(self) -> Parameters {
        match self {
            Self::Power => Parameters {
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
            },
            Self::Amplitude => Parameters {
                function: "amplitude_to_db",
                required: 1,
                list: &[
                    ("amplitude", Kind::Any),
                    ("ref", Kind::Any),
                    ("amin", Kind::Number),
                    ("top_db", Kind::Number),
                ],
            },
        }
    }

    fn function(self) -> &'static str {
        self.parameters().function
    }

    fn amin(self) -> f64 {
        match self {
            Self::Power => 1e-10,
            Self::Amplitude => 1e-5,
        }
    }

    pub fn coerce(self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let mut types = self.parameters().coerce(arg_types)?;
        types[0] = match &types[0] {
            number if number.is_numeric() || number.is_null() => DataType::Float64,
            vector if element_type(vector).is_some() => vector.clone(),
            frames => match frame_type(frames) {
                Some(frame) => list_of(frame.clone()),
                None => {
                    return plan_err!(
                        "{}: {} must be a number, a vector or a list of vectors, got {frames}",
                        self.function(),
                        self.parameters().list[0].0
                    );
                }
            },
        };
        Ok(types)
    }

    pub fn return_type(self, arg_types: &[DataType]) -> DataType {
        match &arg_types[0] {
            vector if element_type(vector).is_some() => vector_type(vector_width(vector)),
            frames => match frame_type(frames) {
                Some(frame) => list_of(vector_type(vector_width(frame))),
                None => DataType::Float64,
            },
        }
    }

    pub fn invoke(self, args: &[ColumnarValue]) -> Result<ColumnarValue> {
        let conversion = Conversion {
            quantity: self,
            decibels: self.decibels(args)?,
        };
        let column = match &args[0] {
            ColumnarValue::Array(column) => Arc::clone(column),
            ColumnarValue::Scalar(value) => value.to_array()?,
        };
        let result: ArrayRef = if element_type(column.data_type()).is_some() {
            let frames = Vectors::try_new(self.function(), &column)?;
            let mut out = Converted::new(conversion, &frames);
            for i in 0..frames.len() {
                out.append(&frames, i..i + 1)?;
            }
            out.builder.finish()?
        } else if frame_type(column.data_type()).is_some() {
            conversion.spectrograms(&column)?
        } else {
            let numbers = cast(&column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let converted: Float64Array = numbers.unary(|number| {
                let mut value = [number];
                conversion.convert(&mut value);
                value[0]
            });
            Arc::new(converted)
        };
        result_of(args, result)
    }

    /// The constant arguments, checked.
    fn decibels(self, args: &[ColumnarValue]) -> Result<Decibels> {
        let function = self.function();
        let parameters = self.parameters();
        let constants = parameters.of_scalar(args);
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
            amin: constants.f64("amin")?.unwrap_or(self.amin()),
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

/// Decibels of some quantity.
#[derive(Clone, Copy)]
struct Conversion {
    quantity: Quantity,
    decibels: Decibels,
}

impl Conversion {
    fn convert(self, values: &mut [f64]) {
        match self.quantity {
            Quantity::Power => self.decibels.convert(values),
            Quantity::Amplitude => self.decibels.convert_amplitudes(values),
        }
    }

    /// A column of lists of frames, each list for itself.
    fn spectrograms(self, column: &ArrayRef) -> Result<ArrayRef> {
        let Some(frame) = frame_type(column.data_type()) else {
            return exec_err!(
                "{}: expected a list of vectors, got {}",
                self.quantity.function(),
                column.data_type()
            );
        };
        let column = cast(column, &list_of(frame.clone()))?;
        let column = column.as_list::<i32>();
        let frames = Vectors::try_new(self.quantity.function(), column.values())?;
        let mut out = Converted::new(self, &frames);
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

/// A column of frames in decibels under way.
struct Converted {
    conversion: Conversion,
    builder: VectorBuilder,
    values: Vec<f64>,
}

impl Converted {
    fn new(conversion: Conversion, frames: &Vectors<Float64Type>) -> Self {
        Self {
            conversion,
            builder: VectorBuilder::new(
                conversion.quantity.function(),
                frames.width(),
                frames.len(),
            ),
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
        self.conversion.convert(&mut self.values);
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
