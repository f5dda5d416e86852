//! One partition, one run: the columns that tell runs apart may not change within it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::util::display::array_value_to_string;
use datafusion::common::utils::quote_identifier;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, TableReference, exec_err};
use datafusion::logical_expr::{Expr, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

/// Columns of these names tell runs apart: the entities of BIDS that do, and the file,
/// for files that have none.
pub const RUN_KEYS: [&str; 7] = [
    "subject",
    "session",
    "task",
    "acquisition",
    "direction",
    "run",
    "path",
];

/// What stands before the name of a column that may not change.
const SAME: &str = "same ";

/// The run keys in the input of a window that are not in its PARTITION BY, as pairs of
/// arguments: `'same run', run`. A column that is itself the argument `x` is data.
pub(super) fn guards(schema: &DFSchema, partition_by: &[Expr], x: Option<&Expr>) -> Vec<Expr> {
    let mut guards = Vec::new();
    for (relation, field) in schema.iter() {
        let column = Expr::Column(Column::new(relation.cloned(), field.name()));
        let is_key = RUN_KEYS
            .iter()
            .any(|key| key.eq_ignore_ascii_case(field.name()));
        if is_key
            && !field.data_type().is_nested()
            && !partition_by.contains(&column)
            && x != Some(&column)
        {
            let name = name_in(schema, relation, field.name());
            guards.extend([lit(format!("{SAME}{name}")), column]);
        }
    }
    guards
}

/// A key as people write it: `run`, and `events.run` only where there are several.
pub(super) fn key_name(schema: &DFSchema, expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => name_in(schema, column.relation.as_ref(), &column.name),
        other => other.human_display().to_string(),
    }
}

fn name_in(schema: &DFSchema, relation: Option<&TableReference>, name: &str) -> String {
    let alone = schema.fields_with_unqualified_name(name).len() < 2;
    match relation {
        Some(relation) if !alone => Column::new(Some(relation.clone()), name).quoted_flat_name(),
        _ => quote_identifier(name).into_owned(),
    }
}

/// The arguments that [`guards`] appended: the names, and the columns as the plan has them.
pub fn guarded(args: &[Arc<dyn PhysicalExpr>]) -> Vec<(String, Arc<dyn PhysicalExpr>)> {
    args.windows(2)
        .filter_map(|pair| {
            let name = label(&pair[0]).strip_prefix(SAME)?.to_string();
            Some((name, Arc::clone(&pair[1])))
        })
        .collect()
}

pub(super) fn label(expr: &Arc<dyn PhysicalExpr>) -> &str {
    expr.downcast_ref::<Literal>()
        .and_then(|literal| literal.value().try_as_str().flatten())
        .unwrap_or_default()
}

/// Why `function` is refused over a partition that holds two runs, and the clause that
/// keeps them apart.
///
/// `missing` are the keys to add to `partition_by`; `difference` says what was found,
/// as `run = 1 and run = 2`.
pub fn refusal(
    function: &str,
    difference: &str,
    partition_by: &[String],
    missing: &[String],
    order_by: &str,
) -> String {
    let keys: Vec<&str> = partition_by
        .iter()
        .chain(missing)
        .map(String::as_str)
        .collect();
    format!(
        "{function}: one partition holds rows of {difference}, and what is computed from one run \
         must not reach another; write {function}(…) OVER (PARTITION BY {} ORDER BY {order_by}); a \
         column of such a name that does not tell runs apart is left out by a subquery",
        keys.join(", "),
    )
}

/// Follows the rows of one partition and refuses the first that is of another run.
#[derive(Debug)]
pub struct SameRun {
    function: &'static str,
    order_by: String,
    /// The names of the partition's keys.
    partition_by: Vec<String>,
    guards: Vec<Guard>,
}

/// A column that may not change within the partition.
#[derive(Debug)]
struct Guard {
    name: String,
    /// Its first value that is not NULL.
    value: Option<ScalarValue>,
}

impl SameRun {
    /// From the arguments behind a function's own: pairs of a label and a key, the first
    /// of which is that of ORDER BY.
    pub(super) fn new(function: &'static str, keys: &[Arc<dyn PhysicalExpr>]) -> Self {
        let mut labels = keys.iter().step_by(2).map(label);
        let order_by = labels.next().unwrap_or_default().to_string();
        let (mut partition_by, mut guards) = (Vec::new(), Vec::new());
        for label in labels {
            match label.strip_prefix(SAME) {
                Some(name) => guards.push(Guard {
                    name: name.to_string(),
                    value: None,
                }),
                None => partition_by.push(label.to_string()),
            }
        }
        Self {
            function,
            order_by,
            partition_by,
            guards,
        }
    }

    /// Refuses `row` if it is of another run than the rows before it. `keys` are the
    /// columns of the keys: that of ORDER BY, the partition's, and the guarded ones.
    ///
    /// NULL says nothing, so that the empty rows of an outer join go with any run.
    ///
    /// # Errors
    /// Name the function, the key, its two values, and the clause that is right.
    pub fn check(&mut self, keys: &[ArrayRef], row: usize) -> Result<()> {
        let columns = keys.get(1 + self.partition_by.len()..).unwrap_or_default();
        let mut differs = false;
        for (guard, column) in self.guards.iter_mut().zip(columns) {
            if column.is_null(row) {
                continue;
            }
            match &guard.value {
                Some(value) => differs |= !value.eq_array(column, row)?,
                None => guard.value = Some(ScalarValue::try_from_array(column, row)?),
            }
        }
        if differs {
            return self.refuse(columns, row);
        }
        Ok(())
    }

    /// `subject = 01, run = 1`: the partition's keys at `row`.
    pub fn partition(&self, keys: &[ArrayRef], row: usize) -> String {
        let columns = keys.iter().skip(1);
        let key = |(name, column): (&String, &ArrayRef)| format!("{name} = {}", text(column, row));
        let keys: Vec<String> = self.partition_by.iter().zip(columns).map(key).collect();
        keys.join(", ")
    }

    fn refuse(&self, columns: &[ArrayRef], row: usize) -> Result<()> {
        let mut one = Vec::new();
        let mut other = Vec::new();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (Guard { name, value }, column) in self.guards.iter().zip(columns) {
            let Some(value) = value.as_ref().filter(|_| column.is_valid(row)) else {
                continue;
            };
            let differs = !value.eq_array(column, row)?;
            // Files differ wherever runs do; alone they are the run.
            if bare(name) == "path" && !(differs && one.is_empty()) {
                continue;
            }
            let known = |names: &[String]| names.iter().any(|known| bare(known) == bare(name));
            if differs && !known(&found) {
                one.push(format!("{name} = {value}"));
                other.push(format!("{name} = {}", text(column, row)));
                found.push(name.clone());
            } else if differs || known(&missing) {
                // The other side of a join says the same.
                continue;
            }
            missing.push(name.clone());
        }
        let difference = format!("{} and {}", one.join(", "), other.join(", "));
        let order_by = match self.order_by.as_str() {
            "" => "time",
            order_by => order_by,
        };
        exec_err!(
            "{}",
            refusal(
                self.function,
                &difference,
                &self.partition_by,
                &missing,
                order_by
            )
        )
    }
}

/// `run` of `events.run`.
pub fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn text(column: &ArrayRef, row: usize) -> String {
    match column.is_null(row) {
        true => "NULL".into(),
        false => array_value_to_string(column, row).unwrap_or_default(),
    }
}
