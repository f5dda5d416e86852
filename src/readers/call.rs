//! From a call as written, `read_bold('x.nii', mask => 'm.nii')`, to paths and checked options.

use std::collections::HashMap;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Array, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, UnaryOperator,
    Value as SqlValue,
};

use voxql_udfs::named_arguments::closest;

use super::bids::arguments;
use super::format::{BidsUse, Format, Options, Parameter, ParameterKind, Value};

/// The paths (first argument: a string or an array of strings) and the named arguments.
pub fn arguments(format: &dyn Format, args: &[FunctionArg]) -> Result<(Vec<String>, Options)> {
    let function = format.function();
    let mut paths = None;
    let mut options = Options::default();
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if paths.is_none() => {
                paths = Some(path_list(function, expr)?);
            }
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(value),
                operator:
                    FunctionArgOperator::RightArrow
                    | FunctionArgOperator::Equals
                    | FunctionArgOperator::Assignment,
            } => {
                let parameter = find_parameter(format, &name.value)?;
                if let Some(value) = literal(function, &parameter, value)? {
                    options.0.insert(parameter.name.to_string(), value);
                }
            }
            other => {
                return plan_err!(
                    "{function}: cannot use the argument `{other}`; after the path, arguments are named: {}",
                    usage(format)
                );
            }
        }
    }
    match paths {
        Some(paths) => Ok((paths, options)),
        None => plan_err!("{function} needs a path: {}", usage(format)),
    }
}

/// The same from `OPTIONS ('mask' 'm.nii')` of CREATE EXTERNAL TABLE, where all values are text, and those of an
/// array stand between commas.
pub fn external_options(format: &dyn Format, given: &HashMap<String, String>) -> Result<Options> {
    let mut options = Options::default();
    for (name, text) in given {
        // DataFusion puts `format.` before names without a dot.
        let name = name.strip_prefix("format.").unwrap_or(name);
        let parameter = find_parameter(format, name)?;
        let texts: Vec<String> = match parameter.kind {
            ParameterKind::Texts if !text.contains(',') => {
                options.0.insert(
                    parameter.name.to_string(),
                    Value::Text(text.trim().to_owned()),
                );
                continue;
            }
            ParameterKind::Floats | ParameterKind::Texts => {
                text.split(',').map(|part| part.trim().to_owned()).collect()
            }
            _ => vec![text.clone()],
        };
        let value = from_texts(format.function(), &parameter, &texts)?;
        options.0.insert(parameter.name.to_string(), value);
    }
    Ok(options)
}

fn find_parameter(format: &dyn Format, name: &str) -> Result<Parameter> {
    let own = format.parameters().iter();
    let knows_bids = format.bids() != BidsUse::Nothing;
    if let Some(parameter) = own.clone().find(|p| p.name.eq_ignore_ascii_case(name)) {
        return Ok(*parameter);
    }
    if knows_bids && let Some(parameter) = arguments::parameter(name) {
        return Ok(parameter);
    }
    let entities = arguments::names().filter(|_| knows_bids);
    let names = own.map(|p| p.name).chain(entities);
    match closest(name, names) {
        Some(near) => plan_err!(
            "{}: there is no option `{name}`; did you mean `{near}`?",
            format.function()
        ),
        None => plan_err!(
            "{}: there is no option `{name}`; it is used as {}",
            format.function(),
            usage(format)
        ),
    }
}

/// `read_bold('path', mask => …)`, with all named arguments; those of BIDS entities shortened.
pub fn usage(format: &dyn Format) -> String {
    let own = format.parameters().iter().map(|p| p.name);
    let (shortened, derivatives) = match format.bids() {
        BidsUse::Nothing => ("", None),
        _ => (
            ", subject => …, task => …, …",
            Some(arguments::DERIVATIVES.name),
        ),
    };
    let named: String = own
        .chain(derivatives)
        .map(|name| format!(", {name} => …"))
        .collect();
    format!("{}('path'{named}{shortened})", format.function())
}

