//! Tab completion: keywords, functions, tables, columns and file names.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::catalog::{Function, Table};
use super::commands::COMMANDS;

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "ASC",
    "ASOF",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COPY",
    "CREATE",
    "CROSS",
    "CURRENT ROW",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXPLAIN ALIGN",
    "EXTERNAL TABLE",
    "FALSE",
    "FILTER",
    "FIRST",
    "FOLLOWING",
    "FROM",
    "FULL",
    "GROUP BY",
    "HAVING",
    "IF EXISTS",
    "IF NOT EXISTS",
    "IGNORE NULLS",
    "IN",
    "INDEX",
    "INDEXES",
    "INNER",
    "INSERT INTO",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCATION",
    "MATCH_CONDITION",
    "MODEL",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "OR REPLACE",
    "ORDER BY",
    "OUTER",
    "OVER",
    "PARQUET",
    "PARTITION BY",
    "PARTITIONED BY",
    "PRECEDING",
    "QUALIFY",
    "RANGE",
    "RECURSIVE",
    "REPLACE",
    "RIGHT",
    "ROWS",
    "SELECT",
    "SET",
    "SHOW",
    "STORED AS",
    "TABLE",
    "TABLES",
    "THEN",
    "TO",
    "TRUE",
    "UNBOUNDED",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN GROUP",
];

/// The words after which a table's name comes.
const BEFORE_TABLE: [&str; 7] = [
    "FROM", "JOIN", "INTO", "TABLE", "VIEW", "DESCRIBE", "UPDATE",
];

/// Completes what is typed at the prompt.
pub struct Suggestions {
    functions: Vec<Function>,
    tables: Vec<Table>,
    /// The lines of an unfinished statement, before the one being typed.
    pub pending: String,
    files: FilenameCompleter,
}

impl Suggestions {
    pub fn new() -> Self {
        Suggestions {
            functions: Vec::new(),
            tables: Vec::new(),
            pending: String::new(),
            files: FilenameCompleter::new(),
        }
    }

    /// The names to complete change with what the session knows.
    pub fn set_names(&mut self, functions: Vec<Function>, tables: Vec<Table>) {
        self.functions = functions;
        self.tables = tables;
    }

    /// Where the word before the cursor starts, and what it could become.
    fn candidates(&self, before: &str) -> (usize, Vec<String>) {
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .map_or(0, |at| {
                at + before[at..].chars().next().map_or(1, char::len_utf8)
            });
        let word = &before[start..];
        if let Some((qualifier, column)) = word.rsplit_once('.') {
            let columns = self.columns_of(qualifier, before);
            return (start + qualifier.len() + 1, with_prefix(columns, column));
        }
        let previous = before[..start]
            .split_whitespace()
            .next_back()
            .or(self.pending.split_whitespace().next_back());
        let table_wanted =
            previous.is_some_and(|p| BEFORE_TABLE.iter().any(|word| word.eq_ignore_ascii_case(p)));
        let tables = self.tables.iter().map(|table| table.name.clone());
        let calls = |table_functions: bool| {
            let wanted = move |function: &&Function| (function.kind == "table") == table_functions;
            self.functions
                .iter()
                .filter(wanted)
                .map(|function| format!("{}(", function.name))
        };
        if table_wanted {
            return (start, with_prefix(tables.chain(calls(true)), word));
        }
        let mut found = with_prefix(self.columns(), word);
        found.extend(with_prefix(tables, word));
        if !word.is_empty() {
            let lower = word.chars().all(|c| !c.is_uppercase());
            let keywords = KEYWORDS.iter().map(|keyword| match lower {
                true => keyword.to_lowercase(),
                false => (*keyword).to_owned(),
            });
            found.extend(with_prefix(keywords, word));
            found.extend(with_prefix(calls(false).chain(calls(true)), word));
        }
        found.sort();
        found.dedup();
        (start, found)
    }

    fn columns(&self) -> impl Iterator<Item = String> {
        let fields = self.tables.iter().flat_map(|table| table.schema.fields());
        let mut names: Vec<String> = fields
            .map(|field| super::catalog::quoted(field.name()))
            .collect();
        names.sort();
        names.dedup();
        names.into_iter()
    }

