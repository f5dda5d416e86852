//! A plan that carries the lineage of its columns along with them.
//!
//! ```text
//!   Projection  tr, hrf_convolve(frame)            + lineage of the second
//!     Window    hrf_convolve(frame) OVER …         + align_lags(lineage of frame) OVER …
//!       Aggregate  tr, vector_avg(frame)           + align_mean(lineage of frame)
//!         Scan     time, frame                     + align_source_rows(frame, time, …)
//! ```
//!
//! Every node stays what it is; lineages are columns beside its own. So rows are filtered,
//! joined and put in order exactly as in the query, which runs along, and columns that are
//! not needed are dropped by the optimizer as always. From the top down only those columns
//! get a lineage that are asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::{Column, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{
    Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, Union,
};

use super::arithmetic;
use super::constants::Constants;
use super::flow::{Flow, Path};
use super::responses::Responses;
use super::row;
use super::sources::{KEYS, Registry, Source, TIMES, source_rows};
use crate::search::node::Knn;

/// Walks a plan.
pub struct Tracer<'a> {
    pub registry: Arc<Registry>,
    pub constants: &'a Constants,
    pub responses: &'a Responses,
    /// Lineage columns are numbered through.
    pub columns: usize,
}

/// A plan with its lineage columns.
#[derive(Debug, Clone)]
pub struct Traced {
    pub plan: LogicalPlan,
    /// The columns that the plan had without them.
    pub schema: DFSchemaRef,
    /// For each of those columns its lineage, if it was asked for.
    pub lineages: Vec<Option<Lineage>>,
}

/// A lineage column.
#[derive(Debug, Clone)]
pub struct Lineage {
    pub name: String,
    pub paths: Vec<Path>,
    pub single: bool,
}

impl Traced {
    /// The lineage of a column, if there is one.
    pub fn flow(&self, column: &Column) -> Result<Option<Flow>> {
        let Some(at) = self.schema.maybe_index_of_column(column) else {
            return plan_err!("EXPLAIN ALIGN: there is no column {column}");
        };
        self.flow_at(at)
    }

    pub fn flow_at(&self, at: usize) -> Result<Option<Flow>> {
        let Some(lineage) = self.lineages.get(at).and_then(Option::as_ref) else {
            return Ok(None);
        };
        Ok(Some(Flow {
            expr: Expr::Column(self.column(lineage)?),
            paths: lineage.paths.clone(),
            single: lineage.single,
        }))
    }

    /// The lineage's column as it is called in the plan now.
    pub fn column(&self, lineage: &Lineage) -> Result<Column> {
        let mut columns = self.plan.schema().iter();
        match columns.find(|(_, field)| *field.name() == lineage.name) {
            Some(column) => Ok(Column::from(column)),
            None => plan_err!("EXPLAIN ALIGN: the lineage {} was lost", lineage.name),
        }
    }
}

/// Positions of columns.
pub type Wanted = BTreeSet<usize>;

