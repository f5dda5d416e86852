//! Groups of pictures decoded at the same time, each by a thread of its own.
//!
//! ```text
//!   wanted pictures   | group 0 | group 1 | group 2 | …   cut at refreshes (IDR)
//!   thread A            decodes             decodes
//!   thread B                      decodes
//!   the reader          takes them in order of presentation
//! ```
//!
//! After an instantaneous refresh no picture refers to anything before it, so each group decodes to what
//! it would in its turn. What is decoded too early waits in its group's queue as bytes, and a
//! thread whose queue is full waits too: with pictures so large, or groups so long, that only a
//! part of a group fits, that part is what is gained.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::decode::Pictures;
use super::paint::{Painter, Picture};
use crate::access::scope;

/// Bytes of pictures that wait in one group's queue. As many groups wait as there are threads, and one
/// is being read.
const QUEUE_BYTES: usize = 64 << 20;

/// More threads would hold more memory, and the reader turns pictures into numbers alone.
const MOST_THREADS: usize = 8;

/// A sample and its painted picture.
type Painted = Result<(usize, Vec<u8>), String>;

/// Pictures in order of presentation, decoded ahead.
pub struct Ahead {
    groups: Option<Receiver<Receiver<Painted>>>,
    group: Option<Receiver<Painted>>,
    current: Option<(usize, Vec<u8>)>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to decode the wanted samples, which stand in order of presentation, with as many threads as
    /// are given; `None` where there is one thread or one group of pictures.
    ///
    /// `open` gives each thread a decoder with a file handle of its own, and `painter` what paints its pictures.
    pub fn start(
        wanted: Vec<usize>,
        threads: usize,
        picture_bytes: usize,
        open: impl Fn() -> Result<Pictures, String>,
        painter: impl Fn() -> Painter,
    ) -> Result<Option<Self>, String> {
        let threads = threads.min(MOST_THREADS);
        if threads < 2 || wanted.len() < 2 {
            return Ok(None);
        }
        let mut cutter = Cutter::new(wanted, open()?);
        if cutter.first_end() == cutter.wanted.len() {
            return Ok(None);
        }
        let (sender, groups) = sync_channel(threads);
        let queue = (QUEUE_BYTES / picture_bytes.max(1)).max(1);
        let wanted = Arc::clone(&cutter.wanted);
        let cutter = Arc::new(Mutex::new((cutter, sender)));
        let is_over = Arc::<AtomicBool>::default();
        let workers = (0..threads).map(|_| {
            let worker = Worker {
                cutter: Arc::clone(&cutter),
                wanted: Arc::clone(&wanted),
                queue,
                is_over: Arc::clone(&is_over),
            };
            Ok((worker, open()?))
        });
        let workers = workers.collect::<Result<Vec<_>, String>>()?;
        // Only workers hold the queue of queues: it ends when they have ended.
        drop(cutter);
        let mut ahead = Self {
            groups: Some(groups),
            group: None,
            current: None,
            is_over,
            threads: Vec::with_capacity(threads),
        };
        for (worker, pictures) in workers {
            let painter = painter();
            let thread = thread::Builder::new().name("read_video".to_string());
            let thread = thread.spawn(move || worker.run(pictures, painter));
            let thread = thread.map_err(|e| format!("cannot start a thread to decode it: {e}"))?;
            ahead.threads.push(thread);
        }
        Ok(Some(ahead))
    }

    /// The painted picture of a sample; they are asked for in order, each as often as one likes.
    pub fn picture(&mut self, sample: usize) -> Result<&[u8], String> {
        let have = self.current.as_ref().map(|(have, _)| *have);
        if have != Some(sample) {
            self.current = Some(self.next()?);
        }
        match &self.current {
            Some((have, bytes)) if *have == sample => Ok(bytes),
            _ => Err("its pictures were not decoded in order".to_string()),
        }
    }

