//! A transformer: its tokenizer and its graph, and the vectors of the tokens of many texts.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use datafusion::common::{Result, exec_err};
use ndarray::{Array2, ArrayView2};

use super::dense::Layer;
use super::folder::{Folder, Step};
use super::tokenizer::{Tokenizer, Tokens};
use crate::cancel::Cancelled;
use crate::models::backend::Network;

/// Texts that go through the graph at once.
const BATCH: usize = 32;

/// A bound on the tokens of a batch, padding included: attention takes memory by the
/// square of a text's length.
const BATCH_TOKENS: usize = 8192;

/// Names of the output that holds one vector per token, in exported graphs.
pub const OUTPUTS: [&str; 2] = ["last_hidden_state", "token_embeddings"];

/// A model with its tokenizer, graph and other weights loaded.
pub struct Transformer {
    pub tokenizer: Tokenizer,
    network: Box<dyn Network>,
    /// The weights of the steps Dense, in order.
    layers: Vec<Layer>,
    turns: Turns,
}

impl Transformer {
    /// Loads the tokenizer, and the graph by `open`. `layer` is the graph's output that is wanted in place
    /// of the last layer.
    pub fn load(
        folder: &Folder,
        layer: Option<&str>,
        open: impl FnOnce(&Path, &[&str]) -> Result<Box<dyn Network>>,
    ) -> Result<Self> {
        let tokenizer = Tokenizer::read(folder)?;
        let network = match layer {
            Some(layer) => open(&folder.graph, &[layer])?,
            None => open(&folder.graph, &OUTPUTS)?,
        };
        if let Some(layer) = layer
            && network.output() != layer
        {
            return exec_err!(
                "the graph '{}' has no output '{layer}'; it has {}. To get more layers, export the graph with \
                 output_hidden_states=True",
                folder.graph.display(),
                network.outputs().join(", ")
            );
        }
        for input in network.inputs() {
            if !["input_ids", "attention_mask", "token_type_ids"].contains(&input.as_str()) {
                return exec_err!(
                    "the graph '{}' asks for the input '{input}'; embed gives input_ids, \
                     attention_mask and token_type_ids",
                    folder.graph.display()
                );
            }
        }
        let dense = folder.steps.iter().filter_map(|step| match step {
            Step::Dense(dense) => Some(dense.load()),
            Step::Normalize => None,
        });
        Ok(Self {
            tokenizer,
            turns: Turns::of(network.concurrent_runs()),
            network,
            layers: dense.collect::<Result<_>>()?,
        })
    }

    /// The weights of the steps Dense, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What `each` makes of every text's token vectors, in the order of `texts`: it gets the number of the
    /// text and its vectors one after the other, without padding.
    ///
    /// Texts are run in batches of like length, each padded to its longest.
    ///
    /// # Errors
    /// Those of the graph, and that the query was cancelled, which is looked at before each batch.
    pub fn run<T: Send>(
        &self,
        folder: &Folder,
        texts: &[Tokens],
        cancelled: &Cancelled,
        each: impl Fn(usize, &[f32]) -> T + Sync,
    ) -> Result<Vec<T>> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| texts[i].ids.len());
        let batches = batches(&order, texts);
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, T)>> {
            let mut done = Vec::new();
            while let Some(rows) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let _turn = self.turns.take();
                cancelled.check()?;
                done.extend(self.batch(folder, texts, rows, &each)?);
            }
            Ok(done)
        };
        let threads = self.network.concurrent_runs().min(batches.len());
        let mut all = match threads {
            0 | 1 => work()?,
            _ => on_threads(threads, &work)?,
        };
        all.sort_by_key(|(row, _)| *row);
        Ok(all.into_iter().map(|(_, made)| made).collect())
    }

    /// The texts of the numbers `rows` through the graph.
    fn batch<T>(
        &self,
        folder: &Folder,
        texts: &[Tokens],
        rows: &[usize],
        each: &impl Fn(usize, &[f32]) -> T,
    ) -> Result<Vec<(usize, T)>> {
        // A graph may not take a length of 0, which a tokenizer without CLS and SEP
        // gives for an empty text.
        let lengths = rows.iter().map(|&row| texts[row].ids.len());
        let length = lengths.max().unwrap_or(0).max(1);
        let shape = (rows.len(), length);
        let mut ids = Array2::from_elem(shape, folder.padding_token);
        let mut mask = Array2::zeros(shape);
        let mut types = Array2::zeros(shape);
        for (i, &row) in rows.iter().enumerate() {
            for (j, id) in texts[row].ids.iter().enumerate() {
                ids[(i, j)] = i64::from(*id);
                mask[(i, j)] = 1;
            }
            for (j, kind) in texts[row].types.iter().enumerate() {
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
        let width = folder.token_width;
        if hidden.shape() != [rows.len(), length, width] {
            return exec_err!(
                "the output {} of the graph '{}' is a tensor of shape {:?} for {} texts of {length} tokens; its \
                 configuration promises vectors of {width} per token",
                self.network.output(),
                folder.graph.display(),
                hidden.shape(),
                rows.len()
            );
        }
        let hidden = hidden.as_standard_layout();
        let hidden = hidden.as_slice().unwrap_or_default();
        let of_texts = rows.iter().zip(hidden.chunks_exact(length * width));
        let made = of_texts.map(|(&row, tokens)| {
            let own = texts[row].ids.len() * width;
            (row, each(row, &tokens[..own]))
        });
        Ok(made.collect())
    }
}

fn on_threads<T: Send>(
    threads: usize,
    work: &(impl Fn() -> Result<Vec<T>> + Sync),
) -> Result<Vec<T>> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => all.extend(done?),
                Err(_) => return exec_err!("a thread that ran the model panicked"),
            }
        }
        Ok(all)
    })
}

