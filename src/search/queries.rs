//! The rows of the query side, held.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use voxql_udfs::kernels::knn::{Element, Queries, can_be_compared};
use voxql_udfs::vectors::Vectors;

use super::columns::{Search, unequal};
use super::relation::FUNCTION;

/// What is compared, and the columns that come out.
pub struct Held<Q, B> {
    /// None where no row can be compared.
    pub queries: Option<Queries<Q, B>>,
    /// The columns without the vector.
    pub batches: Vec<RecordBatch>,
    /// Where the row of each query is: the batch, and the row in it.
    pub rows: Vec<(usize, usize)>,
    /// By batch, what rows know themselves by.
    pub own: Vec<Own>,
    pub memory: MemoryReservation,
}

/// Reads all rows. Those without a vector, with a missing element or one that is not finite, have no
/// neighbours, and are left out.
///
/// # Errors
/// Two widths; and what the stream or the memory pool says.
pub async fn hold<Q: ArrowPrimitiveType, B: Element>(
    mut stream: SendableRecordBatchStream,
    search: &Search,
    memory: MemoryReservation,
) -> Result<Held<Q::Native, B>>
where
    Q::Native: Element,
{
    let mut held = Held {
        queries: None,
        batches: Vec::new(),
        rows: Vec::new(),
        own: Vec::new(),
        memory,
    };
    let own = search.exclude_self.map(|(of_query, _)| of_query);
    while let Some(batch) = stream.try_next().await? {
        let vectors = Vectors::<Q>::try_new(FUNCTION, batch.column(search.query_vector))?;
        for row in 0..batch.num_rows() {
            let Some(vector) = whole(&vectors, row).filter(|vector| can_be_compared(vector)) else {
                continue;
            };
            let new = || Queries::new(search.metric, vector.len());
            let queries = held.queries.get_or_insert_with(new);
            if vector.len() != queries.width() {
                return exec_err!("{}", unequal("some queries", vector.len(), queries.width()));
            }
            held.memory
                .try_grow(Queries::<Q::Native, B>::bytes(vector.len()))?;
            queries.push(vector);
            held.rows.push((held.batches.len(), row));
        }
        let mut kept = batch;
        let own = own.map(|column| Own::of(&kept, column)).transpose()?;
        held.own.extend(own);
        kept.remove_column(search.query_vector);
        // A slice of a long column does not pay for the whole.
        for column in kept.columns() {
            held.memory
                .try_grow(column.to_data().get_slice_memory_size()?)?;
        }
        held.batches.push(kept);
    }
    Ok(held)
}

/// Queries on their way from the operator that holds them to an index below it.
#[derive(Debug, Clone, Default)]
pub struct HeldQueries(Arc<Mutex<Option<Vec<Vec<f64>>>>>);

impl HeldQueries {
    pub fn set(&self, queries: Vec<Vec<f64>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(queries);
    }

    /// Those that were set last, once.
    pub fn take(&self) -> Option<Vec<Vec<f64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What the rows of a batch know themselves by.
pub struct Own {
    rows: Rows,
    nulls: Option<NullBuffer>,
}

impl Own {
    pub fn of(batch: &RecordBatch, column: usize) -> Result<Self> {
        let column = batch.column(column);
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        Ok(Self {
            rows: converter.convert_columns(std::slice::from_ref(column))?,
            nulls: column.logical_nulls(),
        })
    }

    /// None of NULL.
    pub fn row(&self, row: usize) -> Option<Row<'_>> {
        let is_null = self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| self.rows.row(row))
    }

    /// Whether the row is the one that knows itself by `other`.
    pub fn is(&self, row: usize, other: Option<Row<'_>>) -> bool {
        other.is_some() && self.row(row) == other
    }
}

/// Row `i`, unless it is NULL or an element is missing.
pub fn whole<T: ArrowPrimitiveType>(vectors: &Vectors<T>, i: usize) -> Option<&[T::Native]> {
    vectors.row(i).filter(|_| vectors.missing(i).is_none())
}
