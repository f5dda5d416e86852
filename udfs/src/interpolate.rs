//! `interpolate`: values known at some times, at the times of other rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, NullBufferBuilder, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, PartitionEvaluator, Signature, Volatility, WindowUDF,
    WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, numbers};
use crate::datafusion_doc;
use crate::kernels::nearby::{Method, Source, sources};
use crate::run_window::{self, SameRun};
use crate::time::nanoseconds;
use crate::vectors::{Vectors, element_type};
use crate::whole_run::{PartitionFunction, WholePartition};

const PARAMETERS: Parameters = Parameters {
    function: "interpolate",
    required: 2,
    list: &[
        ("x", Kind::Any),
        ("time", Kind::Number),
        ("method", Kind::Text),
        ("tolerance", Kind::Number),
    ],
};

/// `interpolate(x, time [, method] [, tolerance])`
pub fn interpolate() -> WindowUDF {
    WindowUDF::from(Interpolate {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Time Functions"),
    description = "Gives every row the value that x has at its time, from the rows of its \
        partition where x is not NULL: the last one at or before it ('previous'), the nearest one \
        ('nearest', the earlier of two as near), or a mix of the neighbours ('linear', for numbers \
        and vectors of floats; NULL before the first and after the last). Put the rows that ask \
        (x is NULL) and the rows that know together with UNION ALL. The result has the type of x, \
        and remembers the model of an embedding. Rows must come in order of time; of several known \
        values at one time, the last row counts for rows after it, the first for rows before it. A \
        row whose time is NULL or NaN gets NULL. A partition that holds rows of several runs (the \
        columns subject, session, task, acquisition, direction, run, path differ) is an error.",
    syntax_example = "interpolate(x, time [, method] [, tolerance])",
    sql_example = r"```sql
-- The word that is being said at each TR, at most 2 s old
SELECT tr, word FROM (
    SELECT tr, interpolate(word, time, method => 'previous', tolerance => 2.0)
               OVER (PARTITION BY run ORDER BY time) AS word
    FROM (SELECT run, tr, time, NULL AS word FROM grid
          UNION ALL
          SELECT run, NULL AS tr, onset AS time, word FROM words)
) WHERE tr IS NOT NULL;
```",
    argument(
        name = "x",
        description = "A column of any type; NULL where the value is wanted."
    ),
    argument(name = "time", description = "The row's time in seconds."),
    argument(
        name = "method",
        description = "'previous' (the default), 'nearest' or 'linear'."
    ),
    argument(
        name = "tolerance",
        description = "How many seconds away a value may be, inclusive. Default: any."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Interpolate {
    signature: Signature,
}

impl WindowUDFImpl for Interpolate {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        run_window::coerce_before_keys(PARAMETERS, types, |own| PARAMETERS.coerce(own))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        match args.get_input_field(0) {
            // With the metadata of x.
            Some(x) => Ok(Arc::new(
                Field::clone(&x).with_name(args.name()).with_nullable(true),
            )),
            None => plan_err!("interpolate: the argument x is missing"),
        }
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(run_window::append_keys_in_any_order(PARAMETERS))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::columns_and_keys(PARAMETERS, &[0, 1], &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let constants = PARAMETERS.of_expressions(args.input_exprs())?;
        let name = constants.str("method")?.unwrap_or("previous");
        let Some(method) = Method::from_name(name) else {
            return plan_err!(
                "interpolate: there is no method {name}; the methods are {}",
                Method::NAMES.join(", ")
            );
        };
        if let (Method::Linear, Some(x)) = (method, args.input_fields().first()) {
            let number = element_type(x.data_type()).unwrap_or(x.data_type());
            if !(number.is_floating() || number.is_null()) {
                return plan_err!(
                    "interpolate: method 'linear' mixes values, and x is {}; cast it to DOUBLE (or \
                     its elements to FLOAT), or use 'previous' or 'nearest'",
                    x.data_type()
                );
            }
        }
        let tolerance = match constants.f64("tolerance")? {
            None => None,
            Some(seconds) => match nanoseconds(seconds) {
                Some(limit) if limit >= 0 => Some(limit),
                _ => {
                    return plan_err!(
                        "interpolate: tolerance is a number of seconds, zero or more, got {seconds}"
                    );
                }
            },
        };
        Ok(Box::new(WholePartition::new(Interpolator {
            method,
            tolerance,
            same_run: run_window::same_run(PARAMETERS, &args),
        })))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// One partition's interpolation.
#[derive(Debug)]
struct Interpolator {
    method: Method,
    /// In nanoseconds.
    tolerance: Option<i64>,
    same_run: SameRun,
}

impl PartitionFunction for Interpolator {
    fn compute(&mut self, values: &[ArrayRef], _num_rows: usize) -> Result<ArrayRef> {
        let [x, time, keys @ ..] = values else {
            return exec_err!("interpolate: it was called without x and time");
        };
        let mut rows = Rows::default();
        let mut last = None;
        let times = numbers(&ColumnarValue::Array(Arc::clone(time)))?;
        let nulls = x.logical_nulls();
        for (row, time) in times.iter().enumerate() {
            self.same_run.check(keys, row)?;
            let Some(at) = time.and_then(nanoseconds) else {
                continue;
            };
            if let Some((last, before)) = last.replace((at, time))
                && last > at
            {
                return exec_err!(
                    "interpolate: time {} comes after {}; order the rows: OVER (… ORDER BY time)",
                    time.unwrap_or_default(),
                    before.unwrap_or_default()
                );
            }
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                rows.known.push(row);
                rows.known_times.push(at);
            }
            rows.wanted.push(row);
            rows.wanted_times.push(at);
        }
        let found = sources(
            &rows.known_times,
            &rows.wanted_times,
            self.method,
            self.tolerance,
        );
        match self.method {
            Method::Linear => mix(x, &rows, &found),
            Method::Previous | Method::Nearest => {
                let mut indices: Vec<Option<u64>> = vec![None; x.len()];
                for (row, source) in rows.wanted.iter().zip(found) {
                    if let Source::One(i) = source {
                        indices[*row] = Some(rows.known[i] as u64);
                    }
                }
                Ok(take(x, &UInt64Array::from(indices), None)?)
            }
        }
    }
}

/// The rows that know a value and those that want one, with their times.
#[derive(Default)]
struct Rows {
    known: Vec<usize>,
    known_times: Vec<i64>,
    wanted: Vec<usize>,
    wanted_times: Vec<i64>,
}

/// Linear interpolation, in doubles, of numbers or of vectors element by element.
fn mix(x: &ArrayRef, rows: &Rows, found: &[Source]) -> Result<ArrayRef> {
    let mut sources = vec![Source::Missing; x.len()];
    for (row, source) in rows.wanted.iter().zip(found) {
        sources[*row] = *source;
    }
    let known = |i: usize| rows.known[i];
    if element_type(x.data_type()).is_none() {
        let numbers = cast(x, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let mixed: Float64Array = sources
            .iter()
            .map(|source| match *source {
                Source::Missing => None,
                Source::One(i) => Some(numbers.value(known(i))),
                Source::Between(i, j, weight) => {
                    let (a, b) = (numbers.value(known(i)), numbers.value(known(j)));
                    Some(a + (b - a) * weight)
                }
            })
            .collect();
        return Ok(cast(&mixed, x.data_type())?);
    }

    let vectors = Vectors::<Float64Type>::try_new(PARAMETERS.function, x)?;
    let row = |i: usize| vectors.row(known(i)).unwrap_or_default();
    let mut values: Vec<f64> = Vec::new();
    let mut lengths = Vec::with_capacity(x.len());
    let mut nulls = NullBufferBuilder::new(x.len());
    let mut missing = NullBufferBuilder::new(0);
    for source in sources {
        let (i, j, weight) = match source {
            Source::Missing => {
                lengths.push(0);
                nulls.append_null();
                continue;
            }
            Source::One(i) => (i, i, 0.0),
            Source::Between(i, j, weight) => (i, j, weight),
        };
        let (a, b) = (row(i), row(j));
        if a.len() != b.len() {
            return exec_err!(
                "interpolate: neighbouring vectors have {} and {} elements; 'linear' needs vectors \
                 of one length",
                a.len(),
                b.len()
            );
        }
        let (no_a, no_b) = (vectors.missing(known(i)), vectors.missing(known(j)));
        let is_missing = |e: usize| [&no_a, &no_b].into_iter().flatten().any(|n| n.is_null(e));
        for (e, (a, b)) in a.iter().zip(b).enumerate() {
            values.push(if weight == 0.0 {
                *a
            } else {
                a + (b - a) * weight
            });
            missing.append(!is_missing(e));
        }
        lengths.push(a.len());
        nulls.append_non_null();
    }
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let values = Float64Array::new(values.into(), missing.finish());
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(item, offsets, Arc::new(values), nulls.finish())?;
    Ok(cast(&list, x.data_type())?)
}
