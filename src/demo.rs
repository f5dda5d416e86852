//! `voxql demo`: runs `sql/align_movie.sql` on the data of `examples/demo`, and shows what came of it.

use std::fs;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use futures::TryStreamExt;

use crate::cli::cell::cells;
use crate::cli::table::{Layout, Table};
use crate::models::embedding;
use crate::session::{Session, Settings};

const ALIGN: &str = include_str!("../sql/align_movie.sql");
const CORRELATE: &str = include_str!("../sql/held_out_isc.sql");
const FIND: &str = include_str!("../sql/find_sentence.sql");

/// Where the demonstration writes when it is not told otherwise.
pub const DEFAULT_DIR: &str = "target/demo";

/// The file that says that a folder is the demonstration's.
const MARK: &str = "made-by-voxql-demo.txt";

/// A question that shares hardly a word with its answer: only a model of meaning finds it.
const PARAPHRASE: &str = "a tall tower shines a lamp to guide sailors at night";

/// Runs the demonstration and prints to stdout. Everything it makes lies under `dir`: the
/// database `study` and the Parquet files `aligned`, both made anew.
///
/// # Errors
/// Where `examples/demo` is neither in the working directory nor where VoxQL was built,
/// where `dir` cannot be written or holds anything else, or where a statement fails.
pub async fn run(dir: &Path) -> Result<()> {
    let start = Instant::now();
    let paths = Paths::find(dir)?;
    paths.make_empty()?;
    let settings = Settings {
        db: Some(paths.study()),
        ..Settings::default()
    };
    let demo = Demo {
        session: Session::open(settings).await?,
        paths,
    };
    say(
        "A narrated film of 117 seconds, and four people who watched it. The people are simulated: \
         their BOLD\nfollows what is in the film, each with another number of voxels and other \
         noise (examples/demo).\n\nsql/align_movie.sql, from files to aligned Parquet:",
    )?;
    demo.align().await?;
    demo.show_tables().await?;
    demo.show_row().await?;
    demo.show_correlation().await?;
    demo.show_retrieval().await?;
    demo.show_files(start)
}

struct Demo {
    session: Session,
    paths: Paths,
}

impl Demo {
    /// Runs the script, a line per statement.
    async fn align(&self) -> Result<()> {
        let script = self.paths.fill_in(ALIGN);
        for statement in self.session.parse(&script)? {
            let title = title(&script, statement.line);
            print(&format!("  {title:<86}"))?;
            let start = Instant::now();
            let done = async {
                let answer = self.session.execute(statement).await?;
                answer.stream.try_collect::<Vec<_>>().await
            };
            if let Err(error) = done.await {
                say("failed")?;
                return Err(error);
            }
            say(&format!("{:6.2} s", start.elapsed().as_secs_f64()))?;
        }
        Ok(())
    }

    async fn show_tables(&self) -> Result<()> {
        say("\nThe tables, and their vectors' lengths:")?;
        for table in [
            "video",
            "audio",
            "sentences",
            "language",
            "stimulus",
            "bold",
        ] {
            let rows = self
                .rows(&format!("SELECT count(*) AS n FROM {table}"))
                .await?;
            let count = cells(rows.column(0))?.concat();
            let first = self.rows(&format!("SELECT * FROM {table} LIMIT 1")).await?;
            let columns: Vec<String> = first
                .schema()
                .fields()
                .iter()
                .map(|field| match shape(field.data_type()) {
                    Some(shape) => format!("{} {shape}", field.name()),
                    None => field.name().clone(),
                })
                .collect();
            say(&format!(
                "  {table:<10}{count:>4} rows   {}",
                columns.join(", ")
            ))?;
        }
        Ok(())
    }

    async fn show_row(&self) -> Result<()> {
        say("\nOne row of the aligned Parquet, subject 02 at TR 60:")?;
        let aligned = quoted(&self.paths.aligned());
        let row = self
            .rows(&format!(
                "SELECT * FROM '{aligned}/' WHERE subject = '02' AND tr = 60"
            ))
            .await?;
        for (field, column) in row.schema().fields().iter().zip(row.columns()) {
            let kind = kind(field.data_type());
            say(&format!(
                "  {:<10}{kind:<12}{}",
                field.name(),
                cells(column)?.concat()
            ))?;
        }
        Ok(())
    }

