//! `fir_delays`: copies of a feature, some TRs later each.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Documentation, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion_macros::user_doc;

use crate::args::{Arguments, Kind, Parameters};
use crate::datafusion_doc;
use crate::lagged_rows::{Column, Count, LaggedRows, coerce_x, result_type};
use crate::run_window::{self, RunCheck};
use crate::vectors::vector_width;

pub(crate) const PARAMETERS: Parameters = Parameters {
    function: "fir_delays",
    required: 2,
    list: &[
        ("x", Kind::Any),
        ("delays", Kind::Numbers),
        ("tr", Kind::Number),
    ],
};

/// `fir_delays(x, delays [, tr])`
pub fn fir_delays() -> WindowUDF {
    WindowUDF::from(FirDelays {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Response Functions"),
    description = "Copies of a feature side by side, each some TRs later, within a run: the features \
        of a finite impulse response, from which a model learns the shape of the response itself. A \
        delay of 2 gives each TR the value of two TRs before, and 0 where the run has none. The result \
        is a vector of FLOAT, delay-major: all features of the first delay, then all of the second. \
        Negative delays give the values of later TRs. A value that is missing (NULL) counts as 0, as in \
        hrf_convolve; NaN stays NaN. The rows of a partition must be one per TR, in order, without \
        holes: a hole or a duplicate is an error that names the partition and the TR.",
    syntax_example = "fir_delays(x, delays => [trs, …] [, tr => seconds])",
    sql_example = r"```sql
SELECT subject, run, tr,
       fir_delays(mel, delays => [1, 2, 3, 4]) OVER (PARTITION BY subject, run ORDER BY tr) AS mel
FROM features;
```",
    argument(name = "x", description = "A number or a vector; one row per TR."),
    argument(
        name = "delays",
        description = "Whole numbers of TRs, one for each copy, in the order of the result."
    ),
    argument(
        name = "tr",
        description = "Repetition time in seconds. Needed only where rows are ordered by time."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct FirDelays {
    signature: Signature,
}

impl WindowUDFImpl for FirDelays {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        run_window::coerce_before_keys(PARAMETERS, types, |own| {
            let mut own = PARAMETERS.coerce(own)?;
            own[0] = coerce_x(PARAMETERS.function, &own[0])?;
            Ok(own)
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let [x, delays, ..] = args.input_fields() else {
            return plan_err!("fir_delays: x and delays are missing");
        };
        let data_type = result_type(x.data_type(), count(delays.data_type()));
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(run_window::append_keys(PARAMETERS))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::column_and_keys(PARAMETERS, &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let constants = PARAMETERS.of_expressions(args.input_exprs())?;
        let Some(columns) = copies(&constants)? else {
            return constants.required("delays", None);
        };
        let check = RunCheck::try_new(PARAMETERS, &args, constants.f64("tr")?)?;
        let [x, delays, ..] = args.input_fields() else {
            return plan_err!("fir_delays: x and delays are missing");
        };
        Ok(Box::new(LaggedRows::try_new(
            PARAMETERS.function,
            x.data_type(),
            columns,
            count(delays.data_type()),
            check,
        )?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// As many columns as there are delays, even for one.
pub(crate) fn count(delays: &DataType) -> Count {
    Count::Several(vector_width(delays))
}

/// A column for each of the argument `delays`; None where it was not given.
///
/// # Errors
/// When there is none, or one is not a whole number.
pub(crate) fn copies(constants: &Arguments) -> Result<Option<Vec<Column>>> {
    let Some(delays) = constants.f64s("delays")? else {
        return Ok(None);
    };
    let function = constants.function();
    if delays.is_empty() {
        return plan_err!(
            "{function}: delays is an empty list; give a number of TRs for each copy"
        );
    }
    let copy = |delay: f64| {
        if delay.fract() != 0.0 || delay.abs() > 1e9 {
            return plan_err!("{function}: delays are whole numbers of TRs, got {delay}");
        }
        Ok(Column {
            first: delay as i64,
            weights: vec![1.0],
        })
    };
    delays
        .into_iter()
        .map(copy)
        .collect::<Result<_>>()
        .map(Some)
}
