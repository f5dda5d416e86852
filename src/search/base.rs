//! The base, streaming past the queries.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrowPrimitiveType, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::FieldRef;
use arrow::error::ArrowError;
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, exec_err, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlanProperties;
use datafusion::physical_plan::metrics::Time;
use futures::TryStreamExt;
use voxql_udfs::kernels::knn::{Base, Element, Neighbour, Neighbours, Queries};
use voxql_udfs::vectors::Vectors;

use super::answer::{Found, gather};
use super::columns::{Search, others, unequal};
use super::exec::KnnExec;
use super::queries::{Held, Own, hold, whole};
use super::relation::FUNCTION;

/// Base rows that are multiplied at once.
const ROWS: usize = 4096;

/// Smaller values are nearer than larger ones at the same distance, and NULL comes last.
const ORDER: SortOptions = SortOptions {
    descending: false,
    nulls_first: false,
};

/// Finds the neighbours of all queries.
///
/// # Errors
/// Widths that differ; and what the inputs and the memory pool say.
pub async fn nearest<Q, B>(
    exec: &KnnExec,
    context: Arc<TaskContext>,
    compute: Time,
) -> Result<Found>
where
    Q: ArrowPrimitiveType<Native: Element>,
    B: ArrowPrimitiveType<Native: Element>,
{
    let search = *exec.search();
    let memory = |name: String| MemoryConsumer::new(name).register(context.memory_pool());
    let of_query = exec.query().schema();
    let stream = exec.query().execute(0, Arc::clone(&context))?;
    let held = hold::<Q, B::Native>(stream, &search, memory(FUNCTION.to_owned())).await?;
    if let (Some(index), Some(queries)) = (exec.index(), &held.queries) {
        let bytes = queries.len() * queries.width() * size_of::<f64>();
        held.memory.try_grow(bytes)?;
        let vector = |query| {
            queries
                .vectors(query..query + 1)
                .iter()
                .map(|x| (*x).into())
        };
        let vectors = (0..queries.len()).map(|query| vector(query).collect());
        index.set(vectors.collect());
    }
    let base_fields = match exec.base() {
        Some(base) => others(base.schema().fields(), search.base_vector),
        None => others(of_query.fields(), search.query_vector),
    };
    let keys = Arc::new(converter(&base_fields)?);
    let held = Arc::new(held);
    let mut tasks = Vec::new();
    if held.queries.is_some() {
        let partitions = match exec.base() {
            Some(base) => base.output_partitioning().partition_count(),
            None => context.session_config().target_partitions(),
        };
        for partition in 0..partitions {
            let part = Part {
                search,
                held: Arc::clone(&held),
                keys: Arc::clone(&keys),
                compute: compute.clone(),
                memory: memory(format!("{FUNCTION}[{partition}]")),
            };
            tasks.push(match exec.base() {
                Some(base) => {
                    let stream = base.execute(partition, Arc::clone(&context))?;
                    SpawnedTask::spawn(part.of_stream::<B>(stream))
                }
                None => SpawnedTask::spawn(part.of_queries(partition, partitions)),
            });
        }
    }
    let mut parts = Vec::new();
    for task in tasks {
        let joined = task.join_unwind().await;
        parts.push(joined.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??);
    }
    let Some(held) = Arc::into_inner(held) else {
        return internal_err!("{FUNCTION}: a task has not ended");
    };
    Ok(Found::new(parts, held, base_fields, keys))
}

/// Base rows are known by the values of all their columns: of two at one distance the smaller is nearer.
fn converter(fields: &[FieldRef]) -> Result<RowConverter> {
    let sort = |field: &FieldRef| SortField::new_with_options(field.data_type().clone(), ORDER);
    Ok(RowConverter::new(fields.iter().map(sort).collect())?)
}

/// What is nearest in a part of the base, query by query, and the memory for it.
pub type Nearest = (Vec<Neighbours<Vec<u8>>>, MemoryReservation);

/// The search of a part of the base.
struct Part<Q, B> {
    search: Search,
    held: Arc<Held<Q, B>>,
    keys: Arc<RowConverter>,
    compute: Time,
    memory: MemoryReservation,
}

impl<Q: Element, B: Element> Part<Q, B> {
    async fn of_stream<T>(self, mut stream: SendableRecordBatchStream) -> Result<Nearest>
    where
        T: ArrowPrimitiveType<Native = B>,
    {
        let mut progress = Progress::new(&self)?;
        while let Some(batch) = stream.try_next().await? {
            for start in (0..batch.num_rows()).step_by(ROWS) {
                let mut batch = batch.slice(start, ROWS.min(batch.num_rows() - start));
                let own = self.search.exclude_self.map(|(_, column)| column);
                let own = own.map(|column| Own::of(&batch, column)).transpose()?;
                let column = batch.remove_column(self.search.base_vector);
                let vectors = Vectors::<T>::try_new(FUNCTION, &column)?;
                let values = self.values(&vectors)?;
                let is_there = |row| whole(&vectors, row).is_some();
                let is_self = |query: usize, row: usize| match &own {
                    Some(own) => own.is(row, self.own_of_query(query)),
                    None => false,
                };
                progress
                    .compare(&self, &values, &batch, is_there, is_self)
                    .await?;
            }
        }
        Ok((progress.nearest, self.memory))
    }

