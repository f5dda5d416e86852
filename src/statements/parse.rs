//! The parser: DataFusion's statements, and `CREATE MODEL`, `COPY MODEL`, `DROP MODEL`,
//! `SHOW MODELS`, `SHOW QUERIES`, `CANCEL QUERY`, `EXPLAIN ALIGN`; those of indexes are in
//! [`super::create_index`].

use std::collections::BTreeMap;

use datafusion::common::{DataFusionError, Result};
use datafusion::sql::parser::{DFParser, DFParserBuilder, Statement as EngineStatement};
use datafusion::sql::sqlparser::ast::{Expr, Query, Statement as SqlStatement, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::chains;

/// One statement of a text.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The line of the text on which it starts, from 1.
    pub line: usize,
    /// Its own text, without the semicolon.
    pub text: String,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub enum Kind {
    /// A statement of DataFusion's.
    Engine(Box<EngineStatement>),
    CreateModel(Box<CreateModel>),
    ImportModel(Box<ImportModel>),
    /// `COPY MODEL name TO 'file.npz'`
    CopyModel {
        name: String,
        file: String,
    },
    DropModel {
        name: String,
        if_exists: bool,
    },
    ShowModels,
    CreateIndex(Box<CreateIndex>),
    DropIndex {
        name: String,
        if_exists: bool,
    },
    ShowIndexes,
    /// What a server does.
    ShowQueries,
    /// `CANCEL QUERY number`, on a server.
    CancelQuery(u64),
    ExplainAlign(Box<ExplainAlign>),
}

/// `CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name source AS query`
#[derive(Debug, Clone)]
pub struct CreateModel {
    pub name: String,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub source: Source,
    pub query: Query,
}

/// What a model is made from, beside its rows.
#[derive(Debug, Clone)]
pub enum Source {
    /// `USING kind [OPTIONS (key value, …)]`
    Kind {
        /// What is fitted, such as `srm`.
        using: String,
        options: BTreeMap<String, String>,
    },
    /// `FROM MODEL name`: the subjects of another model, too.
    Model(String),
}

/// `CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name FROM 'file.npz' [OPTIONS (subjects '01, 02')]`
#[derive(Debug, Clone)]
pub struct ImportModel {
    pub name: String,
    pub or_replace: bool,
    pub if_not_exists: bool,
    pub file: String,
    pub options: BTreeMap<String, String>,
}

/// `CREATE INDEX [IF NOT EXISTS] name ON table USING method (column [class]) [WITH (key = value, …)]`
#[derive(Debug, Clone)]
pub struct CreateIndex {
    pub name: String,
    pub if_not_exists: bool,
    pub table: String,
    /// What kind of index, such as `hnsw`.
    pub method: String,
    pub column: String,
    /// pgvector's operator class, such as `vector_cosine_ops`.
    pub class: Option<String>,
    pub options: BTreeMap<String, String>,
}

/// `EXPLAIN ALIGN [(condition, …)] query`
#[derive(Debug, Clone)]
pub struct ExplainAlign {
    /// Which row of the result is explained; all of them hold.
    pub conditions: Vec<Expr>,
    pub query: EngineStatement,
}

/// Splits a text into statements. An error of syntax says the line and column in `sql`.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let tokens = tokens(sql)?;
    chains::check(&tokens)?;
    let mut parser = Parser::new(sql, tokens)?;
    let mut statements = Vec::new();
    while let Some(statement) = parser.next()? {
        statements.push(statement);
    }
    Ok(statements)
}

/// True if `sql` ends inside of a statement: a shell should ask for another line.
pub fn is_incomplete(sql: &str) -> bool {
    let trimmed = sql.trim_end();
    if trimmed.is_empty() {
        return false;
    }
    match tokens(sql).and_then(|tokens| Parser::new(sql, tokens)) {
        // An open quote or comment.
        Err(_) => true,
        Ok(mut parser) => {
            let tokens = &mut parser.inner.parser;
            let mut last = Token::SemiColon;
            loop {
                match tokens.next_token().token {
                    Token::EOF => return last != Token::SemiColon,
                    token => last = token,
                }
            }
        }
    }
}

pub(super) struct Parser<'a> {
    sql: &'a str,
    pub(super) inner: DFParser<'a>,
}

impl<'a> Parser<'a> {
    fn new(sql: &'a str, tokens: Vec<TokenWithSpan>) -> Result<Self> {
        let inner = DFParserBuilder::new(tokens)
            .with_dialect(&GenericDialect {})
            .build()?;
        Ok(Self { sql, inner })
    }

