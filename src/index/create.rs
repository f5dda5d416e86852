//! `CREATE INDEX` and `DROP INDEX`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use datafusion::common::{Result, TableReference, exec_err, plan_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use sha2::{Digest, Sha256};
use voxql_udfs::kernels::hnsw::{self, Codes, Hnsw, Progress};
use voxql_udfs::kernels::metric::Metric;
use voxql_udfs::vectors::element_type;

use super::collect::Collection;
use super::load::{encode, nearness};
use super::manifest::{self, GRAPH, Manifest, VECTORS, hexadecimal, parquet_files};
use crate::database::ObjectKind;
use crate::session::{Answer, Session};
use crate::statements::parse::CreateIndex;
use crate::writers::format::blocking;

/// The one kind of index.
const METHOD: &str = "hnsw";

const M: usize = 16;
const EF_CONSTRUCTION: usize = 200;

/// More is of no use to anybody.
const MOST_EF: usize = 10_000;

/// `CREATE INDEX`.
///
/// # Errors
/// Name the option, the table or the column that is wrong; or the memory or the disk is not enough. The
/// database is then as it was.
pub async fn create(session: &Session, create: CreateIndex) -> Result<Answer> {
    let settings = Settings::of(&create)?;
    let (name, table) = (&create.name, &create.table);
    let database = session.database();
    let exists = || database.exists(ObjectKind::Index, name);
    if exists() && create.if_not_exists {
        return Ok(Answer::done(format!("index {name} is there already")));
    }
    check_column(session, &create).await?;
    let staging = database.write().await?;
    // Asked again under the lock.
    if exists() {
        return plan_err!("index {name} exists; DROP INDEX {name} first");
    }
    if !database.exists(ObjectKind::Table, table) {
        return plan_err!("CREATE INDEX {name}: there is no table {table}");
    }
    let context = session.context();
    let consumer = MemoryConsumer::new(format!("CREATE INDEX {name}"));
    let progress = Arc::new(Progress::default());
    let _stop = StopWhenDropped(Arc::clone(&progress));
    let work = Work {
        name: name.clone(),
        table: table.clone(),
        column: create.column.clone(),
        settings,
        threads: context.state().config().target_partitions(),
        table_directory: database.place(ObjectKind::Table, table),
        directory: staging.directory().to_path_buf(),
        memory: consumer.register(&context.runtime_env().memory_pool),
        progress,
    };
    let summary = blocking(move || work.run()).await?;
    staging.publish_directory(ObjectKind::Index, name)?;
    Ok(Answer::done(format!(
        "created index {name} on {table} ({summary})"
    )))
}

/// `DROP INDEX`.
pub async fn drop_index(session: &Session, name: &str, if_exists: bool) -> Result<Answer> {
    let staging = session.database().write().await?;
    if session.database().exists(ObjectKind::Index, name) {
        staging.remove(ObjectKind::Index, name)?;
        session.indexes().forget(name).await;
        return Ok(Answer::done(format!("dropped index {name}")));
    }
    match if_exists {
        true => Ok(Answer::done(format!("there was no index {name}"))),
        false => session.indexes().missing(name),
    }
}

/// What the statement says of the graph.
#[derive(Debug, Clone, Copy)]
struct Settings {
    metric: Metric,
    m: usize,
    ef_construction: usize,
}

impl Settings {
    fn of(create: &CreateIndex) -> Result<Self> {
        let name = &create.name;
        if create.method != METHOD {
            return plan_err!(
                "CREATE INDEX {name}: there is no kind of index {}; USING hnsw is the only one",
                create.method
            );
        }
        let known = ["metric", "m", "ef_construction"];
        if let Some(other) = create
            .options
            .keys()
            .find(|key| !known.contains(&key.as_str()))
        {
            return plan_err!(
                "CREATE INDEX {name}: there is no option {other}; there are {}",
                known.join(", ")
            );
        }
        let m = number(create, "m", M, 2, hnsw::MOST_LINKS)?;
        Ok(Self {
            metric: metric(create)?,
            m,
            ef_construction: number(
                create,
                "ef_construction",
                EF_CONSTRUCTION.max(m),
                m,
                MOST_EF,
            )?,
        })
    }
}

/// By the option, or by one of pgvector's operator classes.
fn metric(create: &CreateIndex) -> Result<Metric> {
    let name = &create.name;
    let of_class = match create.class.as_deref() {
        None => None,
        Some("vector_cosine_ops") => Some(Metric::Cosine),
        Some("vector_l2_ops") => Some(Metric::L2),
        Some("vector_ip_ops") => Some(Metric::InnerProduct),
        Some(class) => {
            return plan_err!(
                "CREATE INDEX {name}: there is no operator class {class}; there are \
                 vector_cosine_ops, vector_l2_ops, vector_ip_ops, or WITH (metric = 'cosine')"
            );
        }
    };
    let given = create.options.get("metric");
    let of_option = match given.map(|text| (text, Metric::parse(text))) {
        None => None,
        Some((_, Ok(metric @ (Metric::Cosine | Metric::L2 | Metric::InnerProduct)))) => {
            Some(metric)
        }
        Some((text, _)) => {
            return plan_err!(
                "CREATE INDEX {name}: metric must be 'cosine', 'l2' or 'inner_product', not '{text}'"
            );
        }
    };
    match (of_class, of_option) {
        (Some(class), Some(option)) if class != option => plan_err!(
            "CREATE INDEX {name}: the operator class says {class} and the option metric says {option}"
        ),
        (class, option) => Ok(option.or(class).unwrap_or(Metric::Cosine)),
    }
}

