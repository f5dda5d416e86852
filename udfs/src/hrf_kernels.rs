//! Response kernels as vectors: `glover_hrf`, `spm_hrf`, their derivatives, `fir_kernel`.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Arguments, Kind, Parameters};
use crate::datafusion_doc;
use crate::kernels::hrf::{self, Component, Model, Sampling};
use crate::oversampling::warn_if_late;

/// The scalar function `glover_hrf`.
pub fn glover_hrf() -> ScalarUDF {
    HrfKernel::udf(Model::Glover, Component::Response)
}

/// The scalar function `spm_hrf`.
pub fn spm_hrf() -> ScalarUDF {
    HrfKernel::udf(Model::Spm, Component::Response)
}

/// The scalar function `glover_time_derivative`.
pub fn glover_time_derivative() -> ScalarUDF {
    HrfKernel::udf(Model::Glover, Component::TimeDerivative)
}

/// The scalar function `spm_time_derivative`.
pub fn spm_time_derivative() -> ScalarUDF {
    HrfKernel::udf(Model::Spm, Component::TimeDerivative)
}

/// The scalar function `glover_dispersion_derivative`.
pub fn glover_dispersion_derivative() -> ScalarUDF {
    HrfKernel::udf(Model::Glover, Component::DispersionDerivative)
}

/// The scalar function `spm_dispersion_derivative`.
pub fn spm_dispersion_derivative() -> ScalarUDF {
    HrfKernel::udf(Model::Spm, Component::DispersionDerivative)
}

/// The scalar function `fir_kernel`.
pub fn fir_kernel() -> ScalarUDF {
    ScalarUDF::from(FirKernel {
        signature: FIR_PARAMETERS.signature(Volatility::Immutable),
    })
}

/// A component of a model as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HrfKernel {
    model: Model,
    component: Component,
    signature: Signature,
}

impl HrfKernel {
    fn udf(model: Model, component: Component) -> ScalarUDF {
        ScalarUDF::from(Self {
            model,
            component,
            signature: parameters(model, component).signature(Volatility::Immutable),
        })
    }
}

fn parameters(model: Model, component: Component) -> Parameters {
    Parameters {
        function: match (model, component) {
            (Model::Glover, Component::Response) => "glover_hrf",
            (Model::Spm, Component::Response) => "spm_hrf",
            (Model::Glover, Component::TimeDerivative) => "glover_time_derivative",
            (Model::Spm, Component::TimeDerivative) => "spm_time_derivative",
            (Model::Glover, Component::DispersionDerivative) => "glover_dispersion_derivative",
            (Model::Spm, Component::DispersionDerivative) => "spm_dispersion_derivative",
        },
        required: 1,
        list: &[
            ("tr", Kind::Number),
            ("oversampling", Kind::Integer),
            ("time_length", Kind::Number),
            ("onset", Kind::Number),
            ("exact", Kind::Flag),
        ],
    }
}

fn document(model: Model, component: Component) -> Documentation {
    let name = parameters(model, component).function;
    let response = match model {
        Model::Glover => "Glover's (1999) haemodynamic response",
        Model::Spm => "SPM's canonical haemodynamic response",
    };
    let what = match component {
        Component::Response => format!("{response} to a short event. Its samples sum to 1"),
        Component::TimeDerivative => format!(
            "The derivative of {response} with respect to its onset, by a step of 0.1 s; both terms \
             of the difference sum to 1"
        ),
        Component::DispersionDerivative => format!(
            "The derivative of {response} with respect to its dispersion, by a step of 0.01; both \
             terms of the difference sum to 1{}",
            match model {
                Model::Glover =>
                    ", and have nilearn's dispersion of 1 for the undershoot, where `glover_hrf` has 0.9",
                Model::Spm => "",
            }
        ),
    };
    let description = format!(
        "{what}. A list of DOUBLE, `time_length * oversampling / tr` samples, equal to nilearn's \
         function of this name. nilearn takes each sample one sample late, on a grid that is \
         stretched a little; `exact => true` takes sample i at `i * tr / oversampling`, where it \
         belongs. The difference is at most one sample, which at `oversampling => 1` is a whole TR; \
         below 10 a warning says so."
    );
    let section = DocSection {
        include: true,
        label: "Response Functions",
        description: None,
    };
    let syntax =
        format!("{name}(tr => seconds [, oversampling] [, time_length] [, onset] [, exact])");
    let example =
        format!("```sql\nSELECT {name}(tr => 1.49, oversampling => 1, exact => true);\n```");
    Documentation::builder(section, description, syntax)
        .with_sql_example(example)
        .with_argument("tr", "Repetition time in seconds.")
        .with_argument("oversampling", "Samples per TR. Default 50.")
        .with_argument(
            "time_length",
            "The length of the kernel in seconds. Default 32.",
        )
        .with_argument("onset", "When the event happens, in seconds. Default 0.")
        .with_argument(
            "exact",
            "true: the response at the times of its samples; false, the default: nilearn's samples.",
        )
        .build()
}

