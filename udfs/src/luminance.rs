//! `luminance(frame)` and `rms_contrast(frame)`: how bright a picture is, and how much it varies.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters, result_of};
use crate::datafusion_doc;
use crate::kernels::frame;
use crate::picture::{self, Shape};
use crate::vectors::Vectors;

const LUMINANCE: Parameters = Parameters {
    function: "luminance",
    required: 1,
    list: &[("frame", Kind::Any)],
};

const RMS_CONTRAST: Parameters = Parameters {
    function: "rms_contrast",
    ..LUMINANCE
};

/// The scalar function `luminance`.
pub fn luminance() -> ScalarUDF {
    Luminance {
        signature: LUMINANCE.signature(Volatility::Immutable),
    }
    .into()
}

/// The scalar function `rms_contrast`.
pub fn rms_contrast() -> ScalarUDF {
    RmsContrast {
        signature: RMS_CONTRAST.signature(Volatility::Immutable),
    }
    .into()
}

#[user_doc(
    doc_section(label = "Video Functions"),
    description = "The mean luma of a picture: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) of the values as they are coded, from 0 to 1, \
        averaged over all pixels; of grey pictures the mean. It is not linear light: no gamma is undone. The frame must say its shape \
        (arrow.fixed_shape_tensor), as that of read_video does. NULL gives NULL, and so does a picture with a missing element.",
    syntax_example = "luminance(frame)",
    sql_example = r"```sql
SELECT time, luminance(frame) AS luminance, rms_contrast(frame) AS contrast
FROM read_video('film.mp4', fps => 5, width => 64);
```",
    argument(
        name = "frame",
        description = "A column of pictures, height × width × 3 or height × width."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Luminance {
    signature: Signature,
}

#[user_doc(
    doc_section(label = "Video Functions"),
    description = "The contrast of a picture: the standard deviation of the luma of its pixels, divided by their number \
        (Peli 1990, J. Opt. Soc. Am. A 7:2032). Luma is that of luminance. NULL gives NULL, and so does a picture with a missing element.",
    syntax_example = "rms_contrast(frame)",
    sql_example = r"```sql
SELECT time, rms_contrast(frame) AS contrast FROM read_video('film.mp4', fps => 5, width => 64);
```",
    argument(
        name = "frame",
        description = "A column of pictures, height × width × 3 or height × width."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct RmsContrast {
    signature: Signature,
}

macro_rules! number_of_a_picture {
    ($function:ty, $parameters:expr, $kernel:path) => {
        impl ScalarUDFImpl for $function {
            fn name(&self) -> &str {
                $parameters.function
            }

            fn signature(&self) -> &Signature {
                &self.signature
            }

            fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
                let types = $parameters.coerce(types)?;
                Ok(vec![picture::coerce($parameters.function, &types[0])?])
            }

            fn return_type(&self, _: &[DataType]) -> Result<DataType> {
                plan_err!("{} asks for fields", self.name())
            }

            fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
                Shape::of(self.name(), &args.arg_fields[0])?;
                Ok(Arc::new(Field::new(self.name(), DataType::Float64, true)))
            }

            fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
                number(self.name(), &args, $kernel)
            }

            fn documentation(&self) -> Option<&Documentation> {
                self.doc()
            }
        }
    };
}

number_of_a_picture!(Luminance, LUMINANCE, frame::luminance::<f32>);
number_of_a_picture!(RmsContrast, RMS_CONTRAST, frame::rms_contrast::<f32>);

fn number(
    function: &str,
    args: &ScalarFunctionArgs,
    kernel: fn(&[f32], usize) -> f64,
) -> Result<ColumnarValue> {
    let (Some(field), Some(frames)) = (args.arg_fields.first(), args.args.first()) else {
        return exec_err!("{function}: frame is missing");
    };
    let shape = Shape::of(function, field)?;
    let pictures = Vectors::<Float32Type>::from_argument(function, frames)?;
    let numbers: Float64Array = (0..pictures.len())
        .map(|row| {
            let picture = pictures.row(row)?;
            let is_whole = pictures.missing(row).is_none();
            is_whole.then(|| kernel(picture, shape.channels))
        })
        .collect();
    result_of(&args.args, Arc::new(numbers) as ArrayRef)
}
