//! `clean`: a run without its trends, slow and fast frequencies and confounds.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
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
use crate::clean_run::{CleanRun, fixed_width, result_field};
use crate::datafusion_doc;
use crate::kernels::signal::butterworth::Band;
use crate::kernels::signal::clean::{Filter, Options};
use crate::kernels::signal::standardize::Standardize;
use crate::run_window::{self, RunCheck};
use crate::time::repetition;
use crate::whole_run::{Values, WholeRun};

const PARAMETERS: Parameters = Parameters {
    function: "clean",
    required: 1,
    list: &[
        ("x", Kind::Any),
        ("confounds", Kind::Any),
        ("tr", Kind::Number),
        ("detrend", Kind::Flag),
        ("standardize", Kind::Any),
        ("filter", Kind::Any),
        ("high_pass", Kind::Number),
        ("low_pass", Kind::Number),
        ("sample_mask", Kind::Flag),
        ("standardize_confounds", Kind::Flag),
        ("extrapolate", Kind::Flag),
        ("ensure_finite", Kind::Flag),
        ("compat", Kind::Text),
    ],
};

/// The positions of x, confounds and sample_mask.
const COLUMNS: [usize; 3] = [0, 1, 8];

/// `clean(x [, confounds] [, tr] …)`
pub fn clean() -> WindowUDF {
    WindowUDF::from(Clean {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Signal Functions"),
    description = "Cleans the time series of a run as nilearn's `signal.clean` does, in its order: \
        detrend, filter, take out confounds (filtered like the data), standardize. Each element of a \
        vector is a series of its own. Rows are never dropped: a TR that `sample_mask` leaves out, or \
        whose x is NULL, gets NULL and does not count in any step. With the Butterworth filter it is \
        first interpolated by a cubic spline, at the ends of the run only with `extrapolate`; \
        otherwise it is left out before detrending. NaN makes its series NaN at every TR, unless \
        `ensure_finite`; an element that is missing at a TR that counts is missing at every TR. A \
        constant series gives 0 when standardized. A run of one TR comes back as it is. Numbers give \
        DOUBLE, vectors give vectors of FLOAT of the same width; computations are in double \
        precision. The rows of a partition must be one per TR, in order, without holes. \
        Where nilearn 0.14.1 is wrong with TRs that are left out, `clean` is right, and \
        `compat => 'nilearn'` gives the old numbers: nilearn filters the bad data of a TR whose \
        mirror image in time is left out too (it can change results by as much as the bad data \
        stick out), and when TRs are left out at both ends its rows come too early by as many TRs.",
    syntax_example = "clean(x [, confounds => c] [, tr => seconds] [, high_pass => Hz] [, low_pass => Hz] …)",
    sql_example = r"```sql
SELECT subject, run, tr,
       clean(bold, confounds => [trans_x, trans_y, trans_z], tr => 2.0,
             high_pass => 0.01, low_pass => 0.1, sample_mask => framewise_displacement < 0.5)
       OVER (PARTITION BY subject, run ORDER BY tr) AS bold
FROM volumes;
```",
    argument(name = "x", description = "A number or a vector; one row per TR."),
    argument(
        name = "confounds",
        description = "A number or a vector per TR to take out by regression. NULL and NaN are errors \
            where the TR counts. With more than one, collinear ones do no harm."
    ),
    argument(
        name = "tr",
        description = "Repetition time in seconds; needed by filters, and where rows are ordered by time."
    ),
    argument(
        name = "detrend",
        description = "Whether mean and linear trend are taken out. Default true."
    ),
    argument(
        name = "standardize",
        description = "'zscore_sample' (the default; the divisor is n - 1), 'psc' (per cent of the mean), \
            or false. For 'psc' each series whose mean the steps took away gets its old mean back first."
    ),
    argument(
        name = "filter",
        description = "'butterworth' (the default: order 5, forwards and backwards, used if a cutoff is \
            given), 'cosine' (drifts slower than high_pass are further confounds, unless a given \
            confound correlates above 0.9 with one), or false."
    ),
    argument(
        name = "high_pass",
        description = "In Hz; slower frequencies are taken out."
    ),
    argument(
        name = "low_pass",
        description = "In Hz; faster frequencies are taken out. At or above half of 1/tr it is lowered to \
            just below."
    ),
    argument(
        name = "sample_mask",
        description = "True for the TRs to keep; false or NULL leaves one out."
    ),
    argument(
        name = "standardize_confounds",
        description = "Whether confounds are z-scored first; else they are divided by their largest \
            magnitude and keep their mean. Default true."
    ),
    argument(
        name = "extrapolate",
        description = "Whether TRs left out at the ends of a run are interpolated for the Butterworth \
            filter, or cut off. Default false, as in nilearn since 0.13."
    ),
    argument(
        name = "ensure_finite",
        description = "Whether NaN and infinities in x count as 0. Default false."
    ),
    argument(
        name = "compat",
        description = "'nilearn' repeats what nilearn 0.14.1 does wrong with TRs that are left out, and \
            decides for all elements together whether 'psc' needs the old means."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Clean {
    signature: Signature,
}

impl WindowUDFImpl for Clean {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        run_window::coerce_before_keys(PARAMETERS, types, |own| {
            let mut own = PARAMETERS.coerce(own)?;
            for (name, given) in ["x", "confounds"].into_iter().zip(&mut own) {
                *given = Values::coerce(PARAMETERS, name, given)?;
            }
            Ok(own)
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(result_field(&args))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(run_window::append_keys(PARAMETERS))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::columns_and_keys(PARAMETERS, &COLUMNS, &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let constants = PARAMETERS.of_expressions(args.input_exprs())?;
        let tr = constants.f64("tr")?;
        let function = CleanRun {
            function: PARAMETERS.function,
            options: options(&constants, tr)?,
            fixed_width: fixed_width(&args),
        };
        let check = RunCheck::try_new(PARAMETERS, &args, tr)?;
        Ok(WholeRun::evaluator(function, COLUMNS.len(), check))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn options(constants: &Arguments, tr: Option<f64>) -> Result<Options> {
    if let Some(tr) = tr
        && repetition(tr).is_none()
    {
        return plan_err!(
            "clean: tr is the repetition time in seconds and must be positive, got {tr}"
        );
    }
    let default = Options::default();
    let band = Band {
        high_pass: constants.f64("high_pass")?,
        low_pass: constants.f64("low_pass")?,
    };
    let filter = match name_or_false(constants, "filter")? {
        None if band == Band::default() => Filter::None,
        None | Some(Some("butterworth")) => Filter::Butterworth(band),
        Some(Some("cosine")) => match band {
            Band {
                high_pass: Some(high_pass),
                low_pass: None,
            } => Filter::Cosine { high_pass },
            Band {
                low_pass: Some(_), ..
            } => {
                return plan_err!(
                    "clean: filter 'cosine' takes out slow drifts only; leave low_pass out, or use \
                     filter => 'butterworth'"
                );
            }
            _ => return plan_err!("clean: filter 'cosine' needs high_pass, in Hz"),
        },
        Some(None) => Filter::None,
        Some(Some(name)) => {
            return plan_err!(
                "clean: there is no filter {name}; filters are butterworth, cosine, or false"
            );
        }
    };
    let filter = match filter {
        Filter::Butterworth(band) if band == Band::default() => Filter::None,
        filter => filter,
    };
    let cutoffs = match filter {
        Filter::None => Band::default(),
        _ => band,
    };
    let tr = match (tr, filter) {
        (Some(tr), _) => tr,
        (None, Filter::None) => default.tr,
        (None, _) => {
            return plan_err!("clean: a filter needs the repetition time; give tr => seconds");
        }
    };
    match cutoffs.checked(tr) {
        Err(message) => return plan_err!("clean: {message}"),
        Ok(checked) if checked != cutoffs => log::warn!(
            "clean: low_pass {:?} Hz is not below {} Hz, half of 1/tr, so it takes out nothing",
            cutoffs.low_pass.unwrap_or_default(),
            0.5 / tr
        ),
        Ok(_) => {}
    }
    let standardize = match name_or_false(constants, "standardize")? {
        None => default.standardize,
        Some(None) => None,
        Some(Some(name)) => match Standardize::from_name(name) {
            Some(standardize) => Some(standardize),
            None => {
                return plan_err!(
                    "clean: there is no standardize {name}; it is {}, or false",
                    Standardize::NAMES.join(", ")
                );
            }
        },
    };
    let flag = |name, default| -> Result<bool> { Ok(constants.bool(name)?.unwrap_or(default)) };
    let as_nilearn = match constants.str("compat")? {
        None => false,
        Some("nilearn") => true,
        Some(other) => {
            return plan_err!("clean: compat knows 'nilearn' only, not '{other}'");
        }
    };
    Ok(Options {
        tr,
        detrend: flag("detrend", default.detrend)?,
        standardize,
        standardize_confounds: flag("standardize_confounds", default.standardize_confounds)?,
        filter,
        extrapolate: flag("extrapolate", default.extrapolate)?,
        ensure_finite: flag("ensure_finite", default.ensure_finite)?,
        as_nilearn,
    })
}

/// None where the argument was left out, Some(None) where it is false. True is the same
/// as left out.
fn name_or_false<'a>(constants: &'a Arguments, name: &str) -> Result<Option<Option<&'a str>>> {
    match constants.bool(name) {
        Ok(Some(false)) => Ok(Some(None)),
        Ok(_) => Ok(None),
        Err(_) => Ok(constants.str(name)?.map(Some)),
    }
}
