//! Decoding ahead of what is made of the samples, on a blocking task of the runtime.
//!
//! ```text
//!   decoder -- blocks of samples, a few at a time --> resampler
//! ```
//!
//! The decoder lies in a slot. Until the task takes it from there, whoever wants samples decodes
//! them in place; after that they come through the channel. So nobody waits for a task
//! that has no thread yet, and without a runtime everything happens in place.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use datafusion::common::{DataFusionError, Result, exec_err};
use tokio::runtime::Handle;

use super::decode::Decoder;

/// Samples that go through the channel at once, at least: some packets.
const BLOCK: usize = 1 << 14;

/// Blocks that wait, at most.
const WAITING: usize = 8;

/// A decoder that works while its samples are used.
pub struct Ahead {
    slot: Slot,
    blocks: Receiver<Result<Vec<f32>>>,
}

type Slot = Arc<Mutex<Option<Decoder>>>;

impl Ahead {
    /// Lets the decoder begin as soon as the runtime has a thread for it.
    pub fn start(decoder: Decoder) -> Self {
        let slot = Arc::new(Mutex::new(Some(decoder)));
        let (sender, blocks) = sync_channel(WAITING);
        if let Ok(runtime) = Handle::try_current() {
            let slot = Arc::downgrade(&slot);
            // It ends with the sound, or when nobody receives any more.
            drop(runtime.spawn_blocking(move || run(&slot, &sender)));
        }
        Self { slot, blocks }
    }

    /// Appends the next samples to `out`; false at the end, which is not to be passed.
    ///
    /// # Errors
    /// As [`Decoder::read`].
    pub fn read(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = slot.as_mut() {
            return decoder.read(out);
        }
        drop(slot);
        match self.blocks.recv() {
            Ok(block) => {
                let block = block?;
                out.extend_from_slice(&block);
                Ok(!block.is_empty())
            }
            Err(_) => exec_err!("the task that decodes the sound stopped before its end"),
        }
    }
}

/// Decodes everything; the last block is an empty one, or an error.
fn run(slot: &Weak<Mutex<Option<Decoder>>>, blocks: &SyncSender<Result<Vec<f32>>>) {
    let taken = slot.upgrade().and_then(|slot| {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    });
    let Some(mut decoder) = taken else {
        return;
    };
    loop {
        let (block, last) = next_block(&mut decoder);
        if !block.is_empty() && blocks.send(Ok(block)).is_err() {
            return;
        }
        if let Some(end) = last {
            let _ = blocks.send(end.map(|()| Vec::new()));
            return;
        }
    }
}

/// Up to a block of samples, and how the sound ended if it did after them.
fn next_block(decoder: &mut Decoder) -> (Vec<f32>, Option<Result<(), DataFusionError>>) {
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 4);
    while block.len() < BLOCK {
        match decoder.read(&mut block) {
            Ok(true) => (),
            Ok(false) => return (block, Some(Ok(()))),
            Err(error) => return (block, Some(Err(error))),
        }
    }
    (block, None)
}