    fn next(&mut self) -> Painted {
        loop {
            // A group's queue ends with its last picture.
            if let Some(Ok(painted)) = self.group.as_ref().map(Receiver::recv) {
                return painted;
            }
            self.group = match self.groups.as_ref().map(Receiver::recv) {
                Some(Ok(group)) => Some(group),
                _ => return Err("a thread that decodes it has ended".to_string()),
            };
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A thread that waits at a queue goes on when nobody is left to read it.
        self.group = None;
        if let Some(groups) = self.groups.take() {
            groups.into_iter().for_each(drop);
        }
        for thread in self.threads.drain(..) {
            // A panic was an error in `picture`.
            let _ = thread.join();
        }
    }
}

struct Worker {
    /// Who takes a group gives its queue to the reader before the next is taken: so they are in order.
    cutter: Arc<Mutex<(Cutter, SyncSender<Receiver<Painted>>)>>,
    wanted: Arc<[usize]>,
    queue: usize,
    is_over: Arc<AtomicBool>,
}

impl Worker {
    fn run(self, mut pictures: Pictures, mut painter: Painter) {
        while let Some((group, painted)) = self.take() {
            for &sample in &self.wanted[group] {
                let picture = pictures
                    .picture(sample)
                    .and_then(|frame| painter.paint(Picture::Coded(frame)))
                    .map(|bytes| (sample, bytes.to_vec()));
                let failed = picture.is_err();
                if painted.send(picture).is_err() || failed {
                    return;
                }
            }
        }
    }

    /// The next group and its queue; `None` when all are taken or nobody reads them.
    fn take(&self) -> Option<(Range<usize>, SyncSender<Painted>)> {
        let mut guard = self.cutter.lock().ok()?;
        let (cutter, groups) = &mut *guard;
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let group = cutter.next()?;
        let (painted, queue) = sync_channel(self.queue.min(group.len()));
        groups.send(queue).ok()?;
        Some((group, painted))
    }
}

/// Cuts wanted samples into groups that can be decoded alone. Files are read as far as groups are asked
/// for: of each sync sample, whether it is a refresh.
struct Cutter {
    wanted: Arc<[usize]>,
    /// The least sample from each place on.
    least: Vec<usize>,
    pictures: Pictures,
    next: usize,
    /// The end of the group that begins at `next`, where it is known.
    end: Option<usize>,
}

impl Cutter {
    fn new(wanted: Vec<usize>, pictures: Pictures) -> Self {
        let mut least = wanted.clone();
        for place in (1..least.len()).rev() {
            least[place - 1] = least[place - 1].min(least[place]);
        }
        Self {
            wanted: wanted.into(),
            least,
            pictures,
            next: 0,
            end: None,
        }
    }

    fn first_end(&mut self) -> usize {
        let end = self.find_end();
        self.end = Some(end);
        end
    }

    fn find_end(&mut self) -> usize {
        let mut most = 0;
        for place in self.next + 1..self.wanted.len() {
            most = most.max(self.wanted[place - 1]);
            let least = self.least[place];
            // All before are decoded before the refresh, and all from here on after it.
            if most < least && self.pictures.has_refresh(most + 1..least + 1) {
                return place;
            }
        }
        self.wanted.len()
    }
}

impl Iterator for Cutter {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.next >= self.wanted.len() {
            return None;
        }
        let end = match self.end.take() {
            Some(end) => end,
            None => self.find_end(),
        };
        let group = self.next..end;
        self.next = end;
        Some(group)
    }
}

/// Opens a decoder of a file's samples, as often as there are threads.
pub fn open_again(
    path: &Path,
    length: u64,
    samples: &[crate::readers::mp4::Sample],
    avcc: &[u8],
) -> Result<Pictures, String> {
    // A copy of the handle would share its place in the file.
    let file = scope::open(path).map_err(|e| e.to_string())?;
    Pictures::new(file, length, samples.to_vec(), avcc)
}
