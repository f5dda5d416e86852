//! `vector_normalize(v)`: the vector of the same direction and length 1.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, result_of};
use crate::datafusion_doc;
use crate::kernels::dot::norm;
use crate::vectors::{VectorBuilder, Vectors, element_type, fits_f32, vector_type, vector_width};

const PARAMETERS: Parameters = Parameters {
    function: "vector_normalize",
    required: 1,
    list: &[("vector", Kind::Vector)],
};

/// The scalar function `vector_normalize`.
pub fn vector_normalize() -> ScalarUDF {
    VectorNormalize {
        signature: PARAMETERS.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Vector Functions"),
    description = "The vector divided by its L2 norm, computed in double precision. A zero vector stays zero, \
as in scikit-learn. NULL gives NULL; missing (NULL) elements stay missing and do not count; NaN gives NaN.",
    syntax_example = "vector_normalize(vector)",
    sql_example = r#"```sql
> SELECT vector_normalize([3, 4]) AS v;
+------------+
| v          |
+------------+
| [0.6, 0.8] |
+------------+
```"#,
    argument(name = "vector", description = "A list of numbers of any list type.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct VectorNormalize {
    signature: Signature,
}

impl ScalarUDFImpl for VectorNormalize {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        PARAMETERS.coerce(arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(vector_type(arg_types.first().and_then(vector_width)))
    }

    /// Keeps the metadata: a normalised embedding is still one of its model.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let width = vector_width(args.arg_fields[0].data_type());
        let field = Field::new(self.name(), vector_type(width), true);
        Ok(Arc::new(
            field.with_metadata(args.arg_fields[0].metadata().clone()),
        ))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let vector = &args.args[0];
        let unit = if element_type(&vector.data_type()).is_some_and(fits_f32) {
            normalised::<Float32Type>(vector)?
        } else {
            normalised::<Float64Type>(vector)?
        };
        result_of(&args.args, unit)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn normalised<T>(vector: &ColumnarValue) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Into<f64>,
{
    let vectors = Vectors::<T>::from_argument(PARAMETERS.function, vector)?;
    let mut unit = VectorBuilder::new(PARAMETERS.function, vectors.width(), vectors.len());
    for i in 0..vectors.len() {
        let Some(row) = vectors.row(i) else {
            unit.append_null();
            continue;
        };
        if vectors.missing(i).is_some() {
            let float = |x: Option<T::Native>| x.map(Into::<f64>::into);
            let squares: f64 = vectors.elements(i).filter_map(float).map(|x| x * x).sum();
            let length = divisor(squares.sqrt());
            let scaled = vectors
                .elements(i)
                .map(|x| float(x).map(|x| (x / length) as f32));
            unit.append_options(row.len(), scaled)?;
            continue;
        }
        let length = divisor(norm(row));
        unit.append_with(row.len(), |out| {
            for (out, x) in out.iter_mut().zip(row) {
                *out = ((*x).into() / length) as f32;
            }
        })?;
    }
    unit.finish()
}

fn divisor(norm: f64) -> f64 {
    if norm == 0.0 { 1.0 } else { norm }
}
