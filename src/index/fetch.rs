//! Rows that an index found, with their vectors from the index itself.
//!
//! A page of Parquet has hundreds of vectors, so a few thousand from all over a table cost nearly as much as all of them.
//! In an index each vector has a place of its own.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::{Result, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::{ProjectionExprs, Projector};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::rows::TableScan;
use super::search::Loaded;
use crate::writers::format::blocking;

/// Rows of a batch, where no column of the table says otherwise.
const BATCH_ROWS: usize = 8192;

/// How the rows of a scan are put together from the index and the table's files.
#[derive(Debug)]
pub struct Fetch {
    index: Arc<Loaded>,
    /// The columns that are read from the files, by their place in the table.
    others: Vec<usize>,
    /// These and the vectors, in the table's order.
    schema: SchemaRef,
    /// Where in `schema` the vectors are.
    place: usize,
    projector: Projector,
}

impl Fetch {
    /// `None` where the scan does not give the vectors, or the index has them only rounded.
    pub fn new(index: &Arc<Loaded>, scan: &TableScan) -> Result<Option<Self>> {
        let table = scan.table_schema();
        let Ok(vector) = table.index_of(&index.manifest.column) else {
            return Ok(None);
        };
        let is_as_it_is = match table.field(vector).data_type() {
            DataType::FixedSizeList(item, width) => {
                item.data_type() == &DataType::Float32
                    && *width as usize == index.manifest.dimension
            }
            _ => false,
        };
        let projection = match scan.config.file_source().projection() {
            Some(projection) => projection.clone(),
            None => {
                let all: Vec<usize> = (0..table.fields().len()).collect();
                ProjectionExprs::from_indices(&all, table)
            }
        };
        let columns = projection.column_indices();
        let Some(place) = columns.iter().position(|column| *column == vector) else {
            return Ok(None);
        };
        if !is_as_it_is {
            return Ok(None);
        }
        let schema = Arc::new(table.project(&columns)?);
        let of_columns = |expr| reassign_expr_columns(expr, &schema);
        let projector = projection
            .try_map_exprs(of_columns)?
            .make_projector(&schema)?;
        Ok(Some(Self {
            index: Arc::clone(index),
            others: columns.into_iter().filter(|c| *c != vector).collect(),
            schema,
            place,
            projector,
        }))
    }

    /// These rows, which are sorted and have vectors in the index, as `scan` would give them.
    pub fn rows(
        self,
        rows: Vec<u32>,
        scan: &TableScan,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let others: BoxStream<Result<RecordBatch>> = match self.others.is_empty() {
            true => stream::iter(counted(rows.len())).boxed(),
            false => {
                let scan = scan.columns(scan.files_of(&rows), self.others.clone())?;
                scan.execute(0, Arc::clone(context))?.boxed()
            }
        };
        let fetch = Arc::new(self);
        let start = (others, rows, 0);
        let batches = stream::try_unfold(start, move |(mut others, rows, start)| {
            let fetch = Arc::clone(&fetch);
            async move {
                let Some(batch) = others.try_next().await? else {
                    return match start == rows.len() {
                        true => Ok(None),
                        false => exec_err!("{}: fewer rows than there were", fetch.table()),
                    };
                };
                let end = start + batch.num_rows();
                let Some(of_batch) = rows.get(start..end).map(<[u32]>::to_vec) else {
                    return exec_err!("{}: more rows than there were", fetch.table());
                };
                let whole = blocking(move || fetch.whole(batch, &of_batch)).await?;
                Ok(Some((whole, (others, rows, end))))
            }
        });
        Ok(batches.boxed())
    }

    fn table(&self) -> String {
        format!("table {}", self.index.manifest.table)
    }

    /// The rows with their vectors, projected.
    fn whole(&self, others: RecordBatch, rows: &[u32]) -> Result<RecordBatch> {
        let field = self.schema.field(self.place);
        let DataType::FixedSizeList(item, width) = field.data_type() else {
            return exec_err!("{}: {} has no vectors", self.table(), field.name());
        };
        let vectors = self.vectors(item, *width, rows)?;
        let mut columns = others.columns().to_vec();
        columns.insert(self.place, vectors);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.projector.project_batch(&batch)
    }

    fn vectors(&self, item: &FieldRef, width: i32, rows: &[u32]) -> Result<ArrayRef> {
        let values = Arc::new(Float32Array::from(self.index.vectors_of(rows)?));
        let vectors = FixedSizeListArray::try_new(Arc::clone(item), width, values, None)?;
        Ok(Arc::new(vectors))
    }
}

/// So many rows of no columns, in batches.
fn counted(rows: usize) -> impl Iterator<Item = Result<RecordBatch>> {
    (0..rows).step_by(BATCH_ROWS).map(move |start| {
        let count = BATCH_ROWS.min(rows - start);
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let none = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
        Ok(none?)
    })
}

/// One stream after the other, as rows of `schema`.
pub fn one_after_the_other(
    schema: SchemaRef,
    first: BoxStream<'static, Result<RecordBatch>>,
    then: SendableRecordBatchStream,
) -> SendableRecordBatchStream {
    let as_planned = Arc::clone(&schema);
    let first = first.map(move |batch| {
        let batch = batch?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&as_planned),
            columns,
            &options,
        )?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, first.chain(then)))
}
