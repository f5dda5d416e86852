//! Runs `tests/slt/*.slt`: SQL that is test and documentation at once.
//!
//! Paths in the files are relative to the repository. A file whose first line is
//! `# requires PATH` is skipped where that path is not there.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use futures::TryStreamExt;
use rstest::rstest;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use voxql::session::{AnswerKind, Session, Settings};

struct Database(Session);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(#[from] DataFusionError);

#[async_trait::async_trait]
impl AsyncDB for Database {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let answer = self.0.sql(sql).await?;
        if let AnswerKind::Done(_) = answer.kind {
            return Ok(DBOutput::StatementComplete(0));
        }
        let types = vec![DefaultColumnType::Any; answer.stream.schema().fields().len()];
        let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(cells(batch)?);
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "voxql"
    }
}

fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>, DataFusionError> {
    let options = FormatOptions::default().with_null("NULL");
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    let cell = |column: &ArrayFormatter, row| match column.value(row).to_string() {
        text if text.is_empty() => "(empty)".to_string(),
        text => text,
    };
    let row = |i| columns.iter().map(|column| cell(column, i)).collect();
    Ok((0..batch.num_rows()).map(row).collect())
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slt(#[files("tests/slt/*.slt")] path: PathBuf) {
    let text = std::fs::read_to_string(&path).unwrap();
    if let Some(needed) = text.strip_prefix("# requires ") {
        let needed = needed.lines().next().unwrap_or_default().trim();
        if !Path::new(needed).exists() {
            note!("skipped: {} needs {needed}", path.display());
            return;
        }
    }
    let open = || async {
        let settings = Settings {
            threads: Some(2),
            ..Settings::default()
        };
        Ok(Database(Session::open(settings).await?))
    };
    let mut runner = Runner::new(open);
    if let Err(error) = runner.run_file_async(&path).await {
        panic!("{}", error.display(false));
    }
}
