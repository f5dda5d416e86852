//! Errors as a person wants to read them.

use std::error::Error;

use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

/// An error's text without the layers it came through.
#[derive(Debug, PartialEq)]
pub struct Message {
    pub text: String,
    /// The line of a syntax error, counted from 1 in the text that was parsed.
    pub line: Option<usize>,
}

/// Strips backtraces and the names of DataFusion's layers; what the error says,
/// hints included, stays.
pub fn message(error: &DataFusionError) -> Message {
    let plain = |text: String| Message { text, line: None };
    match error {
        DataFusionError::SQL(error, _) => syntax(error),
        DataFusionError::Context(_, inner) if optimizer_rule(error) => message(inner),
        DataFusionError::Context(context, inner) => {
            let inner = message(inner);
            Message {
                text: format!("{context}: {}", inner.text),
                line: inner.line,
            }
        }
        DataFusionError::Diagnostic(_, inner) => message(inner),
        DataFusionError::Shared(inner) => message(inner),
        DataFusionError::Collection(errors) => {
            let messages: Vec<Message> = errors.iter().map(message).collect();
            let line = messages.iter().find_map(|message| message.line);
            let texts: Vec<String> = messages.into_iter().map(|message| message.text).collect();
            Message {
                text: texts.join("\n"),
                line,
            }
        }
        DataFusionError::External(error) => inner(error.as_ref()),
        DataFusionError::ArrowError(error, _) => inner(error.as_ref()),
        DataFusionError::ParquetError(error) => inner(error.as_ref()),
        // The limit that was reached says what to do.
        DataFusionError::ResourcesExhausted(text) => {
            plain(format!("out of memory: {}", without_backtrace(text)))
        }
        DataFusionError::NotImplemented(text) => {
            plain(format!("not supported: {}", without_backtrace(text)))
        }
        DataFusionError::Internal(text) => plain(format!(
            "internal error, please report it: {}",
            without_backtrace(text)
        )),
        DataFusionError::Execution(text) if text.contains(COERCION) => {
            plain(of_function(without_backtrace(text)).to_owned())
        }
        DataFusionError::Plan(text) if let Some(hint) = of_vectors(text) => plain(hint),
        DataFusionError::Plan(text)
        | DataFusionError::Execution(text)
        | DataFusionError::Configuration(text) => plain(without_backtrace(text).to_owned()),
        DataFusionError::SchemaError(error, _) => plain(error.to_string()),
        DataFusionError::ObjectStore(error) => inner(error.as_ref()),
        DataFusionError::IoError(error) => plain(error.to_string()),
        other => plain(other.strip_backtrace()),
    }
}

/// What DataFusion says before a function's own words on the types of its arguments.
const COERCION: &str = "user-defined coercion failed with: ";

/// A function's own words.
fn of_function(text: &str) -> &str {
    let Some((_, said)) = text.split_once(COERCION) else {
        return text;
    };
    let said = said.strip_prefix("Error during planning: ").unwrap_or(said);
    said.strip_prefix("Execution error: ").unwrap_or(said)
}

/// What to call where an aggregate of numbers was given vectors.
fn of_vectors(text: &str) -> Option<String> {
    let (_, call) = text.split_once("No function matches the given name and argument types '")?;
    let (name, types) = call.split_once('(')?;
    let for_vectors = match name {
        "avg" => "vector_avg",
        "sum" => "vector_sum",
        "stddev" | "stddev_samp" | "stddev_pop" => "vector_std",
        _ => return None,
    };
    let vectors = types.starts_with("List(") || types.starts_with("FixedSizeList(");
    vectors.then(|| format!("{name} takes numbers, not vectors; {for_vectors} takes vectors"))
}

/// Errors of libraries often carry a DataFusion error that went through them.
fn inner(error: &(dyn Error + 'static)) -> Message {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<DataFusionError>() {
            return message(error);
        }
        if let Some(error) = error.downcast_ref::<ParserError>() {
            return syntax(error);
        }
        cause = error.source();
    }
    Message {
        text: error.to_string(),
        line: None,
    }
}

