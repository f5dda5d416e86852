//! Finding the calls in a statement, and the common table expressions that they see.

use std::ops::ControlFlow;

use datafusion::sql::parser::{CopyToSource, Statement as EngineStatement};
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, TableFactor, Value, Visit,
    VisitMut, VisitorMut, visit_relations,
};

use voxql_udfs::named_arguments::normalise;

use super::{FUNCTIONS, Function};
use crate::statements::table_functions::call_parts;

/// A call, and what its queries may name beside tables.
#[derive(Debug)]
pub struct Call {
    pub function: &'static Function,
    pub args: Vec<FunctionArg>,
    /// The common table expressions in scope, those that later ones may use first.
    ctes: Vec<Visible>,
}

/// A common table expression that may be named.
#[derive(Debug, Clone)]
struct Visible {
    cte: Cte,
    /// Whether it stands after WITH RECURSIVE, and may name itself.
    recursive: bool,
}

impl Call {
    /// `WITH …` for a query of this call: the definitions that it needs, or nothing.
    pub fn with(&self, query: &impl Visit) -> String {
        let mut wanted = relations(query);
        let mut needed: Vec<&Cte> = Vec::new();
        let mut recursive = "";
        for Visible {
            cte,
            recursive: own,
        } in self.ctes.iter().rev()
        {
            let name = normalise(&cte.alias.name);
            // Of two of one name the inner one, which comes later, hides the other.
            let hidden = needed.iter().any(|n| normalise(&n.alias.name) == name);
            if wanted.contains(&name) && !hidden {
                wanted.extend(relations(&cte.query));
                needed.push(cte);
                if *own {
                    recursive = "RECURSIVE ";
                }
            }
        }
        match needed.is_empty() {
            true => String::new(),
            false => {
                let needed: Vec<String> = needed.iter().rev().map(|c| c.to_string()).collect();
                format!("WITH {recursive}{} ", needed.join(", "))
            }
        }
    }
}

/// Takes the calls out of a statement. Each keeps its number as its only argument.
pub fn take(statement: &mut EngineStatement) -> Vec<Call> {
    let mut taker = Taker::default();
    visit(statement, &mut taker);
    taker.calls
}

fn visit(statement: &mut EngineStatement, taker: &mut Taker) {
    // The visitor never breaks off.
    let _ = match statement {
        EngineStatement::Statement(statement) => VisitMut::visit(statement, taker),
        EngineStatement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => VisitMut::visit(query, taker),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        EngineStatement::Explain(explain) => {
            visit(&mut explain.statement, taker);
            ControlFlow::Continue(())
        }
        EngineStatement::CreateExternalTable(_) | EngineStatement::Reset(_) => {
            ControlFlow::Continue(())
        }
    };
}

/// The function of which this is a call in FROM.
pub fn called(factor: &TableFactor) -> Option<&'static Function> {
    parts(factor).map(|(function, _)| function)
}

/// The number that [`take`] left in a call.
pub fn number(factor: &TableFactor) -> Option<usize> {
    match parts(factor)?.1 {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] => {
            value.value.clone().into_string()?.parse().ok()
        }
        _ => None,
    }
}

fn parts(factor: &TableFactor) -> Option<(&'static Function, &[FunctionArg])> {
    let (name, args) = call_parts(factor)?;
    Some((by_name(name)?, args))
}

fn by_name(name: &ObjectName) -> Option<&'static Function> {
    let [part] = name.0.as_slice() else {
        return None;
    };
    let name = normalise(part.as_ident()?);
    FUNCTIONS.into_iter().find(|known| known.name() == name)
}

/// The names without a schema that a query reads from.
fn relations(query: &impl Visit) -> Vec<String> {
    let mut names = Vec::new();
    let _ = visit_relations(query, |name| {
        if let [part] = name.0.as_slice() {
            names.extend(part.as_ident().map(normalise));
        }
        ControlFlow::<()>::Continue(())
    });
    names
}

#[derive(Default)]
struct Taker {
    /// The queries around the current place, outermost first.
    scopes: Vec<Scope>,
    calls: Vec<Call>,
}

