//! `CREATE INDEX`, `DROP INDEX`. DataFusion parses them too, but its plans drop the operator class and WITH.

use std::collections::BTreeMap;

use datafusion::common::Result;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::parse::{CreateIndex, Kind, Parser};

impl Parser<'_> {
    pub(super) fn create_index(&mut self) -> Result<Kind> {
        self.skip(2);
        let if_not_exists =
            (self.inner.parser).parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        if self.words_ahead(&["on"]) {
            return self.expected("the name of the index, as in CREATE INDEX near ON t …");
        }
        let name = self.name()?;
        if !self.inner.parser.parse_keyword(Keyword::ON) {
            return self.expected("ON and the name of a table");
        }
        let table = self.name()?;
        if !self.inner.parser.parse_keyword(Keyword::USING) {
            return self.expected("USING hnsw (column)");
        }
        let method = self.name()?.to_lowercase();
        self.inner.parser.expect_token(&Token::LParen)?;
        let column = self.name()?;
        let class = match self.inner.parser.peek_token_ref().token {
            Token::Word(_) => Some(self.name()?),
            _ => None,
        };
        if self.inner.parser.peek_token_ref().token != Token::RParen {
            return self.expected("): an index is of one column");
        }
        self.skip(1);
        let options = match self.inner.parser.parse_keyword(Keyword::WITH) {
            true => self.options()?,
            false => BTreeMap::new(),
        };
        Ok(Kind::CreateIndex(Box::new(CreateIndex {
            name,
            if_not_exists,
            table,
            method,
            column,
            class,
            options,
        })))
    }

    pub(super) fn drop_index(&mut self) -> Result<Kind> {
        self.skip(2);
        let if_exists = (self.inner.parser).parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
        let name = self.name()?;
        Ok(Kind::DropIndex { name, if_exists })
    }
}

#[cfg(test)]
mod tests {
    use crate::statements::Kind;
    use crate::statements::parse::parse;

    #[test]
    fn create_index() {
        let sql = "CREATE INDEX IF NOT EXISTS i ON \"T\" USING HNSW (emb vector_l2_ops) WITH (m = 8, metric = 'l2')";
        let Kind::CreateIndex(index) = parse(sql).unwrap().remove(0).kind else {
            panic!("not a CREATE INDEX");
        };
        assert!(index.if_not_exists);
        assert_eq!((index.name.as_str(), index.table.as_str()), ("i", "T"));
        assert_eq!(
            (index.method.as_str(), index.column.as_str()),
            ("hnsw", "emb")
        );
        assert_eq!(index.class.as_deref(), Some("vector_l2_ops"));
        let options: Vec<_> = index
            .options
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(options, [("m", "8"), ("metric", "l2")]);
    }

    #[test]
    fn errors_say_what_is_missing() {
        for (sql, message) in [
            ("CREATE INDEX ON t USING hnsw (e)", "the name of the index"),
            ("CREATE INDEX i USING hnsw (e)", "expected ON"),
            ("CREATE INDEX i ON t (e)", "expected USING hnsw"),
            (
                "CREATE INDEX i ON t USING hnsw (e, f)",
                "an index is of one column",
            ),
            (
                "CREATE INDEX i ON t USING hnsw (e) WITH (m = 1, m = 2)",
                "given twice",
            ),
            ("DROP INDEX i, j", "expected end of statement"),
        ] {
            let error = parse(sql).unwrap_err().to_string();
            assert!(error.contains(message), "{sql}: {error}");
        }
    }
}
