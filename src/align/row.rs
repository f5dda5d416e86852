//! Which rows of a node can go into the row that is explained.
//!
//! The conditions on the result are followed down the plan, so that a window function
//! gathers the lineage of the rows that are asked for, and not of every row of the run.
//! A condition that cannot be followed is dropped: then more rows get a lineage than need one.

use std::collections::HashMap;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::{Expr, Join};

/// The conditions with each column replaced, those of them where all columns can be.
pub fn followed(
    conditions: &[Expr],
    replacement: impl Fn(&Column) -> Option<Expr>,
) -> Result<Vec<Expr>> {
    let mut kept = Vec::new();
    for condition in conditions {
        let replaced: Option<HashMap<Column, Expr>> = condition
            .column_refs()
            .into_iter()
            .map(|column| Some((column.clone(), replacement(column)?)))
            .collect();
        let Some(replaced) = replaced else {
            continue;
        };
        let below = condition.clone().transform(|expr| {
            Ok(match &expr {
                Expr::Column(column) => match replaced.get(column) {
                    Some(other) => Transformed::yes(other.clone()),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        })?;
        kept.push(below.data);
    }
    Ok(kept)
}

/// What a column of `schema` is, given what stands at each of its positions.
pub fn at_position<'a>(
    schema: &'a DFSchema,
    below: impl Fn(usize) -> Option<Expr> + 'a,
) -> impl Fn(&Column) -> Option<Expr> + 'a {
    move |column| below(schema.maybe_index_of_column(column)?)
}

/// An expression that conditions may be put on: its value is the row's own.
pub fn plain(expr: &Expr) -> Option<Expr> {
    let expr = expr.clone().unalias_nested().data;
    let plain = !expr.is_volatile() && !super::flow::has_subquery(&expr);
    plain.then_some(expr)
}

/// What a column of a join is on one side: itself, or what it must be equal to.
pub fn on_side(join: &Join, left: bool) -> impl Fn(&Column) -> Option<Expr> {
    let (side, other) = match left {
        true => (&join.left, &join.right),
        false => (&join.right, &join.left),
    };
    move |column| {
        if side.schema().has_column(column) {
            return Some(Expr::Column(column.clone()));
        }
        if !other.schema().has_column(column) {
            return None;
        }
        join.on.iter().find_map(|(l, r)| {
            let (here, there) = if left { (l, r) } else { (r, l) };
            match there {
                Expr::Column(key) if key == column => plain(here),
                _ => None,
            }
        })
    }
}
