//! The interactive shell: prompt, history, multi-line statements, backslash commands.

use std::path::PathBuf;
use std::sync::Arc;

use console::measure_text_width;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};

use super::catalog::{self, Function};
use super::commands::{self, Command};
use super::complete::Suggestions;
use super::print::Format;
use super::shell::{Shell, Stop, terminal_width};
use super::table::Table;
use crate::statements::parse::is_incomplete;

const PROMPT: &str = "voxql> ";
const CONTINUATION: &str = "    -> ";

/// Reads statements and commands from the terminal until the person leaves.
pub fn run(shell: &mut Shell) -> Result<(), Stop> {
    let failed =
        |error: ReadlineError| Stop::Failed(format!("cannot read from the terminal: {error}"));
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(10_000)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(failed)?
        .history_ignore_space(true)
        .build();
    let mut editor: Editor<Suggestions, DefaultHistory> =
        Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(Suggestions::new()));
    let mut history = history_file();
    if let Some(file) = &history {
        // The first time there is none; one that cannot be read is no reason to refuse work.
        let _ = editor.load_history(file);
    }
    println!(
        "VoxQL {}. \\? for help, \\q to leave.",
        env!("CARGO_PKG_VERSION")
    );
    refresh(shell, &mut editor);

    let mut statement = String::new();
    loop {
        let prompt = if statement.is_empty() {
            PROMPT
        } else {
            CONTINUATION
        };
        if let Some(suggestions) = editor.helper_mut() {
            suggestions.pending.clone_from(&statement);
        }
        let line = match editor.readline(prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        if statement.is_empty() {
            let word = line.trim();
            if word.is_empty() {
                continue;
            }
            if word.starts_with('\\') {
                remember(&mut editor, &mut history, word);
                match command(shell, word) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(stop) => tell(stop)?,
                }
                refresh(shell, &mut editor);
                continue;
            }
            if matches!(word.trim_end_matches(';'), "exit" | "quit") {
                break;
            }
        }
        statement.push_str(&line);
        statement.push('\n');
        if !is_incomplete(&statement) {
            let text = std::mem::take(&mut statement);
            remember(&mut editor, &mut history, text.trim_end());
            shell.style.layout.width = terminal_width();
            if let Err(stop) = shell.run(&text, None) {
                tell(stop)?;
            }
            refresh(shell, &mut editor);
        }
    }
    Ok(())
}

/// Adds to the history, and to its file at once: a closed window must not lose it.
fn remember(
    editor: &mut Editor<Suggestions, DefaultHistory>,
    history: &mut Option<PathBuf>,
    text: &str,
) {
    let Some(file) = history else {
        // In memory alone this cannot fail.
        let _ = editor.add_history_entry(text);
        return;
    };
    let saved = file
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .map_err(ReadlineError::from)
        .and_then(|()| editor.add_history_entry(text))
        .and_then(|_| editor.append_history(file));
    if let Err(error) = saved {
        eprintln!(
            "warning: the history is not saved in {}: {error}",
            file.display()
        );
        *history = None;
    }
}

/// Brings completion up to date with the catalog.
fn refresh(shell: &Shell, editor: &mut Editor<Suggestions, DefaultHistory>) {
    let ctx = shell.session.context();
    let tables = shell.wait(catalog::tables(ctx));
    if let Some(suggestions) = editor.helper_mut() {
        suggestions.set_names(catalog::functions(ctx), tables);
    }
}

/// Errors leave the shell alive; only a closed terminal ends it.
fn tell(stop: Stop) -> Result<(), Stop> {
    match stop {
        Stop::Failed(text) => eprintln!("error: {text}"),
        Stop::Cancelled => eprintln!("cancelled"),
        Stop::OutputClosed => return Err(Stop::OutputClosed),
    }
    Ok(())
}

