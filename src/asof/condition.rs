//! What MATCH_CONDITION and ON say, with their operands sorted by side.

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, plan_datafusion_err, plan_err};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Value,
};

use super::matching::{Direction, Matching};

const FORMS: &str = "the condition has one of these forms, for a ASOF JOIN b: \
    MATCH_CONDITION (a.time >= b.time) for the last b at or before a, and > (before), <= (at or after), < (after); \
    MATCH_CONDITION (a.time >= b.time AND a.time - b.time <= 0.5) for none farther than 0.5; \
    MATCH_CONDITION (nearest(a.time, b.time [, tolerance => 0.5] [, exact => false]))";

/// What the planner knows of the two sides.
pub struct Sides<'a> {
    pub left: &'a DFSchema,
    pub right: &'a DFSchema,
    pub both: DFSchema,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Sides<'_> {
    /// The side whose columns `expr` has, if it has columns of one side only.
    fn of(&self, expr: &Expr) -> Option<Side> {
        let columns = expr.column_refs();
        let all = |schema: &DFSchema| columns.iter().all(|c| schema.is_column_from_schema(c));
        match columns.is_empty() {
            true => None,
            false if all(self.left) => Some(Side::Left),
            false if all(self.right) => Some(Side::Right),
            false => None,
        }
    }
}

/// MATCH_CONDITION, read.
#[derive(Debug)]
pub struct Condition {
    pub left_time: Expr,
    pub right_time: Expr,
    pub matching: Matching,
    pub tolerance: Option<Expr>,
}

/// Reads MATCH_CONDITION.
pub fn match_condition(
    condition: SqlExpr,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Condition> {
    let text = condition.to_string();
    let wrong = || plan_datafusion_err!("MATCH_CONDITION ({text}): {FORMS}");
    if let SqlExpr::Function(function) = &condition {
        return nearest(function, sides, context)?.ok_or_else(wrong);
    }
    let (comparison, limit) = match bare(condition) {
        SqlExpr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => match is_difference_limit(&left) {
            true => (*right, Some(*left)),
            false => (*left, Some(*right)),
        },
        comparison => (comparison, None),
    };
    let mut read = comparison_of(comparison, sides, context)?.ok_or_else(wrong)?;
    if let Some(limit) = limit {
        read.tolerance = Some(difference_limit(limit, &read, sides, context)?.ok_or_else(wrong)?);
    }
    Ok(read)
}

/// `a.time >= b.onset`, either way round.
fn comparison_of(
    comparison: SqlExpr,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<Condition>> {
    let SqlExpr::BinaryOp { left, op, right } = bare(comparison) else {
        return Ok(None);
    };
    let (direction, strict) = match op {
        BinaryOperator::GtEq => (Direction::Backward, false),
        BinaryOperator::Gt => (Direction::Backward, true),
        BinaryOperator::LtEq => (Direction::Forward, false),
        BinaryOperator::Lt => (Direction::Forward, true),
        _ => return Ok(None),
    };
    let first = context.sql_to_expr(*left, &sides.both)?;
    let second = context.sql_to_expr(*right, &sides.both)?;
    let (left_time, right_time, direction) = match (sides.of(&first), sides.of(&second)) {
        (Some(Side::Left), Some(Side::Right)) => (first, second, direction),
        (Some(Side::Right), Some(Side::Left)) => {
            let turned = match direction {
                Direction::Backward => Direction::Forward,
                _ => Direction::Backward,
            };
            (second, first, turned)
        }
        _ => return Ok(None),
    };
    Ok(Some(Condition {
        left_time,
        right_time,
        matching: Matching { direction, strict },
        tolerance: None,
    }))
}

/// True for `x - y <= z` and `z >= x - y`.
fn is_difference_limit(expr: &SqlExpr) -> bool {
    let minus = |expr: &SqlExpr| {
        matches!(
            unnested(expr),
            SqlExpr::BinaryOp {
                op: BinaryOperator::Minus,
                ..
            }
        )
    };
    match unnested(expr) {
        SqlExpr::BinaryOp { left, op, right } => match op {
            BinaryOperator::LtEq => minus(left),
            BinaryOperator::GtEq => minus(right),
            _ => false,
        },
        _ => false,
    }
}

/// The limit in `a.time - b.onset <= 0.5`, where the difference is that of the condition.
fn difference_limit(
    limit: SqlExpr,
    condition: &Condition,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<Expr>> {
    let SqlExpr::BinaryOp { left, op, right } = bare(limit) else {
        return Ok(None);
    };
    let (difference, limit) = match op {
        BinaryOperator::LtEq => (*left, *right),
        BinaryOperator::GtEq => (*right, *left),
        _ => return Ok(None),
    };
    let SqlExpr::BinaryOp {
        left: later,
        op: BinaryOperator::Minus,
        right: earlier,
    } = bare(difference)
    else {
        return Ok(None);
    };
    let later = context.sql_to_expr(*later, &sides.both)?;
    let earlier = context.sql_to_expr(*earlier, &sides.both)?;
    let (a, b) = (&condition.left_time, &condition.right_time);
    let wanted = match condition.matching.direction {
        Direction::Backward => (a, b),
        _ => (b, a),
    };
    if (&later, &earlier) != wanted {
        return plan_err!(
            "MATCH_CONDITION: the tolerance of {} is a limit to {} - {}, the later time minus the earlier one, not to {later} - {earlier}",
            condition.matching.display(a, b),
            wanted.0,
            wanted.1
        );
    }
    constant(limit, context).map(Some)
}

/// `nearest(a.time, b.onset, tolerance => 0.5, exact => false)`.
fn nearest(
    function: &Function,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<Condition>> {
    if !function.name.to_string().eq_ignore_ascii_case("nearest") {
        return Ok(None);
    }
    let FunctionArguments::List(list) = &function.args else {
        return Ok(None);
    };
    let mut times = Vec::new();
    let mut tolerance = None;
    let mut strict = false;
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if times.len() < 2 => {
                times.push(context.sql_to_expr(expr.clone(), &sides.both)?);
            }
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => match name.value.to_lowercase().as_str() {
                "tolerance" => tolerance = Some(constant(expr.clone(), context)?),
                "exact" => strict = !boolean(expr)?,
                other => {
                    return plan_err!(
                        "MATCH_CONDITION: nearest has no argument {other}; it takes nearest(a.time, b.time [, tolerance => 0.5] [, exact => false])"
                    );
                }
            },
            _ => return Ok(None),
        }
    }
    let Ok([first, second]) = <[Expr; 2]>::try_from(times) else {
        return Ok(None);
    };
    let (left_time, right_time) = match (sides.of(&first), sides.of(&second)) {
        (Some(Side::Left), Some(Side::Right)) => (first, second),
        (Some(Side::Right), Some(Side::Left)) => (second, first),
        _ => return Ok(None),
    };
    let direction = Direction::Nearest;
    Ok(Some(Condition {
        left_time,
        right_time,
        matching: Matching { direction, strict },
        tolerance,
    }))
}

fn boolean(expr: &SqlExpr) -> Result<bool> {
    match expr {
        SqlExpr::Value(value) => match value.value {
            Value::Boolean(value) => Ok(value),
            _ => plan_err!("MATCH_CONDITION: exact is true or false, not {expr}"),
        },
        _ => plan_err!("MATCH_CONDITION: exact is true or false, not {expr}"),
    }
}

/// A tolerance: the same for all rows, and known before any query runs.
fn constant(expr: SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
    let text = expr.to_string();
    let planned = context.sql_to_expr(expr, &DFSchema::empty());
    match planned {
        Ok(expr) if !expr.is_volatile() && !expr.exists(is_subquery)? => Ok(expr),
        _ => plan_err!("MATCH_CONDITION: the tolerance must be a constant, not {text}"),
    }
}

fn is_subquery(expr: &Expr) -> Result<bool> {
    Ok(matches!(
        expr,
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)
    ))
}

/// The pairs of keys in ON, left first.
pub fn keys_of_on(
    on: SqlExpr,
    sides: &Sides<'_>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<(Expr, Expr)>> {
    let on = context.sql_to_expr(on, &sides.both)?;
    let mut keys = Vec::new();
    for part in split_conjunction_owned(on) {
        match part {
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => continue,
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            }) => match (sides.of(&left), sides.of(&right)) {
                (Some(Side::Left), Some(Side::Right)) => keys.push((*left, *right)),
                (Some(Side::Right), Some(Side::Left)) => keys.push((*right, *left)),
                _ => return not_a_key(&(*left).eq(*right)),
            },
            other => return not_a_key(&other),
        }
    }
    Ok(keys)
}

