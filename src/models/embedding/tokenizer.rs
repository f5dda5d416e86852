//! Texts to tokens: `tokenizer.json`, cutting at the model's length.

use std::ops::Range;

use datafusion::common::{Result, exec_datafusion_err};
use tokenizers::pipeline::{EncodeOptions, Encoding, Override, PipelineTokenizer};
use tokenizers::utils::truncation::TruncationParams;

use super::folder::Folder;
use crate::models::backend::guard;

/// A text as the graph sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    pub ids: Vec<u32>,
    /// Empty where all are 0.
    pub types: Vec<u8>,
}

impl Tokens {
    fn of(encoding: &Encoding) -> Self {
        Self {
            ids: encoding.ids().iter().map(|id| u32::from(*id)).collect(),
            types: encoding.type_ids().unwrap_or_default().to_vec(),
        }
    }
}

pub struct Tokenizer {
    pipeline: PipelineTokenizer,
    max_tokens: usize,
    lower_case: bool,
    file: String,
    /// The tokens before and after those of every text, such as CLS and SEP.
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Tokenizer {
    pub fn read(folder: &Folder) -> Result<Self> {
        let file = folder.tokenizer.display().to_string();
        let pipeline = guard(|| {
            let canonical =
                tokenizers::canonicalize_file(&folder.tokenizer).map_err(|e| e.to_string())?;
            tokenizers::from_json(&canonical).map_err(|e| e.to_string())
        })
        .map_err(|reason| exec_datafusion_err!("cannot use the tokenizer '{file}': {reason}"))?;
        let mut tokenizer = Self {
            pipeline,
            max_tokens: folder.max_tokens,
            lower_case: folder.lower_case,
            file,
            before: Vec::new(),
            after: Vec::new(),
        };
        (tokenizer.before, tokenizer.after) = tokenizer.framing()?;
        Ok(tokenizer)
    }

    /// What stands around the tokens of a text, seen at one.
    fn framing(&self) -> Result<(Vec<u32>, Vec<u32>)> {
        let (framed, bare) = (self.encode(&["a"])?, self.bare(&["a"])?);
        let (framed, bare) = (&framed[0].ids, &bare[0]);
        let at = framed
            .windows(bare.len().max(1))
            .position(|part| part == bare);
        let at = at.unwrap_or(framed.len());
        let end = (at + bare.len()).min(framed.len());
        Ok((framed[..at].to_vec(), framed[end..].to_vec()))
    }

    /// The tokens of each text, framed, and cut at the model's length.
    pub fn encode(&self, texts: &[&str]) -> Result<Vec<Tokens>> {
        let encodings = self.run(
            texts,
            EncodeOptions {
                // Batches are padded to their own longest text, and the lengths in the
                // file are those of whoever saved it last.
                padding: Override::Off,
                truncation: Override::With(TruncationParams {
                    max_length: self.max_tokens,
                    ..Default::default()
                }),
                ..Default::default()
            },
        )?;
        Ok(encodings.iter().map(Tokens::of).collect())
    }

    /// The tokens of each text, neither framed nor cut.
    pub fn bare(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let encodings = self.run(
            texts,
            EncodeOptions {
                padding: Override::Off,
                truncation: Override::Off,
                ..EncodeOptions::no_specials()
            },
        )?;
        Ok(encodings
            .iter()
            .map(|encoding| Tokens::of(encoding).ids)
            .collect())
    }

    /// How many of the first tokens of a text that begins with `prompt` are the prompt's: those of the
    /// prompt alone, without what the tokenizer puts at the end, as sentence-transformers counts them.
    pub fn prompt_length(&self, prompt: &str) -> Result<usize> {
        if prompt.is_empty() {
            return Ok(0);
        }
        let tokens = self.encode(&[prompt])?;
        Ok(tokens[0].ids.len() - usize::from(!self.after.is_empty()))
    }

    /// The tokens of a text around a span of it, given in bytes, framed, and which of them are the
    /// span's. A text longer than the model takes is cut on both sides so that the span lies in the middle
    /// of what stays, or where less is left, at an end. The tokens of a span are those by which the text up
    /// to its end is longer than the text before it.
    pub fn around(&self, text: &str, span: Range<usize>) -> Result<(Tokens, Range<usize>)> {
        let parts = [text, &text[..span.start], &text[..span.end]];
        let bare = self.bare(&parts)?;
        let all = &bare[0];
        let shared = |part: &[u32]| part.iter().zip(all).take_while(|(a, b)| a == b).count();
        let start = shared(&bare[1]);
        let end = shared(&bare[2]).max(start);
        let room = self.room().min(all.len());
        let middle = start.midpoint(end);
        let cut = middle.saturating_sub(room / 2).min(all.len() - room);
        // A span longer than the model keeps its beginning.
        let cut = cut.max(end.saturating_sub(room)).min(start);
        let ids = [&self.before, &all[cut..cut + room], &self.after].concat();
        let shift = |at: usize| at.clamp(cut, cut + room) - cut + self.before.len();
        let tokens = Tokens {
            ids,
            types: Vec::new(),
        };
        Ok((tokens, shift(start)..shift(end)))
    }

    /// Which of `words`, ranges of bytes of `text` in order, each of the text's framed tokens is of; None
    /// for what the tokenizer adds.
    pub fn words(
        &self,
        text: &str,
        tokens: &Tokens,
        words: &[Range<usize>],
    ) -> Result<Vec<Option<usize>>> {
        let kept = tokens
            .ids
            .len()
            .saturating_sub(self.before.len() + self.after.len());
        let own = &tokens.ids[self.before.len().min(tokens.ids.len())..][..kept];
        // A word has a token at least: those after the last token were cut.
        let begun: Vec<&str> = words
            .iter()
            .take(kept)
            .map(|word| &text[..word.end])
            .collect();
        let mut of = vec![None; tokens.ids.len()];
        let mut at = 0;
        for (word, begun) in self.bare(&begun)?.iter().enumerate() {
            let end = begun.iter().zip(own).take_while(|(a, b)| a == b).count();
            for token in at..end {
                of[self.before.len() + token] = Some(word);
            }
            at = at.max(end);
        }
        Ok(of)
    }

    /// The token of that number, as the tokenizer writes it (`##ing`, `Ġthe`).
    pub fn token(&self, id: u32) -> String {
        let known = self.pipeline.get_model().id_to_token(id);
        known.unwrap_or_else(|| self.pipeline.decode_tokens(&[id], false).concat())
    }

    /// Tokens of a text that the model takes, besides those around it.
    fn room(&self) -> usize {
        let framing = self.before.len() + self.after.len();
        self.max_tokens.saturating_sub(framing).max(1)
    }

    fn run(&self, texts: &[&str], options: EncodeOptions) -> Result<Vec<Encoding>> {
        // sentence-transformers strips every text first.
        let inputs: Vec<String> = texts
            .iter()
            .map(|text| match self.lower_case {
                true => text.trim().to_lowercase(),
                false => text.trim().to_string(),
            })
            .collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        guard(|| {
            let handle = self.pipeline.encode(inputs.as_slice(), &options);
            handle.wait().map_err(|e| e.to_string())
        })
        .map_err(|reason| exec_datafusion_err!("the tokenizer '{}' failed: {reason}", self.file))
    }
}
