//! Models as catalog objects: `CREATE MODEL`, `SHOW MODELS`, `DROP MODEL`, and the
//! functions that use them.

pub mod backend;
pub mod documentation;
pub mod embedding;
pub mod fitted_times;
mod graphs;
pub mod image_embedding;
mod kept;
pub mod listing;
mod locate;
mod options;
pub mod ridge;
pub mod rows;
pub mod show;
pub mod srm;
pub mod store;
mod tables;
pub mod vocoder;

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;

pub use store::Models;

use crate::access::Access;
use crate::database::ObjectKind;
use crate::session::{Answer, Session};
use crate::statements::parse::{CreateModel, ImportModel, Source};
use crate::writers::format::blocking;
use locate::Shelf;
use options::Given;
use rows::Rows;
use store::Description;

/// The functions that need models. Where files are limited, models are called by name only.
pub fn register_functions(context: &SessionContext, models: &Arc<Models>, access: &Access) {
    let shelf = Shelf {
        folder: Some(models.shelf()),
        names_only: access.is_limited(),
    };
    context.register_udf(image_embedding::udf::udf(&shelf));
    for function in embedding::functions(&shelf) {
        context.register_udf(function);
    }
    context.register_udf(srm::srm_transform(Arc::clone(models)));
    context.register_udf(srm::srm_inverse(Arc::clone(models)));
    context.register_udf(ridge::ridge_predict(Arc::clone(models)));
    for (name, function) in tables::all(models) {
        context.register_udtf(name, function);
    }
    context.register_udaf(vocoder::vocode(&shelf));
    let registered = context
        .state_ref()
        .write()
        .register_expr_planner(vocoder::planner());
    if let Err(error) = registered {
        log::warn!("vocode does not know the sample rate of presets: {error}");
    }
}

/// Bytes of a hash as text.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `CREATE MODEL`. `text` is what the user wrote.
pub async fn create(session: &Session, create: CreateModel, text: &str) -> Result<Answer> {
    let name = &create.name;
    let exists = || session.database().exists(ObjectKind::Model, name);
    if exists() && create.if_not_exists {
        return Ok(Answer::done(format!("model {name} is there already")));
    }
    let plan = Plan::of(session, &create)?;
    let staging = session.database().write().await?;
    if exists() && !create.or_replace {
        return plan_err!("model {name} exists; CREATE OR REPLACE MODEL replaces it");
    }
    let rows = Rows::collect(session, create.query, plan.check()).await?;
    let work = Work {
        name: name.clone(),
        text: text.to_string(),
        threads: session.context().state().config().target_partitions(),
        models: Arc::clone(session.models()),
        directory: staging.directory().to_path_buf(),
    };
    let _wanted = rows.wanted();
    let summary = blocking(move || work.fit(plan, rows)).await?;
    staging.publish_directory(ObjectKind::Model, name)?;
    session.models().forget(name);
    Ok(Answer::done(format!("created model {name} ({summary})")))
}

/// `CREATE MODEL … FROM 'file.npz'`. `text` is what the user wrote.
pub async fn import(session: &Session, import: ImportModel, text: &str) -> Result<Answer> {
    let name = &import.name;
    let exists = || session.database().exists(ObjectKind::Model, name);
    if exists() && import.if_not_exists {
        return Ok(Answer::done(format!("model {name} is there already")));
    }
    let given = Given::new("a model from a file", &import.options, &["subjects"])?;
    let names = given.text("subjects").map(|names| {
        let names = names.split(',').map(|name| name.trim().to_string());
        names.collect::<Vec<_>>()
    });
    let file = PathBuf::from(import.file);
    session.access().check(&file)?;
    let staging = session.database().write().await?;
    if exists() && !import.or_replace {
        return plan_err!("model {name} exists; CREATE OR REPLACE MODEL replaces it");
    }
    let (name, query) = (name.clone(), text.to_string());
    let directory = staging.directory().to_path_buf();
    let summary = blocking(move || {
        let model = srm::npz::import(&file, names, &directory)?;
        let summary = format!(
            "{} subjects, {} TRs, {} features",
            model.subjects.len(),
            model.trs,
            model.options.features
        );
        let description = Description {
            kind: model.options.kind.name().to_string(),
            options: serde_json::to_value(model.options).map_err(external)?,
            features: model.options.features,
            trs: model.trs,
            subjects: model.subjects,
            voxels: model.voxels,
            history_of: model.options.kind.history().to_string(),
            history: Vec::new(),
            input_schema: Vec::new(),
            name,
            query,
            content_hash: String::new(),
        };
        store::describe(&directory, description)?;
        Ok(summary)
    })
    .await?;
    staging.publish_directory(ObjectKind::Model, &import.name)?;
    session.models().forget(&import.name);
    Ok(Answer::done(format!(
        "created model {} ({summary})",
        import.name
    )))
}

