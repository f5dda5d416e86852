//! The operator of `knn`: holds the queries, and streams the base past them.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    InputDistributionRequirements, Partitioning, PhysicalExpr, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::TryStreamExt;
use voxql_udfs::vectors::{element_type, fits_f32};

use super::answer::rows;
use super::base::nearest;
use super::columns::Search;
use super::queries::HeldQueries;

/// For each row of `query` its nearest rows of `base`, or of the other rows of `query`.
///
/// The rows of `query` are held; each partition of `base` streams past them in a task of its own. What comes
/// out is one partition, whose rows are the same whatever the partitions and batches of `base` are.
#[derive(Debug, Clone)]
pub struct KnnExec {
    query: Arc<dyn ExecutionPlan>,
    base: Option<Arc<dyn ExecutionPlan>>,
    search: Search,
    /// Where the vectors of `query` are said to an index in `base`.
    index: Option<HeldQueries>,
    schema: SchemaRef,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl KnnExec {
    pub fn try_new(
        query: Arc<dyn ExecutionPlan>,
        base: Option<Arc<dyn ExecutionPlan>>,
        search: Search,
    ) -> Result<Self> {
        let of_query = query.schema();
        let of_base = base
            .as_ref()
            .map_or_else(|| Arc::clone(&of_query), |base| base.schema());
        let output = search.output(of_query.fields(), of_base.fields())?;
        let schema = Arc::new(Schema::new(output));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Self {
            query,
            base,
            search,
            index: None,
            schema,
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        })
    }

    /// The same, of a base that an index makes smaller once it knows the queries.
    pub fn with_index(&self, base: Arc<dyn ExecutionPlan>, index: HeldQueries) -> Result<Self> {
        let query = Arc::clone(&self.query);
        Ok(Self {
            index: Some(index),
            ..Self::try_new(query, Some(base), self.search)?
        })
    }

    pub fn index(&self) -> Option<&HeldQueries> {
        self.index.as_ref()
    }

    pub fn query(&self) -> &Arc<dyn ExecutionPlan> {
        &self.query
    }

    pub fn base(&self) -> Option<&Arc<dyn ExecutionPlan>> {
        self.base.as_ref()
    }

    pub fn search(&self) -> &Search {
        &self.search
    }

    /// Whether the elements of both sides, and of the queries alone, fit Float32.
    fn precisions(&self) -> (bool, bool) {
        let fits = |schema: SchemaRef, vector: usize| {
            let data_type: &DataType = schema.field(vector).data_type();
            element_type(data_type).is_some_and(fits_f32)
        };
        let query = fits(self.query.schema(), self.search.query_vector);
        let base = match &self.base {
            Some(base) => fits(base.schema(), self.search.base_vector),
            None => query,
        };
        (query, base)
    }
}

impl DisplayAs for KnnExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        match kind {
            DisplayFormatType::TreeRender => writeln!(f, "{}", self.search),
            _ => write!(f, "KnnExec: {}", self.search),
        }
    }
}

impl ExecutionPlan for KnnExec {
    fn name(&self) -> &'static str {
        "KnnExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let mut needed = vec![Distribution::SinglePartition];
        needed.extend(
            self.base
                .iter()
                .map(|_| Distribution::UnspecifiedDistribution),
        );
        InputDistributionRequirements::new(needed)
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        let base = self.base.iter().map(|_| true);
        [false].into_iter().chain(base).collect()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false; self.children().len()]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        [&self.query].into_iter().chain(&self.base).collect()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut children = children.into_iter();
        match (children.next(), children.next()) {
            (Some(query), base) if base.is_some() == self.base.is_some() => Ok(Arc::new(Self {
                index: self.index.clone(),
                ..Self::try_new(query, base, self.search)?
            })),
            _ => internal_err!("KnnExec: the number of its children has changed"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("KnnExec has one partition, not {partition}");
        }
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let exec = self.clone();
        let found = async move {
            let batch_size = context.session_config().batch_size();
            let compute = metrics.elapsed_compute().clone();
            let found = match exec.precisions() {
                (true, true) => nearest::<Float32Type, Float32Type>(&exec, context, compute).await,
                (false, true) => nearest::<Float64Type, Float32Type>(&exec, context, compute).await,
                _ => nearest::<Float64Type, Float64Type>(&exec, context, compute).await,
            };
            Ok::<_, DataFusionError>(rows(found?, exec.schema(), batch_size, metrics))
        };
        let stream = futures::stream::once(found).try_flatten();
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
