//! Vectors: list columns of numbers, seen as rows of contiguous floats, and built again.
//!
//! A vector column is a List, LargeList or FixedSizeList of any number type.
//! [`Vectors`] casts its values once per batch and then lends one slice a row, so
//! that kernels know only slices. [`VectorBuilder`] writes the result: a
//! `FixedSizeList<Float32, N>` where the width is known, else a `List<Float32>`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, Float32Array, ListArray,
    NullBufferBuilder, OffsetSizeTrait, PrimitiveArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::ColumnarValue;

/// Field metadata of sound: samples per second.
pub const SAMPLE_RATE_METADATA: &str = "voxql.sample_rate";

/// The type of a vector column: `FixedSizeList<Float32, width>` where the width is
/// known, else `List<Float32>`. The child field is `item`, nullable.
pub fn vector_type(width: Option<usize>) -> DataType {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    match width.and_then(|n| i32::try_from(n).ok()) {
        Some(n) => DataType::FixedSizeList(item, n),
        None => DataType::List(item),
    }
}

/// The type of a vector's elements, if `data_type` is a list of numbers.
///
/// `[]` and `[NULL]` have elements of type Null, and are vectors too.
pub fn element_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let element = item.data_type();
            (element.is_numeric() || element.is_null()).then_some(element)
        }
        _ => None,
    }
}

/// The number of elements in every row, where the type says it.
pub fn vector_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeList(_, width) => usize::try_from(*width).ok(),
        _ => None,
    }
}

/// Whether every value of this element type fits a Float32.
pub fn fits_f32(element: &DataType) -> bool {
    use DataType::{Float16, Float32, Int8, Int16, Null, UInt8, UInt16};
    matches!(
        element,
        Float32 | Float16 | Int8 | UInt8 | Int16 | UInt16 | Null
    )
}

/// A vector column as rows of floats of one type (`Float32Type` or `Float64Type`).
///
/// Values that already have the type are not copied.
pub struct Vectors<T: ArrowPrimitiveType> {
    values: PrimitiveArray<T>,
    shape: Shape,
    nulls: Option<NullBuffer>,
    len: usize,
    /// Row 0 stands for every row.
    constant: bool,
}

enum Shape {
    /// Every row, NULL ones too, has so many values.
    Fixed(usize),
    /// Row `i` is `offsets[i]..offsets[i + 1]`.
    Ragged(Vec<usize>),
}

impl<T: ArrowPrimitiveType> Vectors<T> {
    /// Reads `column` for the function that will be named in errors.
    ///
    /// # Errors
    /// When the column is not a list of numbers.
    pub fn try_new(function: &str, column: &dyn Array) -> Result<Self> {
        if element_type(column.data_type()).is_none() {
            return exec_err!(
                "{function}: expected a vector (a list of numbers), got {}",
                column.data_type()
            );
        }
        let (values, shape) = match column.data_type() {
            DataType::FixedSizeList(_, width) => {
                let values = Arc::clone(column.as_fixed_size_list().values());
                (values, Shape::Fixed(usize::try_from(*width).unwrap_or(0)))
            }
            DataType::LargeList(_) => {
                let list = column.as_list::<i64>();
                ragged(list.values(), list.value_offsets())
            }
            _ => {
                let list = column.as_list::<i32>();
                ragged(list.values(), list.value_offsets())
            }
        };
        let values = cast(&values, &T::DATA_TYPE)?.as_primitive::<T>().clone();
        Ok(Self {
            values,
            shape,
            nulls: column.nulls().cloned(),
            len: column.len(),
            constant: false,
        })
    }

    /// Reads an argument of a scalar function. A constant is a column of one row, which
    /// it gives whatever row is asked for.
    ///
    /// # Errors
    /// When the argument is not a list of numbers.
    pub fn from_argument(function: &str, argument: &ColumnarValue) -> Result<Self> {
        match argument {
            ColumnarValue::Array(column) => Self::try_new(function, column),
            ColumnarValue::Scalar(value) => Ok(Self {
                constant: true,
                ..Self::try_new(function, &value.to_array()?)?
            }),
        }
    }

    /// The number of rows, NULL ones included.
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks whether a batch is empty"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The width of every row, if the column's type says it.
    pub fn width(&self) -> Option<usize> {
        match &self.shape {
            Shape::Fixed(width) => Some(*width),
            Shape::Ragged(_) => None,
        }
    }

    /// All rows one after the other, those of NULL vectors with arbitrary values, where the column's
    /// type says their width.
    pub fn values(&self) -> Option<&[T::Native]> {
        let width = self.width().filter(|_| !self.constant)?;
        self.values.values().get(..self.len * width)
    }

