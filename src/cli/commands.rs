//! The backslash commands of the interactive shell.

use std::path::PathBuf;

use clap::ValueEnum;

use super::print::Format;

/// What a line that begins with a backslash asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `\d`: tables and views
    Tables,
    /// `\d NAME`: the columns of one
    Columns(String),
    /// `\df [PATTERN]`: functions
    Functions(String),
    /// `\i FILE`: run a file
    Include(PathBuf),
    /// `\format [FORMAT]`: set, or show
    Format(Option<Format>),
    /// `\rows N|all`
    Rows(Option<usize>),
    /// `\timing`: switch the time after a result on or off
    Timing,
    Help,
    Quit,
}

/// Command, argument and description, as `\?` lists them.
pub const COMMANDS: [(&str, &str, &str); 9] = [
    ("\\d", "", "tables and views"),
    ("\\d", "NAME", "columns of a table or view"),
    (
        "\\df",
        "[PATTERN]",
        "functions; * stands for any text; one function alone is shown in full",
    ),
    ("\\i", "FILE", "run the SQL in a file"),
    (
        "\\format",
        "[FORMAT]",
        "how results are printed: table, csv or json",
    ),
    ("\\rows", "N|all", "rows of a result that are shown"),
    ("\\timing", "", "time after each result on or off"),
    ("\\?", "", "this help"),
    ("\\q", "", "leave (also Ctrl-D)"),
];

/// Reads a line that begins with a backslash.
///
/// # Errors
/// A text for the user: unknown command, missing or wrong argument.
pub fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim().trim_end_matches(';').trim_end();
    let (name, argument) = match line.split_once(char::is_whitespace) {
        Some((name, argument)) => (name, argument.trim()),
        None => (line, ""),
    };
    let command = match (name, argument) {
        ("\\d", "") => Command::Tables,
        ("\\d", table) => return Ok(Command::Columns(table.to_owned())),
        ("\\df", pattern) => return Ok(Command::Functions(pattern.to_owned())),
        ("\\i", "") => return Err("\\i needs the name of a file: \\i align.sql".to_owned()),
        ("\\i", file) => return Ok(Command::Include(PathBuf::from(file.trim_matches('\'')))),
        ("\\format", "") => Command::Format(None),
        ("\\format", name) => return format(name),
        ("\\rows", "all") => return Ok(Command::Rows(None)),
        ("\\rows", count) => {
            return match count.parse() {
                Ok(count) if count > 0 => Ok(Command::Rows(Some(count))),
                _ => Err(format!(
                    "\\rows needs a number of rows or 'all', not '{count}'"
                )),
            };
        }
        ("\\timing", _) => Command::Timing,
        ("\\?", _) => Command::Help,
        ("\\q", _) => Command::Quit,
        _ => return Err(format!("unknown command {name}; \\? lists the commands")),
    };
    match argument {
        "" => Ok(command),
        _ => Err(format!("{name} takes no argument")),
    }
}

fn format(name: &str) -> Result<Command, String> {
    match Format::from_str(name, true) {
        Ok(Format::Parquet) => Err(super::PARQUET_NEEDS_FILE.to_owned()),
        Ok(format) => Ok(Command::Format(Some(format))),
        Err(_) => Err(format!(
            "unknown format '{name}'; there are table, csv and json"
        )),
    }
}

/// The text of `\?`.
pub fn help() -> String {
    let mut text =
        String::from("SQL statements end with a semicolon and may take several lines.\n\n");
    for (name, argument, description) in COMMANDS {
        text.push_str(&format!(
            "  {:<18} {description}\n",
            format!("{name} {argument}")
        ));
    }
    text.push_str(
        "\n  EXPLAIN <query>; shows how a query runs. EXPLAIN ALIGN (subject = '01', tr = 60) <query>;\n  \
         shows which rows of which files and tables went into that row, when, and how much.\n\n  \
         Tab completes names, keywords and, inside quotes, files.\n  \
         Ctrl-C clears the line, or cancels the running statement.\n",
    );
    text
}

/// Whether a name matches a pattern with `*` for any text; a pattern without
/// one matches everything that contains it. Capitals make no difference.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else {
        return name.contains(&pattern);
    };
    let Some(mut name) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_arguments() {
        assert_eq!(parse("\\d"), Ok(Command::Tables));
        assert_eq!(parse("\\d bold;"), Ok(Command::Columns("bold".into())));
        assert_eq!(parse("\\df *hrf*"), Ok(Command::Functions("*hrf*".into())));
        assert_eq!(parse("\\i a b.sql"), Ok(Command::Include("a b.sql".into())));
        assert_eq!(
            parse("\\format csv"),
            Ok(Command::Format(Some(Format::Csv)))
        );
        assert_eq!(parse("\\rows all"), Ok(Command::Rows(None)));
        assert_eq!(parse("\\q"), Ok(Command::Quit));
    }

    #[test]
    fn wrong_commands_say_what_is_right() {
        assert!(parse("\\x").unwrap_err().contains("\\?"));
        assert!(parse("\\i").unwrap_err().contains("file"));
        assert!(parse("\\format xml").unwrap_err().contains("csv"));
        assert!(parse("\\format parquet").unwrap_err().contains("COPY"));
        assert!(parse("\\rows 0").unwrap_err().contains("'0'"));
        assert!(parse("\\timing on").unwrap_err().contains("no argument"));
    }

    #[test]
    fn patterns() {
        assert!(matches("", "abs"));
        assert!(matches("hrf", "glover_hrf"));
        assert!(matches("GLOVER*", "glover_hrf"));
        assert!(matches("*_hrf", "spm_hrf"));
        assert!(matches("g*r*f", "glover_hrf"));
        assert!(!matches("hrf*", "glover_hrf"));
        assert!(!matches("*glover", "glover_hrf"));
    }

    #[test]
    fn help_names_every_command() {
        let help = help();
        for (name, _, _) in COMMANDS {
            assert!(help.contains(name));
        }
    }
}