    fn next(&mut self) -> Result<Option<Statement>> {
        while self.inner.parser.consume_token(&Token::SemiColon) {}
        let first = self.inner.parser.peek_token();
        if first.token == Token::EOF {
            return Ok(None);
        }
        let kind = self.kind()?;
        let end = self.inner.parser.peek_token();
        if !matches!(end.token, Token::SemiColon | Token::EOF) {
            return self.expected("end of statement");
        }
        let start = self.offset(first.span.start);
        let end = match end.token {
            Token::EOF => self.sql.len(),
            _ => self.offset(end.span.start),
        };
        Ok(Some(Statement {
            line: first.span.start.line as usize,
            text: self.sql[start..end].trim_end().to_string(),
            kind,
        }))
    }

    fn kind(&mut self) -> Result<Kind> {
        if self.words_ahead(&["create", "model"])
            || self.words_ahead(&["create", "or", "replace", "model"])
        {
            return self.create_model();
        }
        // `COPY model TO` copies a table of that name.
        if self.words_ahead(&["copy", "model"]) && !self.words_ahead(&["copy", "model", "to"]) {
            self.skip(2);
            let name = self.name()?;
            if !self.inner.parser.parse_keyword(Keyword::TO) {
                return self.expected("TO and the name of a file");
            }
            let file = self.inner.parser.parse_literal_string()?;
            return Ok(Kind::CopyModel { name, file });
        }
        if self.words_ahead(&["drop", "model"]) {
            self.skip(2);
            let if_exists = self
                .inner
                .parser
                .parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            let name = self.name()?;
            return Ok(Kind::DropModel { name, if_exists });
        }
        if self.words_ahead(&["show", "models"]) {
            self.skip(2);
            return Ok(Kind::ShowModels);
        }
        if self.words_ahead(&["create", "index"]) {
            return self.create_index();
        }
        if self.words_ahead(&["drop", "index"]) {
            return self.drop_index();
        }
        if self.words_ahead(&["show", "indexes"]) {
            self.skip(2);
            return Ok(Kind::ShowIndexes);
        }
        if self.words_ahead(&["show", "queries"]) {
            self.skip(2);
            return Ok(Kind::ShowQueries);
        }
        if self.words_ahead(&["cancel", "query"]) {
            self.skip(2);
            return Ok(Kind::CancelQuery(self.inner.parser.parse_literal_uint()?));
        }
        if self.words_ahead(&["explain", "align"]) {
            self.skip(2);
            return self.explain_align();
        }
        Ok(Kind::Engine(Box::new(self.inner.parse_statement()?)))
    }

    fn create_model(&mut self) -> Result<Kind> {
        let parser = &mut self.inner.parser;
        parser.next_token(); // CREATE
        let or_replace = parser.parse_keywords(&[Keyword::OR, Keyword::REPLACE]);
        parser.next_token(); // MODEL
        let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
        let name = self.name()?;
        if self.words_ahead(&["from"]) && !self.words_ahead(&["from", "model"]) {
            self.skip(1);
            return Ok(Kind::ImportModel(Box::new(ImportModel {
                name,
                or_replace,
                if_not_exists,
                file: self.inner.parser.parse_literal_string()?,
                options: self.model_options()?,
            })));
        }
        let source = self.model_source()?;
        if !self.inner.parser.parse_keyword(Keyword::AS) {
            return self.expected("AS and a query");
        }
        let query = *self.inner.parser.parse_query()?;
        Ok(Kind::CreateModel(Box::new(CreateModel {
            name,
            or_replace,
            if_not_exists,
            source,
            query,
        })))
    }

    fn model_source(&mut self) -> Result<Source> {
        if self.words_ahead(&["from", "model"]) {
            self.skip(2);
            return Ok(Source::Model(self.name()?));
        }
        if !self.inner.parser.parse_keyword(Keyword::USING) {
            return self
                .expected("USING and the kind of model, as in USING srm, or FROM MODEL name");
        }
        let using = self.name()?.to_lowercase();
        let options = self.model_options()?;
        Ok(Source::Kind { using, options })
    }

    fn model_options(&mut self) -> Result<BTreeMap<String, String>> {
        match self.inner.parser.parse_keyword(Keyword::OPTIONS) {
            true => self.options(),
            false => Ok(BTreeMap::new()),
        }
    }

    fn explain_align(&mut self) -> Result<Kind> {
        let mut conditions = Vec::new();
        let parser = &mut self.inner.parser;
        if parser.peek_token_ref().token == Token::LParen
            && !starts_query(parser.peek_nth_token_ref(1))
        {
            parser.expect_token(&Token::LParen)?;
            conditions = parser.parse_comma_separated(|parser| parser.parse_expr())?;
            parser.expect_token(&Token::RParen)?;
        }
        if !starts_query(parser.peek_token_ref()) {
            return self.expected("the query to explain, as in EXPLAIN ALIGN (tr = 60) SELECT …");
        }
        let query = SqlStatement::Query(parser.parse_query()?);
        Ok(Kind::ExplainAlign(Box::new(ExplainAlign {
            conditions,
            query: EngineStatement::Statement(Box::new(query)),
        })))
    }

