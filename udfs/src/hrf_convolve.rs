//! `hrf_convolve`: a feature at every TR becomes the response that it predicts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Documentation, Expr, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion_macros::user_doc;

use crate::args::{Arguments, Kind, Parameters};
use crate::datafusion_doc;
use crate::fir_delays;
use crate::kernels::hrf::{self, Component, Model, Sampling};
use crate::lagged_rows::{Column, Count, LaggedRows, coerce_x, result_type};
use crate::oversampling::warn_if_late;
use crate::run_window::{self, RunCheck};

pub(crate) const PARAMETERS: Parameters = Parameters {
    function: "hrf_convolve",
    required: 2,
    list: &[
        ("x", Kind::Any),
        ("tr", Kind::Number),
        ("model", Kind::Texts),
        ("oversampling", Kind::Integer),
        ("delays", Kind::Numbers),
        ("exact", Kind::Flag),
    ],
};

/// `hrf_convolve(x, tr [, model] [, oversampling] [, delays] [, exact])`
pub fn hrf_convolve() -> WindowUDF {
    WindowUDF::from(HrfConvolve {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Response Functions"),
    description = "Convolves a feature with a haemodynamic response function, within a run. Each \
        value is held for its TR, the response is sampled `oversampling` times per TR as nilearn \
        does, and the result is read at the start of each TR. A TR without a value (NULL), or \
        without an element of a vector, contributes nothing; NaN makes every TR that its response \
        reaches NaN. Numbers give DOUBLE, vectors give vectors of FLOAT of the same width. Models \
        of several columns give vectors of FLOAT, also for numbers: all features of the response, \
        then all of its time derivative, then all of its dispersion derivative. The columns are not \
        made orthogonal, as nilearn's regressors of events are: that would make a value depend on TRs \
        after it and on the length of the run, and changes no fit. The rows of a partition must be one \
        per TR, in order, without holes: a hole or a duplicate is an error that names the partition \
        and the TR.",
    syntax_example = "hrf_convolve(x, tr => seconds [, model] [, oversampling] [, delays] [, exact])",
    sql_example = r"```sql
SELECT subject, run, tr,
       hrf_convolve(mel, tr => 1.49) OVER (PARTITION BY subject, run ORDER BY tr) AS mel
FROM features;
```",
    argument(name = "x", description = "A number or a vector; one row per TR."),
    argument(name = "tr", description = "Repetition time in seconds."),
    argument(
        name = "model",
        description = "The response, by nilearn's names and with its parameters: 'glover' (the \
            default), 'spm', each also with ' + derivative' or ' + derivative + dispersion', or 'fir', \
            which gives the same copies as fir_delays."
    ),
    argument(
        name = "oversampling",
        description = "Samples of the response per TR. Default 50. Below 10 the response is \
            noticeably late, by up to a TR at 1, and a warning says so."
    ),
    argument(
        name = "delays",
        description = "For model 'fir': whole numbers of TRs, as fir_delays takes them."
    ),
    argument(
        name = "exact",
        description = "true: the response itself, which nilearn's samples follow up to one sample \
            late; held values meet its mean between samples. Default false."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct HrfConvolve {
    signature: Signature,
}

impl WindowUDFImpl for HrfConvolve {
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
        let Some(x) = args.input_fields().first() else {
            return plan_err!("hrf_convolve: the argument x is missing");
        };
        let data_type = result_type(x.data_type(), count(args.input_fields()));
        Ok(Arc::new(Field::new(args.name(), data_type, true)))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        let append = run_window::append_keys(PARAMETERS);
        Some(Box::new(
            move |call: WindowFunction, info: &SimplifyContext| {
                // With its keys the call has been here before.
                if call.params.args.len() <= PARAMETERS.list.len() {
                    warn(&call.params.args);
                }
                append(call, info)
            },
        ))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::column_and_keys(PARAMETERS, &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let constants = PARAMETERS.of_expressions(args.input_exprs())?;
        let tr = constants.required("tr", constants.f64("tr")?)?;
        let columns = columns(&constants, tr)?;
        let check = RunCheck::try_new(PARAMETERS, &args, Some(tr))?;
        let fields = args.input_fields();
        let Some(x) = fields.first() else {
            return plan_err!("hrf_convolve: the argument x is missing");
        };
        Ok(Box::new(LaggedRows::try_new(
            PARAMETERS.function,
            x.data_type(),
            columns,
            count(fields),
            check,
        )?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// How many columns a call gives, as [`ColumnPlanner`](crate::column_planner) wrote it
/// into the types of `model` and `delays`.
fn count(fields: &[FieldRef]) -> Count {
    let parameters = PARAMETERS.list.iter().map(|(name, _)| *name);
    let field = |wanted| {
        let at = parameters.clone().position(|name| name == wanted)?;
        fields.get(at).map(|field| field.data_type())
    };
    match (field("model"), field("delays")) {
        (Some(DataType::FixedSizeList(_, parts)), _) => {
            Count::Several(usize::try_from(*parts).ok())
        }
        (_, Some(delays)) if !delays.is_null() => fir_delays::count(delays),
        _ => Count::One,
    }
}

/// The parts of a model's name: 'glover + derivative' has two.
pub(crate) fn model_parts(name: &str) -> Vec<&str> {
    name.split('+').map(str::trim).collect()
}

/// The columns of the model.
fn columns(constants: &Arguments, tr: f64) -> Result<Vec<Column>> {
    let name = constants.strs("model")?.unwrap_or(vec!["glover".into()]);
    let name = name.join(" + ").to_lowercase();
    let delays = fir_delays::copies(constants)?;
    if name == "fir" {
        return match delays {
            Some(copies) => Ok(copies),
            None => plan_err!(
                "hrf_convolve: model 'fir' needs the TRs by which to shift, as in delays => [1, 2, 3, 4]"
            ),
        };
    }
    if delays.is_some() {
        return plan_err!("hrf_convolve: delays belong to model 'fir', not to '{name}'");
    }
    let Some((model, components)) = model(&name) else {
        return plan_err!(
            "hrf_convolve: there is no model {name}; the models are {}, each also with ' + derivative' \
             or ' + derivative + dispersion', and fir",
            Model::NAMES.join(", ")
        );
    };
    let oversampling = constants
        .usize("oversampling")?
        .unwrap_or(hrf::OVERSAMPLING);
    let exact = constants.bool("exact")?.unwrap_or(false);
    let sampling = Sampling {
        exact,
        ..Sampling::new(tr, oversampling)
    };
    let column = |component: &Component| {
        let mut kernel = component
            .kernel(model, sampling)
            .or_else(|message| plan_err!("hrf_convolve: {message}"))?;
        if exact {
            kernel = hrf::between_samples(&kernel);
        }
        Ok(Column {
            first: 0,
            weights: hrf::hold_taps(&kernel, oversampling),
        })
    };
    components.iter().map(column).collect()
}

/// The response of that name and its columns.
fn model(name: &str) -> Option<(Model, &'static [Component])> {
    use Component::{DispersionDerivative, Response, TimeDerivative};
    let parts = model_parts(name);
    let (model, more) = parts.split_first()?;
    let components: &[Component] = match more {
        [] => &[Response],
        ["derivative"] => &[Response, TimeDerivative],
        ["derivative", "dispersion"] => &[Response, TimeDerivative, DispersionDerivative],
        _ => return None,
    };
    Some((Model::from_name(model)?, components))
}

/// Warns of few samples per TR, as far as the arguments are constants.
fn warn(args: &[Expr]) {
    let literals: Vec<Option<&ScalarValue>> = args
        .iter()
        .map(|arg| match arg {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        })
        .collect();
    let constants = PARAMETERS.at_planning(&literals);
    // What is wrong with an argument is said where the function starts.
    let fir = matches!(constants.str("model"), Ok(Some("fir")));
    let exact = matches!(constants.bool("exact"), Ok(Some(true)));
    if let (Ok(Some(tr)), Ok(Some(n))) = (constants.f64("tr"), constants.usize("oversampling"))
        && !fir
        && !exact
    {
        warn_if_late(PARAMETERS.function, tr, n);
    }
}
