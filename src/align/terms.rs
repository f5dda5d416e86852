//! The lineage of one value as an Arrow column: the source rows that went into it, each
//! with the weight that it has.
//!
//! A NULL lineage belongs to a NULL value. A NULL weight belongs to a row that did go in,
//! but not as a summand: no number would be true.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, Int64Array, Int64Builder, ListArray,
    NullBufferBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err};

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![
        Field::new("row", DataType::Int64, true),
        Field::new("weight", DataType::Float64, true),
    ])
});

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(
        DataType::Struct(FIELDS.clone()),
        true,
    ))
}

/// The type of a lineage column.
pub fn data_type() -> DataType {
    DataType::List(item())
}

/// A source row, and what its value is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// The row's number in the [`Registry`](super::sources::Registry).
    pub row: i64,
    pub weight: Option<f64>,
}

impl Term {
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            weight: self.weight.map(|weight| weight * factor),
            ..self
        }
    }

    pub fn without_weight(self) -> Self {
        Self {
            weight: None,
            ..self
        }
    }
}

/// A lineage column, to read.
#[derive(Debug)]
pub struct Lineages {
    list: ListArray,
    rows: Int64Array,
    weights: Float64Array,
    nulls: Option<NullBuffer>,
}

impl Lineages {
    pub fn try_new(column: &ArrayRef) -> Result<Self> {
        if column.data_type() != &data_type() {
            return exec_err!("EXPLAIN ALIGN: {} is no lineage", column.data_type());
        }
        let list = column.as_list::<i32>().clone();
        let terms = list.values().as_struct();
        Ok(Self {
            rows: terms.column(0).as_primitive::<Int64Type>().clone(),
            weights: terms.column(1).as_primitive::<Float64Type>().clone(),
            nulls: list.nulls().cloned(),
            list,
        })
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The lineage of the value in row `i`; None where the value is NULL.
    pub fn terms(&self, i: usize) -> Option<impl Iterator<Item = Term>> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            return None;
        }
        let offsets = self.list.value_offsets();
        let range = offsets[i] as usize..offsets[i + 1] as usize;
        Some(range.map(|at| Term {
            row: self.rows.value(at),
            weight: self.weights.is_valid(at).then(|| self.weights.value(at)),
        }))
    }
}

/// Writes a lineage column value by value.
#[derive(Debug, Default)]
pub struct Builder {
    rows: Int64Builder,
    weights: Float64Builder,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Builder {
    pub fn append(&mut self, terms: Option<impl IntoIterator<Item = Term>>) {
        let before = self.rows_len();
        self.valid.push(terms.is_some());
        for term in terms.into_iter().flatten() {
            self.rows.append_value(term.row);
            self.weights.append_option(term.weight);
        }
        self.lengths.push(self.rows_len() - before);
    }

    fn rows_len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        self.rows.len()
    }

    pub fn finish(mut self) -> Result<ArrayRef> {
        let terms: Vec<ArrayRef> = vec![
            Arc::new(self.rows.finish()),
            Arc::new(self.weights.finish()),
        ];
        if i32::try_from(terms[0].len()).is_err() {
            return exec_err!(
                "EXPLAIN ALIGN: too many source rows go into one batch; narrow the query down to \
                 one subject and run, or lower datafusion.execution.batch_size"
            );
        }
        let mut nulls = NullBufferBuilder::new(self.valid.len());
        self.valid.iter().for_each(|valid| nulls.append(*valid));
        Ok(Arc::new(ListArray::try_new(
            item(),
            OffsetBuffer::from_lengths(self.lengths),
            Arc::new(StructArray::try_new(FIELDS.clone(), terms, None)?),
            nulls.finish(),
        )?))
    }
}

/// One lineage as a value of its own.
pub fn scalar(terms: Option<impl IntoIterator<Item = Term>>) -> Result<ScalarValue> {
    let mut builder = Builder::default();
    builder.append(terms);
    ScalarValue::try_from_array(&builder.finish()?, 0)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Lineages of one source row each, of weight 1.
    pub fn column(rows: &[Option<i64>]) -> ArrayRef {
        let weight = Some(1.0);
        let mut builder = Builder::default();
        for row in rows {
            builder.append(row.map(|row| [Term { row, weight }]));
        }
        builder.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_also_from_a_slice() {
        let terms = [
            Term {
                row: 7,
                weight: Some(0.5),
            },
            Term {
                row: 8,
                weight: None,
            },
        ];
        let mut builder = Builder::default();
        builder.append(Some(terms));
        builder.append(None::<[Term; 0]>);
        builder.append(Some([terms[0].scaled(2.0)]));
        let column = builder.finish().unwrap();
        let read = Lineages::try_new(&column).unwrap();
        assert_eq!(read.terms(0).unwrap().collect::<Vec<_>>(), terms);
        assert!(read.terms(1).is_none());
        let tail = Lineages::try_new(&column.slice(2, 1)).unwrap();
        let last: Vec<Term> = tail.terms(0).unwrap().collect();
        assert_eq!((tail.len(), last[0].weight), (1, Some(1.0)));
    }
}