/// Cuts `order`, sorted by length, into runs of at most [`BATCH`] texts and
/// [`BATCH_TOKENS`] tokens.
fn batches<'a>(order: &'a [usize], texts: &[Tokens]) -> Vec<&'a [usize]> {
    let mut batches = Vec::new();
    let mut rest = order;
    while !rest.is_empty() {
        // Each text so far is padded to the length of the latest.
        let fits = |n: usize| n <= BATCH && n * texts[rest[n - 1]].ids.len() <= BATCH_TOKENS;
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

/// So many batches at once: they use every core, and callers come from every partition of every query. A
/// long query does not keep a short one waiting for more than a batch.
struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Turns {
    fn of(count: usize) -> Self {
        Self {
            free: Mutex::new(count.max(1)),
            freed: Condvar::new(),
        }
    }

    fn take(&self) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Turn(self)
    }
}

/// One of [`Turns`], given back when dropped.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::ArrayD;

    /// A graph that counts its runs, and raises a flag at the third.
    struct Counting {
        runs: AtomicUsize,
        flag: Cancelled,
        concurrent: usize,
    }

    impl Network for Counting {
        fn inputs(&self) -> &[String] {
            &[]
        }

        fn outputs(&self) -> &[String] {
            &[]
        }

        fn output(&self) -> &str {
            "none"
        }

        fn run(&self, _inputs: &[(&str, ArrayView2<i64>)]) -> Result<ArrayD<f32>> {
            if self.runs.fetch_add(1, Ordering::SeqCst) == 2 {
                self.flag.raise();
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
            Ok(ArrayD::zeros(vec![BATCH, 4, 16]))
        }

        fn concurrent_runs(&self) -> usize {
            self.concurrent
        }
    }

    #[test]
    fn a_cancelled_query_stops_within_a_batch() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/embedding/bert");
        let folder = Folder::read(&data, None).unwrap();
        for concurrent in [1, 2] {
            let flag = Cancelled::default();
            let network = Counting {
                runs: AtomicUsize::new(0),
                flag: flag.clone(),
                concurrent,
            };
            let network = std::sync::Arc::new(network);
            let transformer = Transformer {
                tokenizer: Tokenizer::read(&folder).unwrap(),
                network: Box::new(std::sync::Arc::clone(&network)),
                layers: Vec::new(),
                turns: Turns::of(concurrent),
            };
            let text = Tokens {
                ids: vec![1; 4],
                types: Vec::new(),
            };
            let texts = vec![text; 100 * BATCH];
            let result = transformer.run(&folder, &texts, &flag, |_, _| ());
            let message = result.unwrap_err().to_string();
            assert!(message.contains("cancelled"), "{message}");
            let runs = network.runs.load(Ordering::SeqCst);
            assert!(
                (3..=2 + concurrent).contains(&runs),
                "{runs} runs, {concurrent} at once"
            );
        }
    }

    impl<N: Network> Network for std::sync::Arc<N> {
        fn inputs(&self) -> &[String] {
            self.as_ref().inputs()
        }

        fn outputs(&self) -> &[String] {
            self.as_ref().outputs()
        }

        fn output(&self) -> &str {
            self.as_ref().output()
        }

        fn run(&self, inputs: &[(&str, ArrayView2<i64>)]) -> Result<ArrayD<f32>> {
            self.as_ref().run(inputs)
        }

        fn concurrent_runs(&self) -> usize {
            self.as_ref().concurrent_runs()
        }
    }
}
