//! pgvector's operators between vectors: `<->` (L2), `<=>` (cosine), `<+>` (L1), and `<#>`, the negative inner
//! product.
//!
//! `<=>` otherwise is IS NOT DISTINCT FROM, and stays that between anything but vectors. The other three
//! come from a parser that makes them one operator each, as VoxQL's does.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::distance::{cosine_distance, inner_product, l1_distance, l2_distance};
use crate::vectors::element_type;

/// Plans the operators as the functions that they are.
#[derive(Debug)]
pub struct DistanceOperators;

impl ExprPlanner for DistanceOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let text = match &expr.op {
            BinaryOperator::Custom(text) => text.as_str(),
            BinaryOperator::Spaceship if between_vectors(&expr, schema) => "<=>",
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let function = match text {
            "<=>" => cosine_distance(),
            "<->" => l2_distance(),
            "<+>" => l1_distance(),
            "<#>" => inner_product(),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let negative = text == "<#>";
        let args = vec![expr.left, expr.right];
        let call = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), args));
        Ok(PlannerResult::Planned(match negative {
            // Not -0 of vectors at right angles.
            true => lit(0.0) - call,
            false => call,
        }))
    }
}

/// One side is a vector, and the other is one too, or a parameter that may be.
fn between_vectors(expr: &RawBinaryExpr, schema: &DFSchema) -> bool {
    let is_vector = |side: &Expr| {
        let data_type: DataType = side.get_type(schema).ok()?;
        Some(element_type(&data_type).is_some())
    };
    let parameter = |side: &Expr| matches!(side, Expr::Placeholder(_)).then_some(true);
    let side = |side: &Expr| parameter(side).or_else(|| is_vector(side)).unwrap_or(false);
    let any = [&expr.left, &expr.right].map(|side| is_vector(side) == Some(true));
    any.contains(&true) && side(&expr.left) && side(&expr.right)
}
