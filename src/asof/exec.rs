//! The operator of ASOF JOIN: merges two sides that come sorted by keys and time.

use std::fmt::{self, Formatter};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::project_schema;
use datafusion::common::{JoinType, Result, Statistics, internal_err, plan_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::equivalence::ProjectionMapping;
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::joins::utils::build_join_schema;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::{
    EmbeddedProjection, ProjectionExec, try_embed_projection,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan,
    ExecutionPlanProperties, InputDistributionRequirements, Partitioning, PhysicalExpr,
    PlanProperties, ReplaceChildrenOptions,
};

use super::clock::Clock;
use super::matching::Matching;
use super::merge::{Merge, Output};
use super::side::{ORDER, Reader, key_converter};
use super::stream::AsofStream;

/// What is joined, as plain data.
#[derive(Debug, Clone)]
pub struct AsofOn {
    /// Pairs of keys that must be equal, left first, of the same type.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    pub left_time: Arc<dyn PhysicalExpr>,
    pub right_time: Arc<dyn PhysicalExpr>,
    pub clock: Clock,
    pub matching: Matching,
    /// In ticks of the clock, inclusive.
    pub tolerance: Option<u64>,
}

/// Gives every row of `left` once, in its order, with the row of `right` that matches.
///
/// Both inputs must be sorted by keys and time, ascending, NULLs last; DataFusion sorts what
/// is not. With `partitioned` both are split by hashes of the keys and the parts are
/// merged in parallel; otherwise both are one stream.
#[derive(Debug, Clone)]
pub struct AsofJoinExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    on: AsofOn,
    partitioned: bool,
    /// Left columns, then right ones.
    join_schema: SchemaRef,
    /// Which of them are given out; all without it.
    projection: Option<Vec<usize>>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl AsofJoinExec {
    pub fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        on: AsofOn,
        partitioned: bool,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        if partitioned && on.keys.is_empty() {
            return plan_err!("AsofJoinExec: without keys there is nothing to partition by");
        }
        let schema = build_join_schema(&left.schema(), &right.schema(), &JoinType::Left).0;
        let join_schema = Arc::new(schema);
        let properties = properties(&left, &right, &join_schema, projection.as_ref())?;
        Ok(Self {
            left,
            right,
            on,
            partitioned,
            join_schema,
            projection,
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        })
    }

    pub fn on(&self) -> &AsofOn {
        &self.on
    }

    pub fn partitioned(&self) -> bool {
        self.partitioned
    }

    pub fn projection(&self) -> Option<&[usize]> {
        self.projection.as_deref()
    }

    fn outputs(&self) -> Vec<Output> {
        let left_columns = self.left.schema().fields().len();
        let output = |i: usize| match i.checked_sub(left_columns) {
            None => Output::Left(i),
            Some(i) => Output::Right(i),
        };
        match &self.projection {
            Some(projection) => projection.iter().copied().map(output).collect(),
            None => (0..self.join_schema.fields().len()).map(output).collect(),
        }
    }
}

/// The order that an ASOF JOIN by `keys` and `time` needs.
pub fn required_ordering<'a>(
    keys: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
    time: &'a Arc<dyn PhysicalExpr>,
) -> Option<LexOrdering> {
    let sorted = |expr: &Arc<dyn PhysicalExpr>| PhysicalSortExpr::new(Arc::clone(expr), ORDER);
    LexOrdering::new(keys.chain([time]).map(sorted))
}

/// Left rows stay in their order and partition, and left columns in their places.
fn properties(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    join_schema: &SchemaRef,
    projection: Option<&Vec<usize>>,
) -> Result<PlanProperties> {
    let mut equivalence = EquivalenceProperties::new(Arc::clone(join_schema));
    let of_left = left.equivalence_properties();
    equivalence.add_equivalence_group(of_left.eq_group().clone())?;
    equivalence.add_orderings(of_left.oeq_class().iter().cloned());
    let mut partitioning: Partitioning = left.output_partitioning().clone();
    if let Some(projection) = projection {
        let mapping = ProjectionMapping::from_indices(projection, join_schema)?;
        let schema = project_schema(join_schema, Some(projection))?;
        partitioning = partitioning.project(&mapping, &equivalence);
        equivalence = equivalence.project(&mapping, schema);
    }
    let boundedness = match left.boundedness() {
        Boundedness::Bounded => right.boundedness(),
        unbounded => unbounded,
    };
    Ok(PlanProperties::new(
        equivalence,
        partitioning,
        EmissionType::Incremental,
        boundedness,
    ))
}