/// `COPY MODEL name TO 'file.npz'`.
pub async fn export(session: &Session, name: &str, file: &str) -> Result<Answer> {
    if !file.ends_with(".npz") {
        return plan_err!(
            "COPY MODEL {name} TO '{file}': a model is written as BrainIAK's file, named .npz"
        );
    }
    let target = PathBuf::from(file);
    session.access().check(&target)?;
    let model = session.models().describe(name)?;
    let models = Arc::clone(session.models());
    blocking(move || srm::npz::export(&models, &model, &target)).await?;
    Ok(Answer::done(format!("copied model {name} to '{file}'")))
}

/// What a `CREATE MODEL` asks for.
enum Plan {
    Srm(srm::Options),
    Ridge(Box<ridge::Options>),
    /// More subjects for this model.
    Join(Box<Description>),
}

impl Plan {
    fn of(session: &Session, create: &CreateModel) -> Result<Self> {
        let name = &create.name;
        match &create.source {
            Source::Kind { using, options } if using == ridge::KIND => {
                Ok(Self::Ridge(Box::new(ridge::Options::from_sql(options)?)))
            }
            Source::Kind { using, options } => match srm::Kind::of(using) {
                Some(kind) => Ok(Self::Srm(srm::Options::from_sql(kind, options)?)),
                None => plan_err!(
                    "CREATE MODEL {name}: there is no kind of model `{using}`; there are srm, detsrm, rsrm, ridge"
                ),
            },
            Source::Model(model) => {
                let model = session.models().describe(model)?;
                match srm::Kind::of(&model.kind) {
                    Some(_) => Ok(Self::Join(Box::new(model))),
                    None => plan_err!(
                        "CREATE MODEL {name}: {} is a model of kind {}; subjects can join shared response models",
                        model.name,
                        model.kind
                    ),
                }
            }
        }
    }

    /// What it says about the columns of the query.
    fn check(&self) -> rows::Check {
        match self {
            Self::Srm(_) | Self::Join(_) => srm::check,
            Self::Ridge(_) => ridge::check,
        }
    }
}

/// The part of a `CREATE MODEL` that keeps a thread busy.
struct Work {
    name: String,
    text: String,
    threads: usize,
    models: Arc<Models>,
    directory: PathBuf,
}

impl Work {
    /// Writes the model's files; gives a summary of it.
    fn fit(self, plan: Plan, mut rows: Rows) -> Result<String> {
        let new = rows.subjects.iter();
        let (names, voxels): (Vec<_>, Vec<_>) = new.map(|s| (s.name.clone(), s.widths[0])).unzip();
        let trs = rows.subjects.first().map_or(0, |subject| subject.trs());
        let description = match plan {
            Plan::Srm(options) => {
                let history = srm::fit(&mut rows, options, self.threads, &self.directory)?;
                Description {
                    kind: options.kind.name().to_string(),
                    options: serde_json::to_value(options).map_err(external)?,
                    features: options.features,
                    trs,
                    subjects: names,
                    voxels,
                    history_of: options.kind.history().to_string(),
                    history,
                    input_schema: rows.input_schema(),
                    name: self.name,
                    query: self.text,
                    content_hash: String::new(),
                }
            }
            Plan::Ridge(options) => {
                let fitted = ridge::fit(&mut rows, *options, self.threads, &self.directory)?;
                let summary = fitted.summary(&rows);
                let description = Description {
                    kind: ridge::KIND.to_string(),
                    features: fitted.targets[0],
                    options: serde_json::to_value(fitted.settings).map_err(external)?,
                    trs,
                    subjects: names,
                    voxels: fitted.targets,
                    history_of: String::new(),
                    history: Vec::new(),
                    input_schema: rows.input_schema(),
                    name: self.name,
                    query: self.text,
                    content_hash: String::new(),
                };
                store::describe(&self.directory, description)?;
                return Ok(summary);
            }
            Plan::Join(model) => {
                srm::join(&mut rows, &self.models, &model, &self.directory)?;
                Description {
                    subjects: [model.subjects.clone(), names].concat(),
                    voxels: [model.voxels.clone(), voxels].concat(),
                    input_schema: rows.input_schema(),
                    name: self.name,
                    query: self.text,
                    ..*model
                }
            }
        };
        let summary = format!(
            "{} subjects, {} TRs, {} features",
            description.subjects.len(),
            description.trs,
            description.features
        );
        store::describe(&self.directory, description)?;
        Ok(summary)
    }
}

fn external(error: serde_json::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// `DROP MODEL`.
pub async fn drop_model(session: &Session, name: &str, if_exists: bool) -> Result<Answer> {
    let staging = session.database().write().await?;
    if session.database().exists(ObjectKind::Model, name) {
        staging.remove(ObjectKind::Model, name)?;
        session.models().forget(name);
        return Ok(Answer::done(format!("dropped model {name}")));
    }
    match if_exists {
        true => Ok(Answer::done(format!("there was no model {name}"))),
        false => session.models().missing(name),
    }
}