fn number(
    create: &CreateIndex,
    key: &str,
    default: usize,
    least: usize,
    most: usize,
) -> Result<usize> {
    let Some(text) = create.options.get(key) else {
        return Ok(default);
    };
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => plan_err!(
            "CREATE INDEX {}: {key} must be a whole number from {least} to {most}, not {text}",
            create.name
        ),
    }
}

async fn check_column(session: &Session, create: &CreateIndex) -> Result<()> {
    let CreateIndex {
        name,
        table,
        column,
        ..
    } = create;
    match session.database().relation(table) {
        Some(ObjectKind::Table) => {}
        Some(kind) => {
            return plan_err!(
                "CREATE INDEX {name}: {table} is {} {}, and only tables of the database have indexes; \
                 CREATE TABLE … AS SELECT * FROM {table} makes one",
                if kind == ObjectKind::External {
                    "an"
                } else {
                    "a"
                },
                kind.noun()
            );
        }
        None => return plan_err!("CREATE INDEX {name}: there is no table {table}"),
    }
    let provider = session
        .context()
        .table_provider(TableReference::bare(table.as_str()))
        .await?;
    let schema = provider.schema();
    let Ok(field) = schema.field_with_name(column) else {
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return plan_err!(
            "CREATE INDEX {name}: {table} has no column {column}; it has {}",
            names.join(", ")
        );
    };
    match element_type(field.data_type()) {
        Some(_) => Ok(()),
        None => plan_err!(
            "CREATE INDEX {name}: {column} is no vector (a list of numbers), but {}",
            field.data_type()
        ),
    }
}

/// A statement that is not waited for any more has nobody to build for.
struct StopWhenDropped(Arc<Progress>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// The part of a `CREATE INDEX` that keeps threads busy.
struct Work {
    name: String,
    table: String,
    column: String,
    settings: Settings,
    threads: usize,
    table_directory: PathBuf,
    directory: PathBuf,
    memory: MemoryReservation,
    progress: Arc<Progress>,
}

impl Work {
    /// Writes the index's files; gives a summary of it.
    fn run(self) -> Result<String> {
        let Settings {
            metric,
            m,
            ef_construction,
        } = self.settings;
        let vectors_file = self.directory.join(VECTORS);
        let collection = Collection {
            name: &self.name,
            column: &self.column,
            metric,
            files: parquet_files(&self.table_directory)?,
            table: self.table_directory.clone(),
            stop: &self.progress.stop,
            memory: &self.memory,
        };
        let found = collection.run(&vectors_file)?;
        let (rows, vectors) = (found.of_row.len(), found.vectors);
        let bytes = manifest::memory(vectors, rows, found.dimension, m);
        // The links twice: the graph, and its bytes on their way to disk; and a lock each.
        let links = bytes - vectors * hnsw::bytes(found.dimension);
        self.memory.try_resize(bytes + links + 8 * vectors)?;

        let codes = Codes::new(nearness(metric), found.mean.clone(), vectors);
        let (codes, hash) = encode(&vectors_file, metric, codes)?;
        if hash != found.vectors_hash {
            return exec_err!(
                "{}: what was written is not what is there",
                vectors_file.display()
            );
        }
        let how = hnsw::Settings {
            m,
            ef_construction,
            threads: self.threads,
        };
        let Some(hnsw) = Hnsw::build(codes, how, &self.progress) else {
            return exec_err!("CREATE INDEX {} was cancelled", self.name);
        };

        let mut bytes: Vec<u8> = found.mean.iter().flat_map(|x| x.to_le_bytes()).collect();
        bytes.extend(found.of_row.iter().flat_map(|vector| vector.to_le_bytes()));
        bytes.extend(hnsw.graph().to_bytes());
        fs::write(self.directory.join(GRAPH), &bytes)?;
        let summary = format!(
            "{rows} rows, {vectors} different vectors of {}",
            found.dimension
        );
        Manifest {
            name: self.name,
            table: self.table,
            column: self.column,
            metric: metric.to_string(),
            m,
            ef_construction,
            dimension: found.dimension,
            vectors,
            files: found.files,
            graph_hash: hexadecimal(&Sha256::digest(&bytes)),
            vectors_hash: found.vectors_hash,
            hash: String::new(),
        }
        .write(&self.directory)?;
        Ok(summary)
    }
}

/// The indexes of a table, which go with it.
pub fn names_of_table(session: &Session, table: &str) -> Result<Vec<String>> {
    let indexes = session.indexes();
    let is_of_table = |name: &String| {
        let manifest = Manifest::read(&indexes.directory(name));
        manifest.is_ok_and(|manifest| manifest.table == table)
    };
    Ok(indexes.names()?.into_iter().filter(is_of_table).collect())
}
