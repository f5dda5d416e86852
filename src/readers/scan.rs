//! A [`Format`] as a DataFusion table: keys, pruning, limits, threads.
//!
//! ```text
//!   FileTable            the table: schema, files, their keys
//!      | scan(): filters on keys drop files, the rest goes into file groups
//!   DataSourceExec       DataFusion's leaf: one partition per file group
//!      FormatSource      which format, options, projection: plain data
//!         Opener         one file -> batches, on a blocking thread
//! ```

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::{
    FileGroup, FileOpenFuture, FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, PhysicalExpr};
use datafusion_datasource::projection::{ProjectionOpener, SplitProjection};
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::{ObjectMeta, ObjectStore};

use super::bids::pairs::{PAIRED, Pairs};
use super::bids::{self, search};
use super::bounds::Bounds;
use super::format::{BidsUse, Description, FILES, FileScan, Format, Options, Value};
use crate::access::{Access, scope};

/// A whole-brain row is near 1 MB, so batches are bounded in bytes.
pub const BATCH_BYTES: usize = 8 << 20;

/// These keys are columns of every table of files, whether or not the names have them.
const USUAL_KEYS: [&str; 4] = ["subject", "session", "task", "run"];

/// Files of one format as a table.
#[derive(Debug)]
pub struct FileTable {
    format: Arc<dyn Format>,
    options: Options,
    files: Vec<File>,
    /// The format's columns, then the keys: DataFusion's order for files.
    scan_schema: TableSchema,
    /// The keys, then the format's columns: the order people read.
    schema: SchemaRef,
}

#[derive(Debug, Clone)]
struct File {
    path: PathBuf,
    bytes: u64,
    /// One value per key column.
    keys: Vec<Option<String>>,
    /// Columns of [`PAIRED`] that have no value because two files fit, and the error that says so.
    ambiguous: Vec<(&'static str, String)>,
}

impl FileTable {
    /// Lists the files under `paths` and reads their headers, but only of files that the arguments
    /// for BIDS entities leave. Blocks on the disk.
    pub fn open(format: Arc<dyn Format>, paths: &[String], mut options: Options) -> Result<Self> {
        let found = search::list(format.as_ref(), paths, &options)?;
        // A link in a folder, or one that a pattern found, may lead anywhere.
        for file in &found.files {
            scope::check(&file.path)?;
        }
        let mut distinct = Vec::with_capacity(found.files.len());
        let mut seen = HashSet::new();
        for file in &found.files {
            if seen.insert(&file.path) {
                distinct.push(file.path.clone());
            }
        }
        let Description {
            schema: columns,
            files: kept,
        } = format.describe(distinct, &options)?;
        let mut listed = found.files;
        if format.reads_together() {
            // One scan reads them all: the plan's file is the first, its options name the others.
            let all = kept.iter().map(|file| file.display().to_string()).collect();
            options.0.insert(FILES.to_owned(), Value::Texts(all));
            listed.retain(|file| kept.first() == Some(&file.path));
            listed.truncate(1);
        } else {
            let kept: HashSet<PathBuf> = kept.into_iter().collect();
            listed.retain(|file| kept.contains(&file.path));
        }

        let mut keys: Vec<&'static str> = Vec::new();
        for (_, name) in bids::ENTITIES {
            let present = listed.iter().any(|file| file.entity(name).is_some());
            if present || USUAL_KEYS.contains(&name) {
                keys.push(name);
            }
        }
        // A column of the files' own (`run` in an events.tsv, say) wins over the key of that name.
        keys.retain(|key| columns.column_with_name(key).is_none());
        let mut pairs = (found.in_data_set && format.bids() == BidsUse::Runs).then(Pairs::default);
        let mut files = Vec::with_capacity(listed.len());
        for file in listed {
            let value = |key: &&str| file.entity(key).map(str::to_owned);
            let mut values: Vec<_> = keys.iter().map(value).collect();
            let mut ambiguous = vec![];
            if let Some(pairs) = &mut pairs {
                let paired = pairs.columns(&file.path);
                values.extend(paired.paths);
                ambiguous = paired.ambiguous;
            }
            values.push(Some(file.path.display().to_string()));
            files.push(File {
                bytes: std::fs::metadata(&file.path)?.len(),
                path: file.path,
                keys: values,
                ambiguous,
            });
        }
        let paired = PAIRED.into_iter().filter(|_| pairs.is_some());
        let text = |name, nullable| Arc::new(Field::new(name, DataType::Utf8, nullable));
        let key_fields: Vec<FieldRef> = keys
            .iter()
            .copied()
            .chain(paired)
            .map(|key| text(key, true))
            .chain([text(format.path_column(), false)])
            .collect();

        // Paths are long: they stand last.
        let (before, after) = key_fields.split_at(keys.len());
        let schema = if format.reads_together() {
            columns.as_ref().clone()
        } else {
            Schema::new_with_metadata(
                before
                    .iter()
                    .chain(columns.fields())
                    .chain(after)
                    .cloned()
                    .collect::<Vec<_>>(),
                columns.metadata().clone(),
            )
        };
        Ok(Self {
            format,
            options,
            files,
            scan_schema: TableSchema::builder(columns)
                .with_table_partition_cols(key_fields)
                .build(),
            schema: Arc::new(schema),
        })
    }

