//! `embed(text, model => …)`: the vector of a text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::identity::MODEL_METADATA;
use voxql_udfs::vectors::vector_type;

use super::{Embedder, available};

const PARAMETERS: Parameters = Parameters {
    function: "embed",
    required: 2,
    list: &[("text", Kind::Text), ("model", Kind::Text)],
};

/// The function `embed`.
pub fn udf() -> ScalarUDF {
    ScalarUDF::from(Embed {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

/// Text to vectors: `FixedSizeList<Float32, dimension of the model>`, whose field
/// metadata says which model made it.
#[user_doc(
    doc_section(label = "Text Functions"),
    description = "Gives the embedding of a text: a vector in which texts of like meaning are near \
in cosine distance. NULL gives NULL; an empty text has a vector like any other. Longer texts are cut at \
the model's limit. A column of embeddings remembers which model made it, and vectors of two models are not \
compared.",
    syntax_example = "embed(text, model => 'all-MiniLM-L6-v2')",
    sql_example = r#"```sql
-- the three annotations nearest in meaning to a question
SELECT onset, text
FROM annotations
ORDER BY cosine_distance(
  embed(text, model => 'all-MiniLM-L6-v2'),
  embed('somebody laughs', model => 'all-MiniLM-L6-v2'))
LIMIT 3;
```"#,
    argument(name = "text", description = "A string."),
    argument(
        name = "model",
        description = "Which model, a constant: the path of a sentence-transformers folder with \
`onnx/model.onnx` and `tokenizer.json`; the name of one in the folders that the environment variable \
`VOXQL_MODELS` lists, in `./models`, or in the cache of Hugging Face; or `hashing`, which needs no files \
and knows spelling, not meaning (256 elements). There is no default."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Embed {
    signature: Signature,
}

impl ScalarUDFImpl for Embed {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // A missing model is left to return_field_from_args, whose error says which
        // there are and comes to the user as it stands.
        if let [text] = types {
            return Ok(vec![text.clone()]);
        }
        PARAMETERS.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        exec_err!("embed: the type depends on the model and comes from return_field_from_args")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arguments = PARAMETERS.at_planning(args.scalar_arguments);
        let Some(model) = arguments.str("model")? else {
            return missing_model();
        };
        let model = Embedder::find(model)?;
        let nullable = args
            .arg_fields
            .first()
            .is_none_or(|text| text.is_nullable());
        let field = Field::new(self.name(), vector_type(Some(model.dimension())), nullable);
        let metadata = [(MODEL_METADATA.to_string(), model.identity())];
        Ok(Arc::new(field.with_metadata(metadata.into())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = PARAMETERS.of_scalar(&args.args);
        let Some(model) = arguments.str("model")? else {
            return missing_model();
        };
        let model = Embedder::find(model)?;
        // The plan may have been made by another process, or before the folder changed.
        if let Some(planned) = args.return_field.metadata().get(MODEL_METADATA)
            && *planned != model.identity()
        {
            return exec_err!(
                "embed: the query was planned with the model {planned}, but here it is {}; the \
                 model's files must be the same everywhere and must not change under a query",
                model.identity()
            );
        }
        match args.args.first() {
            Some(ColumnarValue::Scalar(text)) => {
                let vectors = embed(&model, &text.to_array()?)?;
                Ok(ScalarValue::try_from_array(&vectors, 0)?.into())
            }
            Some(ColumnarValue::Array(texts)) => Ok(embed(&model, texts)?.into()),
            None => exec_err!("embed: the argument text is missing"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn embed(model: &Embedder, texts: &ArrayRef) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, width) = vector_type(Some(model.dimension())) else {
        return exec_err!("embed: vectors of {} are too long", model.dimension());
    };
    if texts.data_type() == &DataType::Null {
        return Ok(Arc::new(FixedSizeListArray::new_null(
            item,
            width,
            texts.len(),
        )));
    }
    let strings = texts.as_string::<i32>();
    let values = model.embed(&strings.iter().collect::<Vec<_>>())?;
    Ok(Arc::new(FixedSizeListArray::try_new(
        item,
        width,
        Arc::new(Float32Array::from(values)),
        texts.nulls().cloned(),
    )?))
}

fn missing_model<T>() -> Result<T> {
    let names: Vec<String> = available().into_iter().map(|place| place.name).collect();
    plan_err!(
        "embed: the argument model is missing; it is called as embed(text, model => 'name'), with the \
         path of a model's folder or one of: {}",
        [vec!["hashing".to_string()], names].concat().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;

    use super::*;

    /// A session with `notes(emb)`, one vector of `hashing` that says `made_by`.
    fn session(made_by: &str) -> SessionContext {
        let context = SessionContext::new();
        voxql_udfs::register_all(&context);
        context.register_udf(udf());
        let model = Embedder::find("hashing").unwrap();
        let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a film"]));
        let vectors = embed(&model, &texts).unwrap();
        let metadata = [(MODEL_METADATA.to_string(), made_by.to_string())];
        let field = Field::new("emb", vectors.data_type().clone(), true);
        let schema = Schema::new(vec![field.with_metadata(metadata.into())]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![vectors]).unwrap();
        context.register_batch("notes", batch).unwrap();
        context
    }

    fn hashing() -> String {
        Embedder::find("hashing").unwrap().identity()
    }

    const NEAREST: &str = "SELECT 1 FROM notes \
         ORDER BY cosine_distance(emb, embed('some films', model => 'hashing')) LIMIT 3";

    #[tokio::test]
    async fn a_constant_text_is_embedded_at_planning() {
        let frame = session(&hashing()).sql(NEAREST).await.unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(false).to_string();
        assert!(plan.contains("cosine_distance(emb@"), "{plan}");
        assert!(!plan.contains("embed("), "{plan}");
    }

    #[tokio::test]
    async fn the_column_says_which_model_made_it() {
        // Of a column, and of a constant that the optimizer has folded.
        for text in ["t", "'a film'"] {
            let sql = format!(
                "SELECT embed({text}, model => 'hashing') AS e FROM (VALUES ('a')) AS v(t)"
            );
            let batches = session("")
                .sql(&sql)
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
            let schema = batches[0].schema();
            assert_eq!(
                schema.field(0).metadata()[MODEL_METADATA],
                hashing(),
                "{text}"
            );
        }
    }

    #[tokio::test]
    async fn vectors_of_two_models_are_not_compared() {
        assert!(
            session(&hashing())
                .sql(NEAREST)
                .await
                .unwrap()
                .collect()
                .await
                .is_ok()
        );
        let context = session("other@0123456789ab");
        let error = match context.sql(NEAREST).await {
            Err(error) => error,
            Ok(frame) => frame.collect().await.unwrap_err(),
        };
        let message = error.to_string();
        assert!(
            message.contains("other@0123456789ab") && message.contains(&hashing()),
            "{message}"
        );
    }
}