    /// Whether the vector of row `i` is NULL.
    pub fn is_null(&self, i: usize) -> bool {
        let nulls = self.nulls.as_ref();
        nulls.is_some_and(|nulls| nulls.is_null(self.at(i)))
    }

    /// The values of row `i`; None where the vector is NULL.
    ///
    /// Where an element is missing its value is arbitrary: ask [`Self::missing`], or
    /// call [`Self::fill_missing`] first.
    pub fn row(&self, i: usize) -> Option<&[T::Native]> {
        if self.is_null(i) {
            return None;
        }
        let (start, end) = self.bounds(i);
        Some(&self.values.values()[start..end])
    }

    /// Which elements of row `i` are there, if any of the row is missing.
    pub fn missing(&self, i: usize) -> Option<NullBuffer> {
        let (start, end) = self.bounds(i);
        self.values
            .nulls()
            .filter(|nulls| nulls.null_count() > 0)
            .map(|nulls| nulls.slice(start, end - start))
            .filter(|row| row.null_count() > 0)
    }

    /// The elements of row `i`, None where one is missing; none at all where the
    /// vector is NULL.
    pub fn elements(&self, i: usize) -> impl Iterator<Item = Option<T::Native>> {
        let (start, end) = self.bounds(i);
        let end = if self.is_null(i) { start } else { end };
        (start..end).map(|at| self.values.is_valid(at).then(|| self.values.value(at)))
    }

    /// The same rows with `value` (often NaN) where an element was missing.
    pub fn fill_missing(self, value: T::Native) -> Self {
        if self.values.null_count() == 0 {
            return self;
        }
        let filled: ScalarBuffer<T::Native> =
            self.values.iter().map(|v| v.unwrap_or(value)).collect();
        Self {
            values: PrimitiveArray::new(filled, None),
            ..self
        }
    }

    fn at(&self, i: usize) -> usize {
        if self.constant { 0 } else { i }
    }

    fn bounds(&self, i: usize) -> (usize, usize) {
        let i = self.at(i);
        match &self.shape {
            Shape::Fixed(width) => (i * width, (i + 1) * width),
            Shape::Ragged(offsets) => (offsets[i], offsets[i + 1]),
        }
    }
}

/// The values that the rows use, and offsets into them: a slice of a long column
/// does not pay for the cast of the whole.
fn ragged<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O]) -> (ArrayRef, Shape) {
    let first = offsets[0].as_usize();
    let last = offsets[offsets.len() - 1].as_usize();
    let rebased = offsets.iter().map(|o| o.as_usize() - first).collect();
    (values.slice(first, last - first), Shape::Ragged(rebased))
}

/// Writes a vector column row by row.
pub struct VectorBuilder {
    function: &'static str,
    width: Option<usize>,
    values: Vec<f32>,
    /// The width of each row; used when the width is not known.
    lengths: Vec<usize>,
    nulls: NullBufferBuilder,
    missing: NullBufferBuilder,
}

impl VectorBuilder {
    /// A builder for about `rows` rows, all of `width` elements if that is given.
    pub fn new(function: &'static str, width: Option<usize>, rows: usize) -> Self {
        Self {
            function,
            width,
            values: Vec::with_capacity(rows * width.unwrap_or(0)),
            lengths: Vec::new(),
            nulls: NullBufferBuilder::new(rows),
            missing: NullBufferBuilder::new(rows * width.unwrap_or(0)),
        }
    }

    /// Appends a vector.
    ///
    /// # Errors
    /// When the column has a width and the row another.
    pub fn append(&mut self, row: &[f32]) -> Result<()> {
        self.append_with(row.len(), |out| out.copy_from_slice(row))
    }

    /// Appends a vector of `len` elements that `write` fills; they start as 0.
    ///
    /// # Errors
    /// When the column has a width and `len` is another.
    pub fn append_with(&mut self, len: usize, write: impl FnOnce(&mut [f32])) -> Result<()> {
        self.start_row(len)?;
        let start = self.values.len();
        self.values.resize(start + len, 0.0);
        write(&mut self.values[start..]);
        self.missing.append_n_non_nulls(len);
        Ok(())
    }

    /// Appends a vector of `len` elements, None where one is missing.
    ///
    /// # Errors
    /// When the column has a width and `len` is another.
    pub fn append_options(
        &mut self,
        len: usize,
        row: impl Iterator<Item = Option<f32>>,
    ) -> Result<()> {
        self.start_row(len)?;
        for element in row.take(len) {
            self.values.push(element.unwrap_or(0.0));
            self.missing.append(element.is_some());
        }
        Ok(())
    }

