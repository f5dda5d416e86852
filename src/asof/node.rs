//! ASOF JOIN in the logical plan.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::logical_plan::builder::build_join_schema;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, UserDefinedLogicalNodeCore};

use super::condition::Condition;
use super::matching::Matching;

/// Every row of `left` once, with the row of `right` that matches it or NULLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsofJoin {
    pub left: Arc<LogicalPlan>,
    pub right: Arc<LogicalPlan>,
    /// Pairs that must be equal, left first.
    pub keys: Vec<(Expr, Expr)>,
    pub left_time: Expr,
    pub right_time: Expr,
    pub matching: Matching,
    /// A constant: how far the times may be apart.
    pub tolerance: Option<Expr>,
    /// The left columns, then the right ones, which are nullable.
    schema: DFSchemaRef,
}

impl AsofJoin {
    pub fn try_new(
        left: LogicalPlan,
        right: LogicalPlan,
        keys: Vec<(Expr, Expr)>,
        condition: Condition,
    ) -> Result<Self> {
        let schema = build_join_schema(left.schema(), right.schema(), &JoinType::Left)?;
        Ok(Self {
            left: Arc::new(left),
            right: Arc::new(right),
            keys,
            left_time: condition.left_time,
            right_time: condition.right_time,
            matching: condition.matching,
            tolerance: condition.tolerance,
            schema: Arc::new(schema),
        })
    }

    /// The same join of other inputs.
    pub fn with_inputs(&self, left: LogicalPlan, right: LogicalPlan) -> Result<Self> {
        let condition = Condition {
            left_time: self.left_time.clone(),
            right_time: self.right_time.clone(),
            matching: self.matching,
            tolerance: self.tolerance.clone(),
        };
        Self::try_new(left, right, self.keys.clone(), condition)
    }

    fn parts(&self) -> impl PartialOrd + Hash + '_ {
        (
            (&self.left, &self.right, &self.keys),
            (&self.left_time, &self.right_time),
            (&self.matching, &self.tolerance),
        )
    }
}

impl Hash for AsofJoin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialOrd for AsofJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        // The schema follows from the inputs.
        compare(self.parts(), other.parts()).filter(|o| *o != Ordering::Equal || self == other)
    }
}

fn compare<T: PartialOrd>(a: T, b: T) -> Option<Ordering> {
    a.partial_cmp(&b)
}

impl UserDefinedLogicalNodeCore for AsofJoin {
    fn name(&self) -> &str {
        "AsofJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.keys.iter().flat_map(|(l, r)| [l, r]);
        let times = [&self.left_time, &self.right_time];
        keys.chain(times).chain(&self.tolerance).cloned().collect()
    }

    /// All columns: DataFusion would push a predicate to both sides.
    /// [`super::filters`] pushes what may be pushed.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let fields = self.schema.fields().iter();
        fields.map(|f| f.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let times = self.matching.display(&self.left_time, &self.right_time);
        write!(f, "AsofJoin: {times}")?;
        if let Some(tolerance) = &self.tolerance {
            write!(f, ", tolerance {tolerance}")?;
        }
        for (i, (left, right)) in self.keys.iter().enumerate() {
            let word = if i == 0 { ", on" } else { " and" };
            write!(f, "{word} {left} = {right}")?;
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        // The optimizer gives rewritten expressions their old names; here they have none.
        let mut exprs = exprs.into_iter().map(Expr::unalias);
        let mut keys = Vec::with_capacity(self.keys.len());
        for _ in &self.keys {
            let (Some(left), Some(right)) = (exprs.next(), exprs.next()) else {
                return internal_err!("AsofJoin: keys are missing");
            };
            keys.push((left, right));
        }
        let (Some(left_time), Some(right_time)) = (exprs.next(), exprs.next()) else {
            return internal_err!("AsofJoin: times are missing");
        };
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("AsofJoin has two inputs");
        };
        let condition = Condition {
            left_time,
            right_time,
            matching: self.matching,
            tolerance: exprs.next(),
        };
        Self::try_new(left, right, keys, condition)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left_columns = self.left.schema().fields().len();
        let (left, right): (Vec<usize>, Vec<usize>) =
            output_columns.iter().partition(|&&i| i < left_columns);
        let right = right.into_iter().map(|i| i - left_columns).collect();
        Some(vec![left, right])
    }
}
