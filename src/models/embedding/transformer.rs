//! A sentence-transformers model: tokens, the transformer's graph, pooling.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use datafusion::common::{Result, exec_datafusion_err, exec_err};
use ndarray::{Array2, ArrayView2};
use tokenizers::pipeline::{EncodeOptions, Encoding, Override, PipelineTokenizer};
use tokenizers::utils::truncation::TruncationParams;

use super::folder::Folder;
use super::pooling::normalize;
use crate::models::backend::{Network, guard};

/// Texts that go through the graph at once.
const BATCH: usize = 32;

/// A bound on the tokens of a batch, padding included: attention takes memory by the
/// square of a text's length.
const BATCH_TOKENS: usize = 8192;

/// Names of the output that holds one vector per token, in exported graphs.
pub const OUTPUTS: [&str; 2] = ["last_hidden_state", "token_embeddings"];

/// A model with its tokenizer and graph loaded.
pub struct Transformer {
    tokenizer: Tokenizer,
    network: Box<dyn Network>,
    /// One call at a time: a call uses every core, and callers come from every
    /// partition of a query.
    turn: Mutex<()>,
}

impl Transformer {
    /// Loads the tokenizer, and the graph by `open`.
    pub fn load(
        folder: &Folder,
        open: impl FnOnce(&Path, &[&str]) -> Result<Box<dyn Network>>,
    ) -> Result<Self> {
        let tokenizer = Tokenizer::read(folder)?;
        let network = open(&folder.graph, &OUTPUTS)?;
        for input in network.inputs() {
            if !["input_ids", "attention_mask", "token_type_ids"].contains(&input.as_str()) {
                return exec_err!(
                    "the graph '{}' asks for the input '{input}'; embed gives input_ids, \
                     attention_mask and token_type_ids",
                    folder.graph.display()
                );
            }
        }
        Ok(Self {
            tokenizer,
            network,
            turn: Mutex::new(()),
        })
    }

    /// The vectors of `texts`, one after the other, in their order.
    ///
    /// Texts are run in batches of like length, each padded to its longest.
    pub fn embed(&self, folder: &Folder, texts: &[&str]) -> Result<Vec<f32>> {
        let encodings = self.tokenizer.encode(texts)?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| encodings[i].len());
        let batches = batches(&order, &encodings);
        let width = folder.dimension;
        let mut vectors = vec![0.0; texts.len() * width];
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for (rows, pooled) in self.run_all(folder, &batches, &encodings)? {
            for (row, vector) in rows.iter().zip(pooled.chunks_exact(width)) {
                vectors[row * width..][..width].copy_from_slice(vector);
            }
        }
        Ok(vectors)
    }

    /// The tokens of each text, as the graph sees them.
    #[cfg(test)]
    pub fn token_ids(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let encodings = self.tokenizer.encode(texts)?;
        let ids = |e: &Encoding| e.ids().iter().map(|id| u32::from(*id)).collect();
        Ok(encodings.iter().map(ids).collect())
    }

    /// Runs every batch, on as many threads as the backend has use for.
    fn run_all<'a>(
        &self,
        folder: &Folder,
        batches: &[&'a [usize]],
        encodings: &[Encoding],
    ) -> Result<Vec<(&'a [usize], Vec<f32>)>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(rows) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let members: Vec<&Encoding> = rows.iter().map(|&row| &encodings[row]).collect();
                done.push((*rows, self.run(folder, &members)?));
            }
            Ok(done)
        };
        let threads = self.network.concurrent_runs().min(batches.len());
        if threads <= 1 {
            return work();
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::with_capacity(batches.len());
            for worker in workers {
                match worker.join() {
                    Ok(done) => all.extend(done?),
                    Err(_) => return exec_err!("a thread that ran the model panicked"),
                }
            }
            Ok(all)
        })
    }

    /// One batch through the graph, and its pooled vectors.
    fn run(&self, folder: &Folder, batch: &[&Encoding]) -> Result<Vec<f32>> {
        // A graph may not take a length of 0, which a tokenizer without CLS and SEP
        // gives for an empty text.
        let length = batch.iter().map(|e| e.len()).max().unwrap_or(0).max(1);
        let shape = (batch.len(), length);
        let mut ids = Array2::from_elem(shape, folder.padding_token);
        let mut mask = Array2::zeros(shape);
        let mut types = Array2::zeros(shape);
        for (i, encoding) in batch.iter().enumerate() {
            for (j, id) in encoding.ids().iter().enumerate() {
                ids[(i, j)] = i64::from(u32::from(*id));
                mask[(i, j)] = 1;
            }
            for (j, kind) in encoding.type_ids().unwrap_or_default().iter().enumerate() {
                types[(i, j)] = i64::from(*kind);
            }
        }
        let inputs: Vec<(&str, ArrayView2<i64>)> = self
            .network
            .inputs()
            .iter()
            .map(|name| match name.as_str() {
                "attention_mask" => (name.as_str(), mask.view()),
                "token_type_ids" => (name.as_str(), types.view()),
                _ => (name.as_str(), ids.view()),
            })
            .collect();
        let hidden = self.network.run(&inputs)?;
        let width = folder.dimension;
        if hidden.shape() != [batch.len(), length, width] {
            return exec_err!(
                "the graph '{}' gave a tensor of shape {:?} for {} texts of {length} tokens; its \
                 configuration promises vectors of {width} per token",
                folder.graph.display(),
                hidden.shape(),
                batch.len()
            );
        }
        let hidden = hidden.as_standard_layout();
        let hidden = hidden.as_slice().unwrap_or_default();
        let mut pooled = vec![0.0; batch.len() * width];
        for ((encoding, tokens), vector) in batch
            .iter()
            .zip(hidden.chunks_exact(length * width))
            .zip(pooled.chunks_exact_mut(width))
        {
            folder
                .pooling
                .pool(&tokens[..encoding.len() * width], vector);
            if folder.normalize {
                normalize(vector);
            }
        }
        Ok(pooled)
    }
}

