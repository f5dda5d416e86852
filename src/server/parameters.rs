//! Parameters of prepared statements: `$1`, `?` and `$name`.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::parser::{CopyToSource, Statement as EngineStatement};
use datafusion::sql::sqlparser::ast::{Value, ValueWithSpan, VisitMut, VisitorMut};

/// Numbers the `?` of a statement: DataFusion takes them all for one parameter.
pub fn number(statement: &mut EngineStatement) -> Result<()> {
    let mut marks = Marks::default();
    // The visitor never breaks off.
    let _ = match statement {
        EngineStatement::Statement(statement) => statement.visit(&mut marks),
        EngineStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => query.visit(&mut marks),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        EngineStatement::Explain(explain) => return number(&mut explain.statement),
        EngineStatement::CreateExternalTable(_) | EngineStatement::Reset(_) => {
            ControlFlow::Continue(())
        }
    };
    match marks.marks > 0 && marks.named {
        true => plan_err!("parameters are ? or $1, not both in one statement"),
        false => Ok(()),
    }
}

#[derive(Default)]
struct Marks {
    marks: usize,
    named: bool,
}

impl VisitorMut for Marks {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(id) = &mut value.value {
            match id.as_str() {
                "?" => {
                    self.marks += 1;
                    *id = format!("${}", self.marks);
                }
                _ => self.named = true,
            }
        }
        ControlFlow::Continue(())
    }
}

/// The largest number of a parameter, as in PostgreSQL.
const MOST: usize = 65_535;

/// The parameters of a plan, one column each, in the order in which they are bound: by number,
/// or by name. A type that the statement does not fix is Null.
///
/// # Errors
/// For a number that is too large: all that are less are parameters, too.
pub fn schema(plan: &LogicalPlan) -> Result<Schema> {
    let types = plan.get_parameter_types()?;
    let type_of = |id: &str| types.get(id).cloned().flatten().unwrap_or(DataType::Null);
    let numbers: Option<BTreeSet<usize>> = types.keys().map(|id| id[1..].parse().ok()).collect();
    let names: Vec<String> = match numbers {
        Some(numbers) => {
            let last = numbers.last().copied().unwrap_or_default();
            if last > MOST {
                return plan_err!("the statement has the parameter ${last}; ${MOST} is the last");
            }
            (1..=last).map(|n| n.to_string()).collect()
        }
        None => {
            let names: BTreeSet<String> = types.keys().map(|id| id[1..].to_string()).collect();
            names.into_iter().collect()
        }
    };
    let field = |name: String| {
        let data_type = type_of(&format!("${name}"));
        Field::new(name, data_type, true)
    };
    Ok(Schema::new(
        names.into_iter().map(field).collect::<Vec<_>>(),
    ))
}

/// Puts values into a plan. Several rows of values are for `INSERT … VALUES`, which becomes one
/// INSERT of all of them.
///
/// # Errors
/// Another number of values than of parameters; values of types that do not fit; several rows
/// for any other statement.
pub fn bind(plan: LogicalPlan, parameters: &Schema, rows: &RecordBatch) -> Result<LogicalPlan> {
    let wanted = parameters.fields().len();
    if rows.num_columns() != wanted {
        return plan_err!(
            "the statement has {wanted} parameters, and {} values were given",
            rows.num_columns()
        );
    }
    match rows.num_rows() {
        0 => plan_err!("no row of parameters was given"),
        1 => plan.with_param_values(values(parameters, rows, 0)?),
        several => {
            if !values_hold_all(&plan)? {
                return plan_err!(
                    "{several} rows of parameters were given: several at once are for INSERT INTO … VALUES (…)"
                );
            }
            one_insert(plan, parameters, rows)
        }
    }
}

fn values(parameters: &Schema, rows: &RecordBatch, row: usize) -> Result<ParamValues> {
    let mut values = Vec::with_capacity(rows.num_columns());
    let sent = rows.schema();
    for (i, parameter) in parameters.fields().iter().enumerate() {
        let named = parameter.name().parse::<usize>().is_err();
        let column = match named.then(|| sent.index_of(parameter.name())) {
            Some(Ok(column)) => column,
            Some(Err(_)) => return plan_err!("there is no value for ${}", parameter.name()),
            None => i,
        };
        let value = ScalarValue::try_from_array(rows.column(column), row)?;
        let value = match parameter.data_type() {
            DataType::Null => value,
            wanted => match value.cast_to(wanted) {
                Ok(value) => value,
                Err(error) => {
                    return exec_err!("the value of ${} is no {wanted}: {error}", parameter.name());
                }
            },
        };
        values.push((parameter.name().clone(), value));
    }
    let numbered = values.iter().all(|(name, _)| name.parse::<usize>().is_ok());
    Ok(match numbered {
        true => ParamValues::from(values.into_iter().map(|(_, v)| v).collect::<Vec<_>>()),
        false => ParamValues::from(values),
    })
}

