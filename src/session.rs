//! A session: the database, DataFusion's context, and the way from SQL to rows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::MemorySchemaProvider;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan};
use datafusion::prelude::{SessionConfig, SessionContext};

use futures::StreamExt;
use futures::future::BoxFuture;

use crate::access::{self, Access};
use crate::database::Database;
use crate::index::options::SearchOptions;
use crate::index::{self, Indexes};
use crate::memory::Share;
use crate::models::Models;
use crate::planner::VoxqlPlanner;
use crate::statements::{self, Kind, Statement, copy_to};
use crate::yielding::YieldingJoins;
use crate::{align, asof, bounded, catalog, ddl, models, readers, writers};

/// The catalog and schema in which all tables are.
pub const CATALOG: &str = "voxql";
pub const SCHEMA: &str = "public";

/// Metadata of a column of numbers: how many digits after the point people want to see.
pub const DECIMALS: &str = "voxql.decimals";

/// Metadata of a column of numbers: three significant digits are enough for people.
pub const SHORT: &str = "voxql.short";

/// How a session is opened.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The database directory; without it, a temporary one.
    pub db: Option<PathBuf>,
    /// Bytes that queries may hold; without it, four fifths of the machine's memory.
    pub memory_limit: Option<usize>,
    /// Whether the memory is for many queries at once, each with a limit of its own
    /// ([`Session::with_memory`]); else one query has it all.
    pub shared: bool,
    /// Partitions that run at once; without it, one per core.
    pub threads: Option<usize>,
    /// The files that statements may name.
    pub access: Access,
}

/// A connection to a database. Cheap to share: all methods take `&self`.
pub struct Session {
    context: SessionContext,
    access: Access,
    database: Arc<Database>,
    /// Tables that the program registered for this session.
    registered: Arc<MemorySchemaProvider>,
    models: Arc<Models>,
    indexes: Arc<Indexes>,
    /// The plan that was started last.
    started: Arc<Mutex<Option<Weak<dyn ExecutionPlan>>>>,
}

/// What a statement gives.
pub struct Answer {
    pub kind: AnswerKind,
    /// The plan that runs; its metrics say how far it is.
    pub plan: Option<Arc<dyn ExecutionPlan>>,
    /// Rows that were written into a table.
    pub written: Option<u64>,
    pub stream: SendableRecordBatchStream,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerKind {
    /// Rows to show.
    Rows,
    /// Something was done: a sentence that says what.
    Done(String),
}

impl Answer {
    pub fn done(message: impl Into<String>) -> Self {
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        Self {
            kind: AnswerKind::Done(message.into()),
            plan: None,
            written: None,
            stream: Box::pin(EmptyRecordBatchStream::new(schema)),
        }
    }

    /// Something was done that wrote `rows` rows.
    pub(crate) fn written(message: impl Into<String>, rows: u64) -> Self {
        Self {
            written: Some(rows),
            ..Self::done(message)
        }
    }

    /// Rows that are there already.
    pub(crate) fn rows(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        Ok(Self {
            kind: AnswerKind::Rows,
            plan: None,
            written: None,
            stream: Box::pin(MemoryStream::try_new(batches, schema, None)?),
        })
    }
}

impl Session {
    pub async fn open(settings: Settings) -> Result<Self> {
        let database = Database::open(settings.db.as_deref())?;
        let access = settings.access.clone().without(database.root())?;
        let runtime = runtime(&settings)?;
        access::store::install(&runtime, access.clone(), &database);
        let config = config(&settings).with_extension(Arc::new(access.clone()));
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_query_planner(Arc::new(VoxqlPlanner));
        let indexes = Arc::new(Indexes::new(Arc::clone(&database)));
        let builder = index::rule::install(asof::install(builder), &indexes)
            .with_physical_optimizer_rule(Arc::new(YieldingJoins));
        let registered = Arc::<MemorySchemaProvider>::default();
        let context = catalog::context(
            builder,
            Arc::clone(&database),
            Arc::clone(&registered),
            access.clone(),
        )?;

        bounded::install(&context);
        voxql_udfs::register_all(&context);
        for format in readers::formats() {
            let name = format.stored_as().to_string();
            let factory = Arc::new(readers::ExternalTables(format));
            let state = context.state_ref();
            state.write().table_factories_mut().insert(name, factory);
        }
        for format in writers::factories() {
            let state = context.state_ref();
            state.write().register_file_format(format, true)?;
        }
        let models = Arc::new(Models::new(
            Arc::clone(&database),
            Arc::clone(&context.runtime_env().memory_pool),
        ));
        models::register_functions(&context, &models, &access);
        let state = context.state_ref();
        state
            .write()
            .config_mut()
            .set_extension(Arc::clone(&models));
        Ok(Self {
            context,
            access,
            database,
            registered,
            models,
            indexes,
            started: Arc::default(),
        })
    }

