//! The arguments of a call: queries for rows, and constants.

use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Query, Value, visit_expressions,
};
use futures::TryStreamExt;
use voxql_udfs::args::Arguments;
use voxql_udfs::named_arguments::{closest, normalise};

use super::Function;
use super::calls::Call;
use crate::statements;

/// What a call was given.
pub struct Given {
    function: &'static Function,
    rows: Vec<Option<Rows>>,
    /// By parameter; NULL where one is not given, or is a query.
    values: Vec<ScalarValue>,
}

/// The rows of a query.
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    _memory: MemoryReservation,
}

impl Given {
    /// Runs the queries of a call.
    ///
    /// # Errors
    /// Name the argument, and say what the function takes.
    pub async fn evaluate(state: &SessionState, call: &Call) -> Result<Self> {
        let mut given = Self::without_rows(state, call).await?;
        for (at, name) in call.function.queries.iter().enumerate() {
            given.rows[at] = match stream(state, call, name).await? {
                Some(stream) => {
                    let memory = MemoryConsumer::new(call.function.name());
                    let memory = memory.register(&state.runtime_env().memory_pool);
                    let rows = collect(stream, memory).await;
                    Some(rows.map_err(|error| in_query(error, call.function, name))?)
                }
                None => None,
            };
        }
        Ok(given)
    }

    /// Looks at all arguments, but leaves the queries to [`stream`].
    ///
    /// # Errors
    /// Name the argument, and say what the function takes.
    pub async fn without_rows(state: &SessionState, call: &Call) -> Result<Self> {
        let function = call.function;
        let given = by_parameter(function, &call.args)?;
        Ok(Self {
            function,
            rows: function.queries.iter().map(|_| None).collect(),
            values: constants(state, call, &given).await?,
        })
    }

    /// Takes the rows of a query; None where it was not given, or NULL.
    pub fn take_rows(&mut self, name: &str) -> Option<Rows> {
        let at = self.function.queries.iter().position(|q| *q == name)?;
        self.rows[at].take()
    }

    /// The constants.
    pub fn constants(&self) -> Arguments<'_> {
        let values: Vec<Option<&ScalarValue>> = self.values.iter().map(Some).collect();
        self.function.parameters.at_planning(&values)
    }
}

/// Each argument with the parameter that it is for.
///
/// # Errors
/// Say what the function takes.
pub fn by_parameter<'a>(
    function: &Function,
    args: &'a [FunctionArg],
) -> Result<Vec<(&'static str, &'a Expr)>> {
    let list = function.parameters.list;
    let name_of = function.name();
    let mut given: Vec<(&'static str, &Expr)> = Vec::with_capacity(args.len());
    for (i, arg) in args.iter().enumerate() {
        let (name, value) = match arg {
            FunctionArg::Named { name, arg, .. } => (parameter(function, name)?, arg),
            FunctionArg::Unnamed(arg) => match list.get(i) {
                Some((name, _)) => (*name, arg),
                None => return plan_err!("{name_of}: {} arguments are too many", args.len()),
            },
            FunctionArg::ExprNamed { .. } => {
                return plan_err!(
                    "{name_of}: cannot use the argument `{arg}`; write name => value"
                );
            }
        };
        let FunctionArgExpr::Expr(value) = value else {
            return plan_err!("{name_of}: {name} cannot be {value}");
        };
        if has_parameter(value) {
            return plan_err!(
                "{name_of}: {name} has a parameter, but the call is computed when the statement is planned, before \
                 parameters have values; write the value itself"
            );
        }
        if given.iter().any(|(known, _)| *known == name) {
            return plan_err!("{name_of}: {name} is given twice");
        }
        given.push((name, value));
    }
    Ok(given)
}

/// Whether there is a `?` or `$1` in it.
fn has_parameter(value: &Expr) -> bool {
    let found = visit_expressions(value, |expr| match expr {
        Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn parameter(function: &Function, ident: &Ident) -> Result<&'static str> {
    let name_of = function.name();
    let wanted = normalise(ident);
    let known = function.parameters.list.iter().map(|(name, _)| *name);
    if let Some(name) = known.clone().find(|name| *name == wanted) {
        return Ok(name);
    }
    let takes = known.clone().collect::<Vec<_>>().join(", ");
    let part_of = || known.clone().find(|name| name.contains(&wanted));
    match closest(&wanted, known.clone()).or_else(part_of) {
        Some(close) => {
            plan_err!("{name_of} has no argument {wanted}; did you mean {close}? It takes {takes}")
        }
        None => plan_err!("{name_of} has no argument {wanted}. It takes {takes}"),
    }
}

/// Starts the query that is the argument `name`; None where it was not given, or is NULL.
///
/// # Errors
/// Name the argument. The stream's own errors do not: [`in_query`] says it.
pub async fn stream(
    state: &SessionState,
    call: &Call,
    name: &str,
) -> Result<Option<SendableRecordBatchStream>> {
    let given = by_parameter(call.function, &call.args)?;
    let Some((_, expr)) = given.into_iter().find(|(known, _)| *known == name) else {
        return Ok(None);
    };
    let Some(query) = query_of(call.function, name, expr)? else {
        return Ok(None);
    };
    let sql = format!("{}SELECT * FROM ({query}) AS {name}", call.with(query));
    match start(state, &sql).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => Err(in_query(error, call.function, name)),
    }
}

/// The query in an argument; None where it is NULL.
///
/// # Errors
/// When it is something else.
pub fn query_of<'a>(function: &Function, name: &str, expr: &'a Expr) -> Result<Option<&'a Query>> {
    match expr {
        Expr::Subquery(query) => Ok(Some(query)),
        Expr::Nested(inner) => query_of(function, name, inner),
        Expr::Value(value) if value.value == Value::Null => Ok(None),
        _ => plan_err!(
            "{}: {name} must be a query in parentheses, as in {}, not `{expr}`",
            function.name(),
            function.example
        ),
    }
}

