//! From a call of `knn` to a logical plan.

use std::sync::Arc;

use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, TableFactor};
use voxql_udfs::args::{Arguments, Kind, Parameters};
use voxql_udfs::column_planner::constant;
use voxql_udfs::kernels::metric::Metric;

use super::columns::{Search, check_vectors, exclude_column, others, sortable, vector_column};
use super::node::Knn;
use crate::statements::computed::Function;
use crate::statements::computed::arguments::{by_parameter, in_query, query_of};
use crate::statements::table_functions::call_parts;

/// The function's name in SQL.
pub const FUNCTION: &str = "knn";

/// What it takes.
pub const KNN: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[
            ("query", Kind::Any),
            ("base", Kind::Any),
            ("k", Kind::Integer),
            ("metric", Kind::Text),
            ("radius", Kind::Number),
            ("query_vector", Kind::Text),
            ("vector", Kind::Text),
            ("exclude_self", Kind::Text),
        ],
    },
    queries: &["query", "base"],
    example: "knn((SELECT id, v FROM …), (SELECT word, v FROM …), k => 10)",
};

/// Plans calls of `knn` in FROM.
#[derive(Debug)]
pub struct KnnPlanner;

impl RelationPlanner for KnnPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some((name, args)) = call_parts(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let function = match name.0.as_slice() {
            [part] => part
                .as_ident()
                .map(|ident| context.normalize_ident(ident.clone())),
            _ => None,
        };
        if function.as_deref() != Some(FUNCTION) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let given = by_parameter(&KNN, args)?;
        let plan = plan(&given, context)?;
        let alias = match relation {
            TableFactor::Table { alias, .. } | TableFactor::Function { alias, .. } => alias,
            _ => None,
        };
        let planned = PlannedRelation::new(plan, alias);
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

fn plan(
    given: &[(&'static str, &SqlExpr)],
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let Some(query) = side(given, "query", context)? else {
        return plan_err!("{FUNCTION} needs a query in parentheses: {}", KNN.example);
    };
    let base = side(given, "base", context)?;
    let list = KNN.parameters.list.iter();
    let values = list.map(|(name, _)| value(given, name, context));
    let values = values.collect::<Result<Vec<ScalarValue>>>()?;
    let values: Vec<Option<&ScalarValue>> = values.iter().map(Some).collect();
    let arguments = KNN.parameters.at_planning(&values);
    let search = search(&arguments, &query, base.as_ref())?;
    let node = Arc::new(Knn::try_new(query, base, search)?);
    Ok(LogicalPlan::Extension(Extension { node }))
}

/// The plan of the query in an argument, if it is given.
fn side(
    given: &[(&'static str, &SqlExpr)],
    name: &str,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<LogicalPlan>> {
    let Some((_, expr)) = given.iter().find(|(known, _)| *known == name) else {
        return Ok(None);
    };
    let Some(query) = query_of(&KNN, name, expr)? else {
        return Ok(None);
    };
    let plan = context.plan(TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query.clone()),
        alias: None,
        sample: None,
    });
    plan.map(Some).map_err(|error| in_query(error, &KNN, name))
}

/// The value of a constant; NULL where it is not given, or is a query.
fn value(
    given: &[(&'static str, &SqlExpr)],
    name: &str,
    context: &mut dyn RelationPlannerContext,
) -> Result<ScalarValue> {
    let expr = given.iter().find(|(known, _)| *known == name);
    let Some((_, expr)) = expr.filter(|_| !KNN.queries.contains(&name)) else {
        return Ok(ScalarValue::Null);
    };
    let planned = context.sql_to_expr((*expr).clone(), &DFSchema::empty());
    match planned.ok().as_ref().and_then(constant) {
        Some(value) => Ok(value),
        None => plan_err!("{FUNCTION}: {name} must be a constant, not {expr}"),
    }
}

fn search(
    arguments: &Arguments,
    query: &LogicalPlan,
    base: Option<&LogicalPlan>,
) -> Result<Search> {
    let metric = match arguments.str("metric")?.map(Metric::parse) {
        None => Metric::Cosine,
        Some(Ok(metric)) => metric,
        Some(Err(message)) => return plan_err!("{FUNCTION}: {message}"),
    };
    let k = arguments.usize("k")?;
    let radius = arguments.f64("radius")?;
    match (k, radius) {
        (None, None) => {
            return plan_err!(
                "{FUNCTION}: say how many neighbours, k => 10, or how near they must be, radius => 0.5"
            );
        }
        (Some(0), _) => return plan_err!("{FUNCTION}: k must be at least 1"),
        (_, Some(radius)) if radius.is_nan() || radius < 0.0 && metric != Metric::InnerProduct => {
            return plan_err!("{FUNCTION}: radius must be zero or more, not {radius}");
        }
        _ => {}
    }
    let of_query = query.schema().fields();
    let of_base = base.map_or(of_query, |base| base.schema().fields());
    let query_vector = arguments.str("query_vector")?;
    let vector = arguments.str("vector")?;
    let query_vector = match base {
        Some(_) => vector_column(of_query, "query", "query_vector", query_vector)?,
        None if query_vector.is_some() => {
            return plan_err!("{FUNCTION} of one query has one vector; write vector => '…'");
        }
        None => vector_column(of_query, "query", "vector", vector)?,
    };
    let base_vector = match base {
        Some(_) => vector_column(of_base, "base", "vector", vector)?,
        None => query_vector,
    };
    check_vectors(&of_query[query_vector], &of_base[base_vector])?;
    for field in others(of_base, base_vector) {
        sortable(&field)?;
    }
    let exclude_self = arguments.str("exclude_self")?;
    let exclude_self = exclude_self.map(|name| exclude_column(of_query, of_base, name));
    Ok(Search {
        metric,
        k,
        radius,
        query_vector,
        base_vector,
        exclude_self: exclude_self.transpose()?,
    })
}