/// The common table expressions of a query.
struct Scope {
    ctes: Vec<Visible>,
    /// Where their queries lie in memory, by which the visitor knows them again.
    places: Vec<*const Query>,
    /// How many of them are behind the current place, and may be named.
    visible: usize,
}

impl VisitorMut for Taker {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let with = query.with.as_ref();
        let ctes = with.map_or(&[][..], |with| with.cte_tables.as_slice());
        let recursive = with.is_some_and(|with| with.recursive);
        let visible = |cte: &Cte| Visible {
            cte: cte.clone(),
            recursive,
        };
        self.scopes.push(Scope {
            ctes: ctes.iter().map(visible).collect(),
            places: ctes.iter().map(|c| std::ptr::from_ref(&*c.query)).collect(),
            visible: 0,
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        if let Some(around) = self.scopes.last_mut() {
            let current = around.places.get(around.visible);
            if current.is_some_and(|place| std::ptr::eq(*place, query)) {
                around.visible += 1;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let Some(function) = called(factor) else {
            return ControlFlow::Continue(());
        };
        let args = match factor {
            TableFactor::Table {
                args: Some(args), ..
            } => &mut args.args,
            TableFactor::Function { args, .. } => args,
            _ => return ControlFlow::Continue(()),
        };
        let number = Value::SingleQuotedString(self.calls.len().to_string());
        let number = FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(number.into())));
        let ctes = self.scopes.iter();
        let ctes = ctes.flat_map(|scope| scope.ctes[..scope.visible].to_vec());
        self.calls.push(Call {
            function,
            ctes: ctes.collect(),
            args: std::mem::replace(args, vec![number]),
        });
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::{Kind, parse::parse};

    fn taken(sql: &str) -> (String, Vec<Call>) {
        let Some(Kind::Engine(mut statement)) = parse(sql).unwrap().pop().map(|s| s.kind) else {
            panic!("{sql}");
        };
        let calls = take(&mut statement);
        (statement.to_string(), calls)
    }

    #[test]
    fn calls_leave_their_numbers() {
        let (rest, calls) = taken(
            "COPY (SELECT * FROM design_matrix((SELECT * FROM design_matrix(tr => 1)), tr => 2) AS d
             JOIN Design_Matrix(tr => 3) ON true JOIN other.design_matrix(4) ON true) TO 'x'",
        );
        assert!(rest.contains("design_matrix('0') AS d"), "{rest}");
        assert!(rest.contains("Design_Matrix('1')"), "{rest}");
        assert!(rest.contains("other.design_matrix(4)"), "{rest}");
        // The one inside of another's query is found when that query is planned.
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].args.len(), 2);
    }

    #[test]
    fn recursive_definitions_stay_so() {
        let (_, calls) = taken(
            "WITH RECURSIVE n AS (SELECT 0 AS tr UNION ALL SELECT tr + 1 FROM n WHERE tr < 9)
             SELECT * FROM (WITH m AS (SELECT 1)
                            SELECT * FROM design_matrix((SELECT * FROM n), (SELECT * FROM m)))",
        );
        let with = calls[0].with(&calls[0].args[0]);
        assert!(with.starts_with("WITH RECURSIVE n AS (SELECT 0"), "{with}");
        assert_eq!(calls[0].with(&calls[0].args[1]), "WITH m AS (SELECT 1) ");
    }

    #[test]
    fn queries_see_what_is_defined_before_them() {
        let (_, calls) = taken(
            "WITH unused AS (SELECT 1), a AS (SELECT 2), b AS (SELECT * FROM a),
                  m AS (SELECT * FROM design_matrix((SELECT * FROM b), tr => 1)),
                  later AS (SELECT 3)
             SELECT * FROM (WITH b AS (SELECT * FROM later)
                            SELECT * FROM design_matrix((SELECT * FROM b), tr => 1))",
        );
        let with = |call: &Call| call.with(&call.args).replace('\n', "");
        assert_eq!(
            with(&calls[0]),
            "WITH a AS (SELECT 2), b AS (SELECT * FROM a) "
        );
        assert_eq!(
            with(&calls[1]),
            "WITH later AS (SELECT 3), b AS (SELECT * FROM later) "
        );
    }
}
