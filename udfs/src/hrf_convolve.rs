//! `hrf_convolve`: a feature at every TR becomes the response that it predicts.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Float64Array, ListArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
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
use crate::kernels::hrf::{self, Model, Sampling};
use crate::run_window::{self, RunCheck};
use crate::vectors::{Vectors, element_type, vector_type, vector_width};

const PARAMETERS: Parameters = Parameters {
    function: "hrf_convolve",
    required: 2,
    list: &[
        ("x", Kind::Any),
        ("tr", Kind::Number),
        ("model", Kind::Text),
        ("oversampling", Kind::Integer),
    ],
};

/// `hrf_convolve(x, tr [, model] [, oversampling])`
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
        reaches NaN. Numbers give DOUBLE, vectors give vectors of FLOAT of the same width. The \
        rows of a partition must be one per TR, in order, without holes: a hole or a duplicate is \
        an error that names the partition and the TR.",
    syntax_example = "hrf_convolve(x, tr => seconds [, model] [, oversampling])",
    sql_example = r"```sql
SELECT subject, run, tr,
       hrf_convolve(mel, tr => 1.49) OVER (PARTITION BY subject, run ORDER BY tr) AS mel
FROM features;
```",
    argument(name = "x", description = "A number or a vector; one row per TR."),
    argument(name = "tr", description = "Repetition time in seconds."),
    argument(
        name = "model",
        description = "The response: 'glover' (the default) or 'spm', with nilearn's parameters."
    ),
    argument(
        name = "oversampling",
        description = "Samples of the response per TR. Default 50."
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
            if element_type(&own[0]).is_none() {
                if !(own[0].is_numeric() || own[0].is_null()) {
                    return plan_err!(
                        "hrf_convolve: x must be a number or a vector, got {}",
                        own[0]
                    );
                }
                own[0] = DataType::Float64;
            }
            Ok(own)
        })
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let x = args.get_input_field(0);
        let data_type = match x.as_ref().map(|x| x.data_type()) {
            Some(vector) if element_type(vector).is_some() => vector_type(vector_width(vector)),
            _ => DataType::Float64,
        };
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
        let tr = constants.required("tr", constants.f64("tr")?)?;
        let name = constants.str("model")?.unwrap_or("glover");
        let Some(model) = Model::from_name(name) else {
            return plan_err!(
                "hrf_convolve: there is no model {name}; the models are {}",
                Model::NAMES.join(", ")
            );
        };
        let oversampling = constants
            .usize("oversampling")?
            .unwrap_or(hrf::OVERSAMPLING);
        let kernel = hrf::response(model, Sampling::new(tr, oversampling))
            .or_else(|message| plan_err!("hrf_convolve: {message}"))?;
        let width = args
            .input_fields()
            .first()
            .and_then(|x| vector_width(x.data_type()));
        Ok(Box::new(Convolver {
            taps: hrf::hold_taps(&kernel, oversampling),
            check: RunCheck::try_new(PARAMETERS, &args, Some(tr))?,
            fixed_width: width,
            width,
            input: None,
            sum: Vec::new(),
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// One partition's convolution. Rows come one after the other, each with as many rows
/// before it as the response is long, so that a run need not be held whole.
#[derive(Debug)]
struct Convolver {
    taps: Vec<f64>,
    check: RunCheck,
    /// The vectors' width as the type says it.
    fixed_width: Option<usize>,
    /// The vectors' width as the type or the first vector says it.
    width: Option<usize>,
    /// The column of the last row, and the same column ready to read.
    input: Option<(ArrayRef, Input)>,
    sum: Vec<f64>,
}

/// The column `x`; what is missing counts as 0.
enum Input {
    Numbers(Float64Array),
    Singles(Vectors<Float32Type>),
    Doubles(Vectors<Float64Type>),
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl Input {
    fn try_new(column: &ArrayRef) -> Result<Self> {
        Ok(match element_type(column.data_type()) {
            None => Self::Numbers(column.as_primitive::<Float64Type>().clone()),
            Some(DataType::Float32) => {
                Self::Singles(Vectors::try_new(PARAMETERS.function, column)?.fill_missing(0.0))
            }
            Some(_) => {
                Self::Doubles(Vectors::try_new(PARAMETERS.function, column)?.fill_missing(0.0))
            }
        })
    }

    fn width(&self, row: usize) -> Option<usize> {
        match self {
            Self::Numbers(_) => Some(1),
            Self::Singles(vectors) => Some(vectors.row(row)?.len()),
            Self::Doubles(vectors) => Some(vectors.row(row)?.len()),
        }
    }

    fn add_scaled(&self, sum: &mut [f64], tap: f64, row: usize) {
        match self {
            Self::Numbers(numbers) if numbers.is_null(row) => {}
            Self::Numbers(numbers) => sum[0] += tap * numbers.value(row),
            Self::Singles(vectors) => {
                hrf::add_scaled(sum, tap, vectors.row(row).unwrap_or_default());
            }
            Self::Doubles(vectors) => {
                hrf::add_scaled(sum, tap, vectors.row(row).unwrap_or_default());
            }
        }
    }
}

impl PartitionEvaluator for Convolver {
    fn evaluate(&mut self, values: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let (Some((column, keys)), Some(row)) = (values.split_first(), range.end.checked_sub(1))
        else {
            return exec_err!("hrf_convolve: it was called without rows");
        };
        let tr = self.check.next(keys, row)?;
        if !matches!(&self.input, Some((last, _)) if Arc::ptr_eq(last, column)) {
            self.input = Some((Arc::clone(column), Input::try_new(column)?));
        }
        let Some((_, input)) = &self.input else {
            return exec_err!("hrf_convolve: its column is missing");
        };
        if let Some(width) = input.width(row)
            && *self.width.get_or_insert(width) != width
        {
            return exec_err!(
                "{}the vector of TR {tr} has {width} elements, those before it {}",
                self.check.place(keys, row),
                self.width.unwrap_or_default()
            );
        }
        // A list column says its width only with its first vector.
        let Some(width) = self.width else {
            return ScalarValue::try_from(vector_type(None));
        };
        self.sum.clear();
        self.sum.resize(width, 0.0);
        for (tap, earlier) in self.taps.iter().zip((range.start..range.end).rev()) {
            input.add_scaled(&mut self.sum, *tap, earlier);
        }
        match input {
            Input::Numbers(_) => Ok(ScalarValue::from(self.sum[0])),
            _ => vector(&self.sum, self.fixed_width.is_some()),
        }
    }

    fn get_range(&self, idx: usize, _n_rows: usize) -> Result<Range<usize>> {
        Ok((idx + 1).saturating_sub(self.taps.len())..idx + 1)
    }

    /// A row needs no later ones, so the window streams: it holds as many TRs as the
    /// response is long.
    fn supports_bounded_execution(&self) -> bool {
        true
    }

    fn is_causal(&self) -> bool {
        true
    }
}

fn vector(values: &[f64], fixed: bool) -> Result<ScalarValue> {
    let width = values.len();
    let values: Float32Array = values.iter().map(|v| *v as f32).collect::<Vec<_>>().into();
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    if fixed {
        let width = i32::try_from(width).map_err(|_| {
            exec_datafusion_err!("hrf_convolve: a vector of {width} elements is too wide")
        })?;
        let row = FixedSizeListArray::try_new(item, width, Arc::new(values), None)?;
        Ok(ScalarValue::FixedSizeList(Arc::new(row)))
    } else {
        let offsets = OffsetBuffer::from_lengths([width]);
        let row = ListArray::try_new(item, offsets, Arc::new(values), None)?;
        Ok(ScalarValue::List(Arc::new(row)))
    }
}