impl Tracer<'_> {
    /// The plan, and the lineage of the columns at the positions `wanted`, at least in the
    /// rows that meet the conditions `row`.
    pub fn trace(&mut self, plan: &LogicalPlan, wanted: &Wanted, row: &[Expr]) -> Result<Traced> {
        let schema = Arc::clone(plan.schema());
        if wanted.is_empty() {
            return Ok(Traced {
                plan: plan.clone(),
                lineages: vec![None; schema.fields().len()],
                schema,
            });
        }
        match plan {
            LogicalPlan::Projection(projection) if names_keys(projection).is_some() => {
                let label = names_keys(projection).unwrap_or_default();
                self.leaf(plan, wanted, &label, None)
            }
            LogicalPlan::Projection(projection) => {
                let exprs = wanted.iter().map(|&i| &projection.expr[i]);
                let below = row::at_position(&schema, |i| row::plain(&projection.expr[i]));
                let row = row::followed(row, below)?;
                let input = self.trace_for(&projection.input, exprs, &row)?;
                let mut flows = vec![None; projection.expr.len()];
                for &i in wanted {
                    flows[i] = Some(self.flow(&projection.expr[i], &input)?);
                }
                self.finish(input.plan, projection.expr.clone(), schema, flows)
            }
            LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Repartition(_) => {
                let input = self.trace(plan.inputs()[0], wanted, row)?;
                let same = plan.with_new_exprs(plan.expressions(), vec![input.plan])?;
                Ok(Traced {
                    plan: same,
                    schema,
                    lineages: input.lineages,
                })
            }
            LogicalPlan::SubqueryAlias(alias) if is_tr_grid(alias) => {
                self.leaf(plan, wanted, "tr_grid", None)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = row::at_position(&schema, |i| same_place(&alias.input, i));
                let row = row::followed(row, below)?;
                let input = self.trace(&alias.input, wanted, &row)?;
                let same = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias.clone())?;
                Ok(Traced {
                    plan: LogicalPlan::SubqueryAlias(same),
                    schema,
                    lineages: input.lineages,
                })
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate, wanted, row),
            LogicalPlan::Window(window) => self.window(window, wanted, row),
            // Both sides of `knn` may have columns of one name, and one side may be both.
            LogicalPlan::Extension(extension) if extension.node.as_any().is::<Knn>() => {
                self.stop(plan, wanted)
            }
            LogicalPlan::Join(_) | LogicalPlan::Extension(_) => self.join(plan, wanted, row),
            LogicalPlan::Union(union) => self.union(union, wanted, row),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns = input.schema().columns().into_iter().map(Expr::Column);
                let grouped = LogicalPlanBuilder::from(Arc::clone(input))
                    .aggregate(columns.collect::<Vec<_>>(), Vec::<Expr>::new())?
                    .build()?;
                self.trace(&grouped, wanted, row)
            }
            LogicalPlan::TableScan(scan) => match scan.source.get_logical_plan() {
                Some(view) => {
                    let named = LogicalPlanBuilder::from(view.into_owned())
                        .alias(scan.table_name.clone())?
                        .build()?;
                    self.trace(&named, wanted, row)
                }
                None => self.leaf(plan, wanted, scan.table_name.table(), None),
            },
            LogicalPlan::Values(_) => self.leaf(plan, wanted, "VALUES", None),
            other => self.stop(other, wanted),
        }
    }

    /// The plan with the lineage of all columns that the expressions use.
    pub fn trace_for<'e>(
        &mut self,
        plan: &LogicalPlan,
        exprs: impl Iterator<Item = &'e Expr>,
        row: &[Expr],
    ) -> Result<Traced> {
        let mut wanted = Wanted::new();
        for expr in exprs {
            for column in expr.column_refs() {
                wanted.extend(plan.schema().maybe_index_of_column(column));
            }
        }
        self.trace(plan, &wanted, row)
    }

    /// Where two inputs lie side by side, so do their lineages.
    fn join(&mut self, plan: &LogicalPlan, wanted: &Wanted, row: &[Expr]) -> Result<Traced> {
        let schema = plan.schema();
        let mut inputs = Vec::new();
        let mut lineages = vec![None; schema.fields().len()];
        for (side, input) in plan.inputs().into_iter().enumerate() {
            let place = |at: usize| {
                let (qualifier, field) = input.schema().qualified_field(at);
                schema.maybe_index_of_column(&Column::from((qualifier, field)))
            };
            let places: Vec<_> = (0..input.schema().fields().len()).map(place).collect();
            let below: Wanted = (0..places.len())
                .filter(|&at| places[at].is_some_and(|i| wanted.contains(&i)))
                .collect();
            let row = match plan {
                LogicalPlan::Join(join) => row::followed(row, row::on_side(join, side == 0))?,
                _ => Vec::new(),
            };
            let traced = self.trace(input, &below, &row)?;
            for (place, lineage) in places.into_iter().zip(traced.lineages) {
                if let Some(place) = place {
                    lineages[place] = lineage;
                }
            }
            inputs.push(traced.plan);
        }
        let joined = match plan {
            LogicalPlan::Extension(extension) => {
                let node = &extension.node;
                let rebuilt = node.with_exprs_and_inputs(node.expressions(), inputs);
                rebuilt.map(|node| {
                    LogicalPlan::Extension(datafusion::logical_expr::Extension { node })
                })
            }
            _ => plan.with_new_exprs(plan.expressions(), inputs),
        };
        let kept = |joined: &LogicalPlan| {
            let names = joined.schema();
            lineages
                .iter()
                .flatten()
                .all(|lineage: &Lineage| names.fields().iter().any(|f| *f.name() == lineage.name))
        };
        let complete = wanted.iter().all(|&i| lineages[i].is_some());
        match joined {
            Ok(joined) if complete && kept(&joined) => {
                let traced = Traced {
                    plan: joined,
                    schema: Arc::clone(schema),
                    lineages,
                };
                let flows = (0..traced.lineages.len())
                    .map(|i| traced.flow_at(i))
                    .collect::<Result<_>>()?;
                let columns = own_columns(schema);
                self.finish(traced.plan, columns, Arc::clone(schema), flows)
            }
            // Columns that are neither side's: not a join as we know it.
            _ => self.stop(plan, wanted),
        }
    }

    fn union(&mut self, union: &Union, wanted: &Wanted, row: &[Expr]) -> Result<Traced> {
        let names: Vec<_> = wanted.iter().map(|_| self.next_name()).collect();
        let mut paths: Vec<Vec<Path>> = vec![Vec::new(); wanted.len()];
        let mut single = vec![true; wanted.len()];
        let mut inputs = Vec::new();
        for input in &union.inputs {
            let below = row::at_position(&union.schema, |i| same_place(input, i));
            let row = row::followed(row, below)?;
            let traced = self.trace(input, wanted, &row)?;
            let mut exprs = own_columns(&traced.schema);
            for (column, &i) in wanted.iter().enumerate() {
                let flow = match traced.flow_at(i)? {
                    Some(flow) => flow,
                    None => {
                        let column = traced.schema.qualified_field(i);
                        self.opaque(&Expr::Column(Column::from(column)))?
                    }
                };
                single[column] &= flow.single;
                paths[column].extend(flow.paths);
                exprs.push(flow.expr.alias(&names[column]));
            }
            let projected = Projection::try_new(exprs, Arc::new(traced.plan))?;
            inputs.push(Arc::new(LogicalPlan::Projection(projected)));
        }
        let mut lineages = vec![None; union.schema.fields().len()];
        for (((&i, name), paths), single) in wanted.iter().zip(names).zip(paths).zip(single) {
            lineages[i] = Some(Lineage {
                name,
                paths,
                single,
            });
        }
        Ok(Traced {
            plan: LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?),
            schema: Arc::clone(&union.schema),
            lineages,
        })
    }

    /// A node that lineage cannot be followed through: its own rows are the sources.
    pub fn stop(&mut self, plan: &LogicalPlan, wanted: &Wanted) -> Result<Traced> {
        let name = match plan {
            LogicalPlan::Extension(extension) => extension.node.name().to_string(),
            LogicalPlan::Unnest(_) => "unnest".to_string(),
            LogicalPlan::RecursiveQuery(query) => format!("recursive query {}", query.name),
            LogicalPlan::Aggregate(_) => "grouping sets".to_string(),
            LogicalPlan::Distinct(_) => "DISTINCT ON".to_string(),
            LogicalPlan::Subquery(_) => "lateral subquery".to_string(),
            other => other.display().to_string(),
        };
        let note = format!("not followed through {name}");
        self.leaf(plan, wanted, &name, Some(note))
    }

    /// Rows from which lineage starts.
    fn leaf(
        &mut self,
        plan: &LogicalPlan,
        wanted: &Wanted,
        label: &str,
        note: Option<String>,
    ) -> Result<Traced> {
        let schema = Arc::clone(plan.schema());
        let kept: Vec<Column> = schema
            .columns()
            .into_iter()
            .filter(|column| is_key(&column.name))
            .collect();
        let mut flows = vec![None; schema.fields().len()];
        for &i in wanted {
            let column = Column::from(schema.qualified_field(i));
            let source = self.registry.add_source(Source {
                label: label.to_string(),
                column: column.name.clone(),
                keys: kept.iter().map(|key| key.name.clone()).collect(),
            });
            let keys = kept.iter().cloned().map(Expr::Column).collect();
            flows[i] = Some(Flow {
                expr: source_rows(&self.registry, source, Expr::Column(column), keys),
                paths: vec![Path {
                    source,
                    steps: Vec::new(),
                    note: note.clone(),
                }],
                single: true,
            });
        }
        self.finish(plan.clone(), own_columns(&schema), schema, flows)
    }

    /// A projection of the node's own columns and of the lineages.
    pub fn finish(
        &mut self,
        plan: LogicalPlan,
        mut exprs: Vec<Expr>,
        schema: DFSchemaRef,
        flows: Vec<Option<Flow>>,
    ) -> Result<Traced> {
        let mut lineages = Vec::with_capacity(flows.len());
        for flow in flows {
            lineages.push(match flow {
                None => None,
                Some(flow) => {
                    let name = self.next_name();
                    exprs.push(flow.expr.alias(&name));
                    Some(Lineage {
                        name,
                        paths: flow.paths,
                        single: flow.single,
                    })
                }
            });
        }
        let projection = Projection::try_new(exprs, Arc::new(plan))?;
        Ok(Traced {
            plan: LogicalPlan::Projection(projection),
            schema,
            lineages,
        })
    }

    pub fn next_name(&mut self) -> String {
        self.columns += 1;
        format!("align lineage {}", self.columns)
    }

    /// A lineage computed beside a value, NULL where the value is.
    pub fn beside(value: Column, name: String, flow: Flow) -> Flow {
        let lineage = Expr::Column(Column::from_name(name));
        flow.map(|_| arithmetic::where_known(Expr::Column(value), lineage))
    }
}