/// Cuts `order`, sorted by length, into runs of at most [`BATCH`] texts and
/// [`BATCH_TOKENS`] tokens.
fn batches<'a>(order: &'a [usize], encodings: &[Encoding]) -> Vec<&'a [usize]> {
    let mut batches = Vec::new();
    let mut rest = order;
    while !rest.is_empty() {
        // Each text so far is padded to the length of the latest.
        let fits = |n: usize| n <= BATCH && n * encodings[rest[n - 1]].len() <= BATCH_TOKENS;
        let n = (2..=rest.len())
            .take_while(|&n| fits(n))
            .last()
            .unwrap_or(1);
        let (batch, after) = rest.split_at(n);
        batches.push(batch);
        rest = after;
    }
    batches
}

/// `tokenizer.json`, cutting at the model's length.
struct Tokenizer {
    pipeline: PipelineTokenizer,
    options: EncodeOptions,
    lower_case: bool,
    file: String,
}

impl Tokenizer {
    fn read(folder: &Folder) -> Result<Self> {
        let file = folder.tokenizer.display().to_string();
        let pipeline = guard(|| {
            let canonical =
                tokenizers::canonicalize_file(&folder.tokenizer).map_err(|e| e.to_string())?;
            tokenizers::from_json(&canonical).map_err(|e| e.to_string())
        })
        .map_err(|reason| exec_datafusion_err!("cannot use the tokenizer '{file}': {reason}"))?;
        Ok(Self {
            pipeline,
            options: EncodeOptions {
                // Batches are padded to their own longest text, and the lengths in the
                // file are those of whoever saved it last.
                padding: Override::Off,
                truncation: Override::With(TruncationParams {
                    max_length: folder.max_tokens,
                    ..Default::default()
                }),
                ..Default::default()
            },
            lower_case: folder.lower_case,
            file,
        })
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<Encoding>> {
        // sentence-transformers strips every text first.
        let inputs: Vec<String> = texts
            .iter()
            .map(|text| match self.lower_case {
                true => text.trim().to_lowercase(),
                false => text.trim().to_string(),
            })
            .collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let encodings = guard(|| {
            let handle = self.pipeline.encode(inputs.as_slice(), &self.options);
            handle.wait().map_err(|e| e.to_string())
        })
        .map_err(|reason| exec_datafusion_err!("the tokenizer '{}' failed: {reason}", self.file))?;
        Ok(encodings)
    }
}
