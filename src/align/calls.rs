//! What aggregates and window functions do to lineages.

use std::sync::Arc;

use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, WindowFunction, WindowFunctionParams,
};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, LogicalPlan, Window, WindowFunctionDefinition, lit,
};
use voxql_udfs::kernels::nearby::Method;
use voxql_udfs::time::nanoseconds;

use super::aggregates::{Weighting, aggregate};
use super::arithmetic;
use super::flow::Flow;
use super::row;
use super::trace::{Traced, Tracer, Wanted, own_columns};
use super::windows::{Reach, window};

impl Tracer<'_> {
    pub fn aggregate(
        &mut self,
        plan: &LogicalPlan,
        node: &Aggregate,
        wanted: &Wanted,
        row: &[Expr],
    ) -> Result<Traced> {
        let groups = node.group_expr.len();
        let one_way = !node
            .group_expr
            .iter()
            .any(|e| matches!(e, Expr::GroupingSet(_)));
        if !one_way || node.schema.fields().len() != groups + node.aggr_expr.len() {
            return self.stop(plan, wanted);
        }
        let expr = |i: usize| match i.checked_sub(groups) {
            None => &node.group_expr[i],
            Some(i) => &node.aggr_expr[i],
        };
        let key = |i: usize| node.group_expr.get(i).and_then(row::plain);
        let row = row::followed(row, row::at_position(&node.schema, key))?;
        let input = self.trace_for(&node.input, wanted.iter().map(|&i| expr(i)), &row)?;
        let mut aggregates = node.aggr_expr.clone();
        let mut flows = vec![None; node.schema.fields().len()];
        for &i in wanted {
            let value = Column::from(node.schema.qualified_field(i));
            let found = match expr(i).clone().unalias_nested().data {
                Expr::AggregateFunction(call) => {
                    self.aggregated(&call.func, &call.params, &input)?
                }
                key if i < groups && !key.column_refs().is_empty() => {
                    let rows = aggregate(Weighting::Unknown);
                    let flow = self.flow(&key, &input)?;
                    Some(all_rows(rows, flow, "GROUP BY", "the rows of the group"))
                }
                _ => None,
            };
            flows[i] = Some(match found {
                Some(flow) => {
                    let name = self.next_name();
                    aggregates.push(flow.expr.clone().alias(&name));
                    Self::beside(value, name, flow)
                }
                None => self.opaque(&Expr::Column(value))?,
            });
        }
        let rebuilt =
            Aggregate::try_new(Arc::new(input.plan), node.group_expr.clone(), aggregates)?;
        let columns = own_columns(&node.schema);
        self.finish(
            LogicalPlan::Aggregate(rebuilt),
            columns,
            Arc::clone(&node.schema),
            flows,
        )
    }

    /// The lineage of an aggregate, computed by an aggregate; None where no column goes in.
    fn aggregated(
        &mut self,
        function: &Arc<AggregateUDF>,
        params: &AggregateFunctionParams,
        input: &Traced,
    ) -> Result<Option<Flow>> {
        let name = function.name();
        let columns = params
            .args
            .iter()
            .filter(|arg| !arg.column_refs().is_empty());
        let columns: Vec<&Expr> = columns.collect();
        let Some(first) = params.args.first().filter(|_| !columns.is_empty()) else {
            return Ok(None);
        };
        let call = |function, args: Vec<Expr>| {
            Expr::AggregateFunction(AggregateFunction {
                func: function,
                params: AggregateFunctionParams {
                    args,
                    distinct: false,
                    ..params.clone()
                },
            })
        };
        let weights = match params.args.get(1) {
            Some(weight) if !self.constants.is_null(weight) => Some(weight),
            _ => None,
        };
        let plain = !params.distinct && params.args.len() == 1;
        let flow = match name {
            "avg" | "vector_avg" if !params.distinct && params.args.len() <= 2 => {
                let flow = self.flow(first, input)?;
                flow.map(|lineage| {
                    let args = std::iter::once(lineage).chain(weights.cloned());
                    call(aggregate(Weighting::Mean), args.collect())
                })
            }
            "sum" | "vector_sum" if plain => {
                let flow = self.flow(first, input)?;
                flow.map(|lineage| call(aggregate(Weighting::Sum), vec![lineage]))
            }
            "first_value" | "last_value" if plain => {
                let flow = self.flow(first, input)?;
                flow.map(|lineage| call(Arc::clone(function), vec![lineage]))
            }
            // The row that has the smallest value is the first in order.
            "min" | "max" if plain => {
                let flow = self.flow(first, input)?;
                let known = first.clone().is_not_null();
                let filter = match &params.filter {
                    Some(filter) => known.and(filter.as_ref().clone()),
                    None => known,
                };
                flow.map(|lineage| {
                    Expr::AggregateFunction(AggregateFunction::new_udf(
                        first_value_udaf(),
                        vec![lineage],
                        false,
                        Some(Box::new(filter)),
                        vec![first.clone().sort(name == "min", false)],
                        None,
                    ))
                })
            }
            _ => {
                let flows = columns
                    .into_iter()
                    .map(|column| self.flow(column, input))
                    .collect::<Result<Vec<_>>>()?;
                let flow = Flow::merge(flows, arithmetic::without_weights);
                return Ok(Some(
                    flow.map(|lineage| call(aggregate(Weighting::Unknown), vec![lineage]))
                        .then(name)
                        .noting(format!("{name} is no weighted sum")),
                ));
            }
        };
        let mut flow = flow.then(name);
        flow.single &= matches!(name, "first_value" | "last_value" | "min" | "max");
        Ok(Some(flow))
    }

    pub fn window(&mut self, node: &Window, wanted: &Wanted, row: &[Expr]) -> Result<Traced> {
        let before = node.input.schema().fields().len();
        let mut below: Wanted = wanted.iter().copied().filter(|&i| i < before).collect();
        for &i in wanted.range(before..) {
            for column in node.window_expr[i - before].column_refs() {
                below.extend(node.input.schema().maybe_index_of_column(column));
            }
        }
        // The row's own columns tell which row it is, but it is made of others too.
        let own = row::followed(row, |column| {
            let own = node.input.schema().has_column(column);
            own.then(|| Expr::Column(column.clone()))
        })?;
        let unmixed = wanted.range(before..).next().is_none();
        let input = self.trace(&node.input, &below, if unmixed { &own } else { &[] })?;
        let asked = conjunction(own).unwrap_or_else(|| lit(true));
        let mut windows = node.window_expr.clone();
        let mut flows = vec![None; node.schema.fields().len()];
        for &i in wanted {
            if i < before {
                flows[i] = input.flow_at(i)?;
                continue;
            }
            let value = Column::from(node.schema.qualified_field(i));
            let call = node.window_expr[i - before].clone().unalias_nested().data;
            let found = match &call {
                Expr::WindowFunction(window) => self.along(&call, window, &asked, &input)?,
                _ => None,
            };
            flows[i] = Some(match found {
                Some(flow) => {
                    let name = self.next_name();
                    windows.push(flow.expr.clone().alias(&name));
                    Self::beside(value, name, flow)
                }
                None => self.opaque(&Expr::Column(value))?,
            });
        }
        let rebuilt = Window::try_new(windows, Arc::new(input.plan))?;
        let columns = own_columns(&node.schema);
        self.finish(
            LogicalPlan::Window(rebuilt),
            columns,
            Arc::clone(&node.schema),
            flows,
        )
    }

    /// The lineage of a window function, computed by one over the same rows; None where no
    /// column goes in.
    fn along(
        &mut self,
        expr: &Expr,
        call: &WindowFunction,
        asked: &Expr,
        input: &Traced,
    ) -> Result<Option<Flow>> {
        let params = &call.params;
        let over = |fun: WindowFunctionDefinition, args: Vec<Expr>| {
            Expr::from(WindowFunction {
                fun,
                params: WindowFunctionParams {
                    args,
                    distinct: false,
                    ..params.clone()
                },
            })
        };
        let function = match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                let as_aggregate = AggregateFunctionParams {
                    args: params.args.clone(),
                    distinct: params.distinct,
                    filter: params.filter.clone(),
                    order_by: Vec::new(),
                    null_treatment: params.null_treatment,
                };
                // First and last are those of the window's order, not of an argument's.
                let ordered = matches!(function.name(), "min" | "max");
                let flow = match ordered {
                    true => self.unweighted(function.name(), &params.args, input)?,
                    false => self.aggregated(function, &as_aggregate, input)?,
                };
                return Ok(flow.map(|flow| {
                    flow.map(|lineage| match lineage {
                        Expr::AggregateFunction(inner) => over(
                            WindowFunctionDefinition::AggregateUDF(inner.func),
                            inner.params.args,
                        ),
                        lineage => over(
                            WindowFunctionDefinition::AggregateUDF(aggregate(Weighting::Unknown)),
                            vec![lineage],
                        ),
                    })
                }));
            }
            WindowFunctionDefinition::WindowUDF(function) => function,
        };
        let Some(x) = params.args.first().filter(|x| !x.column_refs().is_empty()) else {
            return Ok(None);
        };
        let along = |reach: Reach, mut args: Vec<Expr>| {
            args.insert(1, asked.clone());
            over(WindowFunctionDefinition::WindowUDF(window(reach)), args)
        };
        let name = function.name();
        let mut one_row = true;
        let mut flow = match (name, self.responses.get(expr)) {
            (_, Some(taps)) => {
                one_row = false;
                let taps = taps.clone();
                let flow = self.flow(x, input)?;
                flow.map(|lineage| along(Reach::Lags(taps), vec![lineage]))
                    .then(self.step(name, &params.args))
            }
            ("interpolate", _) => match self.nearby(&params.args) {
                Some(reach) => {
                    one_row = !matches!(
                        reach,
                        Reach::Nearby {
                            method: Method::Linear,
                            ..
                        }
                    );
                    let flow = self.flow(x, input)?;
                    let time = params.args[1].clone();
                    flow.map(|lineage| along(reach, vec![lineage, time]))
                        .then(self.step(name, &params.args))
                }
                None => return self.run(name, &params.args, input, along).map(Some),
            },
            ("first_value" | "last_value" | "nth_value" | "lag" | "lead", _)
                if self.picks(&params.args) =>
            {
                let flow = self.flow(x, input)?;
                let rest = params.args.iter().skip(1).take(1).cloned();
                let fun = call.fun.clone();
                flow.map(|lineage| over(fun, std::iter::once(lineage).chain(rest).collect()))
                    .then(name)
            }
            _ => return self.run(name, &params.args, input, along).map(Some),
        };
        flow.single &= one_row;
        Ok(Some(flow))
    }

    /// All rows of the partition, without weights.
    fn run(
        &mut self,
        name: &str,
        args: &[Expr],
        input: &Traced,
        along: impl FnOnce(Reach, Vec<Expr>) -> Expr,
    ) -> Result<Flow> {
        let flow = self.unweighted(name, args, input)?;
        Ok(match flow {
            Some(flow) => flow
                .map(|lineage| along(Reach::Run, vec![lineage]))
                .noting(format!("{name} uses all rows of the run")),
            None => self.opaque(&args[0])?,
        })
    }

    /// The rows of all arguments.
    fn unweighted(&mut self, name: &str, args: &[Expr], input: &Traced) -> Result<Option<Flow>> {
        let columns = args.iter().filter(|arg| !arg.column_refs().is_empty());
        let flows = columns
            .map(|column| self.flow(column, input))
            .collect::<Result<Vec<_>>>()?;
        if flows.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            Flow::merge(flows, arithmetic::without_weights).then(name),
        ))
    }

    /// What `interpolate` was asked for; None if that is unknown here.
    fn nearby(&self, args: &[Expr]) -> Option<Reach> {
        let given = |i: usize| args.get(i).filter(|arg| !self.constants.is_null(arg));
        let method = match given(2) {
            None => Method::Previous,
            Some(name) => Method::from_name(&self.constants.text(name)?)?,
        };
        let tolerance = match given(3) {
            None => None,
            Some(limit) => Some(nanoseconds(self.constants.number(limit)?)?),
        };
        (2..=4)
            .contains(&args.len())
            .then_some(Reach::Nearby { method, tolerance })
    }

    /// Whether such a function gives one of its rows: `lag` with a default may not.
    fn picks(&self, args: &[Expr]) -> bool {
        args.get(2)
            .is_none_or(|default| self.constants.is_null(default))
    }

    /// `hrf_convolve spm`: a function with the texts among its arguments.
    fn step(&self, name: &str, args: &[Expr]) -> String {
        let texts = args
            .iter()
            .skip(1)
            .filter_map(|arg| self.constants.text(arg));
        std::iter::once(name.to_string())
            .chain(texts)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn all_rows(function: Arc<AggregateUDF>, flow: Flow, step: &str, note: &str) -> Flow {
    let mut flow = flow
        .map(|lineage| {
            let args = vec![lineage];
            Expr::AggregateFunction(AggregateFunction::new_udf(
                function,
                args,
                false,
                None,
                Vec::new(),
                None,
            ))
        })
        .then(step)
        .noting(note);
    flow.single = false;
    flow
}
