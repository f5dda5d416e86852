//! `CREATE MODEL enc USING ridge`: encoding models, from feature vectors to a brain.
//!
//! ```text
//! options   OPTIONS (alphas …, cv …)
//! rows      the query's rows, one subject after the other
//! fit       a subject's rows -> its weights, into the model's files
//! files     model.json, weights.parquet, subjects.parquet
//! predict   ridge_predict(…, model => 'enc')
//! scores    model_scores('enc')
//! ```

mod files;
mod fit;
mod options;
mod predict;
mod rows;
mod scores;

use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::Query;
use std::path::Path;
use std::sync::Arc;

pub use files::Description;
pub use options::Options;

use super::store::Models;
use crate::session::Session;

/// What `USING` says.
pub const KIND: &str = "ridge";

/// `ridge_predict`, over the models of one database.
pub fn predict(models: Arc<Models>) -> ScalarUDF {
    predict::function(models)
}

/// `model_scores`, over the models of one database.
pub fn scores(models: Arc<Models>) -> scores::ModelScores {
    scores::ModelScores::new(models)
}

/// Fits on the rows of `query` and writes the model's files into `directory`. `text` is the
/// statement. Gives a summary.
///
/// # Errors
/// Name the option, or the row, and what to do.
pub async fn create(
    session: &Session,
    name: &str,
    query: Query,
    options: Options,
    directory: &Path,
    text: &str,
) -> Result<String> {
    let mut source = rows::Source::open(session, query, &options).await?;
    let mut writer = files::Writer::create(directory)?;
    let mut fitted: Vec<fit::Fitted> = Vec::new();
    while let Some(subject) = source.next().await? {
        let (done, back) = fit::subject(subject, options.clone(), writer).await?;
        writer = back;
        fitted.push(done);
    }
    let Some(first) = fitted.first() else {
        return datafusion::common::exec_err!("CREATE MODEL {name}: the query has no rows");
    };
    let summary = format!(
        "{}{} samples, {} features, {} targets",
        match &first.subject {
            Some(_) => format!("{} subjects, ", fitted.len()),
            None => String::new(),
        },
        first.samples,
        first.features,
        first.targets
    );
    let description = Description {
        name: name.to_string(),
        kind: KIND.to_string(),
        options,
        spaces: source.spaces().to_vec(),
        subjects: fitted.iter().filter_map(|f| f.subject.clone()).collect(),
        targets: fitted.iter().map(|f| f.targets).collect(),
        samples: fitted.iter().map(|f| f.samples).collect(),
        query: text.to_string(),
        input_schema: source.input_schema(),
        content_hash: String::new(),
    };
    writer.finish(description)?;
    Ok(summary)
}