    /// Appends a NULL vector.
    pub fn append_null(&mut self) {
        let width = self.width.unwrap_or(0);
        self.values.resize(self.values.len() + width, 0.0);
        self.missing.append_n_non_nulls(width);
        self.lengths.push(0);
        self.nulls.append_null();
    }

    /// The column, of type [`vector_type`].
    ///
    /// # Errors
    /// When a `List` would hold more values than its 32-bit offsets can count.
    pub fn finish(mut self) -> Result<ArrayRef> {
        let function = self.function;
        let rows = self.lengths.len();
        let nulls = self.nulls.finish();
        let values = Float32Array::new(self.values.into(), self.missing.finish());
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        match self.width {
            Some(width) => {
                let width = i32::try_from(width).map_err(|_| {
                    exec_datafusion_err!("{function}: a vector of {width} elements is too wide")
                })?;
                Ok(Arc::new(FixedSizeListArray::try_new_with_length(
                    item,
                    width,
                    Arc::new(values),
                    nulls,
                    rows,
                )?))
            }
            None => {
                if i32::try_from(values.len()).is_err() {
                    return exec_err!(
                        "{function}: {rows} rows hold {} values, more than a List column can in one \
                         batch; lower datafusion.execution.batch_size, or give the vectors a fixed width",
                        values.len()
                    );
                }
                let offsets = OffsetBuffer::from_lengths(self.lengths);
                Ok(Arc::new(ListArray::try_new(
                    item,
                    offsets,
                    Arc::new(values),
                    nulls,
                )?))
            }
        }
    }

    fn start_row(&mut self, len: usize) -> Result<()> {
        if let Some(width) = self.width
            && width != len
        {
            return exec_err!(
                "{}: a vector has {len} elements where the column has {width}",
                self.function
            );
        }
        self.lengths.push(len);
        self.nulls.append_non_null();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int16Array, LargeListArray, StringArray};
    use arrow::datatypes::{Float32Type, Float64Type, Int32Type};

    #[test]
    fn every_list_type_gives_the_same_rows() {
        let rows = vec![
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![Some(3), None]),
        ];
        let lists: [ArrayRef; 3] = [
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                rows.clone(),
            )),
            Arc::new(LargeListArray::from_iter_primitive::<Int32Type, _, _>(
                rows.clone(),
            )),
            Arc::new(FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>(
                rows, 2,
            )),
        ];
        for list in lists {
            let vectors = Vectors::<Float32Type>::try_new("f", &list).unwrap();
            assert_eq!(vectors.row(0), Some(&[1.0, 2.0][..]));
            assert_eq!(vectors.row(1), None);
            assert!(vectors.missing(0).is_none());
            assert!(vectors.missing(2).unwrap().is_null(1));
            let filled = vectors.fill_missing(f32::NAN);
            assert_eq!(filled.row(2).unwrap()[0], 3.0);
            assert!(filled.row(2).unwrap()[1].is_nan());

            // A slice keeps its own rows.
            let tail = Vectors::<Float64Type>::try_new("f", &list.slice(1, 2)).unwrap();
            assert_eq!(tail.len(), 2);
            assert!(tail.is_null(0));
            assert_eq!(tail.row(1).unwrap()[0], 3.0);
        }
    }

    #[test]
    fn other_types_are_an_error() {
        let error = Vectors::<Float32Type>::try_new("f", &Int16Array::from(vec![1])).err();
        assert!(error.unwrap().to_string().contains("f: expected a vector"));
        assert!(element_type(StringArray::from(vec!["a"]).data_type()).is_none());
    }

    #[test]
    fn builder_gives_both_shapes() {
        for (width, lengths) in [(Some(2), [2, 2]), (None, [2, 1])] {
            let mut builder = VectorBuilder::new("f", width, 3);
            builder.append(&vec![1.5; lengths[0]]).unwrap();
            builder.append_null();
            builder
                .append_options(lengths[1], [Some(2.0), None].into_iter())
                .unwrap();
            let column = builder.finish().unwrap();
            assert_eq!(column.data_type(), &vector_type(width));
            let vectors = Vectors::<Float32Type>::try_new("f", &column).unwrap();
            assert_eq!(vectors.row(0), Some(&[1.5, 1.5][..]));
            assert!(vectors.is_null(1));
            assert_eq!(vectors.row(2).map(<[f32]>::len), Some(lengths[1]));
        }
        assert!(VectorBuilder::new("f", Some(2), 1).append(&[1.0]).is_err());
    }
}
