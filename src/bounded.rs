//! Functions of DataFusion's that make much of little: what they would make is counted before it is made.
//!
//! `repeat('x', 2000000000)` asks for all its memory at once, and the process ends where there is so much not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{
    DataType, FieldRef, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::common::{Result, resources_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use datafusion::prelude::SessionContext;

/// Bytes of a column that they make at once; Arrow's texts and lists have no more.
const MOST: f64 = i32::MAX as f64;

/// What a function makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Output {
    /// A text as often as a number says.
    Texts,
    /// A value as often as a number says.
    Repeated,
    /// A list of as many values as a number says.
    Resized,
    /// The values from one to another.
    Range,
}

/// One of the functions, with a limit.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    function: Arc<ScalarUDF>,
    output: Output,
}

/// Puts the functions with limits in the place of DataFusion's.
pub fn install(context: &SessionContext) {
    let functions = [
        ("repeat", Output::Texts),
        ("array_repeat", Output::Repeated),
        ("array_resize", Output::Resized),
        ("range", Output::Range),
        ("generate_series", Output::Range),
    ];
    for (name, output) in functions {
        let function = context.state().scalar_functions().get(name).cloned();
        if let Some(function) = function {
            context.register_udf(ScalarUDF::new_from_impl(Bounded { function, output }));
        }
    }
}

impl Output {
    /// Bytes of what the function makes of `args`.
    fn bytes(self, args: &[ArrayRef]) -> Result<f64> {
        match (self, args) {
            (Self::Texts, [texts, counts]) => {
                let lengths = numbers(&length(texts)?)?;
                let counts = numbers(counts)?;
                let products = lengths.iter().zip(&counts);
                Ok(products
                    .map(|(length, count)| length * count.max(0.0))
                    .sum())
            }
            (Self::Repeated, [values, counts]) | (Self::Resized, [_, counts, values]) => {
                let rows = (0..values.len()).map(|row| values.slice(row, 1).to_data());
                let sizes = rows.map(|row| row.get_slice_memory_size().unwrap_or_default());
                let products = sizes.zip(numbers(counts)?);
                // Each has an index at first.
                Ok(products
                    .map(|(size, count)| (size + 8) as f64 * count.max(0.0))
                    .sum())
            }
            (Self::Resized, [_, counts]) => Ok(numbers(counts)?
                .iter()
                .map(|count| 8.0 * count.max(0.0))
                .sum()),
            (Self::Range, [stops]) => {
                Ok(numbers(stops)?.iter().map(|stop| 8.0 * stop.max(0.0)).sum())
            }
            (Self::Range, [starts, stops, steps @ ..]) => {
                let (starts, stops) = (numbers(starts)?, numbers(stops)?);
                let steps = match steps.first() {
                    Some(steps) => numbers(steps)?,
                    None => vec![1.0; starts.len()],
                };
                let rows = starts.iter().zip(&stops).zip(&steps);
                // Without a step it is refused later.
                let counts = rows.map(|((start, stop), step)| match *step == 0.0 {
                    true => 0.0,
                    false => ((stop - start) / step).max(0.0),
                });
                Ok(counts.map(|count| 8.0 * count).sum())
            }
            _ => Ok(0.0),
        }
    }
}

/// Numbers, or seconds of times and intervals; 0 for NULL.
fn numbers(column: &ArrayRef) -> Result<Vec<f64>> {
    if let DataType::Interval(IntervalUnit::MonthDayNano) = column.data_type() {
        let intervals = column.as_primitive::<IntervalMonthDayNanoType>();
        let seconds = |of: arrow::datatypes::IntervalMonthDayNano| {
            let days = 28.0 * f64::from(of.months) + f64::from(of.days);
            86_400.0 * days + of.nanoseconds as f64 / 1e9
        };
        return Ok(intervals.iter().map(|i| i.map_or(0.0, seconds)).collect());
    }
    let column = match column.data_type() {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            cast(column, &DataType::Timestamp(TimeUnit::Second, None))?
        }
        _ => Arc::clone(column),
    };
    let column = cast(&column, &DataType::Int64)?;
    let column = column.as_primitive::<Int64Type>();
    Ok(column
        .iter()
        .map(|n| n.unwrap_or_default() as f64)
        .collect())
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|arg| arg.to_array(rows));
        let bytes = self.output.bytes(&columns.collect::<Result<Vec<_>>>()?)?;
        if bytes > MOST {
            return resources_err!(
                "{} would make {:.1} GiB in {rows} rows, and {:.0} GiB is the most at once; make less of it, or fewer \
                 rows at once (datafusion.execution.batch_size)",
                self.name(),
                bytes / (1u64 << 30) as f64,
                MOST / (1u64 << 30) as f64
            );
        }
        self.function.invoke_with_args(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(sql: &str) -> Result<usize> {
        let context = SessionContext::new();
        install(&context);
        let batches = context.sql(sql).await?.collect().await?;
        Ok(batches.iter().map(|batch| batch.num_rows()).sum())
    }

    #[tokio::test]
    async fn what_no_machine_holds_is_an_error() {
        for sql in [
            "SELECT length(repeat('x', value)) FROM generate_series(2000000000, 2000008191)",
            "SELECT repeat(arrow_cast('x', 'LargeUtf8'), 4000000000000000000)",
            "SELECT repeat('xy', 2000000000)",
            "SELECT array_repeat(1, value) FROM generate_series(2000000000, 2000000100)",
            "SELECT list_repeat([1, 2, 3], 900000000)",
            "SELECT array_resize([1], 9000000000)",
            "SELECT range(0, 100000000000)",
            "SELECT range(100000000000)",
            "SELECT range(0, -100000000000, -1)",
            "SELECT generate_series(0, value * 1000000000) FROM generate_series(1, 5)",
            "SELECT generate_series(TIMESTAMP '1990-01-01', TIMESTAMP '2020-01-01', INTERVAL '1 microsecond')",
        ] {
            let error = run(sql).await.unwrap_err().to_string();
            assert!(error.contains("is the most at once"), "{sql}: {error}");
        }
    }

    #[tokio::test]
    async fn what_is_asked_for_otherwise_is_made() {
        for sql in [
            "SELECT repeat('x', 3) AS a, repeat(NULL, 3), repeat('x', NULL), repeat('x', -9000000000)",
            "SELECT array_repeat([1], 3), list_repeat('x', 2), array_repeat(NULL, 2)",
            "SELECT array_resize([1, 2], 5, 7), list_resize([1], NULL)",
            "SELECT range(5), range(0, 10, 3), generate_series(5, 0, -1)",
            "SELECT generate_series(DATE '2020-01-01', DATE '2021-01-01', INTERVAL '1' MONTH)",
        ] {
            assert_eq!(run(sql).await.unwrap(), 1, "{sql}");
        }
    }
}