    async fn show_correlation(&self) -> Result<()> {
        say(
            "\nHow alike the four respond: inter-subject correlation on the 32 TRs that the shared \
             response\nmodel did not see, of voxels at the same place, and of the model's features; and how \
             often five\nTRs of one subject are found among the others' (sql/held_out_isc.sql):",
        )?;
        self.show(&self.paths.fill_in(CORRELATE)).await
    }

    async fn show_retrieval(&self) -> Result<()> {
        for statement in self.session.parse(FIND)? {
            say(&format!(
                "\n{} (sql/find_sentence.sql):",
                without_number(&title(FIND, statement.line))
            ))?;
            self.show(&statement.text).await?;
        }
        say(
            "\nThese embeddings are 'hashing': built in, spelling only, no knowledge of meaning. It \
             finds words, not paraphrases.",
        )?;
        let Some(model) = sentence_model() else {
            return say(
                "No sentence model is on this machine. For one: voxql models pull all-MiniLM-L6-v2",
            );
        };
        say(&format!(
            "With {model}, which is on this machine, \"{PARAPHRASE}\" finds:"
        ))?;
        let model = model.replace('\'', "''");
        self.show(&format!(
            "SELECT text, onset, round(cosine_distance(embed(text, model => '{model}'), \
             embed('{PARAPHRASE}', model => '{model}')), 3) AS distance \
             FROM sentences ORDER BY distance LIMIT 3"
        ))
        .await
    }

    fn show_files(&self, start: Instant) -> Result<()> {
        say("\nThe aligned Parquet, a folder per subject:")?;
        let aligned = self.paths.aligned();
        for folder in sorted(&aligned)? {
            for file in sorted(&folder)? {
                let bytes = fs::metadata(&file)?.len();
                say(&format!(
                    "  {:>7.1} KB  {}",
                    bytes as f64 / 1e3,
                    file.display()
                ))?;
            }
        }
        say(&format!(
            "\nIn Python:  import pandas; aligned = pandas.read_parquet('{}')\n\
             In VoxQL:   voxql --db {}\n\nDone in {:.1} s.",
            aligned.display(),
            self.paths.study().display(),
            start.elapsed().as_secs_f64()
        ))
    }

    /// Prints the rows of a query.
    async fn show(&self, sql: &str) -> Result<()> {
        let rows = self.rows(sql).await?;
        let mut table = Table::new(&rows.schema(), Layout::default());
        let mut text = String::new();
        table.write(&rows, &mut text)?;
        table.finish(&mut text)?;
        for line in text.lines() {
            say(&format!("  {line}"))?;
        }
        Ok(())
    }

    /// The rows of a small query, in one batch.
    async fn rows(&self, sql: &str) -> Result<RecordBatch> {
        let stream = self.session.sql(sql).await?.stream;
        let schema = stream.schema();
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

/// Where the data is, and where results go.
struct Paths {
    /// The folder that holds `examples/demo`; empty for the working directory.
    root: PathBuf,
    dir: PathBuf,
}

impl Paths {
    fn find(dir: &Path) -> Result<Self> {
        let roots = [PathBuf::new(), PathBuf::from(env!("CARGO_MANIFEST_DIR"))];
        let has_data = |root: &&PathBuf| root.join("examples/demo/clip.mp4").is_file();
        match roots.iter().find(has_data) {
            Some(root) => Ok(Self {
                root: root.clone(),
                dir: dir.to_path_buf(),
            }),
            None => exec_err!(
                "the demonstration needs the data in examples/demo of VoxQL's repository, which is neither \
                 here nor in {}; clone the repository and run `cargo run --release -- demo` in it",
                roots[1].display()
            ),
        }
    }

    /// Makes `dir`, and removes what an earlier demonstration left in it. The file
    /// [`MARK`] says that one did: nobody's own files are removed.
    fn make_empty(&self) -> Result<()> {
        let dir = self.dir.display();
        let cannot = |e: std::io::Error| {
            exec_datafusion_err!("the demonstration cannot write in {dir}: {e}")
        };
        fs::create_dir_all(&self.dir).map_err(cannot)?;
        let mark = self.dir.join(MARK);
        if !mark.exists() && fs::read_dir(&self.dir).map_err(cannot)?.next().is_some() {
            return exec_err!(
                "{dir} holds files that are not of the demonstration; give it an empty folder with --dir"
            );
        }
        fs::write(
            &mark,
            "voxql demo made this folder, and empties it when it runs again.\n",
        )
        .map_err(cannot)?;
        for made in [self.study(), self.aligned()] {
            if made.exists() {
                fs::remove_dir_all(&made).map_err(cannot)?;
            }
        }
        Ok(())
    }

    fn study(&self) -> PathBuf {
        self.dir.join("study")
    }

    fn aligned(&self) -> PathBuf {
        self.dir.join("aligned")
    }

    /// A script with its paths, which are relative to the repository, put where they are here.
    fn fill_in(&self, script: &str) -> String {
        let data = quoted(&self.root.join("examples/demo"));
        let aligned = quoted(&self.aligned());
        script
            .replace("'examples/demo/", &format!("'{data}/"))
            .replace("'target/demo/aligned/", &format!("'{aligned}/"))
    }
}

/// A path as it stands inside a SQL string.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace('\'', "''")
}

/// The heading of the statement that begins at `line` (from 1): the last comment before it
/// that begins with a number.
fn title(script: &str, line: usize) -> String {
    let numbered = |text: &&str| {
        text.strip_prefix("-- ")
            .is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()))
    };
    let before: Vec<&str> = script.lines().take(line).collect();
    let heading = before.into_iter().rev().find(numbered).unwrap_or_default();
    heading.trim_start_matches("-- ").to_string()
}

