//! In the syntax tree: ASOF JOIN to where a planner of ours gets it.
//!
//! DataFusion hands table factors to relation planners, and plans the joins between
//! them itself. So `a JOIN b ASOF JOIN c JOIN d` becomes `(a JOIN b ASOF JOIN c) JOIN d`,
//! whose first part is a factor. Names and qualifiers stay as they were.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Join, JoinOperator, Select, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};

/// Nests every chain of joins in `tree` up to its last ASOF JOIN.
pub fn nest<T: VisitMut>(tree: &mut T) {
    // The visitor never breaks off.
    let _ = tree.visit(&mut Nest);
}

/// Nests one chain of joins up to its last ASOF JOIN.
pub fn nest_chain(chain: &mut TableWithJoins) {
    let Some(last) = chain.joins.iter().rposition(is_asof) else {
        return;
    };
    let rest = chain.joins.split_off(last + 1);
    let nested = TableWithJoins {
        relation: std::mem::replace(&mut chain.relation, nothing()),
        joins: std::mem::replace(&mut chain.joins, rest),
    };
    chain.relation = TableFactor::NestedJoin {
        table_with_joins: Box::new(nested),
        alias: None,
    };
}

pub fn is_asof(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

struct Nest;

impl VisitorMut for Nest {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        select.from.iter_mut().for_each(nest_chain);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        // A nested join that ends with an ASOF JOIN is what the planner takes.
        if let TableFactor::NestedJoin {
            table_with_joins, ..
        } = factor
            && !table_with_joins.joins.last().is_some_and(is_asof)
        {
            nest_chain(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

/// Stands for a moment where a factor was taken out.
fn nothing() -> TableFactor {
    TableFactor::NestedJoin {
        table_with_joins: Box::new(TableWithJoins {
            relation: TableFactor::UNNEST {
                alias: None,
                array_exprs: vec![],
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: false,
            },
            joins: vec![],
        }),
        alias: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;
    use rstest::rstest;

    #[rstest]
    #[case("a", "a")]
    #[case("a JOIN b ON x", "a JOIN b ON x")]
    #[case("a ASOF b", "(a ASOF b)")]
    #[case(
        "a JOIN z ON x ASOF b JOIN c ON y, d ASOF e",
        "(a JOIN z ON x ASOF b) JOIN c ON y, (d ASOF e)"
    )]
    // The planner nests the first one when it plans the left side of the second.
    #[case("a ASOF b ASOF c", "(a ASOF b ASOF c)")]
    #[case("(a ASOF b JOIN c ON x) AS q", "((a ASOF b) JOIN c ON x) AS q")]
    #[case("(SELECT * FROM a ASOF b) AS q", "(SELECT * FROM (a ASOF b)) AS q")]
    #[case(
        "x WHERE EXISTS (SELECT 1 FROM a ASOF b)",
        "x WHERE EXISTS (SELECT 1 FROM (a ASOF b))"
    )]
    fn chains_are_nested(#[case] from: &str, #[case] nested: &str) {
        // `ASOF b` for short.
        let sql = |from: &str| {
            let mut words = format!("SELECT * FROM {from}");
            for right in ["b", "c", "e"] {
                let long = format!("ASOF JOIN {right} MATCH_CONDITION (t >= u) ON k = l");
                words = words.replace(&format!("ASOF {right}"), &long);
            }
            words
        };
        let mut statements = Parser::parse_sql(&GenericDialect {}, &sql(from)).unwrap();
        nest(&mut statements);
        assert_eq!(statements[0].to_string(), sql(nested));
    }
}
