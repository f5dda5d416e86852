//! Finds `ORDER BY distance LIMIT k`, and `knn`, over a table whose vectors have an index.
//!
//! It is the first of the physical rules, when a plan still is what was written: a sort that keeps `k` rows, or
//! a search, below it projections and filters, and the scan.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, plan_datafusion_err};
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal, NegativeExpr};
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use object_store::path::Path;
use voxql_udfs::kernels::metric::Metric;

use super::exec::{HnswExec, Queries, Search};
use super::load::Indexes;
use super::manifest::{Manifest, Table};
use super::options::SearchOptions;
use super::rows::TableScan;
use crate::database::ObjectKind;
use crate::search::exec::KnnExec;
use crate::search::queries::HeldQueries;

type Expr = Arc<dyn PhysicalExpr>;
type Plan = Arc<dyn ExecutionPlan>;

/// What a session needs to use indexes.
pub fn install(builder: SessionStateBuilder, indexes: &Arc<Indexes>) -> SessionStateBuilder {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.insert(0, Arc::new(UseIndex(Arc::clone(indexes))));
    builder.with_physical_optimizer_rules(rules)
}

/// Puts [`HnswExec`] where an index has what a query orders by.
#[derive(Debug)]
pub struct UseIndex(Arc<Indexes>);

impl PhysicalOptimizerRule for UseIndex {
    fn name(&self) -> &str {
        "use_index"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        let Some(options) = config.extensions.get::<SearchOptions>() else {
            return Ok(plan);
        };
        if !options.use_index {
            return Ok(plan);
        }
        plan.transform_down(|node| {
            let instead = match (top_k(&node), node.downcast_ref::<KnnExec>()) {
                (Some((sort, k)), _) => self.of_sort(&node, sort, (k, options.ef_search))?,
                (None, Some(knn)) => self.of_knn(knn, options.ef_search)?,
                (None, None) => None,
            };
            Ok(match instead {
                Some(plan) => Transformed::yes(plan),
                None => Transformed::no(node),
            })
        })
        .data()
    }
}

fn top_k(plan: &Plan) -> Option<(&SortExec, usize)> {
    let sort = plan.downcast_ref::<SortExec>()?;
    Some((sort, sort.fetch()?))
}

/// What is asked for, by the columns of what is below.
struct Order {
    /// A distance, or the vectors to which there are distances.
    by: Expr,
    how: How,
    k: usize,
    ef_search: usize,
    most_nulls: usize,
}

enum How {
    Sorted {
        descending: bool,
    },
    Nearest {
        metric: Metric,
        queries: HeldQueries,
    },
}

impl UseIndex {
    fn of_sort(
        &self,
        plan: &Plan,
        sort: &SortExec,
        (k, ef_search): (usize, usize),
    ) -> Result<Option<Plan>> {
        let order = Order {
            by: Arc::clone(&sort.expr().first().expr),
            how: How::Sorted {
                descending: sort.expr().first().options.descending,
            },
            k,
            ef_search,
            // Further keys order the rows without a distance, too.
            most_nulls: if sort.expr().len() > 1 { usize::MAX } else { k },
        };
        let Some(input) = self.below(sort.input(), order, Vec::new())? else {
            return Ok(None);
        };
        replace_children_if_necessary(Arc::clone(plan), vec![input]).map(Some)
    }

    /// The base of a `knn` that wants some neighbours of any rows. With `exclude_self` nobody knows how many
    /// of those that an index gives are left.
    fn of_knn(&self, knn: &KnnExec, ef_search: usize) -> Result<Option<Plan>> {
        let search = knn.search();
        let (Some(base), Some(k), None) = (knn.base(), search.k, search.exclude_self) else {
            return Ok(None);
        };
        let queries = HeldQueries::default();
        let schema = base.schema();
        let vector = search.base_vector;
        let order = Order {
            by: Arc::new(Column::new(schema.field(vector).name(), vector)),
            how: How::Nearest {
                metric: search.metric,
                queries: queries.clone(),
            },
            k,
            ef_search,
            most_nulls: 0,
        };
        match self.below(base, order, Vec::new())? {
            Some(base) => Ok(Some(Arc::new(knn.with_index(base, queries)?))),
            None => Ok(None),
        }
    }