fn without_number(title: &str) -> &str {
    title.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
}

/// How long the vectors of a column are, as `×80`; nothing for other columns.
fn shape(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::FixedSizeList(_, width) => Some(format!("×{width}")),
        DataType::List(_) => Some("of any length".to_string()),
        _ => None,
    }
}

/// A column's type as a person says it.
fn kind(data_type: &DataType) -> String {
    match data_type {
        DataType::Dictionary(_, value) => kind(value),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_string(),
        DataType::Boolean => "true/false".to_string(),
        DataType::Int64 => "integer".to_string(),
        DataType::Float64 => "number".to_string(),
        other => shape(other).unwrap_or_else(|| other.to_string()),
    }
}

/// A sentence model of this machine, MiniLM if it is among them.
fn sentence_model() -> Option<String> {
    let models = embedding::available(None);
    let best = models.iter().find(|place| place.name.contains("MiniLM"));
    Some(best.or(models.first())?.name.clone())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn say(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}

fn print(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(DataFusionError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_the_numbered_comments() {
        let script = "-- A script\n\n-- 1. First\n--\n-- more\nSELECT 1;\n-- 2. Second\nSELECT 2;";
        assert_eq!(title(script, 6), "1. First");
        assert_eq!(title(script, 8), "2. Second");
        assert_eq!(title(script, 1), "");
        assert_eq!(without_number("12. Twelve 1"), "Twelve 1");
    }

    #[test]
    fn every_statement_of_the_pipeline_has_a_title() {
        let headings = ALIGN
            .lines()
            .filter(|line| !title(line, 1).is_empty())
            .count();
        assert_eq!(
            crate::statements::parse::parse(ALIGN).unwrap().len(),
            headings
        );
    }

    #[test]
    fn only_the_demonstrations_own_folder_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: PathBuf::new(),
            dir: dir.path().join("new"),
        };
        paths.make_empty().unwrap();
        fs::create_dir(paths.aligned()).unwrap();
        paths.make_empty().unwrap();
        assert!(!paths.aligned().exists());

        let mine = dir.path().join("mine");
        fs::create_dir_all(mine.join("study")).unwrap();
        let error = Paths {
            root: PathBuf::new(),
            dir: mine.clone(),
        }
        .make_empty()
        .unwrap_err();
        assert!(error.to_string().contains("--dir"));
        assert!(mine.join("study").exists());
    }

    #[test]
    fn scripts_get_the_paths_of_this_run() {
        let paths = Paths {
            root: "/it's".into(),
            dir: "out".into(),
        };
        assert_eq!(
            paths.fill_in("read('examples/demo/a') TO 'target/demo/aligned/'"),
            "read('/it''s/examples/demo/a') TO 'out/aligned/'"
        );
        let here = Paths {
            root: PathBuf::new(),
            dir: DEFAULT_DIR.into(),
        };
        assert_eq!(here.fill_in(ALIGN), ALIGN);
    }
}
