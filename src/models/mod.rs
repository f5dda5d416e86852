//! Models as catalog objects: `CREATE MODEL`, `SHOW MODELS`, `DROP MODEL`, and the
//! functions that use them.

pub mod backend;
pub mod embedding;
pub mod fit;
mod kept;
pub mod ridge;
pub mod show;
pub mod srm;
pub mod srm_transform;
pub mod store;
pub mod vocoder;

use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::prelude::SessionContext;

pub use store::Models;

use crate::database::ObjectKind;
use crate::session::{Answer, Session};
use crate::statements::parse::CreateModel;

/// The functions that need models.
pub fn register_functions(context: &SessionContext, models: &Arc<Models>) {
    context.register_udf(embedding::udf::udf());
    context.register_udf(srm_transform::function(Arc::clone(models)));
    context.register_udf(ridge::predict(Arc::clone(models)));
    context.register_udtf("model_scores", Arc::new(ridge::scores(Arc::clone(models))));
    context.register_udaf(vocoder::vocode());
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
    let kind = Kind::of(&create)?;
    let staging = session.database().write().await?;
    if exists() && !create.or_replace {
        return plan_err!("model {name} exists; CREATE OR REPLACE MODEL replaces it");
    }
    let options = match kind {
        Kind::Srm(options) => options,
        Kind::Ridge(options) => {
            let directory = staging.directory();
            let summary =
                ridge::create(session, name, create.query, options, directory, text).await?;
            staging.publish_directory(ObjectKind::Model, name)?;
            return Ok(Answer::done(format!("created model {name} ({summary})")));
        }
    };
    let rows = fit::collect(session, create.query).await?;
    let summary = format!(
        "{} subjects, {} TRs, {} features",
        rows.subjects.len(),
        rows.trs(),
        options.features
    );
    let model = srm::fit(rows, options).await?;
    store::write(staging.directory(), &model, name, text)?;
    staging.publish_directory(ObjectKind::Model, name)?;
    Ok(Answer::done(format!("created model {name} ({summary})")))
}

/// What is fitted, and how.
enum Kind {
    Srm(srm::Options),
    Ridge(ridge::Options),
}

impl Kind {
    fn of(create: &CreateModel) -> Result<Self> {
        match create.using.as_str() {
            "srm" => Ok(Kind::Srm(srm::Options::from_sql(&create.options)?)),
            ridge::KIND => Ok(Kind::Ridge(ridge::Options::from_sql(&create.options)?)),
            other => plan_err!(
                "CREATE MODEL {}: there is no kind of model `{other}`; there are srm and ridge",
                create.name
            ),
        }
    }
}

/// `DROP MODEL`.
pub async fn drop_model(session: &Session, name: &str, if_exists: bool) -> Result<Answer> {
    let staging = session.database().write().await?;
    if session.database().exists(ObjectKind::Model, name) {
        staging.remove(ObjectKind::Model, name)?;
        return Ok(Answer::done(format!("dropped model {name}")));
    }
    match if_exists {
        true => Ok(Answer::done(format!("there was no model {name}"))),
        false => session.models().missing(name),
    }
}