/// Runs a backslash command. True: leave the shell.
fn command(shell: &mut Shell, line: &str) -> Result<bool, Stop> {
    match commands::parse(line).map_err(Stop::Failed)? {
        Command::Tables => {
            let tables = shell.wait(catalog::tables(shell.session.context()));
            if tables.is_empty() {
                println!("no tables or views yet");
            }
            let rows = tables.iter().map(|table| {
                [
                    table.name.clone(),
                    table.kind.to_owned(),
                    table.schema.fields().len().to_string(),
                ]
            });
            show(["name", "kind", "columns"], rows.collect())?;
        }
        Command::Columns(name) => {
            let tables = shell.wait(catalog::tables(shell.session.context()));
            let found = tables.iter().find(|table| table.name == name).or_else(|| {
                tables
                    .iter()
                    .find(|table| table.name.trim_matches('"').eq_ignore_ascii_case(&name))
            });
            let Some(table) = found else {
                return Err(Stop::Failed(format!(
                    "there is no table or view '{name}'; \\d lists them"
                )));
            };
            let rows = table.schema.fields().iter().map(|field| {
                let null = if field.is_nullable() { "yes" } else { "no" };
                [
                    field.name().clone(),
                    catalog::type_name(field.data_type()),
                    null.to_owned(),
                ]
            });
            show(["column", "type", "nullable"], rows.collect())?;
        }
        Command::Functions(pattern) => functions(shell, &pattern)?,
        Command::Include(file) => {
            let sql = super::read_file(&file)?;
            shell.style.layout.width = terminal_width();
            shell.run(&sql, Some(&file.display().to_string()))?;
        }
        Command::Format(Some(format)) => shell.style.format = format,
        Command::Format(None) => {
            let name = match shell.style.format {
                Format::Table => "table",
                Format::Csv => "csv",
                Format::Json => "json",
                Format::Parquet => "parquet",
            };
            println!("format is {name}");
        }
        Command::Rows(rows) => shell.style.layout.max_rows = rows,
        Command::Timing => {
            shell.style.timing = !shell.style.timing;
            println!(
                "timing is {}",
                if shell.style.timing { "on" } else { "off" }
            );
        }
        Command::Help => print!("{}", commands::help()),
        Command::Quit => return Ok(true),
    }
    Ok(false)
}

fn functions(shell: &Shell, pattern: &str) -> Result<(), Stop> {
    let mut found = catalog::functions(shell.session.context());
    found.retain(|function| commands::matches(pattern, &function.name));
    if found.iter().any(|function| function.name == pattern) {
        found.retain(|function| function.name == pattern);
    }
    match found.as_slice() {
        [] => Err(Stop::Failed(format!("no function matches '{pattern}'"))),
        [function] => {
            print!("{}", in_full(function));
            Ok(())
        }
        _ => {
            let rows = found.iter().map(|function| {
                [
                    function.name.clone(),
                    function.kind.to_owned(),
                    function.summary(),
                ]
            });
            show(["function", "kind", "description"], rows.collect())
        }
    }
}

/// Everything the documentation of one function says.
fn in_full(function: &Function) -> String {
    let Some(documentation) = &function.documentation else {
        return format!("{} ({} function)\n", function.name, function.kind);
    };
    let mut text = format!(
        "{}   ({} function)\n\n",
        documentation.syntax_example, function.kind
    );
    for line in documentation.description.trim().lines() {
        text.push_str(&wrapped(line, ""));
    }
    text.push('\n');
    for (name, description) in documentation.arguments.iter().flatten() {
        text.push_str(&wrapped(&format!("{name}: {description}"), "  "));
    }
    if let Some(example) = &documentation.sql_example {
        let example = example.replace("```sql\n", "").replace("```", "");
        text.push_str(&format!("\n{}\n", example.trim()));
    }
    text
}

/// Breaks a line between words to fit the terminal. `indent` stands before each part.
fn wrapped(line: &str, indent: &str) -> String {
    let width = terminal_width().unwrap_or(usize::MAX);
    let mut text = String::new();
    let mut used = 0;
    for word in line.split(' ') {
        let length = measure_text_width(word);
        if used == 0 {
            text.push_str(indent);
            used = indent.len();
        } else if used + 1 + length > width {
            text.push('\n');
            text.push_str(indent);
            used = indent.len();
        } else {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text.push('\n');
    text
}

/// Prints a list of the shell's own.
fn show<const N: usize>(names: [&str; N], rows: Vec<[String; N]>) -> Result<(), Stop> {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = names.into_iter().enumerate().map(|(index, name)| {
        let texts = rows.iter().map(|row| row[index].as_str());
        (
            name,
            Arc::new(StringArray::from_iter_values(texts)) as ArrayRef,
        )
    });
    let shown = (|| {
        let batch = RecordBatch::try_from_iter(columns)?;
        let layout = super::table::Layout {
            width: terminal_width(),
            max_rows: None,
        };
        let mut table = Table::new(&batch.schema(), layout);
        let mut text = String::new();
        table.write(&batch, &mut text)?;
        table.finish(&mut text)?;
        Ok::<_, datafusion::arrow::error::ArrowError>(text)
    })();
    match shown {
        Ok(text) => println!("{text}"),
        Err(error) => return Err(Stop::Failed(error.to_string())),
    }
    Ok(())
}

/// `$XDG_DATA_HOME/voxql/history`, by default `~/.local/share/voxql/history`.
fn history_file() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| Some(std::env::home_dir()?.join(".local/share")))?;
    Some(data.join("voxql/history"))
}
