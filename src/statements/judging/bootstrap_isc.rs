//! `bootstrap_isc((SELECT subject, isc FROM isc(…)))`: whether subjects are alike, by drawing them again.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::execution::SessionState;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::kernels::isc::Summary;
use voxql_udfs::kernels::isc::bootstrap::{Options, bootstrap};

use super::arguments::{drawn_bytes, memory, seed, side, summary, threads, times};
use super::correlations::Correlations;
use crate::statements::computed::Function;
use crate::statements::computed::arguments::Given;
use crate::statements::computed::calls::Call;
use crate::statements::computed::held::Held;
use crate::writers::format::blocking;

/// The function's name in SQL.
pub const FUNCTION: &str = "bootstrap_isc";

/// What it takes.
pub const BOOTSTRAP_ISC: Function = Function {
    parameters: Parameters {
        function: FUNCTION,
        required: 1,
        list: &[
            ("iscs", Kind::Any),
            ("pairwise", Kind::Flag),
            ("summary_statistic", Kind::Text),
            ("n_bootstraps", Kind::Integer),
            ("ci_percentile", Kind::Number),
            ("side", Kind::Text),
            ("random_state", Kind::Integer),
        ],
    },
    queries: &["iscs"],
    example: "bootstrap_isc((SELECT subject, isc FROM isc(…)))",
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
            BOOTSTRAP_ISC.example
        );
    };
    let (options, pairwise) = {
        let arguments = given.constants();
        let ci_percentile = arguments.f64("ci_percentile")?.unwrap_or(95.0);
        if !(ci_percentile > 0.0 && ci_percentile < 100.0) {
            return plan_err!(
                "{FUNCTION}: ci_percentile must be between 0 and 100, not {ci_percentile}"
            );
        }
        let options = Options {
            pairwise: false,
            summary: summary(&arguments)?.unwrap_or(Summary::Median),
            resamples: times(&arguments, "n_bootstraps", 1000)?,
            ci_percentile,
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
        let (mut observed, mut low, mut high, mut p) = (vec![], vec![], vec![], vec![]);
        for test in &correlations.tests {
            // Which rows each resample is of.
            let drawn = drawn_bytes(options.resamples, test.rows.len());
            memory.try_grow(drawn)?;
            let result = bootstrap(&test.views(), &options)
                .map_err(|message| DataFusionError::Execution(format!("{FUNCTION}: {message}")))?;
            memory.shrink(drawn);
            observed.push(result.observed);
            low.push(result.ci_low);
            high.push(result.ci_high);
            p.push(result.p);
        }
        let columns = vec![
            ("observed", observed),
            ("ci_low", low),
            ("ci_high", high),
            ("p", p),
        ];
        let (schema, batch) = correlations.table(FUNCTION, columns)?;
        memory.try_grow(batch.get_array_memory_size())?;
        Held::new(schema, vec![batch], memory)
    });
    Ok(Arc::new(held.await?))
}