    /// The columns of a table, or of the table that an alias in the statement stands for.
    fn columns_of(&self, qualifier: &str, before: &str) -> Vec<String> {
        let words: Vec<&str> = self
            .pending
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .chain(before.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')))
            .filter(|word| !word.is_empty() && !word.eq_ignore_ascii_case("as"))
            .collect();
        let named = |name: &str| {
            self.tables
                .iter()
                .find(|table| table.name.eq_ignore_ascii_case(name))
        };
        let aliased = || {
            let pairs = words
                .windows(2)
                .filter(|pair| pair[1].eq_ignore_ascii_case(qualifier));
            pairs.filter_map(|pair| named(pair[0])).next_back()
        };
        match named(qualifier).or_else(aliased) {
            Some(table) => {
                let fields = table.schema.fields().iter();
                fields
                    .map(|field| super::catalog::quoted(field.name()))
                    .collect()
            }
            None => Vec::new(),
        }
    }

    fn commands(&self, line: &str) -> (usize, Vec<String>) {
        match line.split_once(char::is_whitespace) {
            None => {
                let mut names: Vec<String> = COMMANDS
                    .iter()
                    .map(|(name, ..)| (*name).to_owned())
                    .collect();
                names.dedup();
                (0, with_prefix(names, line))
            }
            Some((name, argument)) => {
                let start = line.len() - argument.len();
                let found = match name {
                    "\\d" => {
                        with_prefix(self.tables.iter().map(|table| table.name.clone()), argument)
                    }
                    "\\df" => with_prefix(self.functions.iter().map(|f| f.name.clone()), argument),
                    "\\format" => {
                        with_prefix(["table", "csv", "json"].map(str::to_owned), argument)
                    }
                    "\\rows" => with_prefix(["all".to_owned()], argument),
                    _ => Vec::new(),
                };
                (start, found)
            }
        }
    }
}

fn with_prefix(names: impl IntoIterator<Item = String>, prefix: &str) -> Vec<String> {
    let matches = |name: &String| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    names.into_iter().filter(matches).collect()
}

impl Completer for Suggestions {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = &line[..pos];
        let command = self.pending.is_empty() && before.starts_with('\\');
        if before.starts_with("\\i ") && command || !command && in_string(&self.pending, before) {
            return self.files.complete_path(line, pos);
        }
        let (start, names) = if command {
            self.commands(before)
        } else {
            self.candidates(before)
        };
        let pair = |name: String| Pair {
            display: name.clone(),
            replacement: name,
        };
        Ok((start, names.into_iter().map(pair).collect()))
    }
}

impl Hinter for Suggestions {
    type Hint = String;
}
impl Highlighter for Suggestions {}
impl Validator for Suggestions {}
impl Helper for Suggestions {}

/// Whether the cursor stands inside a string literal.
fn in_string(pending: &str, before: &str) -> bool {
    let text = format!("{pending}{before}");
    let error = Tokenizer::new(&GenericDialect {}, &text).tokenize().err();
    error.is_some_and(|error| error.message.contains("Unterminated string"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn suggestions() -> Suggestions {
        let table = |name: &str, columns: &[&str]| Table {
            name: name.to_owned(),
            kind: "table",
            schema: Arc::new(Schema::new(
                columns
                    .iter()
                    .map(|c| Field::new(*c, DataType::Int64, true))
                    .collect::<Vec<_>>(),
            )),
        };
        let function = |name: &str, kind| Function {
            name: name.to_owned(),
            kind,
            documentation: None,
        };
        let mut suggestions = Suggestions::new();
        suggestions.set_names(
            vec![
                function("hrf_convolve", "window"),
                function("read_bold", "table"),
            ],
            vec![
                table("bold", &["subject", "tr", "bold"]),
                table("words", &["onset", "word"]),
            ],
        );
        suggestions
    }

    fn found(before: &str) -> Vec<String> {
        suggestions().candidates(before).1
    }

    #[test]
    fn tables_come_after_from() {
        assert_eq!(found("SELECT * FROM "), ["bold", "words", "read_bold("]);
        assert_eq!(found("SELECT * FROM w"), ["words"]);
        assert_eq!(found("SELECT * FROM read"), ["read_bold("]);
    }

    #[test]
    fn keywords_keep_the_case_of_the_typing() {
        assert_eq!(found("sel"), ["select"]);
        assert_eq!(found("SEL"), ["SELECT"]);
        assert_eq!(found("SELECT hr"), ["hrf_convolve("]);
    }

    #[test]
    fn columns_follow_tables_and_aliases() {
        assert_eq!(found("SELECT sub"), ["subject"]);
        assert_eq!(found("SELECT words."), ["onset", "word"]);
        assert_eq!(
            suggestions().candidates("SELECT words.w"),
            (13, vec!["word".to_owned()])
        );
        assert_eq!(
            found("SELECT 1 FROM bold AS b, words w WHERE b.s"),
            ["subject"]
        );
        assert_eq!(
            found("SELECT 1 FROM bold AS b, words w WHERE w.o"),
            ["onset"]
        );
        let mut suggestions = suggestions();
        suggestions.pending = "SELECT 1 FROM bold b\n".to_owned();
        assert_eq!(suggestions.candidates("WHERE b.t").1, ["tr"]);
    }

    #[test]
    fn commands_complete_too() {
        assert_eq!(suggestions().commands("\\d").1, ["\\d", "\\df"]);
        assert_eq!(
            suggestions().commands("\\d wo"),
            (3, vec!["words".to_owned()])
        );
        assert_eq!(suggestions().commands("\\format c").1, ["csv"]);
    }

    #[test]
    fn strings_are_file_names() {
        assert!(in_string("", "SELECT * FROM read_bold('ds/"));
        assert!(!in_string("", "SELECT * FROM read_bold('ds/')"));
        assert!(in_string("SELECT *\n", "FROM read_bold('ds"));
    }
}
