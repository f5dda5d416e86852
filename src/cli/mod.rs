//! The shell: the arguments of `voxql`, and what it does with them.

mod catalog;
pub(crate) mod cell;
mod commands;
mod complete;
mod logger;
mod models;
mod print;
mod progress;
mod repl;
mod serve;
mod shell;
pub(crate) mod table;
mod units;
mod user;

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::demo;
use crate::models::backend;
use crate::session::Settings;
use print::Format;
use shell::{Shell, Stop, Style, terminal_width};
use table::Layout;
use units::bytes;

/// Rows of a result that the interactive shell shows.
const INTERACTIVE_ROWS: usize = 40;

const PARQUET_NEEDS_FILE: &str = "Parquet is not for the terminal; redirect it (voxql --format parquet -c '…' > out.parquet) \
     or write COPY (…) TO 'out.parquet'";

/// An embedded analytics database for multimodal neuroscience.
///
/// Without -c or -f: an interactive shell on a terminal, else SQL is read from
/// stdin. Statements run in order up to the first error, which gives exit code 1.
#[derive(Debug, Parser)]
#[command(
    name = "voxql",
    disable_version_flag = true,
    args_conflicts_with_subcommands = true
)]
struct Args {
    #[command(subcommand)]
    task: Option<Task>,

    /// Run these statements; may be repeated, and mixed with -f, in order
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true)]
    command: Vec<String>,

    /// Run the statements in this file; may be repeated
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// How results are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// The database directory; made if it is not there. Without one nothing is kept
    #[arg(long, value_name = "DIR")]
    db: Option<PathBuf>,

    /// Memory for queries, such as 8GB or 512MiB; larger work spills to disk or fails
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    memory_limit: Option<usize>,

    /// Threads for queries; all cores by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Print the versions of VoxQL and DataFusion, and what runs models
    #[arg(short = 'V', long)]
    version: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// From a film and four people's fMRI to aligned Parquet, in a minute
    Demo {
        /// Where the results go; made anew at each run
        #[arg(long, default_value = demo::DEFAULT_DIR)]
        dir: PathBuf,
    },
    /// Embedding models: fetch one from Hugging Face, list those that are here
    #[command(subcommand)]
    Models(models::Models),
    /// The database for notebooks and other clients of Arrow Flight SQL
    Serve(serve::Serve),
    /// Who may connect to a server
    #[command(subcommand)]
    User(user::Task),
    /// A key and a certificate for a server, signed by itself
    Certificate(user::Certificate),
}

/// One thing to run, in the order of the command line.
enum Source {
    Text(String),
    File(PathBuf),
    Stdin,
}

/// Runs the program with the process's arguments.
///
/// Exit codes: 0; 1 for an error, which is printed to stderr; 2 for wrong
/// arguments; 130 after Ctrl-C, which the interactive shell survives.
pub fn run() -> ExitCode {
    let matches = Args::command().get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let result = match &args.task {
        Some(Task::Demo { dir }) => shell::run_alone(demo::run(dir)),
        Some(Task::Models(task)) => models::run(task),
        Some(Task::Serve(serve)) => serve::run(serve),
        Some(Task::User(task)) => user::run(task),
        Some(Task::Certificate(certificate)) => user::certificate(certificate).map_err(Stop::from),
        None if args.version => version(),
        None => work(&args, sources(&args, &matches)),
    };
    match result {
        Ok(()) | Err(Stop::OutputClosed) => ExitCode::SUCCESS,
        Err(Stop::Failed(text)) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
        Err(Stop::Cancelled) => ExitCode::from(130),
    }
}

fn work(args: &Args, sources: Vec<Source>) -> Result<(), Stop> {
    let terminal = std::io::stdout().is_terminal();
    let interactive = sources.is_empty();
    if args.format == Format::Parquet && (terminal || interactive) {
        return Err(Stop::Failed(PARQUET_NEEDS_FILE.to_owned()));
    }
    let settings = Settings {
        db: args.db.clone(),
        memory_limit: args.memory_limit,
        threads: args.threads.map(usize::from),
        ..Settings::default()
    };
    let style = Style {
        format: args.format,
        layout: Layout {
            width: terminal_width(),
            max_rows: interactive.then_some(INTERACTIVE_ROWS),
        },
        timing: terminal,
    };
    let mut shell = Shell::open(settings, style)?;
    let result = match interactive {
        true => repl::run(&mut shell),
        false => sources
            .into_iter()
            .try_for_each(|source| one(&mut shell, source)),
    };
    shell.close();
    result
}

fn one(shell: &mut Shell, source: Source) -> Result<(), Stop> {
    match source {
        Source::Text(sql) => shell.run(&sql, None),
        Source::File(file) => shell.run(&read_file(&file)?, Some(&file.display().to_string())),
        Source::Stdin => {
            let mut sql = String::new();
            std::io::stdin()
                .read_to_string(&mut sql)
                .map_err(|error| Stop::Failed(format!("cannot read SQL from stdin: {error}")))?;
            shell.run(&sql, Some("<stdin>"))
        }
    }
}

/// What the command line asks to run; empty means the interactive shell.
fn sources(args: &Args, matches: &ArgMatches) -> Vec<Source> {
    let places = |name| matches.indices_of(name).into_iter().flatten();
    let texts = args.command.iter().map(|sql| Source::Text(sql.clone()));
    let files = args.file.iter().map(|file| Source::File(file.clone()));
    let mut placed: Vec<(usize, Source)> = places("command")
        .zip(texts)
        .chain(places("file").zip(files))
        .collect();
    placed.sort_by_key(|(place, _)| *place);
    if placed.is_empty() && !std::io::stdin().is_terminal() {
        return vec![Source::Stdin];
    }
    placed.into_iter().map(|(_, source)| source).collect()
}

fn read_file(file: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(file)
        .map_err(|error| Stop::Failed(format!("cannot read {}: {error}", file.display())))
}

fn version() -> Result<(), Stop> {
    let inference = backend::in_use()?;
    writeln!(
        std::io::stdout(),
        "voxql {}\nDataFusion {}\ninference: {inference}",
        env!("CARGO_PKG_VERSION"),
        datafusion::DATAFUSION_VERSION,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn commands_and_files_keep_their_order() {
        let line = ["voxql", "-f", "a.sql", "-c", "SELECT 1", "-f", "b.sql"];
        let matches = Args::command().get_matches_from(line);
        let args = Args::from_arg_matches(&matches).unwrap();
        let order: Vec<String> = sources(&args, &matches)
            .into_iter()
            .map(|source| match source {
                Source::Text(text) => text,
                Source::File(file) => file.display().to_string(),
                Source::Stdin => "stdin".to_owned(),
            })
            .collect();
        assert_eq!(order, ["a.sql", "SELECT 1", "b.sql"]);
    }
}
