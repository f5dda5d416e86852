//! The steps of `clean` that are wanted alone: `detrend`, `zscore`, `percent_change`.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::{
    DocSection, Documentation, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;

use crate::args::{Kind, Parameters};
use crate::clean_run::{CleanRun, fixed_width, result_field};
use crate::kernels::signal::clean::Options;
use crate::kernels::signal::standardize::Standardize;
use crate::run_window::{self, RunCheck};
use crate::whole_run::{Values, WholeRun};

/// `detrend(x)`
pub fn detrend() -> WindowUDF {
    Step::udwf(&DETREND)
}

/// `zscore(x)`
pub fn zscore() -> WindowUDF {
    Step::udwf(&ZSCORE)
}

/// `percent_change(x)`
pub fn percent_change() -> WindowUDF {
    Step::udwf(&PERCENT_CHANGE)
}

/// What tells the three apart.
#[derive(Debug)]
struct Function {
    parameters: Parameters,
    detrend: bool,
    standardize: Option<Standardize>,
    documentation: LazyLock<Documentation>,
}

static DETREND: Function = Function {
    parameters: one_series("detrend"),
    detrend: true,
    standardize: None,
    documentation: LazyLock::new(|| {
        document(
            "detrend",
            "Takes the mean and the least-squares line out of the series of a run.",
        )
    }),
};

static ZSCORE: Function = Function {
    parameters: one_series("zscore"),
    detrend: false,
    standardize: Some(Standardize::ZscoreSample),
    documentation: LazyLock::new(|| {
        document(
            "zscore",
            "The series of a run in standard deviations from its mean, nilearn's `zscore_sample`: the \
divisor of the variance is n - 1. A constant series gives 0.",
        )
    }),
};

static PERCENT_CHANGE: Function = Function {
    parameters: one_series("percent_change"),
    detrend: false,
    standardize: Some(Standardize::PercentSignalChange),
    documentation: LazyLock::new(|| {
        document(
            "percent_change",
            "The series of a run as differences from its mean, in per cent of the mean's magnitude, \
nilearn's `psc`. A series whose mean is 0 gives 0.",
        )
    }),
};

const fn one_series(function: &'static str) -> Parameters {
    Parameters {
        function,
        required: 1,
        list: &[("x", Kind::Any)],
    }
}

fn document(function: &str, what: &str) -> Documentation {
    let rules = "Each element of a vector is a series of its own. A TR whose x is NULL gets NULL and does \
not count; NaN makes its series NaN. A run of one TR comes back as it is. Numbers give DOUBLE, vectors give \
vectors of FLOAT of the same width. The rows of a partition must be one per TR, in order, without holes. \
`clean` does this and more.";
    let section = DocSection {
        include: true,
        label: "Signal Functions",
        description: None,
    };
    Documentation::builder(section, format!("{what} {rules}"), format!("{function}(x)"))
        .with_argument("x", "A number or a vector; one row per TR.")
        .with_sql_example(format!(
            "```sql\nSELECT subject, run, tr, {function}(bold) OVER (PARTITION BY subject, run ORDER BY tr)\nFROM volumes;\n```"
        ))
        .build()
}

#[derive(Debug)]
struct Step {
    function: &'static Function,
    signature: Signature,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Step {}

impl std::hash::Hash for Step {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl Step {
    fn udwf(function: &'static Function) -> WindowUDF {
        WindowUDF::from(Self {
            function,
            signature: function.parameters.signature(Volatility::Immutable),
        })
    }
}

impl WindowUDFImpl for Step {
    fn name(&self) -> &str {
        self.function.parameters.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let parameters = self.function.parameters;
        run_window::coerce_before_keys(parameters, types, |own| {
            let own = parameters.coerce(own)?;
            own.iter()
                .map(|x| Values::coerce(parameters, "x", x))
                .collect()
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(result_field(&args))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        Some(run_window::append_keys(self.function.parameters))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::column_and_keys(self.function.parameters, &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let function = CleanRun {
            function: self.function.parameters.function,
            options: Options {
                detrend: self.function.detrend,
                standardize: self.function.standardize,
                ..Options::default()
            },
            fixed_width: fixed_width(&args),
        };
        let check = RunCheck::try_new(self.function.parameters, &args, None)?;
        Ok(WholeRun::evaluator(function, 1, check))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.function.documentation)
    }
}
