//! `embed_span(span, model => …)`: the vector of a part of a text, in the context of the whole.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::identity::MODEL_METADATA;
use voxql_udfs::vectors::vector_type;

use super::{Embedder, functions, layers};
use crate::cancel::Cancelled;
use crate::models::locate::Shelf;

const PARAMETERS: Parameters = Parameters {
    function: "embed_span",
    required: 2,
    list: &[
        ("span", Kind::Any),
        ("model", Kind::Text),
        ("layer", Kind::Text),
        ("file_name", Kind::Text),
    ],
};

/// The function `embed_span`.
pub fn embed_span(shelf: &Shelf) -> ScalarUDF {
    ScalarUDF::from(EmbedSpan {
        signature: PARAMETERS.signature(Volatility::Immutable),
        shelf: shelf.clone(),
    })
}

/// A struct of text, start and length to a vector.
#[user_doc(
    doc_section(label = "Text Functions"),
    description = "Gives the vector of a part of a text in the context of the whole: the mean of the vectors that a \
layer of the model has for the part's tokens. With `word_context` as its argument, these are the contextual word \
embeddings of language encoding models; what comes after the part changes its vector only if it is in the text. A text \
longer than the model takes is cut around the part. The vectors are not normalised. NULL, or a part without tokens, \
gives NULL.",
    syntax_example = "embed_span(span, model => 'name' [, layer => 'hidden_states.8'] [, file_name])",
    sql_example = r#"```sql
-- each word of a transcript as a model sees it that has heard the 20 words before it
SELECT onset, word, embed_span(
  word_context(word, words => 20) OVER (PARTITION BY run ORDER BY onset),
  model => 'all-MiniLM-L6-v2') AS embedding
FROM words;

-- a part of a text of one's own
SELECT embed_span(named_struct('text', 'the river bank', 'start', 11, 'length', 4), model => 'all-MiniLM-L6-v2');
```"#,
    argument(
        name = "span",
        description = "A struct of `text`, `start` and `length`: the part in characters, the first of which is 1, as \
`substr` counts them. `word_context` gives such structs."
    ),
    argument(name = "model", description = "As in `embed`, a constant."),
    argument(
        name = "layer",
        description = "As in `embed_tokens`, a constant. Default: the last layer."
    ),
    argument(name = "file_name", description = "As in `embed`, a constant.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct EmbedSpan {
    signature: Signature,
    shelf: Shelf,
}

impl ScalarUDFImpl for EmbedSpan {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_span = |fields: &arrow::datatypes::Fields| {
            ["text", "start", "length"]
                .iter()
                .all(|name| fields.find(name).is_some())
        };
        match types.first() {
            Some(DataType::Null) | None => {}
            Some(DataType::Struct(fields)) if is_span(fields) => {}
            Some(other) => {
                return plan_err!(
                    "embed_span: span must be a struct of text, start and length, as word_context gives it, got \
                     {other}"
                );
            }
        }
        // See `embed`.
        if let [span] = types {
            return Ok(vec![span.clone()]);
        }
        PARAMETERS.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        exec_err!("embed_span: the type depends on the model and comes from return_field_from_args")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arguments = PARAMETERS.at_planning(args.scalar_arguments);
        let model = functions::model(&arguments, &self.shelf)?;
        let field = Field::new(self.name(), vector_type(Some(model.token_width()?)), true);
        let metadata = [(
            MODEL_METADATA.to_string(),
            model.identity_of(arguments.str("layer")?),
        )];
        Ok(Arc::new(field.with_metadata(metadata.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = PARAMETERS.of_scalar(&args.args);
        let model = functions::model(&arguments, &self.shelf)?;
        let layer = arguments.str("layer")?;
        let planned = args.return_field.metadata().get(MODEL_METADATA);
        functions::same_as_planned(self.name(), planned, &model.identity_of(layer))?;
        let cancelled = Cancelled::of(&args.config_options);
        match args.args.first() {
            Some(ColumnarValue::Scalar(span)) => {
                let vectors = embed(&model, &span.to_array()?, layer, &cancelled)?;
                Ok(ScalarValue::try_from_array(&vectors, 0)?.into())
            }
            Some(ColumnarValue::Array(spans)) => {
                Ok(embed(&model, spans, layer, &cancelled)?.into())
            }
            None => exec_err!("embed_span: the argument span is missing"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn embed(
    model: &Embedder,
    spans: &ArrayRef,
    layer: Option<&str>,
    cancelled: &Cancelled,
) -> Result<ArrayRef> {
    let width = model.token_width()?;
    let mut values = vec![0.0; spans.len() * width];
    let mut there = vec![false; spans.len()];
    if let Some(columns) = spans.as_struct_opt() {
        let column = |name: &str, data_type: DataType| match columns.column_by_name(name) {
            Some(column) => Ok(cast(column, &data_type)?),
            None => exec_err!("embed_span: span has no {name}"),
        };
        let texts = column("text", DataType::Utf8)?;
        let (start, length) = (
            column("start", DataType::Int64)?,
            column("length", DataType::Int64)?,
        );
        let (texts, start, length) = (
            texts.as_string::<i32>(),
            start.as_primitive::<Int64Type>(),
            length.as_primitive::<Int64Type>(),
        );
        let mut rows: Vec<usize> = Vec::new();
        let mut given: Vec<(&str, Range<usize>)> = Vec::new();
        for row in 0..spans.len() {
            let known = texts.is_valid(row) && start.is_valid(row) && length.is_valid(row);
            if columns.is_valid(row) && known {
                let text = texts.value(row);
                given.push((
                    text,
                    layers::bytes_of(text, start.value(row), length.value(row))?,
                ));
                rows.push(row);
            }
        }
        for (row, vector) in rows
            .into_iter()
            .zip(model.span_vectors(&given, layer, cancelled)?)
        {
            if let Some(vector) = vector {
                values[row * width..][..width].copy_from_slice(&vector);
                there[row] = true;
            }
        }
    }
    functions::vectors("embed_span", values, width, Some(there.into()))
}
