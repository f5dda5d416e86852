//! `embed(text, model => …)`: the vector of a text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;
use voxql_udfs::args::{Arguments, Kind, Parameters};
use voxql_udfs::identity::{MODEL_METADATA, PROMPT_METADATA};
use voxql_udfs::vectors::vector_type;

use super::{Embedder, Settings, functions};
use crate::cancel::Cancelled;
use crate::models::locate::Shelf;

const PARAMETERS: Parameters = Parameters {
    function: "embed",
    required: 2,
    list: &[
        ("text", Kind::Text),
        ("model", Kind::Text),
        ("prompt", Kind::Text),
        ("prompt_name", Kind::Text),
        ("normalize", Kind::Flag),
        ("file_name", Kind::Text),
    ],
};

/// The function `embed`.
pub fn embed(shelf: &Shelf) -> ScalarUDF {
    ScalarUDF::from(Embed {
        signature: PARAMETERS.signature(Volatility::Immutable),
        shelf: shelf.clone(),
    })
}

/// Text to vectors: `FixedSizeList<Float32, dimension of the model>`, whose field
/// metadata says which model made it, and how.
#[user_doc(
    doc_section(label = "Text Functions"),
    description = "Gives the embedding of a text: a vector in which texts of like meaning are near \
in cosine distance. NULL gives NULL; an empty text has a vector like any other. Longer texts are cut at \
the model's limit. A column of embeddings remembers which model made it, the pooling, the normalisation and the \
prompt, through queries, tables and Parquet; vectors of two models are not compared (`forget_model`), vectors of one \
model behind two prompts are.",
    syntax_example = "embed(text, model => 'all-MiniLM-L6-v2' [, prompt => 'query: '] [, prompt_name => 'query'] \
[, normalize => true] [, file_name => 'onnx/model_quantized.onnx'])",
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
`onnx/model.onnx` and `tokenizer.json`; the name of one in the database's folder `pretrained`, in the folders that the \
environment variable `VOXQL_MODELS` lists, in `./models`, or in the cache of Hugging Face (`HF_HUB_CACHE`, `HF_HOME`); \
or `hashing`, which needs no files and knows spelling, not meaning (256 elements). There is no default. \
`voxql models pull NAME` fetches one."
    ),
    argument(
        name = "prompt",
        description = "A text to put before every text, a constant. Default: the model's own default, which most models \
do not have; `prompt => ''` leaves that out."
    ),
    argument(
        name = "prompt_name",
        description = "The name of one of the prompts that the model brings (`config_sentence_transformers.json`), in \
place of `prompt`. Models for search have `query` and `document`."
    ),
    argument(
        name = "normalize",
        description = "Whether vectors are scaled to length 1, a constant. Default: as the model's folder says."
    ),
    argument(
        name = "file_name",
        description = "The graph to run where the folder has several, a constant such as `onnx/model_quantized.onnx`. \
Default: `onnx/model.onnx`, or `model.onnx`."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct Embed {
    signature: Signature,
    shelf: Shelf,
}

impl Embed {
    /// What the constants of a call ask for.
    fn asked(&self, arguments: &Arguments) -> Result<(Arc<Embedder>, Settings)> {
        let model = functions::model(arguments, &self.shelf)?;
        let settings = model.settings(
            arguments.str("prompt")?,
            arguments.str("prompt_name")?,
            arguments.bool("normalize")?,
        )?;
        Ok((model, settings))
    }
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
        let (model, settings) = self.asked(&PARAMETERS.at_planning(args.scalar_arguments))?;
        let nullable = args
            .arg_fields
            .first()
            .is_none_or(|text| text.is_nullable());
        let field = Field::new(self.name(), vector_type(Some(model.dimension())), nullable);
        Ok(Arc::new(field.with_metadata(metadata(&model, &settings))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (model, settings) = self.asked(&PARAMETERS.of_scalar(&args.args))?;
        let planned = args.return_field.metadata().get(MODEL_METADATA);
        functions::same_as_planned(self.name(), planned, &model.identity(&settings))?;
        let cancelled = Cancelled::of(&args.config_options);
        match args.args.first() {
            Some(ColumnarValue::Scalar(text)) => {
                let vectors = vectors(&model, &text.to_array()?, &settings, &cancelled)?;
                Ok(ScalarValue::try_from_array(&vectors, 0)?.into())
            }
            Some(ColumnarValue::Array(texts)) => {
                Ok(vectors(&model, texts, &settings, &cancelled)?.into())
            }
            None => exec_err!("embed: the argument text is missing"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// What the column remembers.
fn metadata(model: &Embedder, settings: &Settings) -> HashMap<String, String> {
    let mut metadata = HashMap::from([(MODEL_METADATA.to_string(), model.identity(settings))]);
    if !settings.prompt.is_empty() {
        metadata.insert(PROMPT_METADATA.to_string(), settings.prompt.clone());
    }
    metadata
}

fn vectors(
    model: &Embedder,
    texts: &ArrayRef,
    settings: &Settings,
    cancelled: &Cancelled,
) -> Result<ArrayRef> {
    let strings: Vec<Option<&str>> = match texts.data_type() {
        DataType::Null => vec![None; texts.len()],
        _ => texts.as_string::<i32>().iter().collect(),
    };
    let values = model.embed(&strings, settings, cancelled)?;
    let nulls = strings.iter().map(Option::is_some).collect();
    functions::vectors("embed", values, model.dimension(), Some(nulls))
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
        context.register_udf(embed(&Shelf::default()));
        let model = Embedder::find("hashing", None, None).unwrap();
        let settings = model.settings(None, None, None).unwrap();
        let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["a film"]));
        let vectors = vectors(&model, &texts, &settings, &Cancelled::default()).unwrap();
        let metadata = [(MODEL_METADATA.to_string(), made_by.to_string())];
        let field = Field::new("emb", vectors.data_type().clone(), true);
        let schema = Schema::new(vec![field.with_metadata(metadata.into())]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![vectors]).unwrap();
        context.register_batch("notes", batch).unwrap();
        context
    }

    fn hashing() -> String {
        let model = Embedder::find("hashing", None, None).unwrap();
        model.identity(&model.settings(None, None, None).unwrap())
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