/// Says of an error in which query it is.
pub fn in_query(error: DataFusionError, function: &Function, name: &str) -> DataFusionError {
    error.context(format!("in the {name} of {}", function.name()))
}

async fn collect(mut stream: SendableRecordBatchStream, memory: MemoryReservation) -> Result<Rows> {
    let mut batches = Vec::new();
    // Batches may be slices of one.
    let mut bytes = RecordBatchMemoryCounter::new();
    while let Some(batch) = stream.try_next().await? {
        memory.try_grow(bytes.count_batch(&batch))?;
        batches.push(batch);
    }
    Ok(Rows {
        schema: stream.schema(),
        batches,
        _memory: memory,
    })
}

/// The values of all other parameters, in order; NULL where one is not given.
async fn constants(
    state: &SessionState,
    call: &Call,
    given: &[(&'static str, &Expr)],
) -> Result<Vec<ScalarValue>> {
    let function = call.function;
    let list = function.parameters.list;
    let name_of = function.name();
    let mut values = vec![ScalarValue::Null; list.len()];
    let constants: Vec<&(&str, &Expr)> = given
        .iter()
        .filter(|(name, _)| !function.queries.contains(name))
        .collect();
    if constants.is_empty() {
        return Ok(values);
    }
    let exprs: Vec<Expr> = constants.iter().map(|(_, expr)| (*expr).clone()).collect();
    let columns: Vec<String> = constants
        .iter()
        .map(|(name, expr)| format!("{expr} AS {name}"))
        .collect();
    let sql = format!("{}SELECT {}", call.with(&exprs), columns.join(", "));
    let batches: Result<Vec<RecordBatch>> = match start(state, &sql).await {
        Ok(stream) => stream.try_collect().await,
        Err(error) => Err(error),
    };
    let batches =
        batches.map_err(|error| error.context(format!("in the arguments of {name_of}")))?;
    let Some(row) = batches.iter().find(|batch| batch.num_rows() > 0) else {
        return plan_err!("{name_of}: its arguments have no value");
    };
    for ((name, _), column) in constants.into_iter().zip(row.columns()) {
        if let Some(at) = list.iter().position(|(known, _)| known == name) {
            values[at] = ScalarValue::try_from_array(column, 0)?;
        }
    }
    Ok(values)
}

/// Plans and starts a query as any statement is, with readers and other calls inside.
async fn start(state: &SessionState, sql: &str) -> Result<SendableRecordBatchStream> {
    let statement = statements::parse::parse(sql)?.pop();
    let Some(statements::Kind::Engine(statement)) = statement.map(|s| s.kind) else {
        return Err(DataFusionError::Internal(format!("not a query: {sql}")));
    };
    // Planning a query may come back here.
    let plan = Box::pin(statements::plan::plan(state, *statement)).await?;
    let (_, stream) = statements::plan::start(state.clone(), &plan).await?;
    Ok(stream)
}
