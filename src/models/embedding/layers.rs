//! Vectors of single tokens, and of spans of a text: what a layer of the model makes of words in context.

use std::ops::Range;

use datafusion::common::{Result, exec_err, plan_err};

use super::{Embedder, Kind, Loadable};
use crate::cancel::Cancelled;

/// The tokens of a text, with one layer's vectors.
pub struct TokenVectors {
    /// As the tokenizer writes them.
    pub tokens: Vec<String>,
    /// The word of the text that each is of, words being what stands between blanks; None for what the
    /// tokenizer adds.
    pub words: Vec<Option<usize>>,
    /// One after the other.
    pub vectors: Vec<f32>,
}

impl Embedder {
    /// Elements of a token's vector.
    ///
    /// # Errors
    /// For a model without tokens.
    pub fn token_width(&self) -> Result<usize> {
        Ok(self.loadable()?.folder.token_width)
    }

    /// Which space the vectors of a layer's tokens and spans are of, as [`Self::identity`] says it for texts.
    pub fn identity_of(&self, layer: Option<&str>) -> String {
        self.identity_with(&format!("layer={}", layer.unwrap_or("last_hidden_state")))
    }

    /// The tokens of each text with their vectors. A text longer than the model takes is cut.
    pub fn token_vectors(
        &self,
        texts: &[&str],
        layer: Option<&str>,
        cancelled: &Cancelled,
    ) -> Result<Vec<TokenVectors>> {
        let model = self.loadable()?;
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let transformer = model.load(layer)?;
        let tokenizer = &transformer.tokenizer;
        let tokens = tokenizer.encode(texts)?;
        let vectors = transformer.run(&model.folder, &tokens, cancelled, |_, hidden| {
            hidden.to_vec()
        })?;
        let each = texts.iter().zip(&tokens).zip(vectors);
        each.map(|((text, tokens), vectors)| {
            Ok(TokenVectors {
                tokens: tokens.ids.iter().map(|id| tokenizer.token(*id)).collect(),
                words: tokenizer.words(text, tokens, &words(text))?,
                vectors,
            })
        })
        .collect()
    }

    /// For each text and span of it, in bytes, the mean of the vectors of the span's tokens; None for a
    /// span without tokens. Of a text longer than the model takes, the part around the span is run.
    pub fn span_vectors(
        &self,
        spans: &[(&str, Range<usize>)],
        layer: Option<&str>,
        cancelled: &Cancelled,
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let model = self.loadable()?;
        if spans.is_empty() {
            return Ok(Vec::new());
        }
        let transformer = model.load(layer)?;
        let around = spans
            .iter()
            .map(|(text, span)| transformer.tokenizer.around(text, span.clone()));
        let (tokens, own): (Vec<_>, Vec<_>) =
            around.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let width = model.folder.token_width;
        transformer.run(&model.folder, &tokens, cancelled, |i, hidden| {
            mean(&hidden[own[i].start * width..own[i].end * width], width)
        })
    }

    fn loadable(&self) -> Result<&Loadable> {
        match &self.kind {
            Kind::Transformer(model) => Ok(model),
            Kind::Hashing => plan_err!(
                "the model hashing has no layers and no tokens; name a transformer's folder"
            ),
        }
    }
}

/// The mean of rows of `width` values; None if there are none.
fn mean(rows: &[f32], width: usize) -> Option<Vec<f32>> {
    let count = rows.len() / width;
    let mut sums = vec![0.0f64; width];
    for row in rows.chunks_exact(width) {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, v)| *sum += f64::from(*v));
    }
    (count > 0).then(|| sums.iter().map(|sum| (sum / count as f64) as f32).collect())
}

/// What stands between blanks, as ranges of bytes.
pub fn words(text: &str) -> Vec<Range<usize>> {
    let start = text.as_ptr() as usize;
    text.split_whitespace()
        .map(|word| {
            let at = word.as_ptr() as usize - start;
            at..at + word.len()
        })
        .collect()
}

/// The bytes of `length` characters of `text` from the `start`th, counted from 1, as `substr` counts.
///
/// # Errors
/// When they are not all in the text.
pub fn bytes_of(text: &str, start: i64, length: i64) -> Result<Range<usize>> {
    let ends = || text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let place = |characters: i64| ends().nth(usize::try_from(characters).ok()?);
    let end = start.saturating_add(length);
    match (place(start.saturating_sub(1)), place(end.saturating_sub(1))) {
        (Some(start), Some(end)) if start <= end => Ok(start..end),
        _ => exec_err!(
            "embed_span: start {start} and length {length} are not in the text, which has {} characters: '{}'",
            text.chars().count(),
            text.chars().take(80).collect::<String>()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_spans_are_places_in_the_text() {
        let text = "  naïve  caf\u{e9}\tx ";
        let found: Vec<&str> = words(text).into_iter().map(|word| &text[word]).collect();
        assert_eq!(found, ["naïve", "café", "x"]);
        assert_eq!(&text[bytes_of(text, 3, 5).unwrap()], "naïve");
        assert_eq!(&text[bytes_of(text, 1, 0).unwrap()], "");
        for (start, length) in [
            (0, 1),
            (1, 99),
            (3, -1),
            (i64::MAX, 1),
            (i64::MIN, 1),
            (1, i64::MAX),
        ] {
            assert!(bytes_of(text, start, length).is_err(), "{start} {length}");
        }
    }

    #[test]
    fn a_mean_of_nothing_is_none() {
        assert_eq!(mean(&[1.0, 2.0, 3.0, 4.0], 2), Some(vec![2.0, 3.0]));
        assert_eq!(mean(&[], 2), None);
    }
}