    /// The same database for statements that hold their memory in `memory_pool`, whatever they are planned from.
    pub fn with_memory(&self, memory_pool: Arc<dyn MemoryPool>) -> Result<Self> {
        let state = self.context.state();
        let runtime = RuntimeEnv {
            memory_pool,
            ..state.runtime_env().as_ref().clone()
        };
        let builder = SessionStateBuilder::new_from_existing(state);
        let context = catalog::context(
            builder.with_runtime_env(Arc::new(runtime)),
            Arc::clone(&self.database),
            Arc::clone(&self.registered),
            self.access.clone(),
        )?;
        Ok(Self {
            context,
            access: self.access.clone(),
            database: Arc::clone(&self.database),
            registered: Arc::clone(&self.registered),
            models: Arc::clone(&self.models),
            indexes: Arc::clone(&self.indexes),
            started: Arc::clone(&self.started),
        })
    }

    /// DataFusion's context. Statements of VoxQL's own, and readers, need [`Session::execute`].
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The files that statements may name.
    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    pub fn models(&self) -> &Arc<Models> {
        &self.models
    }

    pub fn indexes(&self) -> &Arc<Indexes> {
        &self.indexes
    }

    /// The plan that was started last, while it runs; its metrics say how far it is.
    /// It is here before [`Session::execute`] returns, which for `CREATE TABLE` is at the end.
    pub fn running_plan(&self) -> Option<Arc<dyn ExecutionPlan>> {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.as_ref()?.upgrade()
    }

    /// Splits a text into statements.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>> {
        statements::parse::parse(sql)
    }

