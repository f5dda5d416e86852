//! Tab-separated tables as BIDS has them: a line of names, then rows; `n/a` and nothing
//! are missing values. Read row by row.

mod format;
mod typed;

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use datafusion::common::{DataFusionError, Result};

use super::bids::ENTITIES;
use super::format::file_error;
use crate::access::scope;

pub use format::Tsv;
pub use typed::Typed;

/// Key columns that every table of files has.
pub const KEYS: [&str; 5] = ["path", "subject", "session", "task", "run"];

/// An open file: its header is read, its rows are to come.
pub struct Table {
    path: PathBuf,
    /// What the file has, for its errors: `events`.
    content: &'static str,
    reader: csv::Reader<Box<dyn Read + Send>>,
    pub headers: Vec<String>,
    record: ByteRecord,
}

impl Table {
    pub fn open(path: &Path, content: &'static str) -> Result<Self> {
        let mut file = scope::open(path).map_err(|e| file_error(path, e))?;
        let mut start = [0; 3];
        let have = file.read(&mut start).map_err(|e| file_error(path, e))?;
        let start = start[..have].to_vec();
        let start = start
            .strip_prefix(b"\xEF\xBB\xBF")
            .unwrap_or(&start)
            .to_vec();
        let whole: Box<dyn Read + Send> =
            Box::new(std::io::Cursor::new(start).chain(BufReader::new(file)));
        let reader = csv::ReaderBuilder::new()
            .delimiter(b'\t')
            .has_headers(false)
            .flexible(true)
            .from_reader(whole);
        let mut table = Self {
            path: path.to_path_buf(),
            content,
            reader,
            headers: Vec::new(),
            record: ByteRecord::new(),
        };
        table.read_header()?;
        Ok(table)
    }

    fn read_header(&mut self) -> Result<()> {
        if !self.next()? {
            return Err(self.error(format!(
                "it has no header line; the first line of {} names the columns",
                self.content
            )));
        }
        let mut headers: Vec<String> = Vec::with_capacity(self.record.len());
        for index in 0..self.record.len() {
            headers.push(self.text(index)?.trim().to_string());
        }
        if let [only] = headers.as_slice()
            && !is_word(only)
        {
            let shown: String = only.chars().take(60).collect();
            return Err(self.error(format!(
                "it is no table of tab-separated values: there is no tab in its first line, {shown:?}"
            )));
        }
        for (index, header) in headers.iter().enumerate() {
            if header.is_empty() {
                return Err(self.error(format!(
                    "column {} has no name in the first line; name it, or remove the tab",
                    index + 1
                )));
            }
            if headers[..index].contains(header) {
                return Err(self.error(format!("two columns are named {header}; rename one")));
            }
        }
        self.headers = headers;
        Ok(())
    }

    /// Reads the next row; false at the end.
    pub fn next(&mut self) -> Result<bool> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return Ok(false),
            Ok(true) => {}
            Err(e) => return Err(self.error(e)),
        }
        if self.record.iter().any(|value| value.contains(&0)) {
            return Err(self.line_error("it holds a zero byte; this is not a text file, or not in UTF-8: save it as UTF-8 text"));
        }
        if self.record.iter().any(|value| value.contains(&b'\n')) {
            return Err(self.line_error(
                "a value that begins with a quotation mark runs over the end of the line; \
                 close the quotation, or double the mark",
            ));
        }
        if !self.headers.is_empty() && self.record.len() != self.headers.len() {
            return Err(self.line_error(format!(
                "{} values for {} columns; values are separated by one tab each, \
                 and a missing one is n/a",
                self.record.len(),
                self.headers.len()
            )));
        }
        Ok(true)
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.headers.iter().position(|header| header == name)
    }

    /// How many bytes the current row has.
    pub fn row_bytes(&self) -> usize {
        self.record.as_slice().len()
    }

    /// A value of the current row as it stands there.
    fn text(&self, index: usize) -> Result<&str> {
        let bytes = self.record.get(index).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| {
            self.line_error(
                "it is not UTF-8 text; if it is Latin-1, `iconv -f LATIN1 -t UTF-8 a.tsv > b.tsv` \
                 converts it",
            )
        })
    }

    /// A value of the current row, `None` where it is missing.
    pub fn value(&self, index: usize) -> Result<Option<&str>> {
        let text = self.text(index)?.trim();
        Ok((!text.is_empty() && text != "n/a").then_some(text))
    }

    pub fn error(&self, message: impl std::fmt::Display) -> DataFusionError {
        file_error(&self.path, message)
    }

    pub fn line_error(&self, message: impl std::fmt::Display) -> DataFusionError {
        let line = self.record.position().map_or(1, |p| p.line());
        self.error(format!("line {line}: {message}"))
    }
}

/// Whether a text may be a column's name rather than a line of something else.
fn is_word(text: &str) -> bool {
    let may_be = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    !text.is_empty() && text.chars().all(may_be)
}

/// What a file's column is called in the table: one that would be taken for a key
/// gets `prefix` before its name.
pub fn column_name(header: &str, headers: &[String], keys: &[&str], prefix: &str) -> String {
    let mut name = header.to_string();
    while keys.contains(&name.as_str()) || (name != header && headers.contains(&name)) {
        name.insert_str(0, prefix);
    }
    name
}

/// Which of a file's columns is called `name` in the table, the way back from [`column_name`].
pub fn source(table: &Table, name: &str, own_keys: &[&str], prefix: &str) -> Option<usize> {
    let key = name.trim_start_matches(prefix);
    let is_key = KEYS.contains(&key)
        || own_keys.contains(&key)
        || ENTITIES.iter().any(|(_, column)| *column == key);
    table
        .column(name)
        .or_else(|| if is_key { table.column(key) } else { None })
}
