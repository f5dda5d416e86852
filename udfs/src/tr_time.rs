//! `tr_time(index, tr [, start])`: when a volume starts, the inverse of `tr_index`.

use std::sync::Arc;

use arrow::array::{Array, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, numbers, result_of, rows_of};
use crate::datafusion_doc;
use crate::time;
use crate::tr_index::{Grid, check_tr_at_planning};

const PARAMETERS: Parameters = Parameters {
    function: "tr_time",
    required: 2,
    list: &[
        ("index", Kind::Number),
        ("tr", Kind::Number),
        ("start", Kind::Number),
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
    description = "The time in seconds at which fMRI volume `index` starts: `start + index * tr`, \
multiplied as whole nanoseconds and never accumulated, so `tr_index` of it is `index` again. \
`index + 0.5` gives the middle of the volume. NULL gives NULL.",
    syntax_example = "tr_time(index, tr => 1.49 [, start => 0])",
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
        description = "Time in seconds at which volume 0 starts. Default 0."
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
        check_tr_at_planning(&PARAMETERS, &args)?;
        Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let indices = numbers(&args.args[0])?;
        let grid = Grid::try_new(&PARAMETERS, &args.args)?;
        let mut times = Float64Array::builder(indices.len());
        for i in 0..rows_of(&args.args) {
            let at = if indices.len() == 1 { 0 } else { i };
            let row = (!indices.is_null(at)).then(|| indices.value(at));
            let time = match row.zip(grid.at(i)) {
                None => None,
                Some((index, (tr, start))) => {
                    Some(time::time_of(index, tr, start).ok_or_else(|| {
                        exec_datafusion_err!(
                            "tr_time: volume {index} starts at no time within 292 years"
                        )
                    })?)
                }
            };
            times.append_option(time);
        }
        result_of(&args.args, Arc::new(times.finish()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
