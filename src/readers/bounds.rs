//! What the conditions of a query leave of number columns: from the least to the most.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};

/// For each column the least and the most value that a row may have and satisfy the
/// conditions; both are included, though the conditions may leave them out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds(BTreeMap<String, Interval>);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    least: f64,
    most: f64,
}

impl Bounds {
    /// What `filters`, all of which must hold, leave of `columns`.
    pub fn of(filters: &[Expr], columns: &[&str]) -> Self {
        let left = |column: &&str| {
            let known = filters.iter().filter_map(|filter| left_by(filter, column));
            Some(((*column).to_owned(), known.reduce(Interval::and)?))
        };
        Self(columns.iter().filter_map(left).collect())
    }

    /// The least and the most that are left of a column; infinite where nothing is said about it.
    pub fn interval(&self, column: &str) -> (f64, f64) {
        match self.0.get(column) {
            Some(Interval { least, most }) => (*least, *most),
            None => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Of `count` rows, in which the column rises as `value` says, those that may be left.
    pub fn rows(&self, column: &str, count: usize, value: impl Fn(usize) -> f64) -> Range<usize> {
        let Some(interval) = self.0.get(column) else {
            return 0..count;
        };
        let first = |is_before: &dyn Fn(f64) -> bool| {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = low + (high - low) / 2;
                match is_before(value(middle)) {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            low
        };
        let start = first(&|v| v < interval.least);
        start..first(&|v| v <= interval.most).max(start)
    }
}

/// `, 10 <= tr <= 20`, for EXPLAIN.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (column, Interval { least, most }) in &self.0 {
            match (least.is_finite(), most.is_finite()) {
                (true, true) => write!(f, ", {least} <= {column} <= {most}")?,
                (true, false) => write!(f, ", {least} <= {column}")?,
                (false, true) => write!(f, ", {column} <= {most}")?,
                (false, false) => {}
            }
        }
        Ok(())
    }
}

impl Interval {
    fn and(self, other: Self) -> Self {
        Self {
            least: self.least.max(other.least),
            most: self.most.min(other.most),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            least: self.least.min(other.least),
            most: self.most.max(other.most),
        }
    }
}

/// What one condition leaves of a column; `None` where it says nothing about it.
fn left_by(filter: &Expr, column: &str) -> Option<Interval> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => match (left_by(left, column), left_by(right, column)) {
                (Some(a), Some(b)) => Some(a.and(b)),
                (a, b) => a.or(b),
            },
            Operator::Or => Some(left_by(left, column)?.or(left_by(right, column)?)),
            op if is_column(left, column) => compared(*op, number(right)?),
            op if is_column(right, column) => compared(op.swap()?, number(left)?),
            _ => None,
        },
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) if is_column(expr, column) => Some(Interval {
            least: number(low)?,
            most: number(high)?,
        }),
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if is_column(expr, column) => {
            let values = list
                .iter()
                .map(|value| compared(Operator::Eq, number(value)?));
            values
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .reduce(Interval::or)
        }
        _ => None,
    }
}

fn compared(op: Operator, value: f64) -> Option<Interval> {
    let all = Interval {
        least: f64::NEG_INFINITY,
        most: f64::INFINITY,
    };
    match op {
        Operator::Eq => Some(Interval {
            least: value,
            most: value,
        }),
        Operator::Lt | Operator::LtEq => Some(Interval { most: value, ..all }),
        Operator::Gt | Operator::GtEq => Some(Interval {
            least: value,
            ..all
        }),
        _ => None,
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// A literal number that is not NaN: which comparisons with NaN hold is not our business.
fn number(expr: &Expr) -> Option<f64> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let number = match value {
        ScalarValue::Float64(v) => (*v)?,
        ScalarValue::Float32(v) => f64::from((*v)?),
        ScalarValue::Int64(v) => (*v)? as f64,
        ScalarValue::Int32(v) => f64::from((*v)?),
        ScalarValue::UInt64(v) => (*v)? as f64,
        ScalarValue::UInt32(v) => f64::from((*v)?),
        _ => return None,
    };
    (!number.is_nan()).then_some(number)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn rows(filters: &[Expr]) -> Range<usize> {
        let bounds = Bounds::of(filters, &["tr", "time"]);
        let by_tr = bounds.rows("tr", 10, |row| row as f64);
        let by_time = bounds.rows("time", 10, |row| row as f64 * 2.0);
        by_tr.start.max(by_time.start)..by_tr.end.min(by_time.end)
    }

    #[test]
    fn conditions_leave_ranges() {
        let tr = || col("tr");
        assert_eq!(rows(&[]), 0..10);
        assert_eq!(rows(&[tr().eq(lit(3i64))]), 3..4);
        assert_eq!(rows(&[tr().gt_eq(lit(3i64)), tr().lt_eq(lit(5i64))]), 3..6);
        assert_eq!(rows(&[tr().between(lit(2i64), lit(4i64))]), 2..5);
        assert_eq!(rows(&[lit(7i64).lt_eq(tr())]), 7..10);
        assert_eq!(
            rows(&[tr().in_list(vec![lit(6i64), lit(4i64)], false)]),
            4..7
        );
        let or = tr().eq(lit(1i64)).or(tr().eq(lit(8i64)));
        assert_eq!(rows(&[or.and(col("x").eq(lit(1i64)))]), 1..9);
        assert_eq!(rows(&[col("time").gt_eq(lit(5.0))]), 3..10);
        assert_eq!(
            rows(&[col("time").gt_eq(lit(5.0)), tr().lt_eq(lit(4i64))]),
            3..5
        );
        assert!(rows(&[tr().gt(lit(20i64))]).is_empty());
        assert!(rows(&[tr().gt(lit(6i64)), tr().lt(lit(2i64))]).is_empty());
    }

    #[test]
    fn what_says_nothing_leaves_everything() {
        for filter in [
            col("x").eq(lit(1i64)),
            col("tr").not_eq(lit(1i64)),
            col("tr").eq(col("x")),
            col("tr").eq(lit(f64::NAN)),
            col("tr").in_list(vec![lit(6i64), lit(4i64)], true),
            col("tr").not_between(lit(2i64), lit(4i64)),
            col("tr").eq(lit(1i64)).or(col("x").eq(lit(1i64))),
            !col("tr").eq(lit(1i64)),
        ] {
            assert_eq!(rows(std::slice::from_ref(&filter)), 0..10, "{filter}");
        }
    }
}
