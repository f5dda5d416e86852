//! What the SQL functions of embedding models share: how they are called, and which model is meant.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use voxql_udfs::args::Arguments;
use voxql_udfs::identity::same_space;
use voxql_udfs::vectors::vector_type;

use super::{Embedder, available, span_udf, tokens_udf, udf};
use crate::models::locate::Shelf;

/// `embed` and the functions of a model's layers.
pub fn all(shelf: &Shelf) -> Vec<ScalarUDF> {
    vec![
        udf::embed(shelf),
        tokens_udf::embed_tokens(shelf),
        span_udf::embed_span(shelf),
    ]
}

/// The model that the constants `model` and `file_name` of a call mean.
pub fn model(arguments: &Arguments, shelf: &Shelf) -> Result<Arc<Embedder>> {
    if let Some(name) = arguments.str("model")? {
        return Embedder::find_on(shelf, name, arguments.str("file_name")?);
    }
    let names: Vec<String> = available(shelf.folder.as_deref())
        .into_iter()
        .map(|place| place.name)
        .collect();
    let or_path = match shelf.names_only {
        true => "",
        false => "the path of a model's folder or ",
    };
    plan_err!(
        "{}: the argument model is missing; say model => 'name', with {or_path}one of: {}",
        arguments.function(),
        [vec!["hashing".to_string()], names].concat().join(", ")
    )
}

/// Refuses to run where the model is not the one of the plan, which may have been made by another process,
/// or before the folder changed.
pub fn same_as_planned(function: &str, planned: Option<&String>, here: &str) -> Result<()> {
    match planned {
        Some(planned) if !same_space(planned, here) => exec_err!(
            "{function}: the query was planned with the model {planned}, but here it is {here}; the model's files \
             must be the same everywhere and must not change under a query"
        ),
        _ => Ok(()),
    }
}

/// A column of vectors of `width` from their values, one after the other.
pub fn vectors(
    function: &str,
    values: Vec<f32>,
    width: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, width) = vector_type(Some(width)) else {
        return exec_err!("{function}: vectors of {width} are too long");
    };
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(
        item, width, values, nulls,
    )?))
}