impl ScalarUDFImpl for HrfKernel {
    fn name(&self) -> &str {
        parameters(self.model, self.component).function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        parameters(self.model, self.component).coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let parameters = parameters(self.model, self.component);
        let constants = parameters.of_scalar(&args.args);
        let tr = constants.required("tr", constants.f64("tr")?)?;
        let mut sampling = Sampling::new(tr, oversampling(&constants)?);
        if let Some(time_length) = constants.f64("time_length")? {
            sampling.time_length = time_length;
        }
        sampling.onset = constants.f64("onset")?.unwrap_or(0.0);
        sampling.exact = constants.bool("exact")?.unwrap_or(false);
        let kernel = self
            .component
            .kernel(self.model, sampling)
            .or_else(|message| exec_err!("{}: {message}", parameters.function))?;
        if !sampling.exact {
            warn_if_late(parameters.function, tr, sampling.oversampling);
        }
        list(kernel)
    }

    fn documentation(&self) -> Option<&Documentation> {
        static ALL: LazyLock<Vec<(Model, Component, Documentation)>> = LazyLock::new(|| {
            let models = [Model::Glover, Model::Spm];
            let components = [
                Component::Response,
                Component::TimeDerivative,
                Component::DispersionDerivative,
            ];
            let of =
                |model| components.map(|component| (model, component, document(model, component)));
            models.into_iter().flat_map(of).collect()
        });
        ALL.iter()
            .find(|(model, component, _)| (*model, *component) == (self.model, self.component))
            .map(|(_, _, documentation)| documentation)
    }
}

const FIR_PARAMETERS: Parameters = Parameters {
    function: "fir_kernel",
    required: 1,
    list: &[("delay", Kind::Integer), ("oversampling", Kind::Integer)],
};

#[user_doc(
    doc_section(label = "Response Functions"),
    description = "The kernel of one delay of a finite impulse response, as nilearn convolves events \
        with it: a box one TR long that starts `delay` TRs late. A list of DOUBLE, `(delay + 1) * \
        oversampling` samples, which sum to 1.",
    syntax_example = "fir_kernel(delay => trs [, oversampling])",
    sql_example = r"```sql
> SELECT fir_kernel(delay => 1, oversampling => 2) AS kernel;
+----------------------+
| kernel               |
+----------------------+
| [0.0, 0.0, 0.5, 0.5] |
+----------------------+
```",
    argument(name = "delay", description = "The delay in TRs, zero or more."),
    argument(name = "oversampling", description = "Samples per TR. Default 50."),
    related_udf(name = "fir_delays")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct FirKernel {
    signature: Signature,
}

impl ScalarUDFImpl for FirKernel {
    fn name(&self) -> &str {
        FIR_PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        FIR_PARAMETERS.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(list_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        /// More are a mistake: a kernel of 1,000 s at 10,000 samples per TR.
        const MAX_SAMPLES: usize = 10_000_000;
        let constants = FIR_PARAMETERS.of_scalar(&args.args);
        let delay = constants.required("delay", constants.usize("delay")?)?;
        let oversampling = oversampling(&constants)?;
        let samples = delay
            .checked_add(1)
            .and_then(|n| n.checked_mul(oversampling));
        match samples {
            Some(1..=MAX_SAMPLES) => list(hrf::fir(delay, oversampling)),
            Some(0) => exec_err!("fir_kernel: oversampling must be at least 1, got 0"),
            _ => exec_err!(
                "fir_kernel: delay => {delay} with oversampling => {oversampling} needs a kernel of \
                 more than {MAX_SAMPLES} samples; delay is a number of TRs"
            ),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn oversampling(constants: &Arguments) -> Result<usize> {
    Ok(constants
        .usize("oversampling")?
        .unwrap_or(hrf::OVERSAMPLING))
}

fn list_type() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Float64, true)))
}

fn list(kernel: Vec<f64>) -> Result<ColumnarValue> {
    let item = Arc::new(Field::new_list_field(DataType::Float64, true));
    let offsets = OffsetBuffer::from_lengths([kernel.len()]);
    let values: ArrayRef = Arc::new(Float64Array::from(kernel));
    let row = ListArray::try_new(item, offsets, values, None)?;
    Ok(ColumnarValue::Scalar(ScalarValue::List(Arc::new(row))))
}
