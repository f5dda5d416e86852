//! Edit lists: when samples are shown.

use super::boxes::damaged;
use super::{Movie, Sample, Track};

/// When the samples of a track are shown, edit list applied; the movie starts at 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    pub ticks_per_second: i64,
    /// In order of presentation. A sample may stand here twice in a row (an
    /// edit cut through it) or not at all (cut away).
    pub shown: Vec<Shown>,
}

/// One sample on screen, in ticks of its [`Timeline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Index into the track's samples, which are in order of decoding.
    pub sample: usize,
    pub start: i64,
    pub end: i64,
}

impl Timeline {
    /// A tick in seconds, correctly rounded.
    pub fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 / self.ticks_per_second as f64
    }
}

impl Movie {
    /// The times at which the samples of `track` are shown.
    ///
    /// A sample is shown from its composition time to the next one's; the last
    /// for its own duration. What lies outside the edit list is cut away; a
    /// sample through which an edit begins is shown from the edit's begin.
    pub fn timeline(&self, track: &Track, samples: &[Sample]) -> Result<Timeline, String> {
        let (media, movie) = (i128::from(track.timescale), i128::from(self.timescale));
        let ticks_per_second = media / gcd(media, movie) * movie;
        let per_media = ticks_per_second / media;
        let per_movie = ticks_per_second / movie;

        let mut order: Vec<usize> = (0..samples.len()).collect();
        order.sort_by_key(|&i| samples[i].composition);
        let begin = |i: usize| i128::from(samples[i].composition) * per_media;
        let end = |rank: usize| match order.get(rank + 1) {
            Some(&next) => begin(next),
            None => begin(order[rank]) + i128::from(samples[order[rank]].duration) * per_media,
        };

        let mut shown = Vec::with_capacity(samples.len());
        let mut show = |sample, start, end| -> Result<(), String> {
            let ticks = |t: i128| i64::try_from(t).map_err(|_| damaged("a time is out of range"));
            shown.push(Shown {
                sample,
                start: ticks(start)?,
                end: ticks(end)?,
            });
            Ok(())
        };
        if track.edits.is_empty() {
            for (rank, &i) in order.iter().enumerate() {
                show(i, begin(i), end(rank))?;
            }
        }
        let mut at = 0; // the movie's clock
        let mut rank = 0; // the first sample that an edit can still show
        let mut played = i128::MIN; // the media's clock
        for edit in &track.edits {
            let duration = i128::from(edit.duration) * per_movie;
            let Some(media_time) = edit.media_time else {
                at += duration;
                continue;
            };
            let from = i128::from(media_time) * per_media;
            let to = if edit.duration == 0 {
                i128::MAX
            } else {
                from + duration
            };
            // Durations are rounded to the movie's ticks, so cuts may overlap by one.
            if from < played.saturating_sub(per_movie.max(per_media)) {
                return Err("its edit list repeats or reorders parts of the track; \
                     `ffmpeg -i in.mp4 out.mp4` writes one that plays straight through"
                    .to_string());
            }
            while rank < order.len() {
                let (i, stop) = (order[rank], end(rank));
                let start = begin(i);
                if start >= to {
                    break;
                }
                if stop > from || start >= from {
                    show(i, at + start.max(from) - from, at + stop.min(to) - from)?;
                }
                if stop > to {
                    break; // the next edit may begin within this sample
                }
                rank += 1;
            }
            played = to;
            at += duration;
        }
        Ok(Timeline {
            ticks_per_second: i64::try_from(ticks_per_second)
                .map_err(|_| damaged("its time scales are out of range"))?,
            shown,
        })
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}
