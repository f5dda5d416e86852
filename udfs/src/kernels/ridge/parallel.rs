//! Jobs on a few threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// `work(0), work(1), …, work(jobs - 1)` in order, computed by up to `threads` threads that end
/// with the call.
pub fn map<T: Send>(threads: usize, jobs: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if threads <= 1 || jobs <= 1 {
        return (0..jobs).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(jobs));
    let run = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= jobs {
                return;
            }
            let result = work(job);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((job, result));
        }
    };
    std::thread::scope(|scope| {
        // This thread is one of them.
        for _ in 1..threads.min(jobs) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(job, _)| *job);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_order() {
        for threads in [0, 1, 2, 5] {
            let squares = super::map(threads, 9, |i| i * i);
            assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64]);
        }
        assert!(super::map(4, 0, |i| i).is_empty());
    }
}
