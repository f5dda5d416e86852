//! `embed_image(frame, model => …)`: the vector of a picture.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::identity::MODEL_METADATA;
use voxql_udfs::picture::Shape;
use voxql_udfs::vectors::{Vectors, vector_type};

use super::{Encoder, Pixels};
use crate::models::locate::Shelf;

const PARAMETERS: Parameters = Parameters {
    function: "embed_image",
    required: 2,
    list: &[
        ("frame", Kind::Vector),
        ("model", Kind::Text),
        ("width", Kind::Integer),
        ("height", Kind::Integer),
    ],
};

/// The function `embed_image`.
pub fn udf(shelf: &Shelf) -> ScalarUDF {
    ScalarUDF::from(EmbedImage {
        signature: PARAMETERS.signature(Volatility::Immutable),
        shelf: shelf.clone(),
    })
}

/// Pictures to vectors: `FixedSizeList<Float32, dimension of the model>`, whose field metadata says
/// which model made it.
#[user_doc(
    doc_section(label = "Video Functions"),
    description = "Gives the embedding of a picture: the vector that an image model has for it. The picture is prepared as the model's \
`preprocessor_config.json` says (size by Pillow's filters on 8 bits, crop, scale, mean and deviation, in that order); a step that is not known is an error. The \
result is the graph's output `image_embeds`, `embedding` or `pooler_output`, and is not scaled to length 1. NULL gives NULL, and so does a picture with a missing element. \
A grey picture is repeated as red, green and blue where the model's configuration says do_convert_rgb, and is else an error. A column of embeddings remembers which model made \
it, and vectors of two models are not compared.",
    syntax_example = "embed_image(frame, model => 'efficientnet-lite0' [, width => width, height => height])",
    sql_example = r#"```sql
-- the pictures most like the first one
WITH pictures AS (
  SELECT path, embed_image(frame, model => 'efficientnet-lite0', width => width, height => height) AS emb
  FROM read_images('stimuli/*.jpg'))
SELECT b.path, cosine_distance(a.emb, b.emb) AS distance
FROM pictures a, pictures b
WHERE a.path LIKE '%/beach.jpg'
ORDER BY distance;
```"#,
    argument(
        name = "frame",
        description = "A column of pictures, height × width × 3 or height × width numbers from 0 to 1, that says its shape \
(arrow.fixed_shape_tensor), as those of read_video and read_images do; or lists of such numbers with width and height beside them."
    ),
    argument(
        name = "model",
        description = "Which model, a constant: the path of a folder with `preprocessor_config.json` and `model.onnx` (or `onnx/vision_model.onnx`, \
`vision_model.onnx`, `onnx/model.onnx`), or the name of one in the places where `embed` finds its models."
    ),
    argument(
        name = "width",
        description = "The width of each picture, where frame does not say its shape."
    ),
    argument(name = "height", description = "The height of each picture, likewise.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct EmbedImage {
    signature: Signature,
    shelf: Shelf,
}

impl ScalarUDFImpl for EmbedImage {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        PARAMETERS.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        exec_err!(
            "embed_image: the type depends on the model and comes from return_field_from_args"
        )
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arguments = PARAMETERS.at_planning(args.scalar_arguments);
        let Some(model) = arguments.str("model")? else {
            return plan_err!("embed_image: model must be a name or a path");
        };
        if let [frame, _] = args.arg_fields {
            Shape::of(self.name(), frame)?;
        }
        let model = Encoder::find(model, &self.shelf)?;
        let field = Field::new(self.name(), vector_type(Some(model.dimension())), true);
        let metadata = [(MODEL_METADATA.to_string(), model.identity())];
        Ok(Arc::new(field.with_metadata(metadata.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = PARAMETERS.of_scalar(&args.args);
        let Some(model) = arguments.str("model")? else {
            return plan_err!("embed_image: model must be a name or a path");
        };
        let model = Encoder::find(model, &self.shelf)?;
        // The plan may have been made by another process, or before the folder changed.
        if let Some(planned) = args.return_field.metadata().get(MODEL_METADATA)
            && *planned != model.identity()
        {
            return exec_err!(
                "embed_image: the query was planned with the model {planned}, but here it is {}; the \
                 model's files must be the same everywhere and must not change under a query",
                model.identity()
            );
        }
        let Some(frames) = args.args.first() else {
            return exec_err!("embed_image: the argument frame is missing");
        };
        let is_constant = args
            .args
            .iter()
            .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let shapes = Shapes::of(&args, rows)?;
        let pictures = Vectors::<Float32Type>::from_argument(self.name(), frames)?;
        let vectors = embed(&model, &pictures, &shapes, rows)?;
        match is_constant {
            true => Ok(ScalarValue::try_from_array(&vectors, 0)?.into()),
            false => Ok(vectors.into()),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// The shape of each picture.
enum Shapes {
    All(Shape),
    /// Widths and heights.
    Each(Int64Array, Int64Array),
}

impl Shapes {
    fn of(args: &ScalarFunctionArgs, rows: usize) -> Result<Self> {
        let (Some(width), Some(height)) = (args.args.get(2), args.args.get(3)) else {
            return match args.arg_fields.as_slice() {
                [frame, _] => Ok(Self::All(Shape::of(PARAMETERS.function, frame)?)),
                _ => plan_err!("embed_image: width and height are given together"),
            };
        };
        let sides = |argument: &ColumnarValue| -> Result<Int64Array> {
            let numbers = argument.to_array(rows)?;
            Ok(cast(&numbers, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone())
        };
        Ok(Self::Each(sides(width)?, sides(height)?))
    }

    /// Height, width and channels of a picture of `count` numbers; None where a side is NULL.
    fn get(&self, row: usize, count: usize) -> Result<Option<(usize, usize, usize)>> {
        let (widths, heights) = match self {
            Self::All(shape) => return Ok(Some((shape.height, shape.width, shape.channels))),
            Self::Each(widths, heights) => (widths, heights),
        };
        if widths.is_null(row) || heights.is_null(row) {
            return Ok(None);
        }
        let (width, height) = (widths.value(row), heights.value(row));
        let side = |side: i64| usize::try_from(side).ok().filter(|&side| side > 0);
        let shape = side(height).zip(side(width)).and_then(|(height, width)| {
            let pixels = height.checked_mul(width)?;
            let channels = [1, 3]
                .into_iter()
                .find(|c| pixels.checked_mul(*c) == Some(count))?;
            Some((height, width, channels))
        });
        match shape {
            Some(shape) => Ok(Some(shape)),
            None => exec_err!(
                "embed_image: frame has {count} numbers, which are no picture of {width} x {height} pixels"
            ),
        }
    }
}

fn embed(
    model: &Encoder,
    pictures: &Vectors<Float32Type>,
    shapes: &Shapes,
    rows: usize,
) -> Result<ArrayRef> {
    let mut given: Vec<Option<Pixels>> = Vec::with_capacity(rows);
    for row in 0..rows {
        let values = pictures
            .row(row)
            .filter(|_| pictures.missing(row).is_none());
        given.push(match values {
            Some(values) => shapes
                .get(row, values.len())?
                .map(|shape| Pixels { shape, values }),
            None => None,
        });
    }
    let nulls: NullBuffer = given.iter().map(Option::is_some).collect();
    let DataType::FixedSizeList(item, width) = vector_type(Some(model.dimension())) else {
        return exec_err!("embed_image: vectors of {} are too long", model.dimension());
    };
    let values = Arc::new(Float32Array::from(model.embed(&given)?));
    let vectors = FixedSizeListArray::try_new(item, width, values, Some(nulls))?;
    Ok(Arc::new(vectors))
}
