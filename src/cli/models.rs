//! `voxql models`: the models of this machine, and new ones from Hugging Face.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use clap::Subcommand;
use datafusion::common::{Result, exec_err};
use indicatif::MultiProgress;

use super::logger;
use super::shell::{Stop, terminal_width};
use super::table::{Layout, Table};
use crate::database::PRETRAINED;
use crate::models::backend;
use crate::models::embedding::pull;
use crate::models::listing::{Listed, listed};

#[derive(Debug, Subcommand)]
pub enum Models {
    /// Fetch an embedding model from Hugging Face, only the files that are needed
    ///
    /// It goes to the cache that Python's libraries use as well. HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and
    /// HF_TOKEN are honoured.
    Pull {
        /// Such as all-MiniLM-L6-v2 (of sentence-transformers) or BAAI/bge-large-en-v1.5
        name: String,

        /// The graph to fetch instead of onnx/model.onnx, such as onnx/model_quantized.onnx
        #[arg(long, value_name = "FILE")]
        file_name: Option<String>,

        /// Put it in a folder of its own in DIR
        #[arg(long, value_name = "DIR", conflicts_with = "db")]
        to: Option<PathBuf>,

        /// Put it in this database
        #[arg(long, value_name = "DIR")]
        db: Option<PathBuf>,
    },
    /// The models that SQL finds by name: embeddings of text and of images, vocoders
    List {
        /// With those of this database
        #[arg(long, value_name = "DIR")]
        db: Option<PathBuf>,
    },
}

/// Does what the command line asks.
pub fn run(task: &Models) -> Result<(), Stop> {
    logger::install(&MultiProgress::new());
    match task {
        Models::Pull {
            name,
            file_name,
            to,
            db,
        } => {
            let shelf = db.as_deref().map(shelf).transpose()?;
            let folder = pull::pull(
                name,
                file_name.as_deref(),
                to.as_deref().or(shelf.as_deref()),
            )?;
            writeln!(std::io::stdout(), "{name} is in {}", folder.display())?;
            Ok(())
        }
        Models::List { db } => {
            let shelf = db.as_deref().map(shelf).transpose()?;
            list(shelf.as_deref())
        }
    }
}

/// The folder of models of a database, which must be one.
fn shelf(db: &Path) -> Result<PathBuf> {
    if !db.join("voxql.json").is_file() {
        return exec_err!("'{}' is no VoxQL database", db.display());
    }
    Ok(db.join(PRETRAINED))
}

fn list(shelf: Option<&Path>) -> Result<(), Stop> {
    let backend = backend::in_use()?.to_string();
    let found = listed(shelf);
    let runs = |model: &Listed| match model.folder {
        None => "built in".to_string(),
        Some(_) => backend.clone(),
    };
    let dimension = |model: &Listed| model.dimension.map(|n| n as i64);
    let place = |model: &Listed| Some(model.folder.as_ref()?.display().to_string());
    let columns: [(&str, ArrayRef); 6] = [
        (
            "name",
            Arc::new(StringArray::from_iter_values(
                found.iter().map(|model| &model.name),
            )),
        ),
        (
            "kind",
            Arc::new(StringArray::from_iter_values(
                found.iter().map(|model| model.kind),
            )),
        ),
        (
            "dimension",
            Arc::new(Int64Array::from_iter(found.iter().map(dimension))),
        ),
        (
            "bytes",
            Arc::new(Int64Array::from_iter_values(
                found.iter().map(|model| model.bytes as i64),
            )),
        ),
        (
            "backend",
            Arc::new(StringArray::from_iter_values(found.iter().map(runs))),
        ),
        (
            "place",
            Arc::new(StringArray::from_iter(found.iter().map(place))),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).map_err(failed)?;
    let layout = Layout {
        width: terminal_width(),
        max_rows: None,
    };
    let mut table = Table::new(&batch.schema(), layout);
    let mut text = String::new();
    table.write(&batch, &mut text).map_err(failed)?;
    table.finish(&mut text).map_err(failed)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn failed(error: arrow::error::ArrowError) -> Stop {
    Stop::Failed(format!("cannot print the models: {error}"))
}