/// Whether the plan inserts one VALUES, and all its parameters are there.
fn values_hold_all(plan: &LogicalPlan) -> Result<bool> {
    let mut lists = 0;
    let mut inside = BTreeSet::new();
    plan.apply(|node| {
        if let LogicalPlan::Values(list) = node {
            lists += 1;
            for expr in list.values.iter().flatten() {
                expr.apply(|expr| {
                    if let Expr::Placeholder(placeholder) = expr {
                        inside.insert(placeholder.id.clone());
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let all: BTreeSet<String> = plan.get_parameter_names()?.into_iter().collect();
    Ok(matches!(plan, LogicalPlan::Dml(_)) && lists == 1 && inside == all)
}

/// The plan with its VALUES once for each row.
fn one_insert(plan: LogicalPlan, parameters: &Schema, rows: &RecordBatch) -> Result<LogicalPlan> {
    let mut all: Vec<Vec<Expr>> = Vec::with_capacity(rows.num_rows());
    plan.apply(|node| {
        if matches!(node, LogicalPlan::Values(_)) {
            for row in 0..rows.num_rows() {
                let given = values(parameters, rows, row)?;
                if let LogicalPlan::Values(list) = node.clone().with_param_values(given)? {
                    all.extend(list.values);
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let all = LogicalPlanBuilder::values(all)?.build()?;
    let input = plan.transform_down(|node| match node {
        LogicalPlan::Values(_) => Ok(Transformed::new(all.clone(), true, TreeNodeRecursion::Jump)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(input.data)
}

/// Refuses a statement that still has parameters.
pub fn none_left(parameters: &Schema) -> Result<()> {
    match parameters.fields().first() {
        None => Ok(()),
        Some(first) => plan_err!(
            "the statement has the parameter ${}: give it a value",
            first.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::statements::Kind;

    async fn plan(context: &SessionContext, sql: &str) -> Result<LogicalPlan> {
        let Kind::Engine(mut statement) = crate::statements::parse::parse(sql)?.remove(0).kind
        else {
            panic!("{sql}");
        };
        number(&mut statement)?;
        context.state().statement_to_plan(*statement).await
    }

    fn row(columns: [(&str, ArrayRef); 2]) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    async fn rows(context: &SessionContext, plan: LogicalPlan) -> Vec<RecordBatch> {
        let frame = context.execute_logical_plan(plan).await.unwrap();
        frame.collect().await.unwrap()
    }

    #[tokio::test]
    async fn marks_numbers_and_names_are_bound() {
        let context = SessionContext::new();
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let words: ArrayRef = Arc::new(StringArray::from(vec!["sea"]));
        let in_order = row([("0", Arc::clone(&numbers)), ("1", Arc::clone(&words))]);
        let by_name = row([("word", words), ("n", numbers)]);
        for (sql, values) in [
            (
                "SELECT CAST(? AS BIGINT) AS n, CAST(? AS VARCHAR) AS word",
                &in_order,
            ),
            (
                "SELECT CAST($1 AS BIGINT) AS n, CAST($2 AS VARCHAR) AS word",
                &in_order,
            ),
            (
                "SELECT CAST($n AS BIGINT) AS n, CAST($word AS VARCHAR) AS word",
                &by_name,
            ),
        ] {
            let plan = plan(&context, sql).await.unwrap();
            let parameters = schema(&plan).unwrap();
            assert!(none_left(&parameters).is_err());
            let bound = bind(plan, &parameters, values).unwrap();
            let text = arrow::util::pretty::pretty_format_batches(&rows(&context, bound).await)
                .unwrap()
                .to_string();
            assert!(text.contains("| 7 | sea  |"), "{sql}\n{text}");
        }
    }

    #[tokio::test]
    async fn wrong_values_are_refused() {
        let context = SessionContext::new();
        assert!(plan(&context, "SELECT ? + $1").await.is_err());
        let plan = plan(&context, "SELECT CAST($1 AS BIGINT) + 1")
            .await
            .unwrap();
        let parameters = schema(&plan).unwrap();
        let two = row([
            ("0", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
            ("1", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
        ]);
        let error = bind(plan.clone(), &parameters, &two)
            .unwrap_err()
            .to_string();
        assert!(error.contains("1 parameters, and 2 values"), "{error}");
        let rows =
            RecordBatch::try_from_iter([("0", Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef)])
                .unwrap();
        let error = bind(plan, &parameters, &rows).unwrap_err().to_string();
        assert!(error.contains("INSERT INTO"), "{error}");
    }

    #[tokio::test]
    async fn many_rows_are_one_insert() {
        let context = SessionContext::new();
        context
            .sql("CREATE TABLE t (n INT, word VARCHAR)")
            .await
            .unwrap();
        let plan = plan(&context, "INSERT INTO t VALUES (?, upper(?))")
            .await
            .unwrap();
        let parameters = schema(&plan).unwrap();
        let many = row([
            (
                "0",
                Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef,
            ),
            (
                "1",
                Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef,
            ),
        ]);
        let bound = bind(plan, &parameters, &many).unwrap();
        rows(&context, bound).await;
        let all = context.sql("SELECT * FROM t ORDER BY word").await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&all.collect().await.unwrap())
            .unwrap()
            .to_string();
        assert!(
            text.contains("| 1 | A    |\n|   | B    |\n| 3 | C    |"),
            "{text}"
        );
    }
}