fn path_list(function: &str, expr: &Expr) -> Result<Vec<String>> {
    match expr {
        Expr::Array(Array { elem, .. }) => {
            let lists = elem.iter().map(|e| path_list(function, e));
            Ok(lists.collect::<Result<Vec<_>>>()?.concat())
        }
        Expr::Value(value) => match value.value.clone().into_string() {
            Some(path) if !path.is_empty() => Ok(vec![path]),
            _ => plan_err!("{function}: the path must be a non-empty string, not {expr}"),
        },
        _ => plan_err!(
            "{function}: the path must be a literal string or an array of them, not `{expr}`: files are looked at before the query runs"
        ),
    }
}

/// The value of a named argument; `None` for NULL.
fn literal(function: &str, parameter: &Parameter, expr: &Expr) -> Result<Option<Value>> {
    let items = match expr {
        Expr::Array(Array { elem, .. }) if !elem.is_empty() => elem.as_slice(),
        expr => match scalar(function, parameter, expr)? {
            // One text is told apart from an array of one.
            Some(text) if parameter.kind == ParameterKind::Texts => {
                return Ok(Some(Value::Text(text)));
            }
            Some(text) => return from_texts(function, parameter, &[text]).map(Some),
            None => return Ok(None),
        },
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        match scalar(function, parameter, item)? {
            Some(text) => texts.push(text),
            None => return wrong_kind(function, parameter, &expr.to_string()),
        }
    }
    from_texts(function, parameter, &texts).map(Some)
}

/// A literal as text; `None` for NULL.
fn scalar(function: &str, parameter: &Parameter, expr: &Expr) -> Result<Option<String>> {
    let (sign, expr) = match expr {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => ("-", expr.as_ref()),
        expr => ("", expr),
    };
    let Expr::Value(value) = expr else {
        return plan_err!(
            "{function}: {} must be a literal, not `{expr}`",
            parameter.name
        );
    };
    let kind = parameter.kind;
    match &value.value {
        SqlValue::Null => Ok(None),
        SqlValue::Boolean(b) if kind == ParameterKind::Boolean => Ok(Some(b.to_string())),
        SqlValue::Boolean(b) if kind == ParameterKind::IntegerOrBoolean => Ok(Some(b.to_string())),
        SqlValue::Number(digits, _) => match kind {
            ParameterKind::Text | ParameterKind::Boolean => {
                wrong_kind(function, parameter, &format!("{sign}{digits}"))
            }
            _ => Ok(Some(format!("{sign}{digits}"))),
        },
        other => match other.clone().into_string() {
            Some(text) => Ok(Some(text)),
            None => wrong_kind(function, parameter, &expr.to_string()),
        },
    }
}

fn from_texts(function: &str, parameter: &Parameter, texts: &[String]) -> Result<Value> {
    let value = match (parameter.kind, texts) {
        (ParameterKind::Floats, _) => {
            let numbers = texts.iter().map(|text| text.trim().parse().ok());
            numbers.collect::<Option<Vec<_>>>().map(Value::Floats)
        }
        (ParameterKind::Texts, _) => Some(Value::Texts(texts.to_vec())),
        (ParameterKind::Float, [text]) => text.trim().parse().ok().map(Value::Float),
        (ParameterKind::Integer, [text]) => text.trim().parse().ok().map(Value::Integer),
        (ParameterKind::IntegerOrBoolean, [text]) => match text.trim().to_lowercase().as_str() {
            "true" => Some(Value::Integer(1)),
            "false" => Some(Value::Integer(0)),
            text => text.parse().ok().map(Value::Integer),
        },
        (ParameterKind::Boolean, [text]) => {
            text.trim().to_lowercase().parse().ok().map(Value::Boolean)
        }
        (ParameterKind::Text, [text]) => Some(Value::Text(text.clone())),
        _ => None,
    };
    match value {
        Some(value) => Ok(value),
        None => wrong_kind(function, parameter, &texts.join(", ")),
    }
}

fn wrong_kind<T>(function: &str, parameter: &Parameter, value: &str) -> Result<T> {
    let wanted = match parameter.kind {
        ParameterKind::Float => "a number",
        ParameterKind::Integer => "a whole number",
        ParameterKind::IntegerOrBoolean => "a whole number, true or false",
        ParameterKind::Text => "text",
        ParameterKind::Boolean => "true or false",
        ParameterKind::Floats => "a number or an array of numbers",
        ParameterKind::Texts => "text or an array of texts",
    };
    plan_err!(
        "{function}: {} must be {wanted}, not {value}",
        parameter.name
    )
}