pub fn own_columns(schema: &DFSchemaRef) -> Vec<Expr> {
    schema.columns().into_iter().map(Expr::Column).collect()
}

/// The column at the same position.
fn same_place(plan: &LogicalPlan, at: usize) -> Option<Expr> {
    let column = plan.schema().qualified_field(at);
    Some(Expr::Column(Column::from(column)))
}

fn is_key(name: &str) -> bool {
    KEYS.contains(&name) || TIMES.contains(&name)
}

/// The name of the table whose columns such a projection only renames, some of them to
/// what keys are called: its rows are better known by these names.
fn names_keys(projection: &Projection) -> Option<String> {
    let mut leaf = projection.input.as_ref();
    while let LogicalPlan::SubqueryAlias(alias) = leaf {
        leaf = &alias.input;
    }
    let label = match leaf {
        LogicalPlan::Values(_) => "VALUES".to_string(),
        LogicalPlan::TableScan(scan) if scan.source.get_logical_plan().is_none() => {
            scan.table_name.table().to_string()
        }
        _ => return None,
    };
    let mut names = false;
    for expr in &projection.expr {
        match expr {
            Expr::Column(_) => {}
            Expr::Alias(alias) => match alias.expr.as_ref() {
                Expr::Column(column) => names |= is_key(&alias.name) && alias.name != column.name,
                _ => return None,
            },
            _ => return None,
        }
    }
    names.then_some(label)
}

/// `tr_grid(…)` is planned as a projection of `generate_series`.
fn is_tr_grid(alias: &SubqueryAlias) -> bool {
    let scans = |plan: &LogicalPlan| matches!(plan, LogicalPlan::TableScan(scan) if scan.table_name.table() == "tr_grid");
    alias.alias.table() == "tr_grid" && alias.input.inputs().iter().any(|input| scans(input))
}