    /// `(features 50, 'iterations' 10, seed => 3)`: with or without quotes, `=` or `=>`.
    pub(super) fn options(&mut self) -> Result<BTreeMap<String, String>> {
        let mut options = BTreeMap::new();
        self.inner.parser.expect_token(&Token::LParen)?;
        while !self.inner.parser.consume_token(&Token::RParen) {
            let key = match self.inner.parser.next_token().token {
                Token::Word(word) => word.value.to_lowercase(),
                Token::SingleQuotedString(text) => text.to_lowercase(),
                _ => {
                    self.inner.parser.prev_token();
                    return self.expected("the name of an option");
                }
            };
            let parser = &mut self.inner.parser;
            let _ = parser.consume_token(&Token::RArrow) || parser.consume_token(&Token::Eq);
            let negative = parser.consume_token(&Token::Minus);
            let value = match parser.parse_value()?.value {
                Value::Number(digits, _) if negative => format!("-{digits}"),
                Value::Number(digits, _) => digits,
                Value::Boolean(flag) => flag.to_string(),
                other => match other.clone().into_string() {
                    Some(text) => text,
                    None => other.to_string(),
                },
            };
            if options.insert(key.clone(), value).is_some() {
                return Err(syntax(format!("the option `{key}` is given twice")));
            }
            if !self.inner.parser.consume_token(&Token::Comma) {
                self.inner.parser.expect_token(&Token::RParen)?;
                break;
            }
        }
        Ok(options)
    }

    pub(super) fn name(&mut self) -> Result<String> {
        let ident = self.inner.parser.parse_identifier()?;
        Ok(match ident.quote_style {
            Some(_) => ident.value,
            None => ident.value.to_lowercase(),
        })
    }

    pub(super) fn words_ahead(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, wanted)| {
            match &self.inner.parser.peek_nth_token_ref(i).token {
                Token::Word(word) => {
                    word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted)
                }
                _ => false,
            }
        })
    }

    pub(super) fn skip(&mut self, tokens: usize) {
        for _ in 0..tokens {
            self.inner.parser.next_token();
        }
    }

    pub(super) fn expected<T>(&self, what: &str) -> Result<T> {
        let found = self.inner.parser.peek_token();
        Err(syntax(format!(
            "expected {what}, found {}{}",
            found.token, found.span.start
        )))
    }

    /// The byte at which a token starts: the tokenizer counts lines and characters from 1.
    fn offset(&self, at: Location) -> usize {
        let mut start_of_line = 0;
        for _ in 1..at.line {
            match self.sql[start_of_line..].find('\n') {
                Some(i) => start_of_line += i + 1,
                None => return self.sql.len(),
            }
        }
        let line = &self.sql[start_of_line..];
        let column = at.column.saturating_sub(1) as usize;
        start_of_line
            + line
                .char_indices()
                .nth(column)
                .map_or(line.len(), |(i, _)| i)
    }
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location();
    Ok(distance_operators(tokens.map_err(ParserError::from)?))
}

/// The operators of pgvector that the dialect takes for several, each as one. Written without spaces, which
/// are tokens too, the several mean nothing to any query.
fn distance_operators(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut merged = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = |i: usize| tokens.get(at + i).map(|token| &token.token);
        let (operator, parts) = match (&token.token, next(1), next(2)) {
            (Token::Lt, Some(Token::Arrow), _) => ("<->", 2),
            (Token::Lt, Some(Token::HashArrow), _) => ("<#>", 2),
            (Token::Lt, Some(Token::Plus), Some(Token::Gt)) => ("<+>", 3),
            _ => {
                merged.push(token.clone());
                at += 1;
                continue;
            }
        };
        merged.push(TokenWithSpan {
            token: Token::CustomBinaryOperator(operator.to_string()),
            span: token.span.union(&tokens[at + parts - 1].span),
        });
        at += parts;
    }
    merged
}

fn starts_query(token: &TokenWithSpan) -> bool {
    match &token.token {
        Token::LParen => true,
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM | Keyword::TABLE
        ),
        _ => false,
    }
}

