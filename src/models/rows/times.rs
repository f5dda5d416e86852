//! The times of a subject's rows.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::row::{OwnedRow, RowConverter};
use datafusion::common::{Result, exec_err};

use super::columns::label;

/// The times in order, each once.
#[derive(Clone)]
pub struct Times {
    /// Of the columns that say the time.
    pub names: Arc<[String]>,
    pub converter: Arc<RowConverter>,
    pub rows: Vec<OwnedRow>,
}

impl Times {
    /// The columns.
    pub fn arrays(&self) -> Result<Vec<ArrayRef>> {
        let rows = self.rows.iter().map(OwnedRow::row);
        Ok(self.converter.convert_rows(rows)?)
    }

    /// The time of row `i` as people write it.
    pub fn label(&self, i: usize) -> Result<String> {
        let arrays = self.converter.convert_rows([self.rows[i].row()])?;
        label(self.names.iter(), &arrays, 0)
    }

    /// Checks that subject `other` has the times that subject `name` has.
    pub fn check_same(&self, name: &str, other: &str, times: &Self) -> Result<()> {
        let (ours, theirs) = (&self.rows, &times.rows);
        let different = ours.iter().zip(theirs).position(|(a, b)| a != b);
        let at = match different {
            Some(at) => at,
            None if ours.len() == theirs.len() => return Ok(()),
            None => ours.len().min(theirs.len()),
        };
        let we_have_it = match (ours.get(at), theirs.get(at)) {
            (Some(a), Some(b)) => a < b,
            (a, _) => a.is_some(),
        };
        let (who, when, has, lacks, has_not) = match we_have_it {
            true => (name, self.label(at)?, ours.len(), other, theirs.len()),
            false => (other, times.label(at)?, theirs.len(), name, ours.len()),
        };
        exec_err!(
            "CREATE MODEL: {who} has {when} and {lacks} has not ({has} and {has_not} TRs in all); \
             select the TRs that all have"
        )
    }
}