fn not_a_key<T>(part: &Expr) -> Result<T> {
    plan_err!(
        "ASOF JOIN … ON takes equalities between the two sides, as in ON a.run = b.run, joined by AND; {part} is none: put conditions on one side into WHERE or a subquery, and the times into MATCH_CONDITION"
    )
}

/// Both sides of an equality in one type.
pub fn coerced((left, right): (Expr, Expr), sides: &Sides<'_>) -> Result<(Expr, Expr)> {
    let types = (left.get_type(sides.left)?, right.get_type(sides.right)?);
    if types.0 == types.1 {
        return Ok((left, right));
    }
    let (to, also_to) = BinaryTypeCoercer::new(&types.0, &Operator::Eq, &types.1)
        .get_input_types()
        .map_err(|_| {
            plan_datafusion_err!(
                "ASOF JOIN: {left} and {right} cannot be equal: one is {}, the other {}; CAST one of them",
                types.0,
                types.1
            )
        })?;
    if to != also_to {
        return plan_err!(
            "ASOF JOIN: {left} = {right} compares {to} with {also_to}; CAST one of them"
        );
    }
    Ok((
        left.cast_to(&to, sides.left)?,
        right.cast_to(&to, sides.right)?,
    ))
}

fn unnested(mut expr: &SqlExpr) -> &SqlExpr {
    while let SqlExpr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// Without parentheses around it.
fn bare(mut expr: SqlExpr) -> SqlExpr {
    while let SqlExpr::Nested(inner) = expr {
        expr = *inner;
    }
    expr
}