    /// `plan` with the scan replaced, if an index has what the order asks for; filters were passed on the way.
    fn below(&self, plan: &Plan, mut order: Order, filters: Vec<Expr>) -> Result<Option<Plan>> {
        if let Some(exec) = plan.downcast_ref::<DataSourceExec>() {
            return self.instead(exec, order, filters);
        }
        let (input, filters) = if let Some(exec) = plan.downcast_ref::<ProjectionExec>() {
            let exprs: Vec<Expr> = exec.expr().iter().map(|e| Arc::clone(&e.expr)).collect();
            order.by = substitute(order.by, &exprs)?;
            let filters = filters.into_iter().map(|filter| substitute(filter, &exprs));
            (exec.input(), filters.collect::<Result<Vec<_>>>()?)
        } else if let Some(exec) = plan.downcast_ref::<FilterExec>() {
            let mut filters = filters;
            if let Some(projection) = exec.projection().as_ref() {
                let schema = exec.input().schema();
                let column =
                    |i: &usize| -> Expr { Arc::new(Column::new(schema.field(*i).name(), *i)) };
                let exprs: Vec<Expr> = projection.iter().map(column).collect();
                order.by = substitute(order.by, &exprs)?;
                let passed = filters.into_iter().map(|filter| substitute(filter, &exprs));
                filters = passed.collect::<Result<Vec<_>>>()?;
            }
            if exec.fetch().is_some() {
                return Ok(None);
            }
            filters.push(Arc::clone(exec.predicate()));
            (exec.input(), filters)
        } else {
            return Ok(None);
        };
        let Some(input) = self.below(input, order, filters)? else {
            return Ok(None);
        };
        Ok(Some(replace_children_if_necessary(
            Arc::clone(plan),
            vec![input],
        )?))
    }

    fn instead(
        &self,
        exec: &DataSourceExec,
        order: Order,
        filters: Vec<Expr>,
    ) -> Result<Option<Plan>> {
        let Some((config, source)) = exec.downcast_to_file_source::<ParquetSource>() else {
            return Ok(None);
        };
        // What the scan alone filters, nothing above it says.
        let filters_itself = config.file_source().filter().is_some()
            && (filters.is_empty() || source.table_parquet_options().global.pushdown_filters);
        if config.limit.is_some() || filters_itself {
            return Ok(None);
        }
        let (mut by, mut filters) = (order.by, filters);
        if let Some(projection) = config.file_source().projection() {
            let exprs: Vec<Expr> = projection
                .as_ref()
                .iter()
                .map(|e| Arc::clone(&e.expr))
                .collect();
            by = substitute(by, &exprs)?;
            let of_table = filters.into_iter().map(|filter| substitute(filter, &exprs));
            filters = of_table.collect::<Result<Vec<_>>>()?;
        }
        let Some(asked) = Asked::of(&by, order.how) else {
            return Ok(None);
        };
        let predicate = (!filters.is_empty()).then(|| conjunction(filters));
        // A filter of no column (`$1 = 3`) is as good as none or all, but costs nothing to try exactly.
        if predicate
            .as_ref()
            .is_some_and(|p| is_volatile(p) || collect_columns(p).is_empty())
        {
            return Ok(None);
        }
        let Some((manifest, scan)) = self.index(config, &asked)? else {
            return Ok(None);
        };
        Ok(Some(Arc::new(HnswExec::new(Search {
            indexes: Arc::clone(&self.0),
            manifest,
            scan,
            queries: asked.queries,
            predicate,
            k: order.k,
            ef_search: order.ef_search,
            most_nulls: order.most_nulls,
        }))))
    }

    /// The first index, by name, of that column and metric.
    fn index(
        &self,
        config: &FileScanConfig,
        asked: &Asked,
    ) -> Result<Option<(Manifest, TableScan)>> {
        for name in self.0.names()? {
            let manifest = match Manifest::read(&self.0.directory(&name)) {
                Ok(manifest) => manifest,
                Err(error) => {
                    log::warn!("index {name} is not used: {error}");
                    continue;
                }
            };
            if manifest.column != asked.column || manifest.metric != asked.metric.name() {
                continue;
            }
            match self.scan(config, &manifest) {
                Ok(Some(scan)) => return Ok(Some((manifest, scan))),
                Ok(None) => {}
                Err(error) => log::warn!("index {name} is not used: {}", error.strip_backtrace()),
            }
        }
        Ok(None)
    }

