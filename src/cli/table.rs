//! Results as a table for people, laid out with little memory.

use std::collections::VecDeque;
use std::fmt::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use console::measure_text_width;

use super::cell::cells_of;

/// The column widths come from this many rows; later rows stream.
const MEASURED_ROWS: usize = 1000;

/// Shrinking a table to the terminal leaves a column this wide.
const MIN_WIDTH: usize = 12;

/// What the place where the table appears asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// Columns of the terminal; longer text is cut to fit. None cuts nothing.
    pub width: Option<usize>,
    /// Of a longer result, half of these rows are shown from the start and half
    /// from the end. None shows all.
    pub max_rows: Option<usize>,
}

/// Writes batches as a table.
///
/// Holds the first rows until the widths are known, then, with a row limit, only
/// the last batches; never the whole result.
pub struct Table {
    layout: Layout,
    columns: Vec<Column>,
    state: State,
    rows: usize,
}

struct Column {
    name: String,
    /// Numbers stand to the right, and are never cut.
    number: bool,
    width: usize,
}

enum State {
    /// Collecting rows until the widths can be fixed.
    Measuring(Vec<Vec<String>>),
    /// The header is out; rows go out as they come.
    Streaming,
    /// Half of the row limit is kept from the start, half from the end.
    Limited {
        head: Vec<Vec<String>>,
        tail: VecDeque<RecordBatch>,
        half: usize,
    },
}

impl Table {
    pub fn new(schema: &SchemaRef, layout: Layout) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| Column {
                name: one_line(field.name()),
                number: field.data_type().is_numeric(),
                width: 0,
            })
            .collect();
        let state = match layout.max_rows {
            Some(rows) => State::Limited {
                head: Vec::new(),
                tail: VecDeque::new(),
                half: rows.div_ceil(2),
            },
            None => State::Measuring(Vec::new()),
        };
        Table {
            layout,
            columns,
            state,
            rows: 0,
        }
    }

    pub fn write(&mut self, batch: &RecordBatch, out: &mut String) -> Result<(), ArrowError> {
        self.rows += batch.num_rows();
        match &mut self.state {
            State::Measuring(rows) => {
                rows.extend(texts(batch)?);
                if rows.len() >= MEASURED_ROWS {
                    let rows = std::mem::take(rows);
                    self.state = State::Streaming;
                    self.begin(&rows, out);
                }
            }
            State::Streaming => {
                for row in texts(batch)? {
                    self.row(&row, out);
                }
            }
            State::Limited { head, tail, half } => {
                let taken = batch.num_rows().min(*half - head.len());
                head.extend(texts(&batch.slice(0, taken))?);
                let rest = batch.slice(taken, batch.num_rows() - taken);
                keep_last(tail, rest, *half);
            }
        }
        Ok(())
    }

    /// Writes what was held back, and says how many rows there were.
    pub fn finish(mut self, out: &mut String) -> Result<usize, ArrowError> {
        match std::mem::replace(&mut self.state, State::Streaming) {
            State::Measuring(rows) => self.begin(&rows, out),
            State::Streaming => {}
            State::Limited { head, tail, .. } => {
                let last = tail
                    .iter()
                    .map(texts)
                    .collect::<Result<Vec<_>, _>>()?
                    .concat();
                let left_out = self.rows - head.len() - last.len();
                self.measure(head.iter().chain(&last));
                self.header(out);
                for row in &head {
                    self.row(row, out);
                }
                if left_out > 0 {
                    let _ = writeln!(out, " ⋮ {left_out} more rows (\\rows all shows them)");
                }
                for row in &last {
                    self.row(row, out);
                }
            }
        }
        Ok(self.rows)
    }

    fn begin(&mut self, rows: &[Vec<String>], out: &mut String) {
        self.measure(rows.iter());
        self.header(out);
        for row in rows {
            self.row(row, out);
        }
    }

    fn measure<'a>(&mut self, rows: impl Iterator<Item = &'a Vec<String>>) {
        for column in &mut self.columns {
            column.width = measure_text_width(&column.name);
        }
        for row in rows {
            for (column, text) in self.columns.iter_mut().zip(row) {
                let width = text.lines().map(measure_text_width).max().unwrap_or(0);
                column.width = column.width.max(width);
            }
        }
        if let Some(terminal) = self.layout.width {
            self.shrink(terminal);
        }
    }

    /// Takes width from the widest columns until the table fits, if it can.
    fn shrink(&mut self, terminal: usize) {
        let total: usize = self.columns.iter().map(|column| column.width + 3).sum();
        let mut excess = total.saturating_sub(terminal + 1);
        while excess > 0 {
            let shrinkable = |column: &&mut Column| !column.number && column.width > MIN_WIDTH;
            let Some(widest) = self
                .columns
                .iter_mut()
                .filter(shrinkable)
                .max_by_key(|c| c.width)
            else {
                return;
            };
            widest.width -= 1;
            excess -= 1;
        }
    }

    fn header(&self, out: &mut String) {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        self.row(&names, out);
        let rules: Vec<String> = self
            .columns
            .iter()
            .map(|c| "─".repeat(c.width + 2))
            .collect();
        let _ = writeln!(out, "{}", rules.join("┼"));
    }

    /// A row is as high as the cell with the most lines.
    fn row(&self, texts: &[String], out: &mut String) {
        let cells: Vec<Vec<&str>> = texts.iter().map(|text| text.lines().collect()).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for line in 0..height {
            let mut text = String::new();
            for (index, (column, lines)) in self.columns.iter().zip(&cells).enumerate() {
                let part = lines.get(line).copied().unwrap_or("");
                let part = match self.layout.width {
                    Some(_) if !column.number => console::truncate_str(part, column.width, "…"),
                    _ => part.into(),
                };
                let padding = " ".repeat(column.width.saturating_sub(measure_text_width(&part)));
                let bar = if index == 0 { "" } else { "│" };
                let _ = match column.number {
                    true => write!(text, "{bar} {padding}{part} "),
                    false => write!(text, "{bar} {part}{padding} "),
                };
            }
            let _ = writeln!(out, "{}", text.trim_end());
        }
    }
}