    /// An error where a column is asked for of a file that has two that fit.
    fn check_paired(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<()> {
        if self.files.iter().all(|file| file.ambiguous.is_empty()) {
            return Ok(());
        }
        let names =
            |filter: &Expr, column: &str| filter.column_refs().iter().any(|c| c.name() == column);
        let is_asked = |column: &str| match projection {
            None => true,
            Some(indices) => indices
                .iter()
                .any(|&i| self.schema.field(i).name() == column),
        };
        // Those on the columns themselves cannot say yet which files are left.
        let by_others = filters
            .iter()
            .filter(|f| !PAIRED.iter().any(|column| names(f, column)));
        let left = self.prune(state, &by_others.cloned().collect::<Vec<_>>())?;
        for (column, error) in left.iter().flat_map(|file| &file.ambiguous) {
            if is_asked(column) || filters.iter().any(|f| names(f, column)) {
                return plan_err!("{column}: {error}");
            }
        }
        Ok(())
    }

    fn key_fields(&self) -> Vec<FieldRef> {
        self.scan_schema
            .table_partition_cols()
            .iter()
            .cloned()
            .collect()
    }

    /// True if the expression can be answered from the files' keys alone.
    fn is_on_keys(&self, filter: &Expr) -> bool {
        let keys = self.key_fields();
        let on_keys = filter
            .column_refs()
            .iter()
            .all(|c| keys.iter().any(|key| key.name() == c.name()));
        on_keys && !filter.is_volatile() && !contains_subquery(filter)
    }

    /// The files whose keys satisfy `filters`.
    fn prune(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<File>> {
        let on_keys = filters.iter().filter(|f| self.is_on_keys(f)).cloned();
        let Some(filter) = conjunction(on_keys) else {
            return Ok(self.files.clone());
        };
        let key_fields = self.key_fields();
        let schema = Arc::new(Schema::new(key_fields.clone()));
        let columns = (0..key_fields.len())
            .map(|i| {
                let values = self.files.iter().map(|file| file.keys[i].as_deref());
                Arc::new(StringArray::from_iter(values)) as ArrayRef
            })
            .collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        let df_schema = DFSchema::try_from(schema)?;
        let expr = state.create_physical_expr(filter, &df_schema)?;
        let kept = expr.evaluate(&batch)?.into_array(batch.num_rows())?;
        let Some(kept) = kept.as_any().downcast_ref::<BooleanArray>() else {
            return plan_err!("a filter on file keys is not a condition");
        };
        let files = self.files.iter().zip(kept.iter());
        Ok(files
            .filter(|(_, keep)| *keep == Some(true))
            .map(|(file, _)| file.clone())
            .collect())
    }

    /// Indices of `projection` (or of all columns) in DataFusion's column order.
    fn scan_indices(&self, projection: Option<&Vec<usize>>) -> Result<Vec<usize>> {
        let scan_schema = self.scan_schema.table_schema();
        let index = |i: usize| Ok(scan_schema.index_of(self.schema.field(i).name())?);
        match projection {
            Some(projection) => projection.iter().map(|i| index(*i)).collect(),
            None => (0..self.schema.fields().len()).map(index).collect(),
        }
    }
}

fn contains_subquery(expr: &Expr) -> bool {
    expr.exists(|e| {
        Ok(matches!(
            e,
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)
        ))
    })
    .unwrap_or(true)
}

#[async_trait]
impl TableProvider for FileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let bounded = self.format.bounded();
        let is_bound = |filter: &Expr| {
            let mut columns = filter.column_refs().into_iter();
            columns.any(|column| bounded.contains(&column.name()))
        };
        let answer = |filter: &&Expr| {
            if self.is_on_keys(filter) {
                TableProviderFilterPushDown::Exact
            } else if is_bound(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.check_paired(state, projection, filters)?;
        let files = self.prune(state, filters)?;
        let partitioned = files
            .iter()
            .map(File::partitioned)
            .collect::<Result<Vec<_>>>()?;
        let partitions = state.config().target_partitions();
        let groups = balance(partitioned, partitions);
        let source = FormatSource {
            access: Access::of(state.config()),
            format: Arc::clone(&self.format),
            options: self.options.clone(),
            bounds: Bounds::of(filters, self.format.bounded()),
            projection: SplitProjection::unprojected(&self.scan_schema),
            table_schema: self.scan_schema.clone(),
            metrics: ExecutionPlanMetricsSet::new(),
            batch_rows: usize::MAX,
            threads: (partitions / groups.len().max(1)).max(1),
        };
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
                .with_file_groups(groups)
                .with_limit(limit)
                .with_projection_indices(Some(self.scan_indices(projection)?))?
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl File {
    fn partitioned(&self) -> Result<PartitionedFile> {
        let meta = ObjectMeta {
            location: object_store::path::Path::from_absolute_path(&self.path)?,
            last_modified: Default::default(),
            size: self.bytes,
            e_tag: None,
            version: None,
        };
        let mut file = PartitionedFile::from(meta);
        file.partition_values = self.keys.iter().cloned().map(ScalarValue::Utf8).collect();
        Ok(file)
    }
}

/// Deals the files out to at most `partitions` groups of about equal bytes,
/// largest first; within a group the order of names is kept.
fn balance(files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let count = partitions.clamp(1, files.len().max(1));
    let mut by_size: Vec<usize> = (0..files.len()).collect();
    by_size.sort_by_key(|&i| std::cmp::Reverse(files[i].object_meta.size));
    let mut loads = vec![(0u64, Vec::new()); count];
    for i in by_size {
        if let Some(lightest) = loads.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            lightest.0 += files[i].object_meta.size.max(1);
            lightest.1.push(i);
        }
    }
    let group = |(_, mut members): (u64, Vec<usize>)| {
        members.sort_unstable();
        FileGroup::new(members.into_iter().map(|i| files[i].clone()).collect())
    };
    loads.into_iter().map(group).collect()
}

/// What a scan of one format needs, as plain data inside the physical plan.
#[derive(Clone)]
struct FormatSource {
    access: Access,
    format: Arc<dyn Format>,
    options: Options,
    bounds: Bounds,
    projection: SplitProjection,
    table_schema: TableSchema,
    metrics: ExecutionPlanMetricsSet,
    /// The rows of a batch that the session wants at most.
    batch_rows: usize,
    /// Threads for each of the partitions.
    threads: usize,
}

impl FileSource for FormatSource {
    fn create_file_opener(
        &self,
        _object_store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let projected = file_schema.project(&self.projection.file_indices)?;
        let opener = Opener {
            access: self.access.clone(),
            format: Arc::clone(&self.format),
            options: self.options.clone(),
            bounds: self.bounds.clone(),
            schema: Arc::new(projected),
            limit: config.limit,
            batch_rows: self.batch_rows,
            threads: self.threads,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    /// Batches are bounded in bytes by the readers themselves; see [`evenly`].
    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self {
            batch_rows: batch_size,
            ..self.clone()
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        self.format.function()
    }

    fn fmt_extra(&self, _t: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        for (name, value) in &self.options.0 {
            write!(f, ", {name}={value:?}")?;
        }
        write!(f, "{}", self.bounds)
    }

    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn try_pushdown_projection(
        &self,
        projection: &ProjectionExprs,
    ) -> Result<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        Ok(Some(Arc::new(Self {
            projection: SplitProjection::new(self.table_schema.file_schema(), &merged),
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        datafusion::physical_plan::apply_expression_roots(self.projection.source.iter(), f)
    }
}

/// Opens files on blocking threads.
struct Opener {
    access: Access,
    format: Arc<dyn Format>,
    options: Options,
    bounds: Bounds,
    schema: SchemaRef,
    limit: Option<usize>,
    batch_rows: usize,
    threads: usize,
}

impl FileOpener for Opener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let access = self.access.clone();
        let format = Arc::clone(&self.format);
        let scan = FileScan {
            path: path_of(&file)?,
            options: self.options.clone(),
            schema: Arc::clone(&self.schema),
            limit: self.limit,
            bounds: self.bounds.clone(),
            batch_bytes: BATCH_BYTES,
            threads: self.threads,
        };
        // DataFusion opens the next file while it reads this one: decoding may
        // only start when the first batch is asked for, or memory doubles.
        let rows = self.batch_rows;
        let start = async move {
            Ok::<_, datafusion::error::DataFusionError>(read(access, format, scan, rows))
        };
        Ok(async move { Ok(futures::stream::once(start).try_flatten().boxed()) }.boxed())
    }
}

/// The file's path: the last key. (The object store's location is percent-encoded.)
fn path_of(file: &PartitionedFile) -> Result<PathBuf> {
    match file.partition_values.last() {
        Some(ScalarValue::Utf8(Some(path))) => Ok(PathBuf::from(path)),
        _ => exec_err!(
            "{}: the scan lost the file's path",
            file.object_meta.location
        ),
    }
}

fn read(
    access: Access,
    format: Arc<dyn Format>,
    scan: FileScan,
    batch_rows: usize,
) -> datafusion::physical_plan::SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&scan.schema), 1);
    let batches = builder.tx();
    let work = move || {
        // Again: the file may be another since the query was planned.
        scope::check(&scan.path)?;
        for batch in format.open(&scan)? {
            for piece in evenly(batch?, batch_rows) {
                if batches.blocking_send(Ok(piece)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    };
    builder.spawn_blocking(move || access.scope(work));
    builder.build()
}

/// The batch in pieces of at most `most` rows, all of about the same size.
///
/// DataFusion would cut off full batches and leave a rest. A rest of a few rows keeps all of
/// its batch's memory, and where rests and full batches go to two partitions by turns, one of
/// the partitions collects rests, and their memory, until they are a batch.
fn evenly(batch: RecordBatch, most: usize) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    let pieces = rows.div_ceil(most.max(1)).max(1);
    let size = rows.div_ceil(pieces).max(1);
    let starts = (0..pieces).map(move |piece| (piece * size).min(rows));
    starts.map(move |start| batch.slice(start, size.min(rows - start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    #[test]
    fn batches_are_cut_evenly() {
        for (rows, most, sizes) in [
            (0, 5, vec![0]),
            (5, 5, vec![5]),
            (6, 5, vec![3, 3]),
            (11, 5, vec![4, 4, 3]),
            (3, 1, vec![1, 1, 1]),
            (3, usize::MAX, vec![3]),
        ] {
            let numbers = Arc::new(Int64Array::from_iter_values(0..rows));
            let batch = RecordBatch::try_from_iter([("n", numbers as ArrayRef)]).unwrap();
            let pieces: Vec<_> = evenly(batch, most).collect();
            let got: Vec<_> = pieces.iter().map(RecordBatch::num_rows).collect();
            assert_eq!(got, sizes);
            let all = pieces.iter().flat_map(|piece| {
                let values = piece.column(0).as_primitive::<Int64Type>().values();
                values.iter().copied().collect::<Vec<_>>()
            });
            assert!(all.eq(0..rows));
        }
    }
}
