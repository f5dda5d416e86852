//! `SHOW MODELS`: the models of the database, and the embedding models and vocoders of this machine.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use super::embedding::{self, Embedder};
use super::locate;
use super::srm::{Kind, Options};
use super::store::{Description, Models};
use super::{backend, ridge};

struct Row {
    name: String,
    kind: String,
    /// What runs it.
    backend: String,
    /// Elements of the vectors that it gives.
    features: Option<i64>,
    subjects: Option<i64>,
    trs: Option<i64>,
    options: Option<String>,
    /// The statement that made it, or the folder that holds it.
    source: Option<String>,
    content_hash: Option<String>,
}

/// One row per model.
pub fn show(models: &Models, context: &SessionContext) -> Result<LogicalPlan> {
    let mut rows = Vec::new();
    for name in models.names()? {
        rows.push(fitted(models.describe(&name)?)?);
    }
    let shelf = models.shelf();
    rows.push(Row {
        backend: "built in".to_string(),
        ..embedder("hashing", &shelf)
    });
    let network = match backend::in_use() {
        Ok(backend) => backend.to_string(),
        Err(error) => error.to_string(),
    };
    for place in locate::available(Some(&shelf)) {
        let row = match locate::kind_of(&place.path).map(|kind| kind.name) {
            Some(kind) if kind == embedding::KIND.name => embedder(&place.name, &shelf),
            kind => pretrained(&place.name, kind.unwrap_or("unknown")),
        };
        rows.push(Row {
            backend: network.clone(),
            source: Some(place.path.display().to_string()),
            ..row
        });
    }
    let text = |value: fn(&Row) -> Option<&str>| {
        Arc::new(StringArray::from_iter(rows.iter().map(value))) as ArrayRef
    };
    let count = |value: fn(&Row) -> Option<i64>| {
        Arc::new(Int64Array::from_iter(rows.iter().map(value))) as ArrayRef
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("name", text(|r| Some(&r.name)), false),
        ("kind", text(|r| Some(&r.kind)), false),
        ("backend", text(|r| Some(&r.backend)), false),
        ("features", count(|r| r.features), true),
        ("subjects", count(|r| r.subjects), true),
        ("trs", count(|r| r.trs), true),
        ("options", text(|r| r.options.as_deref()), true),
        ("source", text(|r| r.source.as_deref()), true),
        ("content_hash", text(|r| r.content_hash.as_deref()), true),
    ])?;
    Ok(context.read_batch(batch)?.into_unoptimized_plan())
}

fn fitted(model: Description) -> Result<Row> {
    let options = match model.kind.as_str() {
        ridge::KIND => model.options::<ridge::Settings>()?.options.to_string(),
        kind if Kind::of(kind).is_some() => model.options::<Options>()?.to_string(),
        kind => return plan_err!("model {}: there is no kind {kind}", model.name),
    };
    Ok(Row {
        kind: model.kind,
        backend: "built in".to_string(),
        features: Some(model.features as i64),
        subjects: Some(model.subjects.len() as i64),
        trs: Some(model.trs as i64),
        options: Some(options),
        source: Some(model.query),
        content_hash: Some(model.content_hash),
        name: model.name,
    })
}

/// A folder that cannot be read is listed too, without its numbers.
fn embedder(name: &str, shelf: &Path) -> Row {
    let found = Embedder::find(name, None, Some(shelf)).ok();
    Row {
        features: found.as_ref().map(|model| model.dimension() as i64),
        content_hash: found.map(|model| model.content_hash().to_string()),
        ..pretrained(name, embedding::KIND.name)
    }
}

fn pretrained(name: &str, kind: &str) -> Row {
    Row {
        name: name.to_string(),
        kind: kind.to_string(),
        backend: String::new(),
        features: None,
        subjects: None,
        trs: None,
        options: None,
        source: None,
        content_hash: None,
    }
}
