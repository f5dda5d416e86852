//! `embed_tokens(text, model => …)`: the vectors of a text's tokens.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    self as datafusion_doc, ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_macros::user_doc;
use voxql_udfs::args::{Kind, Parameters};
use voxql_udfs::identity::MODEL_METADATA;
use voxql_udfs::vectors::vector_type;

use super::layers::{TokenVectors, words};
use super::{Embedder, functions};
use crate::cancel::Cancelled;
use crate::models::locate::Shelf;

const PARAMETERS: Parameters = Parameters {
    function: "embed_tokens",
    required: 2,
    list: &[
        ("text", Kind::Text),
        ("model", Kind::Text),
        ("layer", Kind::Text),
        ("file_name", Kind::Text),
    ],
};

/// The function `embed_tokens`.
pub fn embed_tokens(shelf: &Shelf) -> ScalarUDF {
    ScalarUDF::from(EmbedTokens {
        signature: PARAMETERS.signature(Volatility::Immutable),
        shelf: shelf.clone(),
    })
}

/// Text to a list with one entry per token.
#[user_doc(
    doc_section(label = "Text Functions"),
    description = "Gives the tokens of a text with a layer's vectors: a list of structs of `token` (as the tokenizer \
writes it), `word` (which word of the text it is part of, counted from 1, words being what stands between blanks), \
`start` and `length` (that word's place in the text in characters, as `substr` counts them) and `vector`. What the \
tokenizer adds (`[CLS]`, `[SEP]`) has no word. A text longer than the model takes is cut. NULL gives NULL.",
    syntax_example = "embed_tokens(text, model => 'name' [, layer => 'hidden_states.8'] [, file_name])",
    sql_example = r#"```sql
SELECT t['token'] AS token, t['word'] AS word, t['vector'] AS vector
FROM (SELECT unnest(embed_tokens('the cat sat', model => 'all-MiniLM-L6-v2')) AS t);
```"#,
    argument(name = "text", description = "A string."),
    argument(name = "model", description = "As in `embed`, a constant."),
    argument(
        name = "layer",
        description = "The name of one of the graph's outputs that has one vector per token. Default: the last layer. \
Graphs have others (`hidden_states.0` and so on) if they were exported with `output_hidden_states`; the error for a \
name that is not there lists those that are."
    ),
    argument(name = "file_name", description = "As in `embed`, a constant.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct EmbedTokens {
    signature: Signature,
    shelf: Shelf,
}

impl ScalarUDFImpl for EmbedTokens {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        // See `embed`.
        if let [text] = types {
            return Ok(vec![text.clone()]);
        }
        PARAMETERS.coerce(types)
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        exec_err!(
            "embed_tokens: the type depends on the model and comes from return_field_from_args"
        )
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arguments = PARAMETERS.at_planning(args.scalar_arguments);
        let model = functions::model(&arguments, &self.shelf)?;
        let item = item(&model, arguments.str("layer")?)?;
        Ok(Arc::new(Field::new(
            self.name(),
            DataType::List(item),
            true,
        )))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = PARAMETERS.of_scalar(&args.args);
        let model = functions::model(&arguments, &self.shelf)?;
        let layer = arguments.str("layer")?;
        let item = item(&model, layer)?;
        if args.return_field.data_type() != &DataType::List(Arc::clone(&item)) {
            return exec_err!(
                "embed_tokens: the model {} is not the one that the query was planned with; its files must not \
                 change under a query",
                model.name()
            );
        }
        let cancelled = Cancelled::of(&args.config_options);
        let tokens = |texts: &ArrayRef| -> Result<ArrayRef> {
            let strings: Vec<Option<&str>> = match texts.data_type() {
                DataType::Null => vec![None; texts.len()],
                _ => texts.as_string::<i32>().iter().collect(),
            };
            let given: Vec<&str> = strings.iter().flatten().copied().collect();
            let made = model.token_vectors(&given, layer, &cancelled)?;
            list(&strings, made, &item, model.token_width()?)
        };
        match args.args.first() {
            Some(ColumnarValue::Scalar(text)) => {
                let list = tokens(&text.to_array()?)?;
                Ok(ScalarValue::try_from_array(&list, 0)?.into())
            }
            Some(ColumnarValue::Array(texts)) => Ok(tokens(texts)?.into()),
            None => exec_err!("embed_tokens: the argument text is missing"),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

/// One token.
fn item(model: &Embedder, layer: Option<&str>) -> Result<FieldRef> {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let identity = model.identity_of(layer);
    let vector = Field::new("vector", vector_type(Some(model.token_width()?)), false)
        .with_metadata([(MODEL_METADATA.to_string(), identity)].into());
    let token = Field::new("token", DataType::Utf8, false);
    let fields = Fields::from(vec![
        token,
        number("word"),
        number("start"),
        number("length"),
        vector,
    ]);
    Ok(Arc::new(Field::new_list_field(
        DataType::Struct(fields),
        true,
    )))
}

fn list(
    texts: &[Option<&str>],
    made: Vec<TokenVectors>,
    item: &FieldRef,
    width: usize,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = item.data_type() else {
        return exec_err!("embed_tokens: {item} is no struct");
    };
    let mut made = made.into_iter();
    let (mut tokens, mut lengths, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut number, mut start, mut length) = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        let Some((text, of_text)) = text.and_then(|text| Some((text, made.next()?))) else {
            lengths.push(0);
            continue;
        };
        let places: Vec<(i64, i64)> = words(text)
            .into_iter()
            .map(|word| {
                (
                    text[..word.start].chars().count() as i64 + 1,
                    text[word].chars().count() as i64,
                )
            })
            .collect();
        lengths.push(of_text.tokens.len());
        tokens.extend(of_text.tokens);
        values.extend(of_text.vectors);
        for word in of_text.words {
            number.push(word.map(|word| word as i64 + 1));
            start.push(word.and_then(|word| Some(places.get(word)?.0)));
            length.push(word.and_then(|word| Some(places.get(word)?.1)));
        }
    }
    let total: usize = lengths.iter().sum();
    if i32::try_from(total).is_err() {
        return exec_err!(
            "embed_tokens: {total} tokens in one batch of rows are too many; set datafusion.execution.batch_size lower"
        );
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(tokens)),
        Arc::new(Int64Array::from(number)),
        Arc::new(Int64Array::from(start)),
        Arc::new(Int64Array::from(length)),
        functions::vectors("embed_tokens", values, width, None)?,
    ];
    let structs = StructArray::try_new(fields.clone(), columns, None)?;
    let nulls = texts.iter().map(Option::is_some).collect();
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(structs),
        Some(nulls),
    )?))
}
