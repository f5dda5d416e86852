//! The arguments of a call: two queries for rows, and constants.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SessionState;
use datafusion::sql::sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Ident};
use voxql_udfs::args::{Arguments, Kind, Parameters};
use voxql_udfs::kernels::design::Drift;
use voxql_udfs::named_arguments::{closest, normalise};
use voxql_udfs::regressor::Settings;

use super::FUNCTION;
use super::calls::Call;
use crate::statements;

/// nilearn's `high_pass` in Hz.
const HIGH_PASS: f64 = 0.01;

const DRIFT_ORDER: usize = 1;

/// The arguments whose values are rows.
const QUERIES: [&str; 2] = ["events", "add_regs"];

const PARAMETERS: Parameters = Parameters {
    function: FUNCTION,
    required: 3,
    list: &[
        ("events", Kind::Any),
        ("tr", Kind::Number),
        ("n_scans", Kind::Integer),
        ("hrf_model", Kind::Text),
        ("drift_model", Kind::Text),
        ("high_pass", Kind::Number),
        ("drift_order", Kind::Integer),
        ("fir_delays", Kind::Numbers),
        ("add_regs", Kind::Any),
        ("min_onset", Kind::Number),
        ("oversampling", Kind::Integer),
        ("slice_time_ref", Kind::Number),
    ],
};

/// What a call was given.
pub struct Inputs {
    pub settings: Settings,
    pub drift: Drift,
    /// None for a design of drifts only.
    pub events: Option<Rows>,
    pub added: Option<Rows>,
}

/// The rows of a query.
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Inputs {
    /// Runs the queries of a call.
    pub async fn evaluate(state: &SessionState, call: &Call) -> Result<Self> {
        let given = by_parameter(&call.args)?;
        let mut rows = [None, None];
        for (rows, name) in rows.iter_mut().zip(QUERIES) {
            if let Some((_, expr)) = given.iter().find(|(known, _)| *known == name) {
                *rows = query(state, call, name, expr).await?;
            }
        }
        let [events, added] = rows;
        let values = constants(state, call, &given).await?;
        let values: Vec<Option<&ScalarValue>> = values.iter().map(Some).collect();
        let arguments = PARAMETERS.at_planning(&values);
        Ok(Self {
            settings: Settings::read(FUNCTION, &arguments, "hrf_model")?,
            drift: drift(&arguments)?,
            events,
            added,
        })
    }
}

fn drift(arguments: &Arguments<'_>) -> Result<Drift> {
    let name = arguments.str("drift_model")?.unwrap_or("cosine");
    let high_pass = arguments.f64("high_pass")?.unwrap_or(HIGH_PASS);
    let order = arguments.usize("drift_order")?.unwrap_or(DRIFT_ORDER);
    Drift::from_name(name, high_pass, order).or_else(|message| plan_err!("{FUNCTION}: {message}"))
}

/// Each argument with the parameter that it is for.
fn by_parameter(args: &[FunctionArg]) -> Result<Vec<(&'static str, &Expr)>> {
    let mut given: Vec<(&str, &Expr)> = Vec::with_capacity(args.len());
    for (i, arg) in args.iter().enumerate() {
        let (name, value) = match arg {
            FunctionArg::Named { name, arg, .. } => (parameter(name)?, arg),
            FunctionArg::Unnamed(arg) => match PARAMETERS.list.get(i) {
                Some((name, _)) => (*name, arg),
                None => return plan_err!("{FUNCTION}: {} arguments are too many", args.len()),
            },
            FunctionArg::ExprNamed { .. } => {
                return plan_err!(
                    "{FUNCTION}: cannot use the argument `{arg}`; write name => value"
                );
            }
        };
        let FunctionArgExpr::Expr(value) = value else {
            return plan_err!("{FUNCTION}: {name} cannot be {value}");
        };
        if given.iter().any(|(known, _)| *known == name) {
            return plan_err!("{FUNCTION}: {name} is given twice");
        }
        given.push((name, value));
    }
    Ok(given)
}

fn parameter(ident: &Ident) -> Result<&'static str> {
    let wanted = normalise(ident);
    let known = PARAMETERS.list.iter().map(|(name, _)| *name);
    if let Some(name) = known.clone().find(|name| *name == wanted) {
        return Ok(name);
    }
    let takes = known.clone().collect::<Vec<_>>().join(", ");
    let part_of = || known.clone().find(|name| name.contains(&wanted));
    match closest(&wanted, known.clone()).or_else(part_of) {
        Some(close) => {
            plan_err!("{FUNCTION} has no argument {wanted}; did you mean {close}? It takes {takes}")
        }
        None => plan_err!("{FUNCTION} has no argument {wanted}. It takes {takes}"),
    }
}

/// The rows of the query that is the argument `name`; None where it is NULL.
async fn query(state: &SessionState, call: &Call, name: &str, expr: &Expr) -> Result<Option<Rows>> {
    let query = match expr {
        Expr::Subquery(query) => query,
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::Subquery(query) => query,
            _ => return no_query(name, expr),
        },
        Expr::Value(value) if value.value == datafusion::sql::sqlparser::ast::Value::Null => {
            return Ok(None);
        }
        _ => return no_query(name, expr),
    };
    let sql = format!("{}SELECT * FROM ({query}) AS {name}", call.with(query));
    match run(state, &sql).await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) => Err(error.context(format!("in the {name} of {FUNCTION}"))),
    }
}

fn no_query<T>(name: &str, expr: &Expr) -> Result<T> {
    plan_err!(
        "{FUNCTION}: {name} must be a query in parentheses, as in \
         {FUNCTION}((SELECT onset, duration, trial_type FROM …), tr => …, n_scans => …), not `{expr}`"
    )
}

/// The values of all other parameters, in order; NULL where one is not given.
async fn constants(
    state: &SessionState,
    call: &Call,
    given: &[(&'static str, &Expr)],
) -> Result<Vec<ScalarValue>> {
    let mut values = vec![ScalarValue::Null; PARAMETERS.list.len()];
    let constants: Vec<&(&str, &Expr)> = given
        .iter()
        .filter(|(name, _)| !QUERIES.contains(name))
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
    let rows = run(state, &sql)
        .await
        .map_err(|error| error.context(format!("in the arguments of {FUNCTION}")))?;
    let Some(row) = rows.batches.iter().find(|batch| batch.num_rows() > 0) else {
        return plan_err!("{FUNCTION}: its arguments have no value");
    };
    for ((name, _), column) in constants.into_iter().zip(row.columns()) {
        if let Some(at) = PARAMETERS.list.iter().position(|(known, _)| known == name) {
            values[at] = ScalarValue::try_from_array(column, 0)?;
        }
    }
    Ok(values)
}

/// Plans and runs a query as any statement is, with readers and other calls inside.
async fn run(state: &SessionState, sql: &str) -> Result<Rows> {
    let statement = statements::parse::parse(sql)?.pop();
    let Some(statements::Kind::Engine(statement)) = statement.map(|s| s.kind) else {
        return Err(DataFusionError::Internal(format!("not a query: {sql}")));
    };
    // Planning a query may come back here.
    let plan = Box::pin(statements::plan::plan(state, *statement)).await?;
    let frame = DataFrame::new(state.clone(), plan);
    let schema = SchemaRef::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    Ok(Rows { schema, batches })
}
