//! `tr_time(index, tr [, start] [, slice_time_ref])`: the time of a volume, the inverse of `tr_index`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters};
use crate::datafusion_doc;
use crate::{grid, time};

const PARAMETERS: Parameters = Parameters {
    function: "tr_time",
    required: 2,
    list: &[
        ("index", Kind::Number),
        grid::TR,
        grid::START,
        grid::SLICE_TIME_REF,
    ],
};

/// The scalar function `tr_time`.
pub fn tr_time() -> ScalarUDF {
    TrTime {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Time Functions"),
    description = "The time in seconds for which fMRI volume `index` stands, and at which its bin begins: \
`start + (index + slice_time_ref) * tr`, multiplied as whole nanoseconds and never accumulated, so `tr_index` of it \
with the same arguments is `index` again. With `slice_time_ref` left out it is the start of the volume, and \
`index + 0.5` gives its middle. NULL gives NULL.",
    syntax_example = "tr_time(index, tr => 1.49 [, start => 0] [, slice_time_ref => 0])",
    sql_example = r#"```sql
> SELECT tr_time(25, tr => 0.72) AS time;
+------+
| time |
+------+
| 18.0 |
+------+
```"#,
    argument(
        name = "index",
        description = "Index of the volume, counted from 0; any number."
    ),
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
    related_udf(name = "tr_index")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct TrTime {
    signature: Signature,
}

impl ScalarUDFImpl for TrTime {
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
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        grid::check_at_planning(&PARAMETERS, &args)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        grid::number_of_each_row::<Float64Type>(&PARAMETERS, &args.args, |index, bins| {
            match time::time_of(index, bins.tr, bins.origin) {
                Some(time) => Ok(Some(time)),
                None => Err(exec_datafusion_err!(
                    "tr_time: volume {index} starts at no time within 292 years"
                )),
            }
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
