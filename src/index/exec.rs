//! The operator of a search in an index: a scan of few rows in place of one of all.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Float64Type, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use voxql_udfs::vectors::Vectors;

use super::fetch::{Fetch, one_after_the_other};
use super::load::Indexes;
use super::manifest::Manifest;
use super::rows::TableScan;
use super::search::{Loaded, Wanted};
use crate::search::queries::HeldQueries;
use crate::writers::format::blocking;

/// Gives the rows of a table among which the `k` nearest to `query` are: those that the index finds, those
/// that it cannot have, and all that came after it. Where the index cannot be read, all rows.
///
/// Distances, filters and the order are computed above it, as without an index. One partition: the rows
/// are few.
#[derive(Debug, Clone)]
pub struct HnswExec {
    search: Search,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

/// What is searched, and where.
#[derive(Debug, Clone)]
pub struct Search {
    pub indexes: Arc<Indexes>,
    pub manifest: Manifest,
    pub scan: TableScan,
    pub queries: Queries,
    /// What the rows must pass, by the table's columns.
    pub predicate: Option<Arc<dyn PhysicalExpr>>,
    pub k: usize,
    pub ef_search: usize,
    /// How many rows without a distance are given too.
    pub most_nulls: usize,
}

/// What vectors are asked for.
#[derive(Debug, Clone)]
pub enum Queries {
    /// One; of no column.
    One(Arc<dyn PhysicalExpr>),
    /// Those that an operator above holds. It says them before it runs what is below.
    Of(HeldQueries),
}

/// Of fewer rows than [`FEW_ROWS`], more queries than [`MANY_QUERIES`] are faster answered by products with all
/// vectors than by walks, which wait for memory.
const MANY_QUERIES: usize = 64;
const FEW_ROWS: usize = 32 << 10;

impl HnswExec {
    pub fn new(search: Search) -> Self {
        let schema = search.scan.of(Some(&[])).schema();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self {
            search,
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        }
    }
}

impl Search {
    /// The rows that the index finds, and the index; `None` where it is not to be asked.
    async fn found(&self, context: &Arc<TaskContext>) -> Result<Option<(Arc<Loaded>, Vec<u32>)>> {
        let Some(queries) = self.queries()? else {
            return Ok(None);
        };
        if queries.len() > MANY_QUERIES && self.manifest.rows() < FEW_ROWS {
            return Ok(None);
        }
        let index = match self
            .indexes
            .load(&self.manifest, context.memory_pool())
            .await
        {
            Ok(index) => index,
            Err(error) => {
                log::warn!("index {} is not used: {error}", self.manifest.name);
                return Ok(None);
            }
        };
        let passing = match &self.predicate {
            Some(predicate) => Some(self.scan.passing(predicate, context).await?),
            None => None,
        };
        let (k, ef, most_nulls) = (self.k, self.ef_search, self.most_nulls);
        let threads = context.session_config().target_partitions();
        blocking(move || {
            let wanted = Wanted {
                k,
                ef,
                passing: passing.as_ref(),
                most_nulls,
                threads,
            };
            let rows = index.candidates(&queries, &wanted)?;
            Ok(rows.map(|rows| (index, rows)))
        })
        .await
    }

    /// The rows, and where the index has their vectors as they are, these from there.
    async fn rows(
        &self,
        schema: SchemaRef,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some((index, rows)) = self.found(&context).await? else {
            return self.scan.of(None).execute(0, context);
        };
        let Some(fetch) = Fetch::new(&index, &self.scan)? else {
            return self.scan.of(Some(&rows)).execute(0, context);
        };
        let (of_index, of_table): (Vec<u32>, Vec<u32>) =
            rows.into_iter().partition(|row| index.has_vector(*row));
        let found = fetch.rows(of_index, &self.scan, &context)?;
        let others = self.scan.of(Some(&of_table)).execute(0, context)?;
        Ok(one_after_the_other(schema, found, others))
    }

    /// The vectors that are asked for; None if one is NULL, or an element is.
    fn queries(&self) -> Result<Option<Vec<Vec<f64>>>> {
        let query = match &self.queries {
            Queries::One(query) => query,
            Queries::Of(held) => return Ok(held.take()),
        };
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
        let value = query.evaluate(&batch)?;
        let vectors = Vectors::<Float64Type>::from_argument("HnswExec", &value)?;
        if vectors.len() == 0 || vectors.missing(0).is_some() {
            return Ok(None);
        }
        Ok(vectors.row(0).map(|query| vec![query.to_vec()]))
    }
}

impl DisplayAs for HnswExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        let Search {
            manifest,
            scan,
            predicate,
            k,
            ef_search,
            ..
        } = &self.search;
        let (rows, tail) = (manifest.rows(), scan.tail.len());
        if let DisplayFormatType::TreeRender = kind {
            writeln!(f, "index={}", manifest.name)?;
            return writeln!(f, "k={k}");
        }
        write!(
            f,
            "HnswExec: index={}, table={}, column={}, metric={}, k={k}, ef_search={ef_search}, rows={rows}",
            manifest.name, manifest.table, manifest.column, manifest.metric
        )?;
        if tail > 0 {
            write!(f, ", files_after={tail}")?;
        }
        match predicate {
            Some(predicate) => write!(f, ", filter={predicate}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for HnswExec {
    fn name(&self) -> &'static str {
        "HnswExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let query = match &self.search.queries {
            Queries::One(query) => Some(query),
            Queries::Of(_) => None,
        };
        let roots = query.into_iter().chain(&self.search.predicate);
        datafusion::physical_plan::apply_expression_roots(roots, f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(Arc::new(Self::new(self.search.clone()))),
            false => internal_err!("HnswExec has no children"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("HnswExec has no children"),
        }
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("HnswExec has one partition, not {partition}");
        }
        let search = self.search.clone();
        let schema = self.schema();
        let batches = async move { search.rows(schema, context).await };
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = futures::stream::once(batches).try_flatten();
        let counted = batches.inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        let stream = RecordBatchStreamAdapter::new(self.schema(), counted.boxed());
        Ok(Box::pin(stream))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
