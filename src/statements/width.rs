//! How many rows a batch may have, given how wide the rows are.
//!
//! DataFusion counts rows: 8,192 a batch. A whole-brain row is near 1 MB, and 8,192
//! of them 7.5 GB. So each query's batch size follows from its widest row.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

use crate::readers::scan::BATCH_BYTES;

/// Elements of a list whose field does not say (`voxql.max_length`).
const USUAL_LENGTH: usize = 64;

/// The batch size for a plan, at most `usual`.
pub fn batch_rows(plan: &LogicalPlan, usual: usize) -> usize {
    let mut widest = 1;
    // The closure never fails.
    let _ = plan.apply_with_subqueries(|node| {
        widest = widest.max(row_bytes(node.schema().as_arrow()));
        Ok(TreeNodeRecursion::Continue)
    });
    (BATCH_BYTES / widest).clamp(1, usual)
}

/// About how many bytes a row has.
pub fn row_bytes(schema: &Schema) -> usize {
    schema.fields().iter().map(|f| field_bytes(f)).sum()
}

fn field_bytes(field: &Field) -> usize {
    match field.data_type() {
        DataType::FixedSizeList(item, length) => {
            field_bytes(item).saturating_mul(usize::try_from(*length).unwrap_or(1))
        }
        DataType::List(item) | DataType::LargeList(item) => {
            let length = field.metadata().get("voxql.max_length");
            let length = length.and_then(|l| l.parse().ok()).unwrap_or(USUAL_LENGTH);
            field_bytes(item).saturating_mul(length)
        }
        DataType::Struct(fields) => fields.iter().map(|f| field_bytes(f)).sum(),
        data_type => data_type.primitive_width().unwrap_or(32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn wide_rows_come_in_small_batches() {
        let float = Arc::new(Field::new("item", DataType::Float32, true));
        let brain = DataType::FixedSizeList(Arc::clone(&float), 230_000);
        assert_eq!(field_bytes(&Field::new("bold", brain, true)), 920_000);
        let ragged = Field::new("bold", DataType::List(float), true)
            .with_metadata([("voxql.max_length".to_string(), "1000".to_string())].into());
        assert_eq!(field_bytes(&ragged), 4_000);
    }
}
