//! `tr_overlap(onset, duration, tr [, start] [, slice_time_ref])`: the volumes that an
//! interval touches, and for how long.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, ListArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, numbers, result_of, rows_of};
use crate::datafusion_doc;
use crate::grid::{self, Bins, Grid};
use crate::kernels::overlap::{Overlaps, overlaps};
use crate::time::nanoseconds;

const PARAMETERS: Parameters = Parameters {
    function: "tr_overlap",
    required: 3,
    list: &[
        ("onset", Kind::Number),
        ("duration", Kind::Number),
        grid::TR,
        grid::START,
        grid::SLICE_TIME_REF,
    ],
};

/// The volumes that one interval may touch: two weeks of 1 s.
const MOST_VOLUMES: u64 = 1 << 20;

/// The volumes of one batch, which the list's offsets count.
const MOST_IN_BATCH: usize = 1 << 26;

/// The scalar function `tr_overlap`.
pub fn tr_overlap() -> ScalarUDF {
    TrOverlap {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Time Functions"),
    description = "The fMRI volumes (TRs) that the half-open interval `[onset, onset + duration)` touches, one entry \
each: `tr`, the index as `tr_index` has it (negative before volume 0); `overlap`, how many seconds of the \
interval are in it; `fraction`, which share of the interval that is. All is computed on whole nanoseconds, so \
the overlaps of an interval add up to its duration. `unnest` makes rows of the entries: a join of intervals with the grid \
whose cost is the number of rows that it gives.

An interval without length (a click, a word whose end is not known) touches the one volume in which it is, with overlap 0 \
and fraction 1. So a mean weighted by `overlap` leaves it out, and where a volume has nothing else the mean is NULL; \
weighted by `fraction` each interval counts as one, whatever its length. An interval that is NULL in any part gives NULL, of \
which `unnest` makes no row; a negative duration is an error.

Two tables of intervals join by what overlapping means, `a.onset < b.onset + b.duration AND a.onset + a.duration > b.onset`. \
With an equal key beside it (the run) that is a hash join which compares all pairs of a run, without one a loop over all \
pairs; for long tables, bin both with `tr_overlap` and join on run and bin (tests/slt/bins.slt has the query).",
    syntax_example = "tr_overlap(onset, duration, tr => 1.49 [, start => 0] [, slice_time_ref => 0])",
    sql_example = r#"```sql
-- The mean embedding of the words in each volume, weighted by how long they are in it
SELECT o['tr'] AS tr, vector_avg(embedding, weight => o['overlap']) AS embedding, count(*) AS words
FROM (SELECT embedding, unnest(tr_overlap(onset, duration, tr => 1.49)) AS o FROM words)
GROUP BY 1;
```"#,
    argument(name = "onset", description = "Seconds from the start of the run."),
    argument(name = "duration", description = "Seconds, zero or more."),
    argument(
        name = "tr",
        description = "Repetition time in seconds, above 0: a constant, or a column where runs differ."
    ),
    argument(
        name = "start",
        description = "Time in seconds at which the acquisition of volume 0 starts. Default 0."
    ),
    argument(
        name = "slice_time_ref",
        description = "The moment for which a volume stands, as a share of the TR from 0 (its start) to 1 (its end); \
see `tr_index`. Default 0."
    ),
    related_udf(name = "tr_index")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct TrOverlap {
    signature: Signature,
}

impl ScalarUDFImpl for TrOverlap {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        PARAMETERS.coerce(arg_types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(entry()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        grid::check_at_planning(&PARAMETERS, &args)?;
        let data_type = DataType::List(entry());
        Ok(Arc::new(Field::new(self.name(), data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let onsets = numbers(&args.args[0])?;
        let durations = numbers(&args.args[1])?;
        let grid = Grid::try_new(&PARAMETERS, &args.args)?;
        let rows = rows_of(&args.args);
        let value = |column: &Float64Array, i: usize| {
            let at = if column.len() == 1 { 0 } else { i };
            column.is_valid(at).then(|| column.value(at))
        };
        let mut entries = Entries::with_capacity(rows);
        for i in 0..rows {
            let interval = value(&onsets, i).zip(value(&durations, i));
            match interval.zip(grid.at(i)?) {
                Some(((onset, duration), bins)) => {
                    let (overlaps, length) = read(onset, duration, bins)?;
                    entries.append(overlaps, length)?;
                }
                None => entries.append_null(),
            }
        }
        result_of(&args.args, entries.finish()?)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The volumes of one interval, and its length in nanoseconds.
fn read(onset: f64, duration: f64, bins: Bins) -> Result<(Overlaps, i64)> {
    if duration < 0.0 {
        return exec_err!(
            "tr_overlap: the duration {duration} at onset {onset} is negative; an interval is \
             onset and duration, not onset and end"
        );
    }
    let (Some(from), Some(length)) = (nanoseconds(onset), nanoseconds(duration)) else {
        return exec_err!(
            "tr_overlap: onset {onset} and duration {duration} are not numbers of seconds within \
             292 years; leave such rows out, or make them NULL"
        );
    };
    let overlaps = overlaps(from, length, bins.tr, bins.origin).ok_or_else(|| {
        exec_datafusion_err!("tr_overlap: {onset} s and {duration} s are more than 292 years")
    })?;
    let count = overlaps.count_left();
    if count > MOST_VOLUMES {
        return exec_err!(
            "tr_overlap: the interval at onset {onset} with duration {duration} touches {count} \
             volumes, more than {MOST_VOLUMES}; are duration and tr in seconds?"
        );
    }
    Ok((overlaps, length))
}

/// What one volume has: `tr`, `overlap`, `fraction`.
fn fields() -> Fields {
    Fields::from(vec![
        Field::new("tr", DataType::Int64, true),
        Field::new("overlap", DataType::Float64, true),
        Field::new("fraction", DataType::Float64, true),
    ])
}

fn entry() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(fields()), true))
}

/// The result's rows.
struct Entries {
    tr: Vec<i64>,
    overlap: Vec<f64>,
    fraction: Vec<f64>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Entries {
    /// Most words are in one volume or two.
    fn with_capacity(rows: usize) -> Self {
        Self {
            tr: Vec::with_capacity(rows),
            overlap: Vec::with_capacity(rows),
            fraction: Vec::with_capacity(rows),
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
        }
    }

    fn append(&mut self, overlaps: Overlaps, length: i64) -> Result<()> {
        let before = self.tr.len();
        for overlap in overlaps {
            let nanoseconds = overlap.nanoseconds as f64;
            self.tr.push(overlap.bin);
            self.overlap.push(nanoseconds / 1e9);
            self.fraction.push(match length {
                0 => 1.0,
                length => nanoseconds / length as f64,
            });
        }
        if self.tr.len() > MOST_IN_BATCH {
            return exec_err!(
                "tr_overlap: the intervals of one batch touch more than {MOST_IN_BATCH} volumes; \
                 lower datafusion.execution.batch_size, or look whether durations and tr are in \
                 seconds"
            );
        }
        self.lengths.push(self.tr.len() - before);
        self.valid.push(true);
        Ok(())
    }

    fn append_null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    fn finish(self) -> Result<ArrayRef> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.tr)),
            Arc::new(Float64Array::from(self.overlap)),
            Arc::new(Float64Array::from(self.fraction)),
        ];
        let entries = StructArray::try_new(fields(), columns, None)?;
        Ok(Arc::new(ListArray::try_new(
            entry(),
            OffsetBuffer::from_lengths(self.lengths),
            Arc::new(entries),
            Some(NullBuffer::from(self.valid)),
        )?))
    }
}