    /// All rows one after the other.
    fn values<'a, T>(&self, vectors: &'a Vectors<T>) -> Result<Cow<'a, [B]>>
    where
        T: ArrowPrimitiveType<Native = B>,
    {
        let width = self.held.queries.as_ref().map_or(0, Queries::width);
        if let Some(of_base) = vectors.width()
            && of_base == width
            && let Some(values) = vectors.values()
        {
            return Ok(Cow::Borrowed(values));
        }
        let mut values = vec![B::rounded(0.0); vectors.len() * width];
        for row in 0..vectors.len() {
            if let Some(vector) = whole(vectors, row) {
                if vector.len() != width {
                    return exec_err!(
                        "{}",
                        unequal("some vectors of the base", vector.len(), width)
                    );
                }
                values[row * width..(row + 1) * width].copy_from_slice(vector);
            }
        }
        Ok(Cow::Owned(values))
    }

    /// The part `part` of `parts` of the queries themselves as the base.
    async fn of_queries(self, part: usize, parts: usize) -> Result<Nearest> {
        let mut progress = Progress::new(&self)?;
        let Some(queries) = &self.held.queries else {
            return Ok((progress.nearest, self.memory));
        };
        for start in (part * ROWS..queries.len()).step_by(parts * ROWS) {
            let range = start..(start + ROWS).min(queries.len());
            let batch = gather(&self.held.batches, &self.held.rows[range.clone()])?;
            // Both sides have one type here.
            let values = queries
                .vectors(range)
                .iter()
                .map(|x| B::rounded((*x).into()));
            let values: Vec<B> = values.collect();
            let is_self = |query: usize, row: usize| {
                let excluded = || match (self.own_of_query(query), self.own_of_query(start + row)) {
                    (Some(one), Some(other)) => one == other,
                    _ => false,
                };
                query == start + row || excluded()
            };
            progress
                .compare(&self, &values, &batch, |_| true, is_self)
                .await?;
        }
        Ok((progress.nearest, self.memory))
    }

    /// What a query knows itself by, unless it is NULL.
    fn own_of_query(&self, query: usize) -> Option<Row<'_>> {
        let (batch, row) = self.held.rows[query];
        self.held.own.get(batch)?.row(row)
    }
}

/// The nearest so far, and working space.
struct Progress<B> {
    nearest: Vec<Neighbours<Vec<u8>>>,
    limits: Vec<f64>,
    products: Vec<B>,
    /// Bytes of the neighbours.
    bytes: usize,
}

impl<B: Element> Progress<B> {
    fn new<Q: Element>(part: &Part<Q, B>) -> Result<Self> {
        let queries = part.held.rows.len();
        let bytes = queries * (size_of::<Neighbours<Vec<u8>>>() + size_of::<f64>());
        part.memory.try_grow(bytes)?;
        let nearest = Neighbours::new(part.search.k, part.search.radius);
        Ok(Self {
            limits: vec![nearest.limit(); queries],
            nearest: vec![nearest; queries],
            products: Vec::new(),
            bytes,
        })
    }

    /// Compares some vectors of the base, the other columns of which are `others`, with all queries.
    async fn compare<Q: Element>(
        &mut self,
        part: &Part<Q, B>,
        values: &[B],
        others: &RecordBatch,
        is_there: impl Fn(usize) -> bool + Sync,
        is_self: impl Fn(usize, usize) -> bool + Sync,
    ) -> Result<()> {
        let Some(queries) = &part.held.queries else {
            return Ok(());
        };
        let shape = (others.num_rows(), queries.width());
        let base = Base::new(part.search.metric, values, shape, is_there);
        let working = queries.working_bytes(base.rows());
        let mut keys = Keys::new(&part.keys, others);
        for block in queries.blocks() {
            let timer = part.compute.timer();
            part.memory.try_resize(self.bytes + working)?;
            let (nearest, bytes) = (&mut self.nearest, &mut self.bytes);
            queries.search(
                block,
                &base,
                &mut self.limits,
                &mut self.products,
                |query, row, distance| {
                    let nearest = &mut nearest[query];
                    if !is_self(query, row)
                        && let Some(key) = keys.key(row)
                        && let Some(replaced) = nearest.offer(distance, key)
                    {
                        *bytes += match &replaced {
                            None => size_of::<Neighbour<Vec<u8>>>() + key.len(),
                            Some(_) => key.len(),
                        };
                        *bytes -= replaced.map_or(0, |replaced| replaced.len());
                    }
                    nearest.limit()
                },
            );
            keys.failed()?;
            drop(timer);
            // A place to be cancelled at.
            tokio::task::yield_now().await;
        }
        part.memory.try_resize(self.bytes)
    }
}

/// The keys of base rows, made once one of them is asked for.
struct Keys<'a> {
    converter: &'a RowConverter,
    others: &'a RecordBatch,
    rows: Option<Result<Rows, ArrowError>>,
}

impl<'a> Keys<'a> {
    fn new(converter: &'a RowConverter, others: &'a RecordBatch) -> Self {
        Self {
            converter,
            others,
            rows: None,
        }
    }

    fn key(&mut self, row: usize) -> Option<&[u8]> {
        if self.others.num_columns() == 0 {
            return Some(&[]);
        }
        let convert = || self.converter.convert_columns(self.others.columns());
        let rows = self.rows.get_or_insert_with(convert).as_ref();
        rows.ok().map(|rows| rows.row(row).data())
    }

    fn failed(&mut self) -> Result<()> {
        match self.rows.take() {
            Some(Err(error)) => Err(error.into()),
            rows => {
                self.rows = rows;
                Ok(())
            }
        }
    }
}
