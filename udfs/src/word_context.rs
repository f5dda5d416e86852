//! `word_context`: each word of a transcript in the text around it, for `embed_span`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::function::{
    ExpressionArgs, PartitionEvaluatorArgs, WindowFunctionSimplification, WindowUDFFieldArgs,
};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    Documentation, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion_macros::user_doc;

use crate::args::{Kind, Parameters};
use crate::datafusion_doc;
use crate::run_window::{self, SameRun};
use crate::whole_run::{PartitionFunction, WholePartition};

const PARAMETERS: Parameters = Parameters {
    function: "word_context",
    required: 1,
    list: &[
        ("word", Kind::Text),
        ("context", Kind::Text),
        ("words", Kind::Integer),
    ],
};

/// Words of context where nothing else is asked for.
const WORDS: usize = 32;

/// `word_context(word [, context] [, words])`
pub fn word_context() -> WindowUDF {
    WindowUDF::from(WordContext {
        signature: PARAMETERS.signature(Volatility::Immutable),
    })
}

#[user_doc(
    doc_section(label = "Text Functions"),
    description = "Gives each word of a transcript, one row a word, the text around it: a struct of `text`, `start` and \
`length`, the word's place in the text in characters as `substr` counts them. It is what `embed_span` takes. With \
`context => 'past'`, the default, the text ends with the word: nothing that is said later is in it, and so nothing later \
can change the word's embedding. Words are joined by blanks. A word that is NULL or blank gives NULL and is no context \
of others. Rows must come in ascending order; a partition that holds rows of several runs (the columns subject, session, \
task, acquisition, direction, run, path differ) is an error.",
    syntax_example = "word_context(word [, context => 'past'] [, words => 32]) OVER (PARTITION BY run ORDER BY onset)",
    sql_example = r#"```sql
SELECT onset, word, c['text'] AS heard
FROM (SELECT onset, word, word_context(word, words => 2) OVER (PARTITION BY run ORDER BY onset) AS c FROM words);
```"#,
    argument(name = "word", description = "A string."),
    argument(
        name = "context",
        description = "'past' (the default): the words before it. 'both': as many on each side. 'none': the word alone."
    ),
    argument(
        name = "words",
        description = "How many words of context, on each side for 'both'. Default: 32. What a model cannot take is cut \
by `embed_span`."
    )
)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct WordContext {
    signature: Signature,
}

impl WindowUDFImpl for WordContext {
    fn name(&self) -> &str {
        PARAMETERS.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        run_window::coerce_before_keys(PARAMETERS, types, |own| PARAMETERS.coerce(own))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            args.name(),
            DataType::Struct(fields()),
            true,
        )))
    }

    fn simplify(&self) -> Option<WindowFunctionSimplification> {
        let append = run_window::append_keys_in_any_order(PARAMETERS);
        Some(Box::new(
            move |call: WindowFunction, info: &SimplifyContext| {
                let order = &call.params.order_by;
                if order.is_empty() || order.iter().any(|key| !key.asc) {
                    return plan_err!(
                        "word_context needs the words in the order in which they are said: write word_context(…) OVER \
                     (PARTITION BY subject, run ORDER BY onset)"
                    );
                }
                append(call, info)
            },
        ))
    }

    fn expressions(&self, args: ExpressionArgs) -> Vec<Arc<dyn PhysicalExpr>> {
        run_window::column_and_keys(PARAMETERS, &args)
    }

    fn partition_evaluator(
        &self,
        args: PartitionEvaluatorArgs,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        let constants = PARAMETERS.of_expressions(args.input_exprs())?;
        let words = constants.usize("words")?.unwrap_or(WORDS);
        let (before, after) = match constants.str("context")?.unwrap_or("past") {
            "past" => (words, 0),
            "both" => (words, words),
            "none" => (0, 0),
            other => {
                return plan_err!(
                    "word_context: context is 'past', 'both' or 'none', not '{other}'"
                );
            }
        };
        Ok(Box::new(WholePartition::new(Contexts {
            before,
            after,
            same_run: run_window::same_run(PARAMETERS, &args),
        })))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("start", DataType::Int64, true),
        Field::new("length", DataType::Int64, true),
    ])
}

/// One partition's words.
#[derive(Debug)]
struct Contexts {
    /// Words of context on either side.
    before: usize,
    after: usize,
    same_run: SameRun,
}

impl PartitionFunction for Contexts {
    fn compute(&mut self, values: &[ArrayRef], num_rows: usize) -> Result<ArrayRef> {
        let [words, keys @ ..] = values else {
            return exec_err!("word_context: it was called without words");
        };
        let mut rows = Vec::new();
        let mut said = Vec::new();
        let words = words.as_string_opt::<i32>();
        for row in 0..num_rows {
            self.same_run.check(keys, row)?;
            let word = words
                .filter(|words| words.is_valid(row))
                .map(|words| words.value(row).trim());
            let Some(word) = word.filter(|word| !word.is_empty()) else {
                continue;
            };
            if keys.first().is_some_and(|key| key.is_null(row)) {
                return exec_err!(
                    "word_context: the place of the word '{word}' in the order is NULL; leave such rows out"
                );
            }
            rows.push(row);
            said.push(word);
        }
        let mut texts: Vec<Option<String>> = vec![None; num_rows];
        let (mut start, mut length) = (vec![None; num_rows], vec![None; num_rows]);
        for (i, row) in rows.into_iter().enumerate() {
            let first = i.saturating_sub(self.before);
            let last = i.saturating_add(self.after).min(said.len() - 1);
            let characters = |words: &[&str]| {
                words
                    .iter()
                    .map(|word| word.chars().count() as i64 + 1)
                    .sum::<i64>()
            };
            start[row] = Some(characters(&said[first..i]) + 1);
            length[row] = Some(characters(&said[i..=i]) - 1);
            texts[row] = Some(said[first..=last].join(" "));
        }
        let there = texts.iter().map(Option::is_some).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(texts)),
            Arc::new(Int64Array::from(start)),
            Arc::new(Int64Array::from(length)),
        ];
        Ok(Arc::new(StructArray::try_new(
            fields(),
            columns,
            Some(there),
        )?))
    }
}
