//! Some rows of a table's files: which pass a filter, and a scan of these only.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfig, FileScanConfigBuilder, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::RowSelection;
use voxql_udfs::kernels::hnsw::Bits;

/// A scan of a table that has an index.
#[derive(Debug, Clone)]
pub struct TableScan {
    pub config: FileScanConfig,
    /// The files of the index and how many rows they have, in the order of its rows.
    pub indexed: Vec<(PartitionedFile, usize)>,
    /// The files that came later.
    pub tail: Vec<PartitionedFile>,
}

impl TableScan {
    /// The columns of the files.
    pub fn table_schema(&self) -> &SchemaRef {
        self.config.file_source().table_schema().table_schema()
    }

    /// The scan of these rows of the index, which are sorted, or of all, and of all rows that came later.
    pub fn of(&self, rows: Option<&[u32]>) -> Arc<dyn ExecutionPlan> {
        let mut files = match rows {
            None => self.indexed.iter().map(|(file, _)| file.clone()).collect(),
            Some(rows) => self.files_of(rows),
        };
        files.extend(self.tail.iter().cloned());
        let config = FileScanConfigBuilder::from(self.config.clone())
            .with_file_groups(vec![FileGroup::new(files)])
            .build();
        DataSourceExec::from_data_source(config)
    }

    /// The files of the index with these rows, which are sorted.
    pub fn files_of(&self, rows: &[u32]) -> Vec<PartitionedFile> {
        let (mut files, mut rest, mut start) = (Vec::new(), rows, 0);
        for (file, count) in &self.indexed {
            let end = start + count;
            let (here, after) = rest.split_at(rest.partition_point(|row| (*row as usize) < end));
            if !here.is_empty() {
                let ranges = here.iter().map(|row| *row as usize - start);
                let ranges = ranges.map(|row| row..row + 1);
                let selection = RowSelection::from_consecutive_ranges(ranges, *count);
                files.push(
                    file.clone()
                        .with_extension(ParquetRowSelection::new(selection)),
                );
            }
            (start, rest) = (end, after);
        }
        files
    }

    /// Which rows of the index pass `predicate`, which is of the table's columns.
    pub async fn passing(
        &self,
        predicate: &Arc<dyn PhysicalExpr>,
        context: &Arc<TaskContext>,
    ) -> Result<Bits> {
        let rows = self.indexed.iter().map(|(_, rows)| rows).sum();
        let mut passing = Bits::new(rows);
        let mut columns: Vec<usize> = collect_columns(predicate)
            .iter()
            .map(|c| c.index())
            .collect();
        columns.sort_unstable();
        let mut row = 0u32;
        for (file, count) in &self.indexed {
            let end = row + *count as u32;
            let scan = self.columns(vec![file.clone()], columns.clone())?;
            let predicate = reassign_expr_columns(Arc::clone(predicate), &scan.schema())?;
            let mut batches = scan.execute(0, Arc::clone(context))?;
            while let Some(batch) = batches.try_next().await? {
                let passes = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
                let Some(passes) = passes.as_boolean_opt() else {
                    return exec_err!("{predicate} is no condition");
                };
                if row as usize + passes.len() > end as usize {
                    return exec_err!("{}: more rows than there were", file.object_meta.location);
                }
                for i in 0..passes.len() {
                    if passes.is_valid(i) && passes.value(i) {
                        passing.insert(row + i as u32);
                    }
                }
                row += passes.len() as u32;
            }
            if row != end {
                return exec_err!("{}: fewer rows than there were", file.object_meta.location);
            }
        }
        Ok(passing)
    }

    /// Columns of the table, of the rows of these files in their order.
    pub fn columns(
        &self,
        files: Vec<PartitionedFile>,
        columns: Vec<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = self.config.file_source();
        let mut bare = ParquetSource::new(source.table_schema().clone());
        if let Some(parquet) = source.downcast_ref::<ParquetSource>() {
            bare = bare.with_table_parquet_options(parquet.table_parquet_options().clone());
        }
        let config = FileScanConfigBuilder::from(self.config.clone())
            .with_source(Arc::new(bare))
            .with_file_groups(vec![FileGroup::new(files)])
            .with_projection_indices(Some(columns))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