/// The analyser and the optimiser put the rule's name before an error, as in
/// `type_coercion`; it tells a user nothing.
fn optimizer_rule(error: &DataFusionError) -> bool {
    let DataFusionError::Context(context, _) = error else {
        return false;
    };
    !context.is_empty()
        && context
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_')
        || context.starts_with("Optimizer rule")
}

fn syntax(error: &ParserError) -> Message {
    let (ParserError::TokenizerError(text) | ParserError::ParserError(text)) = error else {
        return Message {
            text: "syntax error: the statement is nested too deeply".into(),
            line: None,
        };
    };
    let (text, line) = match position(text) {
        Some((said, line, _)) => (said, Some(line)),
        None => (text.as_str(), None),
    };
    let text = match text.strip_prefix("Expected: ") {
        Some(rest) => format!("syntax error: expected {rest}"),
        None => format!("syntax error: {text}"),
    };
    Message { text, line }
}

/// Splits `Expected: an expression, found: FROM at Line: 3, Column: 8`.
fn position(text: &str) -> Option<(&str, usize, usize)> {
    let (said, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((said, line.parse().ok()?, column.trim_end().parse().ok()?))
}

fn without_backtrace(text: &str) -> &str {
    text.split(DataFusionError::BACK_TRACE_SEP)
        .next()
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use std::sync::Arc;

    use super::*;

    async fn of(sql: &str) -> Message {
        let ctx = SessionContext::new();
        let error = match ctx.sql(sql).await {
            Ok(query) => query.collect().await.unwrap_err(),
            Err(error) => error,
        };
        message(&error)
    }

    #[tokio::test]
    async fn syntax_errors_know_their_line() {
        let message = of("SELECT 1\nFROM )").await;
        assert_eq!(message.line, Some(2));
        assert!(
            message.text.starts_with("syntax error: expected "),
            "{}",
            message.text
        );
        assert!(!message.text.contains("Line:"), "{}", message.text);
    }

    #[tokio::test]
    async fn suggestions_stay_and_layers_go() {
        let text = of("SELECT abss(1)").await.text;
        assert!(
            text.contains("abss") && text.contains("Did you mean"),
            "{text}"
        );
        for noise in ["Error during planning", "backtrace", "caused by"] {
            assert!(!text.contains(noise), "{text}");
        }
        let text = of("SELECT 1 + true").await.text;
        assert!(!text.contains("type_coercion"), "{text}");
    }

    #[tokio::test]
    async fn aggregates_of_numbers_point_to_those_of_vectors() {
        for (call, remedy) in [
            ("avg([1.5, 2.5])", "vector_avg takes vectors"),
            ("sum([1.5, 2.5])", "vector_sum takes vectors"),
            ("stddev([1.5, 2.5])", "vector_std takes vectors"),
        ] {
            let text = of(&format!("SELECT {call}")).await.text;
            assert!(text.ends_with(remedy), "{text}");
        }
        let text = of("SELECT avg('a', [1.5])").await.text;
        assert!(!text.contains("vector_avg"), "{text}");
    }

    #[test]
    fn a_function_s_own_words_stay() {
        let said = "Function 'f' user-defined coercion failed with: Error during planning: f: tr is a number";
        let error = DataFusionError::Execution(said.into());
        assert_eq!(message(&error).text, "f: tr is a number");
    }

    #[test]
    fn wrapped_errors_are_unwrapped() {
        let told = DataFusionError::Execution("a.nii: truncated".into());
        let wrapped = DataFusionError::External(Box::new(DataFusionError::Shared(Arc::new(told))));
        let named = DataFusionError::Context("type_coercion".into(), Box::new(wrapped));
        assert_eq!(message(&named).text, "a.nii: truncated");
        let told = DataFusionError::Execution("no such column".into());
        let placed = DataFusionError::Context("in view v".into(), Box::new(told));
        assert_eq!(message(&placed).text, "in view v: no such column");
    }
}