    /// Runs one statement. Rows stream: nothing is computed before they are asked for.
    ///
    /// Boxed, as [`Session::sql`] is: a caller in another crate would compile all of
    /// DataFusion's planning into its own.
    pub fn execute(&self, statement: Statement) -> BoxFuture<'_, Result<Answer>> {
        Box::pin(self.execute_statement(statement))
    }

    async fn execute_statement(&self, statement: Statement) -> Result<Answer> {
        match statement.kind {
            Kind::Engine(engine) => {
                let plan = statements::plan::plan(&self.context.state(), *engine).await?;
                self.execute_plan(plan, &statement.text).await
            }
            Kind::CreateModel(create) => models::create(self, *create, &statement.text).await,
            Kind::ImportModel(import) => models::import(self, *import, &statement.text).await,
            Kind::CopyModel { name, file } => models::export(self, &name, &file).await,
            Kind::DropModel { name, if_exists } => models::drop_model(self, &name, if_exists).await,
            Kind::ExplainAlign(explain) => align::explain(self, *explain).await,
            Kind::CreateIndex(create) => index::create::create(self, *create).await,
            Kind::DropIndex { name, if_exists } => {
                index::create::drop_index(self, &name, if_exists).await
            }
            Kind::ShowIndexes => {
                self.run_rows(index::show::show(&self.indexes, &self.context)?)
                    .await
            }
            Kind::ShowQueries | Kind::CancelQuery(_) => plan_err!(
                "{}: this is for clients of a server; here is one session, and Ctrl-C cancels",
                statement.text
            ),
            Kind::ShowModels => {
                self.run_rows(models::show::show(&self.models, &self.context)?)
                    .await
            }
        }
    }

    /// All statements of a text, one after the other; the last one's answer.
    pub fn sql<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<Answer>> {
        Box::pin(self.execute_all(sql))
    }

    async fn execute_all(&self, sql: &str) -> Result<Answer> {
        let mut answer = None;
        for statement in self.parse(sql)? {
            if let Some(Answer { stream, .. }) = answer.take() {
                // What an earlier statement gives is run to its end, and not kept.
                drain(stream).await?;
            }
            answer = Some(self.execute(statement).await?);
        }
        match answer {
            Some(answer) => Ok(answer),
            None => exec_err!("there is no statement in the text"),
        }
    }

    /// Runs the plan of a statement whose text was `text`.
    pub(crate) async fn execute_plan(&self, plan: LogicalPlan, text: &str) -> Result<Answer> {
        match plan {
            LogicalPlan::Ddl(statement) => ddl::execute(self, statement, text).await,
            LogicalPlan::Dml(statement) => ddl::insert(self, statement).await,
            LogicalPlan::Copy(copy) => copy_to::run(self, copy).await,
            LogicalPlan::Statement(_) => {
                let frame = self.context.execute_logical_plan(plan).await?;
                let (state, plan) = frame.into_parts();
                match matches!(plan, LogicalPlan::EmptyRelation(_)) {
                    true => Ok(Answer::done("done")),
                    false => self.run(state, plan).await,
                }
            }
            plan => self.run_rows(plan).await,
        }
    }

    /// Plans and starts a query.
    pub(crate) async fn run_rows(&self, plan: LogicalPlan) -> Result<Answer> {
        self.run(self.context.state(), plan).await
    }

    async fn run(&self, state: SessionState, plan: LogicalPlan) -> Result<Answer> {
        let (physical, stream) = statements::plan::start(state, &plan).await?;
        *self.started.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::downgrade(&physical));
        // information_schema plans views as it runs, in this session, which may be dropped before.
        let state = self.context.state_ref();
        let stream = stream.inspect(move |_| {
            let _held = &state;
        });
        Ok(Answer {
            kind: AnswerKind::Rows,
            plan: Some(Arc::clone(&physical)),
            written: None,
            stream: Box::pin(RecordBatchStreamAdapter::new(physical.schema(), stream)),
        })
    }
}

async fn drain(mut stream: SendableRecordBatchStream) -> Result<()> {
    use futures::TryStreamExt;
    while stream.try_next().await?.is_some() {}
    Ok(())
}

fn config(settings: &Settings) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_option_extension(SearchOptions::default());
    if let Some(threads) = settings.threads {
        config = config.with_target_partitions(threads);
    }
    let options = config.options_mut();
    // A table's INSERTs are subdirectories.
    options.execution.listing_table_ignore_subdirectory = false;
    let parquet = &mut options.execution.parquet;
    // Columns remember which model made them in field metadata.
    parquet.skip_metadata = false;
    parquet.schema_force_view_types = false;
    parquet.compression = Some("zstd(3)".to_string());
    config
}

fn runtime(settings: &Settings) -> Result<Arc<RuntimeEnv>> {
    let mut builder = RuntimeEnvBuilder::new().with_cache_manager(
        // Other processes write too: what lies in a directory is asked for each time.
        CacheManagerConfig::default().with_list_files_cache_limit(0),
    );
    if let Some(bytes) = settings.memory_limit.or_else(most_of_memory) {
        builder = builder.with_memory_pool(match settings.shared {
            false => Share::of_session(bytes),
            true => Share::of_server(bytes),
        });
    }
    builder.build_arc()
}

/// Four fifths of the machine's memory, where the system says how much there is.
fn most_of_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 5 * 4 * 1024)
}
