//! The argument `oversampling` of what samples a response: its warning.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Fewer samples per TR than this make the response noticeably late.
const ENOUGH: usize = 10;

/// Warns where nilearn's way of sampling makes the response late: by up to one sample,
/// which at `oversampling => 1` is a whole TR.
pub fn warn_if_late(function: &str, tr: f64, oversampling: usize) {
    if (1..ENOUGH).contains(&oversampling) && tr.is_finite() {
        once(format!(
            "{function}: with oversampling => {oversampling} nilearn's response is up to {} s late; \
             use 50, the default, or exact => true",
            // To the millisecond; a TR in most digits is nobody's concern here.
            (tr / oversampling as f64 * 1e3).round() / 1e3
        ));
    }
}

/// One warning for one query: a query may mention a function several times, and is
/// planned in several passes. Messages that are alike and come within a second are one.
fn once(message: String) {
    static LAST: Mutex<Option<(String, Instant)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let known = matches!(&*last, Some((text, then))
        if *text == message && now.duration_since(*then) < Duration::from_secs(1));
    if !known {
        log::warn!("{message}");
    }
    *last = Some((message, now));
}
