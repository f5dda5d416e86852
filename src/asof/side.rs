//! A batch of one side, made ready for the merge: its times, and its groups of equal keys.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{SortOptions, partition, take};
use arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::physical_plan::PhysicalExpr;

use super::clock::{Clock, Times};

/// The order in which both sides come: by keys, then time. It is what `ORDER BY` without
/// more words means, so that data which is sorted so is not sorted again.
pub const ORDER: SortOptions = SortOptions {
    descending: false,
    nulls_first: false,
};

/// What to compute of each batch of a side.
pub struct Reader {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    time: Arc<dyn PhysicalExpr>,
    clock: Clock,
    converter: Arc<RowConverter>,
}

/// The converter that makes keys of both sides comparable.
pub fn key_converter(
    key_types: impl Iterator<Item = arrow::datatypes::DataType>,
) -> Result<RowConverter> {
    let fields = key_types.map(|t| SortField::new_with_options(t, ORDER));
    Ok(RowConverter::new(fields.collect())?)
}

impl Reader {
    pub fn new(
        keys: Vec<Arc<dyn PhysicalExpr>>,
        time: Arc<dyn PhysicalExpr>,
        clock: Clock,
        converter: Arc<RowConverter>,
    ) -> Self {
        Self {
            keys,
            time,
            clock,
            converter,
        }
    }

    pub fn read(&self, batch: RecordBatch) -> Result<Prepared> {
        let rows = batch.num_rows();
        let column = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(rows);
        let times = self.clock.read(&column(&self.time)?)?;
        let keys = self.keys.iter().map(column).collect::<Result<Vec<_>>>()?;
        Prepared::new(batch, times, &keys, &self.converter)
    }
}

/// A batch, sorted by keys and time.
pub struct Prepared {
    pub batch: RecordBatch,
    pub ticks: ScalarBuffer<i64>,
    pub groups: Vec<Group>,
    /// One row per group; None where there are no keys.
    keys: Option<Rows>,
}

/// Rows with the same keys that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub rows: Range<usize>,
    /// Those with a time. Sorting puts NULL and NaN to the ends.
    pub timed: Range<usize>,
    /// NULL in a key: it equals nothing.
    pub null_key: bool,
}

impl Prepared {
    pub fn new(
        batch: RecordBatch,
        times: Times,
        keys: &[ArrayRef],
        converter: &RowConverter,
    ) -> Result<Self> {
        let ranges = match (keys, batch.num_rows()) {
            (_, 0) => vec![],
            ([], rows) => std::iter::once(0..rows).collect(),
            (keys, _) => partition(keys)?.ranges(),
        };
        let timed = |rows: &Range<usize>| match &times.valid {
            None => rows.clone(),
            Some(valid) => {
                let start = rows.clone().find(|i| valid.is_valid(*i));
                let start = start.unwrap_or(rows.end);
                let last = (start..rows.end).rfind(|i| valid.is_valid(*i));
                start..last.map_or(start, |i| i + 1)
            }
        };
        let groups = ranges.into_iter().map(|rows| Group {
            timed: timed(&rows),
            null_key: keys.iter().any(|key| key.is_null(rows.start)),
            rows,
        });
        let groups: Vec<_> = groups.collect();
        let keys = match keys {
            [] => None,
            keys => {
                let firsts = groups.iter().map(|g| g.rows.start as u32);
                let firsts = UInt32Array::from_iter_values(firsts);
                let of_groups = keys.iter().map(|key| Ok(take(key, &firsts, None)?));
                Some(converter.convert_columns(&of_groups.collect::<Result<Vec<_>>>()?)?)
            }
        };
        Ok(Self {
            batch,
            ticks: times.ticks,
            groups,
            keys,
        })
    }

    /// The key of a group; None where there are no keys.
    pub fn key(&self, group: usize) -> Option<Row<'_>> {
        self.keys.as_ref().map(|keys| keys.row(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, StringArray};
    use arrow::datatypes::DataType;

    #[test]
    fn groups_know_their_keys_and_times() {
        let key: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            Some("a"),
            Some("a"),
            Some("b"),
            Some("b"),
            None,
        ]));
        let time: ArrayRef = Arc::new(Float64Array::from(vec![
            Some(-f64::NAN),
            Some(1.0),
            None,
            Some(f64::NAN),
            None,
            Some(2.0),
        ]));
        let batch = RecordBatch::try_from_iter([("k", Arc::clone(&key)), ("t", Arc::clone(&time))]);
        let converter = key_converter([DataType::Utf8].into_iter()).unwrap();
        let times = Clock::Seconds.read(&time).unwrap();
        let read = Prepared::new(batch.unwrap(), times, &[key], &converter).unwrap();
        let group = |rows, timed, null_key| Group {
            rows,
            timed,
            null_key,
        };
        assert_eq!(
            read.groups,
            [
                group(0..3, 1..2, false),
                group(3..5, 5..5, false),
                group(5..6, 5..6, true)
            ]
        );
        assert!(read.key(0) < read.key(1) && read.key(1) < read.key(2));
    }
}
