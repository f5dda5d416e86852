//! `CREATE MODEL enc USING ridge`: encoding models, from feature vectors to a brain.
//!
//! ```text
//! options   OPTIONS (alphas …, cv …)
//! fit       the gathered rows of each subject -> its weights, into the model's files
//! stored    weights.parquet, means.parquet
//! predict   ridge_predict(…, model => 'enc')
//! scores    model_scores('enc')
//! weights   model_weights('enc')
//! ```

mod fit;
mod options;
mod predict;
mod scores;
mod stored;
mod weights;

use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, plan_err};

pub use fit::fit;
pub use options::{Options, Settings};
pub use predict::ridge_predict;
pub use scores::model_scores;
pub use weights::model_weights;

use super::rows::Columns;

/// What `USING` says.
pub const KIND: &str = "ridge";

/// What the model needs of a query's columns: the last vector is the target, every other one a
/// feature space, and what is no vector a key.
pub fn check(columns: &Columns, schema: &SchemaRef) -> Result<()> {
    let spaces = columns.vectors.len().saturating_sub(1);
    if spaces == 0 {
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return plan_err!(
            "CREATE MODEL … USING ridge needs a query with the time (`tr`, or `run, tr`), one or more feature \
             vectors and, last, the vector of targets; this one has: {}",
            names.join(", ")
        );
    }
    if spaces > predict::MOST_SPACES {
        return plan_err!(
            "CREATE MODEL … USING ridge takes up to {} feature spaces, not {spaces}; vector_concat makes one of several",
            predict::MOST_SPACES
        );
    }
    if columns.time.is_empty() {
        return plan_err!(
            "CREATE MODEL needs the time of each row: select a column such as `tr`, or `run` and `tr`"
        );
    }
    Ok(())
}
