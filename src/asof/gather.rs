//! Joined batches from picks.

use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, MutableArrayData, RecordBatch, RecordBatchOptions, UInt32Array, make_array,
    new_null_array,
};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;

use super::merge::{Output, Pick};

/// The left rows as they are, and beside each the right row that was picked for it.
pub fn gather(
    left: &RecordBatch,
    rows: Range<usize>,
    right_schema: &SchemaRef,
    slots: &[Option<&RecordBatch>],
    picks: &[Pick],
    outputs: &[Output],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let source = Source::of(picks);
    let column = |output: &Output| match output {
        Output::Left(i) => Ok(left.column(*i).slice(rows.start, rows.len())),
        Output::Right(i) => {
            let data_type = right_schema.field(*i).data_type();
            let columns: Vec<_> = slots.iter().map(|b| b.map(|b| b.column(*i))).collect();
            source.column(data_type, &columns, picks)
        }
    };
    let columns = outputs.iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(
        SchemaRef::clone(schema),
        columns,
        &options,
    )?)
}

/// Where the picks of a batch come from.
enum Source {
    Nowhere,
    /// One slot, and the rows in it.
    One(usize, UInt32Array),
    Many {
        nulls: bool,
    },
}

impl Source {
    fn of(picks: &[Pick]) -> Self {
        let Some(first) = picks.iter().map(|p| p.0).find(|slot| *slot > 0) else {
            return Self::Nowhere;
        };
        let nulls = picks.iter().any(|(slot, _)| *slot == 0);
        if picks.iter().any(|(slot, _)| *slot > 0 && *slot != first) {
            return Self::Many { nulls };
        }
        let rows = match nulls {
            false => UInt32Array::from_iter_values(picks.iter().map(|(_, row)| *row as u32)),
            true => {
                let row = |(slot, row): &Pick| (*slot > 0).then_some(*row as u32);
                picks.iter().map(row).collect()
            }
        };
        Self::One(first, rows)
    }

    fn column(
        &self,
        data_type: &DataType,
        slots: &[Option<&ArrayRef>],
        picks: &[Pick],
    ) -> Result<ArrayRef> {
        // Whole vectors are copied at once; take and interleave go element by element.
        if let DataType::FixedSizeList(..) = data_type
            && !matches!(self, Self::Nowhere)
        {
            return vectors(data_type, slots, picks);
        }
        match self {
            Self::Nowhere => Ok(new_null_array(data_type, picks.len())),
            Self::One(slot, rows) => match slots[slot - 1] {
                Some(column) => Ok(take(column, rows, None)?),
                None => Ok(new_null_array(data_type, picks.len())),
            },
            Self::Many { nulls } => {
                let null = new_null_array(data_type, 1);
                let any = slots.iter().flatten().next();
                // Without NULLs among the sources the kernel need not look for them.
                let unused: &dyn Array = match any {
                    Some(any) if !nulls => any,
                    _ => &null,
                };
                let slots = slots.iter().map(|s| s.map_or(unused, |s| s.as_ref()));
                let sources: Vec<&dyn Array> = std::iter::once(unused).chain(slots).collect();
                Ok(interleave(&sources, picks)?)
            }
        }
    }
}

fn vectors(data_type: &DataType, slots: &[Option<&ArrayRef>], picks: &[Pick]) -> Result<ArrayRef> {
    let empty = new_null_array(data_type, 0).to_data();
    let slots = slots.iter().map(|s| s.map(|s| s.to_data()));
    let sources: Vec<_> = std::iter::once(None)
        .chain(slots)
        .map(|s| s.unwrap_or_else(|| empty.clone()))
        .collect();
    let mut column = MutableArrayData::new(sources.iter().collect(), true, picks.len());
    for &(slot, row) in picks {
        match slot {
            0 => column.try_extend_nulls(1)?,
            slot => column.try_extend(slot, row, row + 1)?,
        }
    }
    Ok(make_array(column.freeze()))
}