fn syntax(message: String) -> DataFusionError {
    DataFusionError::SQL(Box::new(ParserError::ParserError(message)), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_know_their_line_and_text() {
        let sql =
            "-- a comment; with a semicolon\nSELECT 'é;', 1;\n\n  CREATE TABLE t AS\n  SELECT 2 ;";
        let statements = parse(sql).unwrap();
        let got: Vec<_> = statements
            .iter()
            .map(|s| (s.line, s.text.as_str()))
            .collect();
        assert_eq!(
            got,
            [(2, "SELECT 'é;', 1"), (4, "CREATE TABLE t AS\n  SELECT 2")]
        );
    }

    #[test]
    fn create_model() {
        let sql = "CREATE OR REPLACE MODEL m USING SRM OPTIONS (features 50, 'iterations' => 10, seed = -1) \
                   AS SELECT subject, tr, bold FROM b";
        let Kind::CreateModel(model) = parse(sql).unwrap().remove(0).kind else {
            panic!("not a CREATE MODEL");
        };
        assert_eq!(model.name, "m");
        assert!(model.or_replace && !model.if_not_exists);
        let Source::Kind { using, options } = model.source else {
            panic!("not of a kind");
        };
        assert_eq!(using, "srm");
        let options: Vec<_> = options
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            options,
            [("features", "50"), ("iterations", "10"), ("seed", "-1")]
        );
        assert_eq!(model.query.to_string(), "SELECT subject, tr, bold FROM b");

        let sql = "CREATE MODEL n FROM MODEL m AS SELECT 1";
        let Kind::CreateModel(model) = parse(sql).unwrap().remove(0).kind else {
            panic!("not a CREATE MODEL");
        };
        assert!(matches!(model.source, Source::Model(from) if from == "m"));
    }

    #[test]
    fn explain_align() {
        for (sql, conditions) in [
            ("EXPLAIN ALIGN (subject = '01', tr = 60) SELECT 1", 2),
            ("explain align (subject = '01' AND tr = 60) (SELECT 1)", 1),
            ("EXPLAIN ALIGN (SELECT 1)", 0),
            ("EXPLAIN ALIGN WITH t AS (SELECT 1) SELECT * FROM t", 0),
        ] {
            let Kind::ExplainAlign(explain) = parse(sql).unwrap().remove(0).kind else {
                panic!("not an EXPLAIN ALIGN: {sql}");
            };
            assert_eq!(explain.conditions.len(), conditions, "{sql}");
        }
        assert!(matches!(
            parse("EXPLAIN SELECT 1").unwrap().remove(0).kind,
            Kind::Engine(_)
        ));
    }

    #[test]
    fn distance_operators_are_one_token() {
        for (sql, rest) in [
            (
                "SELECT a <-> b, a<#>b FROM t ORDER BY c <+> [1]",
                "SELECT a <-> b, a <#> b FROM t ORDER BY c <+> [1]",
            ),
            (
                "SELECT 1<+2, 1<-2, 1 < +3, x->'<->'",
                "SELECT 1 < +2, 1 < -2, 1 < +3, x -> '<->'",
            ),
        ] {
            let Kind::Engine(statement) = parse(sql).unwrap().remove(0).kind else {
                panic!("not a query: {sql}");
            };
            assert_eq!(statement.to_string(), rest);
        }
        for sql in ["SELECT a < -> b", "SELECT a <+ > b", "SELECT a < #> b"] {
            assert!(parse(sql).is_err(), "{sql}");
        }
    }

    #[test]
    fn model_is_no_reserved_word() {
        let statements =
            parse("CREATE TABLE model AS SELECT 1 AS models; SELECT models FROM model").unwrap();
        assert!(statements.iter().all(|s| matches!(s.kind, Kind::Engine(_))));
    }

    #[test]
    fn errors_say_where() {
        for (sql, message) in [
            ("CREATE MODEL m AS SELECT 1", "expected USING"),
            ("CREATE MODEL m USING srm SELECT 1", "expected AS"),
            (
                "CREATE MODEL m USING srm OPTIONS (k 1, k 2) AS SELECT 1",
                "twice",
            ),
            (
                "SHOW MODELS please",
                "expected end of statement, found please at Line: 1, Column: 13",
            ),
            ("SELECT 1 SELECT 2", "Line: 1"),
            ("EXPLAIN ALIGN (tr = 60)", "expected the query to explain"),
            (
                "EXPLAIN ALIGN DROP TABLE t",
                "expected the query to explain",
            ),
        ] {
            let error = parse(sql).unwrap_err().to_string();
            assert!(error.contains(message), "{sql}: {error}");
        }
    }

    #[test]
    fn the_shell_knows_when_to_ask_for_more() {
        for sql in ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT 1 /* ;"] {
            assert!(is_incomplete(sql), "{sql}");
        }
        for sql in ["", "  ", "SELECT 1;", "SELECT ';'; ", "SELECT 1; -- done"] {
            assert!(!is_incomplete(sql), "{sql}");
        }
    }
}
