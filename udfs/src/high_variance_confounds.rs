//! `high_variance_confounds`: what the most variable voxels of a run have in common.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    Documentation, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters};
use crate::datafusion_doc;
use crate::kernels::signal::high_variance::high_variance_confounds as strongest;
use crate::run_window::{self, RunCheck};
use crate::vectors::{VectorBuilder, element_type, vector_type};
use crate::whole_run::{Run, RunFunction, Values, WholeRun};

const PARAMETERS: Parameters = Parameters {
    function: "high_variance_confounds",
    required: 1,
    list: &[
        ("x", Kind::Vector),
        ("n_confounds", Kind::Integer),
        ("percentile", Kind::Number),
        ("detrend", Kind::Flag),
    ],
};

/// `high_variance_confounds(x [, n_confounds] [, percentile] [, detrend])`
pub fn high_variance_confounds() -> WindowUDF {
    WindowUDF::from(HighVarianceConfounds {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Signal Functions"),
    description = "The strongest common time courses of the most variable elements of a run's vectors \
        (CompCor), as nilearn's function of the same name finds them; one vector a TR, to give to \
        `clean` as confounds. Each course has unit length over the run, and the sign that makes its \
        largest value positive. A TR whose x is NULL gets NULL and does not count; an element that is \
        NULL or NaN somewhere in the run is left out. The rows of a partition must be one per TR, in \
        order, without holes.",
    syntax_example = "high_variance_confounds(x [, n_confounds => 5] [, percentile => 2] [, detrend => true])",
    sql_example = r"```sql
SELECT subject, run, tr, clean(bold, confounds => noise) OVER (PARTITION BY subject, run ORDER BY tr)
FROM (SELECT *, high_variance_confounds(bold) OVER (PARTITION BY subject, run ORDER BY tr) AS noise
      FROM volumes);
```",
    argument(name = "x", description = "A vector; one row per TR."),
    argument(
        name = "n_confounds",
        description = "How many time courses. Default 5."
    ),
    argument(
        name = "percentile",
        description = "Per cent of the elements, those with the greatest mean square, that are looked at. \
            Default 2."
    ),
    argument(
        name = "detrend",
        description = "Whether mean and linear trend are taken out first. Default true."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct HighVarianceConfounds {
    signature: Signature,
}

impl WindowUDFImpl for HighVarianceConfounds {
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
        if let Some(x) = args.get_input_field(0)
            && element_type(x.data_type()).is_none()
        {
            return plan_err!(
                "high_variance_confounds: x must be a vector, got {}",
                x.data_type()
            );
        }
        // Their number is not known yet.
        Ok(Arc::new(Field::new(args.name(), vector_type(None), true)))
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
        let function = Strongest {
            n_confounds: constants.usize("n_confounds")?.unwrap_or(5),
            percentile: constants.f64("percentile")?.unwrap_or(2.0),
            detrend: constants.bool("detrend")?.unwrap_or(true),
        };
        let check = RunCheck::try_new(PARAMETERS, &args, None)?;
        Ok(WholeRun::evaluator(function, 1, check))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

#[derive(Debug)]
struct Strongest {
    n_confounds: usize,
    percentile: f64,
    detrend: bool,
}

impl RunFunction for Strongest {
    fn compute(&self, run: &Run) -> Result<ArrayRef> {
        let function = PARAMETERS.function;
        let Some(column) = run.columns.first() else {
            return exec_err!("{function}: the column x is missing from the plan");
        };
        let (x, _) = Values::try_new(function, column)?;
        let n = run.trs.len();
        let width = x.common_width("x", run, &vec![true; n])?.unwrap_or(0);
        let Self {
            n_confounds,
            percentile,
            detrend,
        } = *self;
        let found = match &x {
            Values::Singles(vectors) => {
                let rows: Vec<&[f32]> = (0..n).filter_map(|row| vectors.row(row)).collect();
                strongest(&rows, width, n_confounds, percentile, detrend)
            }
            Values::Doubles(vectors) => {
                let rows: Vec<&[f64]> = (0..n).filter_map(|row| vectors.row(row)).collect();
                strongest(&rows, width, n_confounds, percentile, detrend)
            }
            Values::Numbers(_) => return exec_err!("{function}: x must be a vector"),
        };
        let found = found.map_err(|message| exec_datafusion_err!("{}{message}", run.place()))?;
        let mut result = VectorBuilder::new(function, None, n);
        let mut at = 0;
        for row in 0..n {
            if x.width(row).is_none() {
                result.append_null();
                continue;
            }
            result.append_with(found.len(), |out| {
                for (out, course) in out.iter_mut().zip(&found) {
                    *out = course[at] as f32;
                }
            })?;
            at += 1;
        }
        result.finish()
    }
}
