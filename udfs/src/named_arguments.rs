//! Named arguments with gaps: `f(x, c => 1)` where `b` stands before `c`.
//!
//! DataFusion 55 resolves named arguments only where they fill the parameters from
//! the first without a gap, and it offers no hook before that. [`complete`] goes over
//! the parsed statement and gives NULL to what was left out between; the functions
//! of this crate read NULL as "not given". A program that plans SQL with these
//! functions calls it between parsing and planning. On the way it says what is wrong
//! with a window function of this crate that has no OVER.

use std::ops::ControlFlow;

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::common::{DataFusionError, Result, plan_datafusion_err, plan_err};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::logical_expr::{Signature, TypeSignature};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArguments, Ident,
    Value, VisitMut, visit_expressions_mut,
};

/// Fills the gaps in all calls with named arguments below `tree`: a statement, a
/// query, an expression.
///
/// Only functions declared by [`Parameters`](crate::args::Parameters) are touched.
///
/// # Errors
/// An unknown argument name, with the name that was probably meant; a window function of
/// ours without OVER.
pub fn complete<T: VisitMut>(tree: &mut T, registry: &dyn FunctionRegistry) -> Result<()> {
    let visited = visit_expressions_mut(tree, |expr| {
        if let Expr::Function(function) = expr
            && let Err(error) = complete_call(function, registry)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::<DataFusionError>::Continue(())
    });
    match visited {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn complete_call(function: &mut Function, registry: &dyn FunctionRegistry) -> Result<()> {
    let [part] = function.name.0.as_slice() else {
        return Ok(());
    };
    let Some(name) = part.as_ident().map(normalise) else {
        return Ok(());
    };
    if function.over.is_none() {
        refuse_window(&name, registry)?;
    }
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(());
    };
    let named = |arg: &FunctionArg| matches!(arg, FunctionArg::Named { .. });
    if !list.args.iter().any(named) {
        return Ok(());
    }
    let Some(parameters) = parameters(&name, registry) else {
        return Ok(());
    };

    let mut given = vec![false; parameters.len()];
    let mut last = 0;
    for (i, arg) in list.args.iter().enumerate() {
        let at = match arg {
            FunctionArg::Named { name: argument, .. } => position(&name, &parameters, argument)?,
            _ => i,
        };
        if let Some(given) = given.get_mut(at) {
            *given = true;
            last = last.max(at);
        }
    }
    for (parameter, given) in parameters.iter().zip(&given).take(last) {
        if !given {
            list.args.push(FunctionArg::Named {
                name: Ident::with_quote('"', parameter),
                arg: FunctionArgExpr::Expr(Expr::Value(Value::Null.into())),
                operator: FunctionArgOperator::RightArrow,
            });
        }
    }
    Ok(())
}

/// A window function of ours without OVER, which DataFusion does not know.
fn refuse_window(name: &str, registry: &dyn FunctionRegistry) -> Result<()> {
    let is_window = registry.udwf(name).is_ok()
        && registry.udf(name).is_err()
        && registry.udaf(name).is_err()
        && parameters(name, registry).is_some();
    match is_window {
        true => plan_err!(
            "{name} is a window function, over the rows of a run: write {name}(…) OVER (PARTITION BY \
             subject, run ORDER BY tr)"
        ),
        false => Ok(()),
    }
}

/// The parameter names of a function of ours.
fn parameters(name: &str, registry: &dyn FunctionRegistry) -> Option<Vec<String>> {
    let ours = |signature: &Signature| match signature.type_signature {
        TypeSignature::UserDefined => signature.parameter_names.clone(),
        _ => None,
    };
    if let Ok(udf) = registry.udf(name) {
        ours(udf.signature())
    } else if let Ok(udaf) = registry.udaf(name) {
        ours(udaf.signature())
    } else if let Ok(udwf) = registry.udwf(name) {
        ours(udwf.signature())
    } else {
        None
    }
}

fn position(function: &str, parameters: &[String], argument: &Ident) -> Result<usize> {
    let wanted = normalise(argument);
    if let Some(at) = parameters.iter().position(|known| *known == wanted) {
        return Ok(at);
    }
    let known = parameters.join(", ");
    match closest(&wanted, parameters.iter().map(String::as_str)) {
        Some(close) => {
            plan_err!("{function} has no argument {wanted}; did you mean {close}? It takes {known}")
        }
        None => Err(plan_datafusion_err!(
            "{function} has no argument {wanted}. It takes {known}"
        )),
    }
}

/// The name that differs from `wanted`, whatever its case, by the fewest letters, if that
/// is at most half of them.
pub fn closest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let distance = |name: &str| levenshtein(name, &wanted);
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| distance * 2 <= wanted.len().max(name.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The name that an identifier means: lower case, unless it is quoted.
pub fn normalise(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::SessionContext;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn completed(sql: &str) -> Result<String> {
        let ctx = SessionContext::new();
        crate::register_all(&ctx);
        let mut statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        complete(&mut statements, &ctx)?;
        Ok(statements[0].to_string())
    }

    #[test]
    fn gaps_become_null() {
        assert_eq!(
            completed("SELECT tr_index(time, start => 1) FROM t").unwrap(),
            r#"SELECT tr_index(time, start => 1, "tr" => NULL) FROM t"#
        );
        let whole = "SELECT tr_index(time, tr => 2), substr(a, length => 1) FROM t";
        assert_eq!(completed(whole).unwrap(), whole);
    }

    #[test]
    fn a_window_needs_its_window() {
        let error = completed("SELECT zscore(x) FROM t")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("write zscore(…) OVER (PARTITION BY subject, run ORDER BY tr)"),
            "{error}"
        );
        for fine in [
            "SELECT zscore(x) OVER (ORDER BY tr) FROM t",
            "SELECT lag(x) OVER (ORDER BY tr), abs(x) FROM t",
        ] {
            assert_eq!(completed(fine).unwrap(), fine);
        }
    }

    #[test]
    fn unknown_names_are_suggested() {
        let error = completed("SELECT 1 FROM t WHERE tr_index(time, tR => 1, strat => 2) > 0");
        assert!(error.unwrap_err().to_string().contains(
            "tr_index has no argument strat; did you mean start? It takes time, tr, start, slice_time_ref, before"
        ));
        let error = completed("SELECT tr_index(time, repetition_time => 1)").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("no argument repetition_time. It takes")
        );
    }
}