impl DisplayAs for AsofJoinExec {
    fn fmt_as(&self, kind: DisplayFormatType, f: &mut Formatter) -> fmt::Result {
        let on = &self.on;
        let times = on.matching.display(&on.left_time, &on.right_time);
        let keys = on.keys.iter().map(|(l, r)| format!("{l} = {r}"));
        let keys = keys.collect::<Vec<_>>().join(" AND ");
        if let DisplayFormatType::TreeRender = kind {
            writeln!(f, "match={times}")?;
            return writeln!(f, "on={keys}");
        }
        write!(f, "AsofJoinExec: match=[{times}], on=[{keys}]")?;
        if let Some(tolerance) = on.tolerance {
            let unit = match on.clock {
                Clock::Whole => "",
                Clock::Seconds => " ns",
                Clock::Calendar(unit) => match unit {
                    arrow::datatypes::TimeUnit::Second => " s",
                    arrow::datatypes::TimeUnit::Millisecond => " ms",
                    arrow::datatypes::TimeUnit::Microsecond => " us",
                    arrow::datatypes::TimeUnit::Nanosecond => " ns",
                },
            };
            write!(f, ", tolerance={tolerance}{unit}")?;
        }
        if let Some(projection) = &self.projection {
            let column = |i: &usize| format!("{}@{i}", self.join_schema.field(*i).name());
            let columns: Vec<_> = projection.iter().map(column).collect();
            write!(f, ", projection=[{}]", columns.join(", "))?;
        }
        Ok(())
    }
}

impl EmbeddedProjection for AsofJoinExec {
    /// `projection` is among the columns that are given out now.
    fn with_projection(&self, projection: Option<Vec<usize>>) -> Result<Self> {
        let projection = match (projection, &self.projection) {
            (Some(of_output), Some(now)) => Some(of_output.iter().map(|i| now[*i]).collect()),
            (projection, None) => projection,
            (None, now) => now.clone(),
        };
        Self::try_new(
            Arc::clone(&self.left),
            Arc::clone(&self.right),
            self.on.clone(),
            self.partitioned,
            projection,
        )
    }
}

impl ExecutionPlan for AsofJoinExec {
    fn name(&self) -> &'static str {
        "AsofJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if !self.partitioned {
            let one = vec![Distribution::SinglePartition; 2];
            return InputDistributionRequirements::new(one);
        }
        let (left, right) = self.on.keys.iter().cloned().unzip();
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(left),
            Distribution::KeyPartitioned(right),
        ])
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input_distribution_requirements().into_per_child()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let on = &self.on;
        let left = required_ordering(on.keys.iter().map(|(l, _)| l), &on.left_time);
        let right = required_ordering(on.keys.iter().map(|(_, r)| r), &on.right_time);
        vec![
            left.map(OrderingRequirements::from),
            right.map(OrderingRequirements::from),
        ]
    }

    /// The left side's order is kept, and `properties` says so. Said here too, DataFusion would
    /// push a sort that stands above to the left side in place of the order needed there.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys = self.on.keys.iter().flat_map(|(l, r)| [l, r]);
        let times = [&self.on.left_time, &self.on.right_time];
        datafusion::physical_plan::apply_expression_roots(keys.chain(times), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[_; 2]>::try_from(children) else {
            return internal_err!("AsofJoinExec has two children");
        };
        Ok(Arc::new(Self::try_new(
            left,
            right,
            self.on.clone(),
            self.partitioned,
            self.projection.clone(),
        )?))
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
        let count = |side: &Arc<dyn ExecutionPlan>| side.output_partitioning().partition_count();
        if count(&self.left) != count(&self.right) {
            return internal_err!(
                "AsofJoinExec: {} partitions on the left and {} on the right",
                count(&self.left),
                count(&self.right)
            );
        }
        let on = &self.on;
        let right_schema = self.right.schema();
        let types = on.keys.iter().map(|(_, key)| key.data_type(&right_schema));
        let types = types.collect::<Result<Vec<_>>>()?;
        let converter = Arc::new(key_converter(types.into_iter())?);
        let reader = |keys, time: &Arc<dyn PhysicalExpr>| {
            Reader::new(keys, Arc::clone(time), on.clock, Arc::clone(&converter))
        };
        let (left_keys, right_keys) = on.keys.iter().cloned().unzip();
        let name = format!("AsofJoin[{partition}]");
        let stream = AsofStream {
            left: self.left.execute(partition, Arc::clone(&context))?,
            right: self.right.execute(partition, Arc::clone(&context))?,
            left_reader: reader(left_keys, &on.left_time),
            right_reader: reader(right_keys, &on.right_time),
            merge: Merge::new(
                on.matching,
                on.tolerance,
                self.outputs(),
                self.schema(),
                right_schema,
            ),
            memory: MemoryConsumer::new(name).register(context.memory_pool()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
        };
        Ok(stream.into_stream(self.schema()))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition), ChildStats::Skip]
    }

    /// The left side's, since each of its rows comes once. Nothing is known of right columns.
    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.join_schema);
        if let Some(left) = inputs.first() {
            statistics.num_rows = left.num_rows;
            let columns = statistics.column_statistics.iter_mut();
            for (column, of_left) in columns.zip(&left.column_statistics) {
                *column = of_left.clone();
            }
        }
        statistics.total_byte_size = Precision::Absent;
        Ok(Arc::new(statistics.project(self.projection.as_ref())))
    }

    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        try_embed_projection(projection, self)
    }
}