/// Adds a batch to the last rows, and lets go of batches that are no longer among them.
fn keep_last(tail: &mut VecDeque<RecordBatch>, batch: RecordBatch, rows: usize) {
    if batch.num_rows() == 0 {
        return;
    }
    tail.push_back(batch);
    let mut excess = tail
        .iter()
        .map(RecordBatch::num_rows)
        .sum::<usize>()
        .saturating_sub(rows);
    while let Some(first) = tail.front_mut() {
        if excess < first.num_rows() {
            *first = first.slice(excess, first.num_rows() - excess);
            return;
        }
        excess -= first.num_rows();
        tail.pop_front();
    }
}

/// The batch's rows as texts.
fn texts(batch: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let mut rows: Vec<Vec<String>> =
        vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        for (row, text) in rows.iter_mut().zip(cells_of(field, column)?) {
            row.push(text);
        }
    }
    Ok(rows)
}

fn one_line(name: &str) -> String {
    name.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(from: i64, to: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
        let words: ArrayRef = Arc::new(StringArray::from_iter_values(
            (from..to).map(|i| format!("word {i}")),
        ));
        RecordBatch::try_from_iter([("n", numbers), ("text", words)]).unwrap()
    }

    fn print(batches: &[RecordBatch], layout: Layout) -> String {
        let mut out = String::new();
        let mut table = Table::new(&batches[0].schema(), layout);
        for batch in batches {
            table.write(batch, &mut out).unwrap();
        }
        table.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn numbers_to_the_right_text_to_the_left() {
        assert_eq!(
            print(&[batch(9, 11)], Layout::default()),
            "  n │ text\n────┼─────────\n  9 │ word 9\n 10 │ word 10\n"
        );
    }

    #[test]
    fn all_rows_stream_without_a_limit() {
        let batches: Vec<_> = (0..30).map(|i| batch(i * 100, (i + 1) * 100)).collect();
        let out = print(&batches, Layout::default());
        assert_eq!(out.lines().count(), 3002);
        assert!(out.ends_with(" 2999 │ word 2999\n"));
    }

    #[test]
    fn a_limit_keeps_both_ends() {
        let batches: Vec<_> = (0..30).map(|i| batch(i * 3, (i + 1) * 3)).collect();
        let out = print(
            &batches,
            Layout {
                max_rows: Some(4),
                ..Layout::default()
            },
        );
        let lines: Vec<_> = out.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "  0 │ word 0",
                "  1 │ word 1",
                " ⋮ 86 more rows (\\rows all shows them)",
                " 88 │ word 88",
                " 89 │ word 89",
            ]
        );
    }

    #[test]
    fn a_result_within_the_limit_is_whole() {
        for rows in 0..=4 {
            let out = print(
                &[batch(0, rows)],
                Layout {
                    max_rows: Some(4),
                    ..Layout::default()
                },
            );
            assert_eq!(out.lines().count(), 2 + rows as usize, "{rows} rows");
            assert!(!out.contains('⋮'));
        }
    }

    #[test]
    fn long_text_is_cut_to_the_terminal_only() {
        let long = "x".repeat(100);
        let words: ArrayRef = Arc::new(StringArray::from(vec![long.as_str()]));
        let batch = RecordBatch::try_from_iter([("text", words)]).unwrap();
        let cut = print(
            std::slice::from_ref(&batch),
            Layout {
                width: Some(40),
                ..Layout::default()
            },
        );
        assert_eq!(cut.lines().last().map(measure_text_width), Some(39));
        assert!(cut.contains('…'));
        assert!(print(&[batch], Layout::default()).contains(&long));
    }

    #[test]
    fn line_breaks_make_high_rows() {
        let words: ArrayRef = Arc::new(StringArray::from(vec!["one\ntwo"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("text", words), ("n", numbers)]).unwrap();
        assert_eq!(
            print(&[batch], Layout::default()),
            " text │ n\n──────┼───\n one  │ 1\n two  │\n"
        );
    }
}
