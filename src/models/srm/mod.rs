//! `CREATE MODEL m USING srm | detsrm | rsrm`: shared response models as objects of the database.

mod fit;
mod functions;
mod join;
pub mod npz;
mod options;
mod stored;
mod weights;

use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, plan_err};

pub use fit::fit;
pub use functions::{srm_inverse, srm_transform};
pub use join::join;
pub use options::{Kind, Options};
pub use stored::{SubjectMap, subjects};
pub use weights::model_weights;

use super::rows::Columns;

/// What the models need of a query's columns.
pub fn check(columns: &Columns, schema: &SchemaRef) -> Result<()> {
    let ([_], Some(_)) = (columns.vectors.as_slice(), columns.subject) else {
        let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        return plan_err!(
            "CREATE MODEL needs a query with a column `subject`, the time (such as `tr`, or `run, tr`) \
             and one vector column; this one has: {}",
            names.join(", ")
        );
    };
    if columns.time.is_empty() {
        return plan_err!(
            "CREATE MODEL needs the time of each row: select a column such as `tr`, or `run` and `tr`"
        );
    }
    Ok(())
}
