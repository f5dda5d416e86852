//! From what was found to rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::row::RowConverter;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::metrics::BaselineMetrics;
use futures::{Stream, stream};
use voxql_udfs::kernels::knn::{Element, Neighbour, Neighbours, Queries};

use super::base::Nearest;
use super::queries::Held;

/// The neighbours of all queries.
pub struct Found {
    /// Of the query side, without the vector.
    batches: Vec<RecordBatch>,
    /// Where the row of each query is: the batch, and the row in it.
    rows: Vec<(usize, usize)>,
    nearest: Vec<Neighbours<Vec<u8>>>,
    /// Of the base side, without the vector.
    base: Vec<FieldRef>,
    /// Makes the columns of the base side of the neighbours' keys.
    keys: Arc<RowConverter>,
    memory: Vec<MemoryReservation>,
}

impl Found {
    /// Merges what was found in the parts of the base.
    pub fn new<Q: Element, B: Element>(
        parts: Vec<Nearest>,
        held: Held<Q, B>,
        base: Vec<FieldRef>,
        keys: Arc<RowConverter>,
    ) -> Self {
        let mut memory = vec![];
        let mut nearest: Vec<Neighbours<Vec<u8>>> = vec![];
        for (part, of_part) in parts {
            memory.push(of_part);
            match nearest.is_empty() {
                true => nearest = part,
                false => nearest
                    .iter_mut()
                    .zip(part)
                    .for_each(|(all, part)| all.merge(part)),
            }
        }
        if let Some(queries) = &held.queries {
            held.memory
                .shrink(queries.len() * Queries::<Q, B>::bytes(queries.width()));
        }
        memory.push(held.memory);
        Self {
            batches: held.batches,
            rows: held.rows,
            nearest,
            base,
            keys,
            memory,
        }
    }
}

/// A row that comes out: the query, the neighbour's rank from 1, and the neighbour.
type Answer = (usize, i64, Neighbour<Vec<u8>>);

/// The rows, query by query, from the nearest to the farthest.
pub fn rows(
    mut found: Found,
    schema: SchemaRef,
    batch_size: usize,
    metrics: BaselineMetrics,
) -> impl Stream<Item = Result<RecordBatch>> {
    let nearest = std::mem::take(&mut found.nearest);
    let mut answers = nearest
        .into_iter()
        .enumerate()
        .flat_map(|(query, nearest)| {
            let ranked = (1..).zip(nearest.sorted());
            ranked.map(move |(rank, neighbour)| (query, rank, neighbour))
        });
    stream::iter(std::iter::from_fn(move || {
        let some: Vec<Answer> = answers.by_ref().take(batch_size).collect();
        if some.is_empty() {
            found.memory.clear();
            metrics.done();
            return None;
        }
        let _timer = metrics.elapsed_compute().timer();
        metrics.record_output(some.len());
        Some(found.batch(&some, &schema))
    }))
}

impl Found {
    fn batch(&self, answers: &[Answer], schema: &SchemaRef) -> Result<RecordBatch> {
        let rows: Vec<_> = answers
            .iter()
            .map(|(query, ..)| self.rows[*query])
            .collect();
        let mut columns = gather(&self.batches, &rows)?.columns().to_vec();
        if !self.base.is_empty() {
            let parser = self.keys.parser();
            let keys = answers
                .iter()
                .map(|(_, _, neighbour)| parser.parse(&neighbour.key));
            for (column, field) in self.keys.convert_rows(keys)?.into_iter().zip(&self.base) {
                // Keys forget that a column was a dictionary.
                columns.push(match column.data_type() == field.data_type() {
                    true => column,
                    false => cast(&column, field.data_type())?,
                });
            }
        }
        let ranks = answers.iter().map(|(_, rank, _)| *rank);
        let distances = answers.iter().map(|(_, _, neighbour)| neighbour.distance);
        columns.push(Arc::new(Int64Array::from_iter_values(ranks)) as ArrayRef);
        columns.push(Arc::new(Float64Array::from_iter_values(distances)));
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// Rows of several batches: the batch, and the row in it.
pub fn gather(batches: &[RecordBatch], rows: &[(usize, usize)]) -> Result<RecordBatch> {
    if let Some(first) = batches.first()
        && first.num_columns() == 0
    {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        return Ok(RecordBatch::try_new_with_options(
            first.schema(),
            vec![],
            &options,
        )?);
    }
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    Ok(interleave_record_batch(&batches, rows)?)
}
