//! `permutation_isc((SELECT subject, isc FROM isc(…)))`: whether subjects are alike, or two groups
//! differ, by flipping signs or dealing groups anew.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::execution::SessionState;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::kernels::isc::Summary;
use voxql_udfs::kernels::isc::permutation::{Options, permutation_test};

use super::arguments::{drawn_bytes, memory, seed, side, summary, threads, times};
use super::correlations::Correlations;
use crate::statements::computed::Function;
use crate::statements::computed::arguments::{Given, Rows};
use crate::statements::computed::calls::Call;
use crate::statements::computed::held::Held;
use crate::writers::format::blocking;

/// The function's name in SQL.
pub const FUNCTION: &str = "permutation_isc";

/// What it takes.
pub const PERMUTATION_ISC: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[
            ("iscs", Kind::Any),
            ("group_assignment", Kind::Any),
            ("pairwise", Kind::Flag),
            ("summary_statistic", Kind::Text),
            ("n_permutations", Kind::Integer),
            ("side", Kind::Text),
            ("random_state", Kind::Integer),
        ],
    },
    queries: &["iscs", "group_assignment"],
    example: "permutation_isc((SELECT subject, isc FROM isc(…)))",
};

/// Computes the table of a call.
///
/// # Errors
/// Name the argument, the column or the subject.
pub async fn table(state: &SessionState, call: &Call) -> Result<Arc<dyn TableProvider>> {
    let mut given = Given::evaluate(state, call).await?;
    let Some(rows) = given.take_rows("iscs") else {
        return plan_err!(
            "{FUNCTION} needs the rows of isc, a query in parentheses: {}",
            PERMUTATION_ISC.example
        );
    };
    let groups = match given.take_rows("group_assignment") {
        Some(rows) => Some(Groups::read(&rows)?),
        None => None,
    };
    let (options, pairwise) = {
        let arguments = given.constants();
        let options = Options {
            pairwise: false,
            summary: summary(&arguments)?.unwrap_or(Summary::Median),
            permutations: times(&arguments, "n_permutations", 1000)?,
            side: side(&arguments)?,
            seed: seed(&arguments)?,
            threads: threads(state),
        };
        (options, arguments.bool("pairwise")?)
    };
    let memory = memory(state, FUNCTION);
    let held = blocking(move || {
        let correlations = Correlations::read(FUNCTION, &rows, pairwise)?;
        let options = Options {
            pairwise: correlations.pairwise,
            ..options
        };
        let (mut observed, mut p) = (vec![], vec![]);
        for test in &correlations.tests {
            let second = match &groups {
                Some(groups) => groups.second(&test.subjects)?,
                None => None,
            };
            // The sign or the group of each row in each permutation.
            let drawn = drawn_bytes(options.permutations, test.rows.len());
            memory.try_grow(drawn)?;
            let result = permutation_test(&test.views(), second.as_deref(), &options)
                .map_err(|message| DataFusionError::Execution(format!("{FUNCTION}: {message}")))?;
            memory.shrink(drawn);
            observed.push(result.observed);
            p.push(result.p);
        }
        let columns = vec![("observed", observed), ("p", p)];
        let (schema, batch) = correlations.table(FUNCTION, columns)?;
        memory.try_grow(batch.get_array_memory_size())?;
        Held::new(schema, vec![batch], memory)
    });
    Ok(Arc::new(held.await?))
}

/// The group of each subject.
struct Groups(HashMap<String, ScalarValue>);

impl Groups {
    /// Reads a query with a column `subject` and one more, the group.
    fn read(rows: &Rows) -> Result<Self> {
        let fields = rows.schema.fields();
        let subject = fields.iter().position(|f| f.name() == "subject");
        let (Some(subject), 2) = (subject, fields.len()) else {
            let names: Vec<_> = fields.iter().map(|f| f.name().as_str()).collect();
            return plan_err!(
                "{FUNCTION}: group_assignment needs the columns `subject` and one more, the group; it has {}",
                names.join(", ")
            );
        };
        let mut groups: HashMap<String, ScalarValue> = HashMap::new();
        for batch in &rows.batches {
            let names = cast(batch.column(subject), &DataType::Utf8)?;
            let names = names.as_string::<i32>();
            for row in 0..batch.num_rows() {
                if names.is_null(row) {
                    return exec_err!("{FUNCTION}: in group_assignment the subject is NULL");
                }
                let name = names.value(row);
                let group = ScalarValue::try_from_array(batch.column(1 - subject), row)?;
                let other = groups.insert(name.to_owned(), group.clone());
                if let Some(other) = other
                    && other != group
                {
                    return exec_err!(
                        "{FUNCTION}: subject {name} is in two groups, {other} and {group}"
                    );
                }
            }
        }
        Ok(Self(groups))
    }

    /// Which of `subjects` are in the second of two groups, in the order of their values; None
    /// where all are in one.
    fn second(&self, subjects: &[String]) -> Result<Option<Vec<bool>>> {
        let mut of_each = Vec::with_capacity(subjects.len());
        for subject in subjects {
            match self.0.get(subject) {
                Some(group) if !group.is_null() => of_each.push(group),
                _ => {
                    return exec_err!(
                        "{FUNCTION}: subject {subject} has no group in group_assignment"
                    );
                }
            }
        }
        let mut groups: Vec<&ScalarValue> = Vec::new();
        for group in &of_each {
            if !groups.contains(group) {
                groups.push(group);
            }
        }
        // Of one column, so of one type: there is an order.
        groups.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        match groups.as_slice() {
            [] | [_] => Ok(None),
            [_, second] => Ok(Some(of_each.iter().map(|g| g == second).collect())),
            more => {
                let names: Vec<String> = more.iter().map(ToString::to_string).collect();
                exec_err!(
                    "{FUNCTION}: two groups can be compared, and there are {}: {}",
                    more.len(),
                    names.join(", ")
                )
            }
        }
    }
}
