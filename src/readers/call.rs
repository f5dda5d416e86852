//! From a call as written, `read_bold('x.nii', mask => 'm.nii')`, to paths and checked options.

use std::collections::HashMap;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Array, Expr, FunctionArg, FunctionArgExpr, FunctionArgOperator, UnaryOperator,
    Value as SqlValue,
};

use voxql_udfs::named_arguments::closest;

use super::format::{Format, Options, Parameter, ParameterKind, Value};

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
                if let Some(value) = literal(function, parameter, value)? {
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

/// The same from `OPTIONS ('mask' 'm.nii')` of CREATE EXTERNAL TABLE, where all values are text.
pub fn external_options(format: &dyn Format, given: &HashMap<String, String>) -> Result<Options> {
    let mut options = Options::default();
    for (name, text) in given {
        // DataFusion puts `format.` before names without a dot.
        let name = name.strip_prefix("format.").unwrap_or(name);
        let parameter = find_parameter(format, name)?;
        let value = from_text(format.function(), parameter, text)?;
        options.0.insert(parameter.name.to_string(), value);
    }
    Ok(options)
}

fn find_parameter<'a>(format: &'a dyn Format, name: &str) -> Result<&'a Parameter> {
    let parameters = format.parameters();
    if let Some(parameter) = parameters
        .iter()
        .find(|p| p.name.eq_ignore_ascii_case(name))
    {
        return Ok(parameter);
    }
    let names = parameters.iter().map(|p| p.name);
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

fn usage(format: &dyn Format) -> String {
    let named = format
        .parameters()
        .iter()
        .map(|p| format!(", {} => …", p.name))
        .collect::<String>();
    format!("{}('path'{named})", format.function())
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

fn literal(function: &str, parameter: &Parameter, expr: &Expr) -> Result<Option<Value>> {
    let (negative, expr) = match expr {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => (true, expr.as_ref()),
        expr => (false, expr),
    };
    let Expr::Value(value) = expr else {
        return plan_err!(
            "{function}: {} must be a literal, not `{expr}`",
            parameter.name
        );
    };
    match &value.value {
        SqlValue::Null => Ok(None),
        SqlValue::Boolean(b) if parameter.kind == ParameterKind::Boolean => {
            Ok(Some(Value::Boolean(*b)))
        }
        SqlValue::Number(digits, _) => {
            let sign = if negative { "-" } else { "" };
            number(function, parameter, &format!("{sign}{digits}")).map(Some)
        }
        other => match other.clone().into_string() {
            Some(text) => from_text(function, parameter, &text).map(Some),
            None => wrong_kind(function, parameter, &expr.to_string()),
        },
    }
}

fn number(function: &str, parameter: &Parameter, digits: &str) -> Result<Value> {
    match parameter.kind {
        ParameterKind::Float | ParameterKind::Integer => from_text(function, parameter, digits),
        _ => wrong_kind(function, parameter, digits),
    }
}

fn from_text(function: &str, parameter: &Parameter, text: &str) -> Result<Value> {
    let value = match parameter.kind {
        ParameterKind::Float => text.trim().parse().ok().map(Value::Float),
        ParameterKind::Integer => text.trim().parse().ok().map(Value::Integer),
        ParameterKind::Boolean => text.trim().to_lowercase().parse().ok().map(Value::Boolean),
        ParameterKind::Text => Some(Value::Text(text.to_string())),
    };
    match value {
        Some(value) => Ok(value),
        None => wrong_kind(function, parameter, text),
    }
}

fn wrong_kind<T>(function: &str, parameter: &Parameter, value: &str) -> Result<T> {
    let wanted = match parameter.kind {
        ParameterKind::Float => "a number",
        ParameterKind::Integer => "a whole number",
        ParameterKind::Text => "text",
        ParameterKind::Boolean => "true or false",
    };
    plan_err!(
        "{function}: {} must be {wanted}, not {value}",
        parameter.name
    )
}
