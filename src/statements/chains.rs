//! Refuses expressions and lists of queries that are chained without end.
//!
//! `a OR b OR c …` and `… UNION ALL …` are parsed in a loop, but every link is one level of a tree, and trees are
//! cloned and dropped level by level on a thread's stack. When that is full the process ends, for all who use it. The
//! program's threads have stacks for what is taken here.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Words and operators of one expression, its parentheses left out.
const MOST_PARTS: usize = 4000;

/// Queries and joins of one query.
const MOST_QUERIES: usize = 500;

/// What was read between parentheses, or between CASE and END.
#[derive(Default)]
struct Level {
    is_case: bool,
    /// Since the expression began.
    parts: usize,
    queries: usize,
}

/// # Errors
/// Say the line and what to write instead.
pub fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut around: Vec<Level> = Vec::new();
    let mut level = Level::default();
    for TokenWithSpan { token, span } in tokens {
        let keyword = match token {
            Token::Word(word) => word.keyword,
            _ => Keyword::NoKeyword,
        };
        match (token, keyword) {
            (Token::LParen | Token::LBracket | Token::LBrace, _) | (_, Keyword::CASE) => {
                level.parts += 1;
                around.push(level);
                level = Level {
                    is_case: keyword == Keyword::CASE,
                    ..Level::default()
                };
            }
            (Token::RParen | Token::RBracket | Token::RBrace, _) => {
                level = around.pop().unwrap_or_default();
            }
            (_, Keyword::END) if level.is_case => level = around.pop().unwrap_or_default(),
            (Token::SemiColon, _) => (around, level) = (Vec::new(), Level::default()),
            (Token::Comma, _)
            | (_, Keyword::SELECT | Keyword::WHEN | Keyword::THEN | Keyword::ELSE) => {
                level.parts = 0;
            }
            (
                _,
                Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::MINUS
                | Keyword::JOIN,
            ) => level.queries += 1,
            (Token::Whitespace(_), _) => {}
            _ => level.parts += 1,
        }
        let line = span.start.line;
        if level.parts > MOST_PARTS {
            return plan_err!(
                "line {line}: the expression has more than {MOST_PARTS} parts; compare with a list, x IN (…), or join \
                 a table of the values"
            );
        }
        if level.queries > MOST_QUERIES {
            return plan_err!(
                "line {line}: the query has more than {MOST_QUERIES} joins and parts of UNION; write rows as VALUES, \
                 or into a table"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::statements::parse::parse;

    fn refused(sql: &str) -> Option<String> {
        parse(sql).err().map(|error| error.to_string())
    }

    #[test]
    fn long_chains_are_refused() {
        for (chain, said) in [
            (
                format!("SELECT\n1{}", " + 1".repeat(5000)),
                "line 2: the expression",
            ),
            (format!("SELECT (1{})", " IS NULL".repeat(5001)), "IN (…)"),
            (
                format!("SELECT 1{}", " UNION ALL SELECT 1, 2".repeat(501)),
                "VALUES",
            ),
            (
                format!("SELECT 1{}", " + CASE WHEN a THEN b END".repeat(5001)),
                "the expression",
            ),
            (
                format!("SELECT 1 FROM t{}", " JOIN u ON a = b".repeat(501)),
                "joins",
            ),
        ] {
            let error = refused(&chain).unwrap();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_long_and_not_deep_is_taken() {
        for sql in [
            format!("SELECT 1{}", ", -1".repeat(20_000)),
            format!("SELECT a IN (1{})", ", 2 + 3".repeat(20_000)),
            format!("INSERT INTO t VALUES (1, 2){}", ", (3, 'x')".repeat(20_000)),
            format!("SELECT CASE {} END", "WHEN a = 1 THEN 2 ".repeat(20_000)),
            format!("SELECT 1{}", " + 1".repeat(1000)),
            "SELECT 1 UNION ALL SELECT 2;".repeat(1000),
        ] {
            assert_eq!(refused(&sql), None, "{}", &sql[..40]);
        }
    }
}
