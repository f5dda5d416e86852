//! Refuses a plan in which a window function over a run has no partition of its own per
//! run, where the plan already shows that there are several.
//!
//! The functions themselves refuse the first row of another run
//! ([`SameRun`](voxql_udfs::run_window::SameRun)). But a reader knows from the names of its
//! files what runs it will read, and a table of Parquet files its least and greatest keys; then
//! nothing need be read to say so, and a key that a subquery dropped is no excuse.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, StatisticsArgs, StatisticsContext};

use voxql_udfs::run_window::{RUN_KEYS, bare, guarded, refusal};

const PATH: &str = "path";

/// Looks at every window function over a run in the plan.
///
/// # Errors
/// Name the function, a key, two of its values, and the clause that is right.
pub fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    let ours = voxql_udfs::register::windows();
    plan.apply(|node| {
        if let Some((windows, input)) = windows_of(node) {
            for window in windows {
                if let Some(call) = Call::of(window)
                    && ours.iter().any(|f| f.name() == call.function)
                {
                    call.check_files(input)?;
                    call.check_statistics(input)?;
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

type Windows<'a> = (&'a [Arc<dyn WindowExpr>], &'a Arc<dyn ExecutionPlan>);

fn windows_of(node: &Arc<dyn ExecutionPlan>) -> Option<Windows<'_>> {
    if let Some(exec) = node.downcast_ref::<BoundedWindowAggExec>() {
        return Some((exec.window_expr(), exec.input()));
    }
    let exec = node.downcast_ref::<WindowAggExec>()?;
    Some((exec.window_expr(), exec.input()))
}

/// The call of a window function.
struct Call<'a> {
    function: &'a str,
    args: &'a [Arc<dyn PhysicalExpr>],
    window: &'a StandardWindowExpr,
}

impl<'a> Call<'a> {
    fn of(window: &'a Arc<dyn WindowExpr>) -> Option<Self> {
        let window = window.as_any().downcast_ref::<StandardWindowExpr>()?;
        let call = window.get_standard_func_expr().as_any();
        let call = call.downcast_ref::<WindowUDFExpr>()?;
        Some(Self {
            function: call.fun().name(),
            args: call.args(),
            window,
        })
    }

    /// Two files with the same PARTITION BY keys, and other run keys.
    fn check_files(&self, input: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let partition_by = self.window.partition_by().to_vec();
        let Some((scan, columns)) = scan_below(input, partition_by) else {
            return Ok(());
        };
        let schema = scan.file_source().table_schema();
        let of_file = schema.file_schema().fields().len();
        let keys = schema.table_partition_cols();
        // By columns of the files themselves, rows of one file may be apart; that shows later.
        let partition_by = columns.iter().map(|column| column.checked_sub(of_file));
        let Some(partition_by) = partition_by.collect::<Option<Vec<usize>>>() else {
            return Ok(());
        };
        // A run may have several files. Only who keeps the path along says that it has not.
        let guarded = guarded(self.args);
        let has_path = guarded.iter().any(|(name, _)| bare(name) == PATH);
        let name = |key: usize| keys[key].name().as_str();
        let run_keys: Vec<usize> = (0..keys.len())
            .filter(|key| RUN_KEYS.contains(&name(*key)) && !partition_by.contains(key))
            .filter(|key| name(*key) != PATH || has_path)
            .collect();
        let Some((one, other)) = conflict(scan, &partition_by, &run_keys) else {
            return Ok(());
        };

        let by_path = |key: &usize| name(*key) == PATH;
        let differs = |key: &usize| one[*key] != other[*key];
        // Paths differ wherever runs do; they are named where nothing else tells runs apart.
        let only_path = run_keys.iter().filter(|key| differs(key)).all(by_path);
        let named = || {
            run_keys
                .iter()
                .copied()
                .filter(|key| only_path || !by_path(key))
        };
        let values = |file: &[ScalarValue]| {
            let value = |key| format!("{} = {}", name(key), file[key]);
            let values: Vec<String> = named().filter(differs).map(value).collect();
            values.join(", ")
        };
        let difference = format!("{} and {}", values(one), values(other));
        let missing = named().filter(|key| differs(key) || !one[*key].is_null());
        let missing: Vec<String> = missing.map(|key| name(key).to_string()).collect();
        self.refuse(&difference, &missing)
    }

    /// All rows are one partition, and a key's least value is not its greatest.
    fn check_statistics(&self, input: &Arc<dyn ExecutionPlan>) -> Result<()> {
        if !self.window.partition_by().is_empty() {
            return Ok(());
        }
        let guarded = guarded(self.args);
        if guarded.is_empty() {
            return Ok(());
        }
        let statistics =
            StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::new())?;
        let mut found: Option<String> = None;
        let mut missing = Vec::new();
        for (name, key) in guarded {
            let Some(column) = key.downcast_ref::<Column>() else {
                continue;
            };
            let Some(column) = statistics.column_statistics.get(column.index()) else {
                continue;
            };
            if let (Precision::Exact(least), Precision::Exact(most)) =
                (&column.min_value, &column.max_value)
                && least != most
                && !least.is_null()
                && !most.is_null()
                && (bare(&name) != PATH || missing.is_empty())
            {
                found.get_or_insert_with(|| format!("{name} = {least} and {name} = {most}"));
                missing.push(name);
            }
        }
        match found {
            Some(difference) => self.refuse(&difference, &missing),
            None => Ok(()),
        }
    }

    fn refuse(&self, difference: &str, missing: &[String]) -> Result<()> {
        let name = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<Column>() {
            Some(column) => column.name().to_string(),
            None => expr.to_string(),
        };
        let partition_by: Vec<String> = self.window.partition_by().iter().map(name).collect();
        let order_by = self.window.order_by().iter().map(|sort| name(&sort.expr));
        let order_by = order_by.collect::<Vec<_>>().join(", ");
        plan_err!(
            "{}",
            refusal(
                self.function,
                difference,
                &partition_by,
                missing,
                if order_by.is_empty() { "tr" } else { &order_by }
            )
        )
    }
}

/// The first two files, by name, that are alike in the keys `partition_by` and differ in one
/// of `run_keys`.
fn conflict<'a>(
    scan: &'a FileScanConfig,
    partition_by: &[usize],
    run_keys: &[usize],
) -> Option<(&'a [ScalarValue], &'a [ScalarValue])> {
    let mut files: Vec<_> = scan
        .file_groups
        .iter()
        .flat_map(|group| group.iter())
        .collect();
    files.sort_by_key(|file| &file.object_meta.location);
    let mut seen: Vec<&[ScalarValue]> = Vec::new();
    for file in files {
        let values = file.partition_values.as_slice();
        let same = |other: &&&[ScalarValue]| {
            let mut keys = partition_by.iter();
            keys.all(|key| other.get(*key) == values.get(*key))
        };
        match seen.iter().find(same) {
            None => seen.push(values),
            Some(other)
                if run_keys
                    .iter()
                    .any(|key| other.get(*key) != values.get(*key)) =>
            {
                return Some((*other, values));
            }
            Some(_) => {}
        }
    }
    None
}

/// The scan of files all of whose rows arrive, and what the columns are there; None where
/// other rows or columns may arrive.
fn scan_below(
    plan: &Arc<dyn ExecutionPlan>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
) -> Option<(&FileScanConfig, Vec<usize>)> {
    let indices = columns.iter().map(|expr| expr.downcast_ref::<Column>());
    let indices: Option<Vec<usize>> = indices.map(|column| Some(column?.index())).collect();
    let indices = indices?;
    if plan.fetch().is_some() {
        return None;
    }
    if let Some(exec) = plan.downcast_ref::<DataSourceExec>() {
        let scan = exec.data_source().downcast_ref::<FileScanConfig>()?;
        if scan.limit.is_some() || scan.file_source().filter().is_some() {
            return None;
        }
        let Some(projection) = scan.file_source().projection() else {
            return Some((scan, indices));
        };
        let source = |index: usize| {
            let expr = &projection.as_ref().get(index)?.expr;
            Some(expr.downcast_ref::<Column>()?.index())
        };
        let indices: Option<Vec<usize>> = indices.into_iter().map(source).collect();
        return Some((scan, indices?));
    }
    let [input] = plan.children()[..] else {
        return None;
    };
    if let Some(exec) = plan.downcast_ref::<ProjectionExec>() {
        let source = |index: usize| Some(Arc::clone(&exec.expr().get(index)?.expr));
        let columns: Option<Vec<_>> = indices.into_iter().map(source).collect();
        return scan_below(input, columns?);
    }
    let keeps_rows = plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<WindowAggExec>();
    // Windows append their columns.
    let known = |index: &usize| *index < input.schema().fields().len();
    if keeps_rows && indices.iter().all(known) {
        scan_below(input, columns)
    } else {
        None
    }
}
