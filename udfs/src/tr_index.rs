//! `tr_index(time, tr [, start] [, slice_time_ref] [, before])`: the volume a time falls into.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Arguments, Kind, Parameters};
use crate::datafusion_doc;
use crate::{grid, time};

const PARAMETERS: Parameters = Parameters {
    function: "tr_index",
    required: 2,
    list: &[
        ("time", Kind::Number),
        grid::TR,
        grid::START,
        grid::SLICE_TIME_REF,
        ("before", Kind::Text),
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
    description = "The index of the fMRI volume (TR) that a time falls into, counted from 0. \
Volume k covers the half-open interval from `start + (k + slice_time_ref) * tr`, the time that `tr_time` gives, \
to the same of k + 1. All is computed on whole nanoseconds, so 40.23 s at TR 1.49 is volume 27, \
where `floor(time / tr)` says 26. Times before volume 0 have negative indices, or none. \
A NULL time gives NULL; NaN and infinite times are errors.

`slice_time_ref` is nilearn's: after slice timing correction volume k is the brain at \
`(k + slice_time_ref) * tr` (fMRIPrep corrects to 0.5, the middle). The bin begins at that moment, so \
that `hrf_convolve`, which reads the response where each bin begins, gives what the volume shows: all that \
came before its moment and nothing later. Binned so, what is shown before volume 0 has index -1: keep such rows \
until the response is computed. Leave `slice_time_ref` out for what was shown while a volume was acquired.",
    syntax_example = "tr_index(time, tr => 1.49 [, start => 0] [, slice_time_ref => 0] [, before => 'negative'])",
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
        description = "Time in seconds at which the acquisition of volume 0 starts. Default 0."
    ),
    argument(
        name = "slice_time_ref",
        description = "The moment for which a volume stands, as a share of the TR from 0 (its start) to 1 (its end). \
Default 0."
    ),
    argument(
        name = "before",
        description = "What a time before volume 0 gives: 'negative', the index (the default), or 'null'."
    ),
    related_udf(name = "tr_time"),
    related_udf(name = "tr_overlap")
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
        grid::check_at_planning(&PARAMETERS, &args)?;
        let constants = PARAMETERS.at_planning(args.scalar_arguments);
        if constants.is_constant("before") {
            keeps_negative(&constants)?;
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Int64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let keeps_negative = keeps_negative(&PARAMETERS.of_scalar(&args.args))?;
        grid::number_of_each_row::<Int64Type>(&PARAMETERS, &args.args, |time, bins| {
            let index = time::nanoseconds(time)
                .and_then(|time| time::bin(time, bins.tr, bins.origin))
                .ok_or_else(|| {
                    exec_datafusion_err!(
                        "tr_index: the time {time} is not a number of seconds within 292 years; \
                         leave such rows out, or make them NULL"
                    )
                })?;
            Ok((keeps_negative || index >= 0).then_some(index))
        })
    }

    /// The index rises with the time where all else is constant, so that a grouping by
    /// volume streams over rows that are sorted by time.
    ///
    /// With `before`, the earliest may be NULL: then only where NULLs stand at that end.
    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        let constant = |p: &ExprProperties| p.sort_properties == SortProperties::Singleton;
        Ok(match inputs {
            [time, rest @ ..] if rest.iter().all(constant) => match time.sort_properties {
                SortProperties::Ordered(order)
                    if rest.len() == 4 && order.descending == order.nulls_first =>
                {
                    SortProperties::Unordered
                }
                kept => kept,
            },
            _ => SortProperties::Unordered,
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn keeps_negative(constants: &Arguments) -> Result<bool> {
    match constants.str("before")? {
        None | Some("negative") => Ok(true),
        Some("null") => Ok(false),
        Some(other) => plan_err!("tr_index: before is 'negative' or 'null', not '{other}'"),
    }
}
