//! How a long mel is cut for a network that sees a frame's neighbours.

use std::ops::Range;

/// One run of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The frames it is given.
    pub frames: Range<usize>,
    /// Those of them whose sound is kept.
    pub keep: Range<usize>,
}

/// Windows of `size` frames over `count`, whose kept frames follow one another from the first to
/// the last, each at least `context` frames from a cut. The first begins and the last ends where the
/// sound does, so the network meets its edges where one run over all would.
///
/// A sound of no more than `size` frames is one window. `size` is made larger than twice the
/// `context` if it is not.
pub fn windows(count: usize, size: usize, context: usize) -> Vec<Window> {
    let size = size.max(2 * context + 1);
    if count == 0 {
        return Vec::new();
    }
    let mut windows = Vec::new();
    let mut kept = 0;
    while kept < count {
        let start = kept.saturating_sub(context).min(count.saturating_sub(size));
        let end = (start + size).min(count);
        let keep_end = if end == count { count } else { end - context };
        windows.push(Window {
            frames: start..end,
            keep: kept..keep_end,
        });
        kept = keep_end;
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_window_ends_with_the_sound() {
        let window = |frames, keep| Window { frames, keep };
        assert_eq!(
            windows(25, 10, 2),
            [
                window(0..10, 0..8),
                window(6..16, 8..14),
                window(12..22, 14..20),
                window(15..25, 20..25)
            ]
        );
        assert_eq!(windows(7, 10, 2), [window(0..7, 0..7)]);
        assert!(windows(0, 10, 2).is_empty());
    }

    proptest! {
        #[test]
        fn every_frame_is_kept_once_and_far_from_a_cut(
            count in 1usize..500,
            size in 1usize..60,
            context in 0usize..40,
        ) {
            let windows = windows(count, size, context);
            let mut next = 0;
            for w in &windows {
                prop_assert_eq!(w.keep.start, next);
                prop_assert!(!w.keep.is_empty());
                prop_assert_eq!(w.frames.len(), windows[0].frames.len());
                prop_assert!(w.frames.start == 0 || w.frames.start + context <= w.keep.start);
                prop_assert!(w.frames.end == count || w.keep.end + context <= w.frames.end);
                next = w.keep.end;
            }
            prop_assert_eq!(next, count);
        }
    }
}
