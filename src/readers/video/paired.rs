//! Pictures from stdout and their times from stderr of one program, put together.
//!
//! Which of the two comes first is the program's affair, and it stops while a pipe is full. So stderr
//! is always emptied, and stdout while there is no pair to be taken:
//!
//! ```text
//!   stderr -- a thread --> times    -\
//!                                      next: one of each
//!   stdout -- a thread --> pictures -/   (waits while there is a pair and pictures are waiting)
//! ```

use std::collections::VecDeque;
use std::io::Read;
use std::process::ChildStdout;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::run::{Time, time_in};
use crate::readers::ffmpeg::Running;

/// Pictures that are read ahead.
const AHEAD: usize = 3;

/// Pictures whose times may be outstanding: those in the queues between ffmpeg's threads, and some.
const MOST_AHEAD: usize = 32;

/// How long a time may take to come once there are so many: its thread may be slow.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Paired {
    running: Running,
    queues: Arc<Queues>,
    reader: Option<JoinHandle<()>>,
    /// How the program ended; then all of stderr has been heard.
    end: Option<Result<(), String>>,
}

#[derive(Default)]
struct Queues {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    times: VecDeque<Time>,
    pictures: VecDeque<Vec<u8>>,
    /// Memory for pictures to come.
    spare: Vec<Vec<u8>>,
    /// What is shown before this time stamp has no picture.
    first: i64,
    /// No more pictures come.
    is_over: bool,
    /// Pictures came, and came, and no times.
    is_untimed: bool,
    is_dropped: bool,
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in it is ever half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is so.
    fn wait(&self, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.lock(), |state| !is_so(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl State {
    fn has_pair(&self) -> bool {
        match self.times.front() {
            Some(time) => time.start < self.first || !self.pictures.is_empty(),
            None => false,
        }
    }

    fn take_pair(&mut self) -> Option<(Time, Vec<u8>)> {
        let time = self.times.pop_front()?;
        match time.start < self.first {
            true => Some((time, vec![])),
            false => Some((time, self.pictures.pop_front()?)),
        }
    }
}

impl Paired {
    /// `start` starts the program with what is to hear its stderr. Its pictures have so many bytes each, and
    /// there are none of what is shown before the time stamp `first`.
    pub fn start(
        bytes: usize,
        first: i64,
        start: impl FnOnce(Hear) -> Result<(Running, ChildStdout), String>,
    ) -> Result<Self, String> {
        let queues = Arc::<Queues>::default();
        queues.lock().first = first;
        let heard = Arc::clone(&queues);
        let (running, stdout) = start(Box::new(move |line: &str| match time_in(line) {
            Some((words, time)) => {
                heard.change(|state| state.times.push_back(time));
                words
            }
            None if line.starts_with('#') => 0,
            None => line.len(),
        }))?;
        let filled = Arc::clone(&queues);
        let reader = thread::Builder::new()
            .name("read_video".to_string())
            .spawn(move || read(stdout, bytes, &filled))
            .map_err(|e| format!("cannot start a thread to read its pictures: {e}"))?;
        Ok(Self {
            running,
            queues,
            reader: Some(reader),
            end: None,
        })
    }

    /// The next time and its picture, which is empty where there is none; `None` after the last. `used` is
    /// the memory of one that is done with.
    pub fn next(&mut self, used: Vec<u8>) -> Result<Option<(Time, Vec<u8>)>, String> {
        if !used.is_empty() {
            self.queues.lock().spare.push(used);
        }
        loop {
            let has_ended = self.end.is_some();
            let mut state = self
                .queues
                .wait(|state| has_ended || state.is_over || state.has_pair());
            if state.has_pair() {
                let pair = state.take_pair();
                drop(state);
                self.queues.changed.notify_all();
                return Ok(pair);
            }
            let (times, pictures) = (state.times.len(), state.pictures.len());
            let is_untimed = state.is_untimed;
            drop(state);
            if is_untimed {
                return Err("ffmpeg does not say when its pictures are shown".to_string());
            }
            match &self.end {
                None => self.end = Some(self.running.end().map_err(|e| e.to_string())),
                Some(Err(message)) => return Err(message.clone()),
                Some(Ok(())) if times == 0 && pictures == 0 => return Ok(None),
                Some(Ok(())) => {
                    return Err(format!(
                        "ffmpeg ended with {times} times without a picture and {pictures} pictures without a time"
                    ));
                }
            }
        }
    }
}

/// Who hears the lines of stderr; see [`Running::start`].
pub type Hear = Box<dyn FnMut(&str) -> usize + Send>;

fn read(mut stdout: ChildStdout, bytes: usize, queues: &Queues) {
    loop {
        let mut state = queues
            .wait(|state| state.is_dropped || !state.has_pair() || state.pictures.len() < AHEAD);
        if state.pictures.len() >= MOST_AHEAD {
            let is_late = |state: &mut State| state.times.is_empty() && !state.is_dropped;
            let waited = queues.changed.wait_timeout_while(state, PATIENCE, is_late);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.is_untimed = state.times.is_empty();
        }
        if state.is_dropped || state.is_untimed {
            break;
        }
        let mut picture = state.spare.pop().unwrap_or_default();
        drop(state);
        picture.resize(bytes, 0);
        // What is wrong is said by the program's end, and by what is missing.
        if stdout.read_exact(&mut picture).is_err() {
            break;
        }
        queues.change(|state| state.pictures.push_back(picture));
    }
    queues.change(|state| state.is_over = true);
}

impl Drop for Paired {
    fn drop(&mut self) {
        self.queues.change(|state| state.is_dropped = true);
        // Its thread reads to the end of stdout, which is now.
        self.running.kill();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::readers::ffmpeg::Program;

    /// A shell script in the place of ffmpeg, whose pictures have four bytes.
    fn script(text: &str) -> Paired {
        Paired::start(4, 0, |hear| {
            Running::start(Program::Ffmpeg, Path::new("/bin/sh"), ["-c", text], hear)
        })
        .unwrap()
    }

    /// All that comes: times, first bytes of pictures, and how it ends.
    fn all(mut paired: Paired) -> (Vec<i64>, Vec<u8>, Result<(), String>) {
        let (mut times, mut pictures, mut used) = (vec![], vec![], vec![]);
        loop {
            match paired.next(used) {
                Ok(Some((time, picture))) => {
                    times.push(time.start);
                    pictures.extend(picture.first());
                    used = picture;
                }
                Ok(None) => return (times, pictures, Ok(())),
                Err(e) => return (times, pictures, Err(e)),
            }
        }
    }

    const SAY: &str = r#"say() { printf '0, %d, %d, 1, 4, 0x00000001\n' $1 $1 >&2; };"#;

    #[test]
    fn either_may_come_first() {
        for text in [
            "say 1; say 2; say 3; printf aaaabbbbcccc",
            "printf aaaabbbbcccc; sleep 0.1; say 1; say 2; say 3",
            "printf aaaabb; say 1; sleep 0.1; printf bbcc; say 2; say 3; printf cc",
            "echo '#tb 0: 1/25' >&2; say 1; printf aaaabbbb; printf '[x] ' >&2; say 2; echo bad >&2; say 3; printf cccc",
        ] {
            let got = all(script(&format!("{SAY} {text}")));
            assert_eq!(got, (vec![1, 2, 3], b"abc".to_vec(), Ok(())), "{text}");
        }
    }

    /// More than any pipe holds, of the one before the other.
    #[test]
    fn full_pipes_stop_nothing() {
        let many = "i=0; while [ $i -lt 9000 ]; do say $i; i=$((i+1)); done";
        let text = format!("{SAY} {many}; head -c 36000 /dev/zero");
        let (times, pictures, end) = all(script(&text));
        assert_eq!((times.len(), pictures.len(), end), (9000, 9000, Ok(())));

        let large = 1 << 20;
        let text = format!("{SAY} head -c {} /dev/zero; say 1; say 2; say 3", 3 * large);
        let paired = Paired::start(large, 0, |hear| {
            Running::start(Program::Ffmpeg, Path::new("/bin/sh"), ["-c", &text], hear)
        });
        assert_eq!(all(paired.unwrap()).0, [1, 2, 3]);
    }

    #[test]
    fn early_times_have_no_pictures() {
        for text in [
            "say -2; say -1; say 0; say 1; printf aaaabbbb",
            "printf aaaa; sleep 0.1; say -2; say -1; say 0; printf bbbb; say 1",
        ] {
            let got = all(script(&format!("{SAY} {text}")));
            assert_eq!(got, (vec![-2, -1, 0, 1], b"ab".to_vec(), Ok(())), "{text}");
        }
    }

    #[test]
    fn what_is_there_comes_before_what_went_wrong() {
        let text = "say 1; printf aaaa; say 2; printf bb; echo 'no more' >&2; exit 3";
        let (times, pictures, end) = all(script(&format!("{SAY} {text}")));
        assert_eq!((times, pictures), (vec![1], vec![b'a']));
        assert_eq!(end.unwrap_err(), "ffmpeg failed: no more");

        let text = "say 1; printf aaaa; kill -9 $$";
        let (times, _, end) = all(script(&format!("{SAY} {text}")));
        assert_eq!(times, [1]);
        assert!(end.unwrap_err().contains("ffmpeg failed: signal: 9"));

        for text in ["say 1; say 2; printf aaaa", "say 1; printf aaaabbbb"] {
            let (times, _, end) = all(script(&format!("{SAY} {text}")));
            assert_eq!(times, [1]);
            assert!(end.unwrap_err().contains("without"), "{text}");
        }
    }

    #[test]
    fn pictures_without_times_are_not_held_for_ever() {
        let (times, _, end) = all(script("while printf aaaa; do :; done"));
        assert!(times.is_empty());
        assert!(end.unwrap_err().contains("does not say when"));
    }

    #[test]
    fn dropping_ends_it_whatever_it_waits_for() {
        for text in [
            "exec sleep 600",
            "say 1; printf aaaa; exec sleep 600",
            "while say 1; do printf aaaa; done",
            "while printf aaaa; do :; done",
        ] {
            let mut paired = script(&format!("{SAY} {text}"));
            if text.starts_with("say") {
                assert!(paired.next(vec![]).unwrap().is_some());
            }
            // Waits for its thread, and would wait for ever if that waited too.
            drop(paired);
        }
    }
}
