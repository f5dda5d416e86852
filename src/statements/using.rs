//! In the syntax tree: `a JOIN b USING (subject) WHERE subject = '01'`.
//!
//! DataFusion 55 calls such a WHERE ambiguous, though it takes the column anywhere else. So it is
//! told which one: the left table's, the right one's after a RIGHT JOIN, and whichever is there
//! after a FULL JOIN.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};

/// Qualifies the columns of USING in the WHERE clauses of `tree`.
pub fn qualify<T: VisitMut>(tree: &mut T) {
    // The visitor never breaks off.
    let _ = tree.visit(&mut Selects);
}

struct Selects;

impl VisitorMut for Selects {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let [from] = select.from.as_slice()
            && let Some(condition) = &mut select.selection
        {
            let columns = columns(from);
            if !columns.is_empty() {
                let _ = condition.visit(&mut Condition { columns, depth: 0 });
            }
        }
        ControlFlow::Continue(())
    }
}

/// The columns of USING that stand first in a chain of joins, and what each one means.
fn columns(from: &TableWithJoins) -> Vec<(String, Expr)> {
    let (Some(left), Some(first)) = (name(&from.relation), from.joins.first()) else {
        return vec![];
    };
    let columns = using(first)
        .iter()
        .filter_map(|column| match column.0.as_slice() {
            [part] => part.as_ident(),
            _ => None,
        });
    let columns = columns.filter_map(|column| {
        let mut meaning = qualified(left, column);
        for join in &from.joins {
            let shares = |other: &ObjectName| match other.0.as_slice() {
                [part] => part.as_ident().map(normal) == Some(normal(column)),
                _ => false,
            };
            if using(join).iter().any(shares) {
                meaning = after(join, meaning, column)?;
            }
        }
        Some((normal(column), meaning))
    });
    columns.collect()
}

fn after(join: &Join, left: Expr, column: &Ident) -> Option<Expr> {
    let right = || Some(qualified(name(&join.relation)?, column));
    Some(match join.join_operator {
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) => right()?,
        JoinOperator::FullOuter(_) => coalesce([left, right()?]),
        _ => left,
    })
}

fn using(join: &Join) -> &[ObjectName] {
    match &join.join_operator {
        JoinOperator::Join(JoinConstraint::Using(columns))
        | JoinOperator::Inner(JoinConstraint::Using(columns))
        | JoinOperator::Left(JoinConstraint::Using(columns))
        | JoinOperator::LeftOuter(JoinConstraint::Using(columns))
        | JoinOperator::Right(JoinConstraint::Using(columns))
        | JoinOperator::RightOuter(JoinConstraint::Using(columns))
        | JoinOperator::FullOuter(JoinConstraint::Using(columns)) => columns,
        _ => &[],
    }
}

/// What the columns of a table are qualified with.
fn name(relation: &TableFactor) -> Option<&Ident> {
    let (alias, name) = match relation {
        TableFactor::Table { name, alias, .. } => (alias, Some(name)),
        TableFactor::Derived { alias, .. } => (alias, None),
        _ => return None,
    };
    match alias {
        Some(alias) => Some(&alias.name),
        None => name?.0.last().and_then(ObjectNamePart::as_ident),
    }
}

fn qualified(table: &Ident, column: &Ident) -> Expr {
    Expr::CompoundIdentifier(vec![table.clone(), column.clone()])
}

fn coalesce(values: [Expr; 2]) -> Expr {
    let args = values.map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("coalesce")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.to_vec(),
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}

fn normal(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// A WHERE clause. Subqueries have columns of their own.
struct Condition {
    columns: Vec<(String, Expr)>,
    depth: usize,
}

impl VisitorMut for Condition {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(column) = expr
        {
            let column = normal(column);
            if let Some((_, meaning)) = self.columns.iter().find(|(known, _)| *known == column) {
                *expr = meaning.clone();
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    use rstest::rstest;

    #[rstest]
    #[case("a JOIN b USING (s) WHERE s = 1", "a.s = 1")]
    #[case("x.a JOIN b USING (s, t) WHERE S = t", "a.s = a.t")]
    #[case("f('x') AS p LEFT JOIN b USING (s) WHERE s > 1 AND y", "p.s > 1 AND y")]
    #[case("a RIGHT JOIN b USING (s) WHERE s = 1", "b.s = 1")]
    #[case("a FULL JOIN b AS c USING (s) WHERE s = 1", "coalesce(a.s, c.s) = 1")]
    #[case("a JOIN b USING (s) RIGHT JOIN c USING (s) WHERE s = 1", "c.s = 1")]
    #[case("a JOIN b USING (s) JOIN c ON x = y WHERE s = 1", "a.s = 1")]
    #[case("(SELECT 1 AS s) AS q JOIN b USING (s) WHERE s IS NULL", "q.s IS NULL")]
    #[case("a JOIN b USING (\"S\") WHERE s = 1", "s = 1")]
    #[case("a JOIN b USING (s) WHERE b.s = 1", "b.s = 1")]
    #[case(
        "a JOIN b USING (s) WHERE s IN (SELECT s FROM c WHERE s > 1)",
        "a.s IN (SELECT s FROM c WHERE s > 1)"
    )]
    // Whose column it is, only the tables know.
    #[case("a JOIN b ON x = y JOIN c USING (s) WHERE s = 1", "s = 1")]
    #[case("a JOIN b ON x = y WHERE s = 1", "s = 1")]
    #[case("a NATURAL JOIN b WHERE s = 1", "s = 1")]
    fn where_means(#[case] from: &str, #[case] condition: &str) {
        let parse = |from: &str| {
            let sql = format!("SELECT * FROM {from}");
            Parser::parse_sql(&GenericDialect {}, &sql).unwrap()
        };
        let mut got = parse(from);
        qualify(&mut got);
        let (tables, _) = from.split_once(" WHERE ").unwrap();
        assert_eq!(
            got[0].to_string(),
            parse(&format!("{tables} WHERE {condition}"))[0].to_string()
        );
    }
}
