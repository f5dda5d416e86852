//! `tr_index(time, tr [, start])`: the volume a time falls into.

use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, numbers, result_of, rows_of};
use crate::datafusion_doc;
use crate::time;

const PARAMETERS: Parameters = Parameters {
    function: "tr_index",
    required: 2,
    list: &[
        ("time", Kind::Number),
        ("tr", Kind::Number),
        ("start", Kind::Number),
    ],
};

/// The scalar function `tr_index`.
pub fn tr_index() -> ScalarUDF {
    TrIndex {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Time Functions"),
    description = "The index of the fMRI volume (TR) that a time falls into, counted from 0; negative before `start`. \
Volume k covers the half-open interval from `start + k * tr` up to, not including, `start + (k + 1) * tr`. \
All is computed on whole nanoseconds, so 40.23 s at TR 1.49 is volume 27, where `floor(time / tr)` says 26. \
A NULL time gives NULL; NaN and infinite times are errors.",
    syntax_example = "tr_index(time, tr => 1.49 [, start => 0])",
    sql_example = r#"```sql
> SELECT tr_index(40.23, tr => 1.49) AS tr;
+----+
| tr |
+----+
| 27 |
+----+
```"#,
    argument(name = "time", description = "Seconds from the start of the run."),
    argument(
        name = "tr",
        description = "Repetition time in seconds, above 0: a constant, or a column where runs differ."
    ),
    argument(
        name = "start",
        description = "Time in seconds at which volume 0 starts. Default 0."
    ),
    related_udf(name = "tr_time")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct TrIndex {
    signature: Signature,
}

impl ScalarUDFImpl for TrIndex {
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
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        check_tr_at_planning(&PARAMETERS, &args)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Int64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = numbers(&args.args[0])?;
        let grid = Grid::try_new(&PARAMETERS, &args.args)?;
        let mut indices = Int64Array::builder(times.len());
        for i in 0..rows_of(&args.args) {
            let at = if times.len() == 1 { 0 } else { i };
            if times.is_null(at) {
                indices.append_null();
                continue;
            }
            let time = times.value(at);
            let index = match grid.at(i) {
                None => None,
                Some((tr, start)) => Some(
                    time::nanoseconds(time)
                        .and_then(|time| time::bin(time, tr, start))
                        .ok_or_else(|| {
                            exec_datafusion_err!(
                                "tr_index: the time {time} is not a number of seconds within 292 years; \
                                 leave such rows out, or make them NULL"
                            )
                        })?,
                ),
            };
            indices.append_option(index);
        }
        result_of(&args.args, Arc::new(indices.finish()))
    }

    /// The index rises with the time where `tr` and `start` are constants, so that a
    /// grouping by volume streams over rows that are sorted by time.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let constant = |p: &ExprProperties| p.sort_properties == SortProperties::Singleton;
        Ok(match inputs {
            [time, rest @ ..] if rest.iter().all(constant) => time.sort_properties,
            _ => SortProperties::Unordered,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// Fails at planning for a constant TR that no row could accept.
pub(crate) fn check_tr_at_planning(parameters: &Parameters, args: &ReturnFieldArgs) -> Result<()> {
    let constants = parameters.at_planning(args.scalar_arguments);
    if constants.is_constant("tr")
        && let Some(tr) = constants.f64("tr")?
        && time::repetition(tr).is_none()
    {
        return plan_err!("{}", bad_tr(parameters.function, tr));
    }
    Ok(())
}

fn bad_tr(function: &str, tr: f64) -> String {
    format!("{function}: tr must be a positive number of seconds, got {tr}")
}

/// The arguments `tr` (the second) and `start` (the third) in nanoseconds, constant or
/// by row.
pub(crate) struct Grid {
    tr: Vec<Option<i64>>,
    start: Vec<Option<i64>>,
}

impl Grid {
    pub(crate) fn try_new(parameters: &Parameters, args: &[ColumnarValue]) -> Result<Self> {
        let function = parameters.function;
        if matches!(&args[1], ColumnarValue::Scalar(tr) if tr.is_null()) {
            parameters.of_scalar(args).required("tr", None::<f64>)?;
        }
        let tr = numbers(&args[1])?
            .iter()
            .map(|tr| {
                tr.map(|tr| {
                    time::repetition(tr)
                        .ok_or_else(|| exec_datafusion_err!("{}", bad_tr(function, tr)))
                })
                .transpose()
            })
            .collect::<Result<_>>()?;
        let start = match args.get(2) {
            None => vec![Some(0)],
            Some(ColumnarValue::Scalar(start)) if start.is_null() => vec![Some(0)],
            Some(start) => numbers(start)?
                .iter()
                .map(|start| {
                    start
                        .map(|start| {
                            time::nanoseconds(start).ok_or_else(|| {
                                exec_datafusion_err!(
                                    "{function}: start must be a number of seconds within 292 years, got {start}"
                                )
                            })
                        })
                        .transpose()
                })
                .collect::<Result<_>>()?,
        };
        Ok(Self { tr, start })
    }

    /// `tr` and `start` of row `i`; None where one of them is NULL.
    pub(crate) fn at(&self, i: usize) -> Option<(i64, i64)> {
        let pick = |values: &[Option<i64>]| match values {
            [one] => *one,
            many => many.get(i).copied().flatten(),
        };
        pick(&self.tr).zip(pick(&self.start))
    }
}
