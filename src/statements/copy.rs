//! How VoxQL writes Parquet: tables, and `COPY … STORED AS PARQUET`.
//!
//! zstd for everything; columns of float vectors as BYTE_STREAM_SPLIT without a
//! dictionary, which puts like bytes of neighbouring floats side by side, but frames of
//! video with one (`docs/parquet.md` has the figures); row groups bounded in bytes, since a
//! million whole-brain rows are a terabyte.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Result;
use datafusion::datasource::file_format::{format_as_file_type, parquet::ParquetFormatFactory};
use datafusion::logical_expr::dml::CopyTo;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};

use super::width::row_bytes;

const ROW_GROUP_BYTES: usize = 128 << 20;

/// Parquet's usual row group.
const MOST_ROWS: usize = 1 << 20;

/// A plan that writes the rows of `input` into the one file `path`.
pub fn write_parquet(input: LogicalPlan, path: &str) -> Result<LogicalPlan> {
    let options = column_options(input.schema().as_arrow());
    let file_type = format_as_file_type(Arc::new(ParquetFormatFactory::new()));
    LogicalPlanBuilder::copy_to(input, path.to_string(), file_type, options, vec![])?.build()
}

/// Adds our column encodings to a COPY to Parquet; what the user gave stays.
pub fn with_encodings(mut copy: CopyTo) -> CopyTo {
    if copy.file_type.get_ext() == "parquet" {
        for (key, value) in column_options(copy.input.schema().as_arrow()) {
            copy.options.entry(key).or_insert(value);
        }
    }
    copy
}

fn column_options(schema: &Schema) -> HashMap<String, String> {
    // DataFusion's parallel writer counts rows only: it ignores max_row_group_bytes.
    let rows = (ROW_GROUP_BYTES / row_bytes(schema).max(1)).clamp(1, MOST_ROWS);
    let mut options = HashMap::from([("format.max_row_group_size".to_string(), rows.to_string())]);
    for field in schema.fields() {
        // Pixels have 256 values: a dictionary is smaller.
        if field.extension_type_name() == Some("arrow.fixed_shape_tensor") {
            continue;
        }
        if let Some(path) = float_vector(field, field.name()) {
            let set = [
                ("encoding", "byte_stream_split"),
                ("dictionary_enabled", "false"),
            ];
            for (key, value) in set {
                options.insert(format!("format.{key}::{path}"), value.to_string());
            }
        }
    }
    options
}

/// The Parquet path of the floats in a vector column, such as `bold.list.item`.
fn float_vector(field: &Field, path: &str) -> Option<String> {
    match field.data_type() {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let path = format!("{path}.list.{}", item.name());
            match item.data_type().is_floating() {
                true => Some(path),
                false => float_vector(item, &path),
            }
        }
        _ => None,
    }
}
