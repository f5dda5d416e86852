//! A running ffmpeg that gives the pictures of a film one after the other, each with its time.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};

use super::paired::Paired;
use crate::readers::ffmpeg::{Output, Program};

/// A picture as it is shown. Times are in 1/denominator seconds of the stream's time base.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    pub start: i64,
    /// By its own duration; another picture may take its place earlier or later.
    pub end: i64,
    /// Red, green and blue of each pixel, row by row; empty where only the time is asked for.
    pub rgb: Vec<u8>,
}

pub struct Run {
    source: Source,
    /// A tick is numerator/denominator seconds.
    time_base: (i64, i64),
    last: Option<i64>,
}

enum Source {
    Times(BufReader<Output>),
    Pictures(Paired),
}

impl Run {
    /// Starts ffmpeg; `why` says what it is needed for. `pictures` says how many bytes each has and of which
    /// time stamp the first is; it is `None` where only times are asked for.
    pub fn start(
        why: &str,
        arguments: Vec<OsString>,
        pictures: Option<(usize, i64)>,
        time_base: (i64, i64),
    ) -> Result<Self, String> {
        let source = match pictures {
            None => Source::Times(BufReader::new(Program::Ffmpeg.start(why, arguments)?)),
            Some((bytes, first)) => {
                let first = first.div_euclid(time_base.0);
                Source::Pictures(Paired::start(bytes, first, |hear| {
                    Program::Ffmpeg.start_heard(why, arguments, hear)
                })?)
            }
        };
        Ok(Self {
            source,
            time_base,
            last: None,
        })
    }

    /// The next picture; `None` after the last. `used` is the memory of one that is done with.
    pub fn next(&mut self, used: Vec<u8>) -> Result<Option<Shown>, String> {
        let next = match &mut self.source {
            Source::Times(lines) => next_time(lines)?.map(|time| (time, vec![])),
            Source::Pictures(paired) => paired.next(used)?,
        };
        let Some((time, rgb)) = next else {
            return Ok(None);
        };
        let (numerator, denominator) = self.time_base;
        let seconds = |start: i64| start as f64 / denominator as f64;
        let start = match time.start.checked_mul(numerator) {
            Some(start) if time.start != i64::MIN => start,
            _ => {
                return Err(match self.last {
                    Some(last) => format!(
                        "the picture after that at {} s has no time stamp",
                        seconds(last)
                    ),
                    None => "its first picture has no time stamp".to_string(),
                });
            }
        };
        if let Some(last) = self.last
            && last > start
        {
            return Err(format!(
                "the time stamps of its pictures do not rise: a picture is shown at {} s, the one before at {} s",
                seconds(start),
                seconds(last)
            ));
        }
        self.last = Some(start);
        let end = start.saturating_add(time.duration.max(0).saturating_mul(numerator));
        Ok(Some(Shown { start, end, rgb }))
    }
}

fn next_time(lines: &mut BufReader<Output>) -> Result<Option<Time>, String> {
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).map_err(|e| e.to_string())? == 0 {
            return Ok(None);
        }
        match time_in(&line) {
            Some((_, time)) => return Ok(Some(time)),
            None if line.starts_with('#') || line.trim().is_empty() => {}
            None => {
                return Err(format!(
                    "what ffmpeg says about its times is not understood: {line}"
                ));
            }
        }
    }
}

/// A time stamp and a duration in ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Time {
    pub start: i64,
    pub duration: i64,
}

/// What a line of `framecrc` says: `0,        512,        512,      512,      768, 0x0a1b2c3d`, which is
/// stream, decoding time, presentation time, duration, size and checksum. It may stand behind
/// words that another thread of ffmpeg has begun to write: gives where it begins, too.
pub fn time_in(line: &str) -> Option<(usize, Time)> {
    line.match_indices(", 0x").find_map(|(at, _)| {
        let mut fields = line[..at].rsplitn(5, ',');
        let mut number = || fields.next()?.trim().parse::<i64>().ok();
        let [_size, duration, start, _decoding] = [number()?, number()?, number()?, number()?];
        let words = fields.next()?.strip_suffix('0')?.len();
        Some((words, Time { start, duration }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = "0,        -40,         512,      256,     9216, 0x0a1b2c3d\n";
        let time = Time {
            start: 512,
            duration: 256,
        };
        assert_eq!(time_in(line), Some((0, time)));
        let begun = format!("[hevc @ 0x55d5c8] {line}");
        assert_eq!(time_in(&begun), Some((18, time)));
        let named = format!("slice 7, 0x12 is bad: {line}");
        assert_eq!(time_in(&named), Some((22, time)));
        let more = "0, 1, 512, 256, 9, 0x0a1b2c3d, F=0x0, S=1,        8, 0x05ec00be";
        assert_eq!(time_in(more), Some((0, time)));
        for line in ["", "#tb 0: 1/25", "[hevc @ 0x5, 0x6] bad", "0, 1, 2, 0x3"] {
            assert_eq!(time_in(line), None, "{line}");
        }
    }
}