    /// The scan as one of the index's table; None if it is of another table.
    fn scan(&self, config: &FileScanConfig, manifest: &Manifest) -> Result<Option<TableScan>> {
        let directory = self.0.database().place(ObjectKind::Table, &manifest.table);
        let prefix = Path::from_absolute_path(&directory)?;
        let files = config.file_groups.iter().flat_map(|group| group.iter());
        let mut files: Vec<_> = files.cloned().collect();
        let is_of_table = |location: &Path| location.prefix_matches(&prefix);
        if files.is_empty()
            || !files
                .iter()
                .all(|f| is_of_table(&f.object_meta.location) && f.range.is_none())
        {
            return Ok(None);
        }
        if let Table::Other(why) = manifest.compare(&directory)? {
            return Err(plan_datafusion_err!(
                "the table {} has other data than it was made of ({why}); DROP INDEX {} and CREATE INDEX make it anew",
                manifest.table,
                manifest.name
            ));
        }
        let mut indexed = Vec::with_capacity(manifest.files.len());
        for file in &manifest.files {
            let location = Path::from_absolute_path(directory.join(&file.path))?;
            let Some(at) = files
                .iter()
                .position(|f| f.object_meta.location == location)
            else {
                return Ok(None);
            };
            indexed.push((files.swap_remove(at), file.rows));
        }
        files.sort_by(|a, b| a.object_meta.location.cmp(&b.object_meta.location));
        Ok(Some(TableScan {
            config: config.clone(),
            indexed,
            tail: files,
        }))
    }
}

/// Vectors that an index may know, and what is asked of them.
struct Asked {
    metric: Metric,
    column: String,
    queries: Queries,
}

impl Asked {
    fn of(by: &Expr, how: How) -> Option<Self> {
        match how {
            How::Sorted { descending } => Self::of_distance(by, descending),
            How::Nearest { metric, queries } => Some(Self {
                metric,
                column: by.downcast_ref::<Column>()?.name().to_string(),
                queries: Queries::Of(queries),
            }),
        }
    }

    /// The nearest must come first.
    fn of_distance(distance: &Expr, descending: bool) -> Option<Self> {
        if let Some(negative) = distance.downcast_ref::<NegativeExpr>() {
            return Self::of_distance(negative.arg(), !descending);
        }
        // `0 - inner_product(…)`, which is `<#>`, and similarities such as `1 - cosine_distance(…)`.
        if let Some(difference) = distance.downcast_ref::<BinaryExpr>()
            && *difference.op() == Operator::Minus
            && difference.left().is::<Literal>()
        {
            return Self::of_distance(difference.right(), !descending);
        }
        let call = distance.downcast_ref::<ScalarFunctionExpr>()?;
        let metric = match (call.fun().name(), descending) {
            ("cosine_distance", false) => Metric::Cosine,
            ("l2_distance", false) => Metric::L2,
            ("inner_product", true) => Metric::InnerProduct,
            _ => return None,
        };
        let [a, b] = call.args() else {
            return None;
        };
        let (column, query) = match (a.downcast_ref::<Column>(), b.downcast_ref::<Column>()) {
            (Some(column), None) => (column, b),
            (None, Some(column)) => (column, a),
            _ => return None,
        };
        if !collect_columns(query).is_empty() || is_volatile(query) {
            return None;
        }
        Some(Self {
            metric,
            column: column.name().to_string(),
            queries: Queries::One(Arc::clone(query)),
        })
    }
}

/// `expr` by the columns that `exprs`, which give its own, are of.
fn substitute(expr: Expr, exprs: &[Expr]) -> Result<Expr> {
    expr.transform_down(|node| {
        let Some(column) = node.downcast_ref::<Column>() else {
            return Ok(Transformed::no(node));
        };
        match exprs.get(column.index()) {
            Some(expr) => Ok(Transformed::new(
                Arc::clone(expr),
                true,
                datafusion::common::tree_node::TreeNodeRecursion::Jump,
            )),
            None => Err(plan_datafusion_err!("there is no column {column}")),
        }
    })
    .data()
}
